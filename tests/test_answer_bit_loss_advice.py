"""The advice on a budget of bits, network by network, and what tuning changes against as calibrated."""

import pandas as pd
import pytest

from adabm.study.answers import bit_loss
from adabm.study.answers.bit_loss_gains import changes
from adabm.study.answers.bit_loss_methods import AS_CALIBRATED, MULTIPLIER, OWN_QUANTILES, QUANTILES, RELEASED, loss_of
from helpers.bit_losses import bits, error, units
from helpers.evidence import cells

OWN = {QUANTILES: 0.15, MULTIPLIER: 0.1, RELEASED: 0.5}


def gained(psnr_of: dict | None = None) -> pd.DataFrame:
    """Patches whose PSNR to ground truth is as that to full precision."""
    here = units(psnr_of)
    return here.assign(truth=here["fp"])


def advised(here: pd.DataFrame, ended: pd.DataFrame) -> str:
    told, *_ = bit_loss.conclusion(here, ended)[1:]
    return told.removeprefix("*In practice:* To meet a budget of 4 bits, ")


@pytest.mark.parametrize(
    "here, own, told",
    [
        (  # as near as the multiplier, and nothing gains: quantiles need no tuning
            gained(),
            OWN,
            "set the thresholds by quantiles of the calibration pictures (a set of whole pictures is then off the target by 0.15 bits): no tuning that "
            "ends as near clearly gains. The released loss is off by 0.50 bits. Whether",
        ),
        (
            gained({MULTIPLIER: 40.5}),
            OWN,
            "tune with the multiplier (a set of whole pictures is then off the target by 0.10 bits; +0.50 dB to ground truth over quantiles at equal "
            "bits, clearly): of what ends within 0.1 bits of the nearest, that gains most. The released",
        ),
        (  # what gains ends too far off
            gained({RELEASED: 43.0}),
            OWN,
            "set the thresholds by quantiles of the calibration pictures (",
        ),
        (  # to ground truth nothing is gained
            units({MULTIPLIER: 40.5}),
            OWN,
            "set the thresholds by quantiles of the calibration pictures (",
        ),
        (
            gained(),
            OWN | {QUANTILES: 0.4},
            "tune with the multiplier (a set of whole pictures is then off the target by 0.10 bits): quantiles end more than 0.1 bits farther off.",
        ),
        (
            gained({OWN_QUANTILES: 41.0}),
            OWN | {OWN_QUANTILES: 0.0},
            "set the thresholds by quantiles of the calibration pictures (",
        ),
    ],
)
def test_the_advice_takes_what_gains_of_what_ends_near(here, own, told):
    assert advised(here, bits({}, own)).startswith(told)


def test_another_target_may_need_another_way():
    ended = bits({}, OWN)
    off = {QUANTILES: 0.4, MULTIPLIER: 0.1}
    lower = ended[ended["target"] == 3.5]
    lower = lower.assign(fab=[3.5 + off.get(method, 0.9) for method in lower["method"]])
    at = lambda lower: advised(gained(), pd.concat([ended[ended["target"] == 4.0], lower]))
    nearest = (
        " For 3.5 bits take the multiplier, off by 0.10: quantiles of the calibration pictures miss it by 0.40. Whether"
    )
    assert nearest in at(lower)
    near = lower.assign(fab=lower["fab"].mask(lower["method"] == QUANTILES, 3.68))
    assert "For 3.5 bits" not in at(near), "quantiles end about as near there"


def light(frame: pd.DataFrame, **values: float) -> pd.DataFrame:
    """The rows of the released weight, and as many of weight 5 with other values."""
    of = frame[frame["method"] == RELEASED].assign(method=loss_of(5), **values)
    return pd.concat([frame, of])


def test_of_two_that_end_near_the_one_that_gains_more_is_advised_even_a_little_farther_off():
    ended = light(bits({}, OWN), fab=4.18)
    here = light(gained({MULTIPLIER: 41.0}), fp=error(41.5), truth=error(41.5))
    told = advised(here, ended)
    assert told.startswith(
        "tune with the bit loss of weight 5 (a set of whole pictures is then off the target by 0.18 bits; +1.50 dB to"
    )
    far = advised(here, light(bits({}, OWN), fab=4.25))
    assert far.startswith("tune with the multiplier (") and "weight 5" not in far


def test_networks_are_advised_apart():
    near, far = light(bits({}, OWN), fab=4.08), light(bits({}, OWN), fab=4.3)
    here = light(gained({MULTIPLIER: 41.0}), fp=error(41.5), truth=error(41.5))
    both = pd.concat([here.assign(backbone=name) for name in ("a", "b")] + [gained().assign(backbone="c")])
    ended = pd.concat([near.assign(backbone="a"), far.assign(backbone="b"), bits({}, OWN).assign(backbone="c")])
    assert advised(both, ended).startswith(
        "tune with the bit loss of weight 5 on a (a set of whole pictures is then off the target by 0.08 bits; +1.50 dB to ground truth over quantiles at "
        "equal bits, clearly), tune with the multiplier on b (off by 0.10 bits; +1.00 dB) and set the thresholds by quantiles of the calibration pictures "
        "on c (off by 0.15 bits): of what ends within 0.1 bits of the nearest, that gains most; no tuning that ends as near clearly gains on c. The "
        "released loss is off by 0.50 bits in the mean."
    )


def test_what_is_as_calibrated_is_told_beside_the_advice():
    ended = bits({}, OWN)
    plain = ended[(ended["method"] == RELEASED) & (ended["target"] == 4)].assign(method=AS_CALIBRATED, fab=4.2)
    told = advised(gained(), pd.concat([ended, plain]))
    assert (
        " The released loss is off by 0.50 bits and mappings as calibrated by 0.20 bits. Whether" in told
        and "tune nothing" not in told
    )


def test_changes_are_those_against_as_calibrated_at_the_first_target():
    here = gained({RELEASED: 39.0})
    here.loc[(here["method"] == RELEASED) & (here["target"] == 4.0), "fab"] = 3.25
    found = changes(here).loc[("net", RELEASED)]
    assert found.tolist() == pytest.approx([-0.75, -1.0, -1.0])
    told, _, _, gains, *_ = bit_loss.conclusion(here, bits({RELEASED: -0.7}))
    assert (
        " Against as calibrated the released loss changes PSNR to ground truth by -1.00 dB, FAB of the patches by -0.75."
        in told
    )
    assert cells(gains, 0)[-3:] == ["-1.00", "-0.75", "0.70"]
    both = pd.concat([here, here.assign(backbone="wide")])
    ended = pd.concat([bits({}).assign(backbone=name) for name in ("net", "wide")])
    assert (
        " by -1.00 dB on net and -1.00 dB on wide, FAB of the patches by -0.75 and -0.75."
        in bit_loss.conclusion(both, ended)[0]
    )


def test_nothing_is_changed_against_what_was_not_measured():
    here = gained().query("method != @AS_CALIBRATED")
    told, _, _, gains, *_ = bit_loss.conclusion(here, bits({}))
    assert changes(here).empty and "Against as calibrated" not in told and "change against" not in gains
