"""Surrogates by their slopes, gradients on a tiny network, tuning that leaves the model alone, every branch of the verdict."""

import numpy as np
import pandas as pd
import pytest
import torch

from adabm.quantization.bit_mapping import Image2Bit, Layer2Bit
from adabm.study import Run
from adabm.study.answers import gradient
from adabm.study.answers.gradient_probe import FEWER, LAYER, LOWER, MORE, UNTUNED, UPPER, agreement, tunings
from adabm.study.answers.surrogates import RELEASED, SURROGATES, image_position, surrogate
from helpers.evidence import cells
from helpers.gradients import tables
from helpers.probed import probed

RUN = Run.at("adabm-own-bits", "W4A4 FQ", 0, {"tune": None})
FIXED = [name for name in SURROGATES if SURROGATES[name].random is None]


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    return probed(tmp_path_factory.mktemp("gradient"))


def mapped(name: str, complexity: float, factor: float) -> tuple[float, float, list[float], float]:
    """Return both factors and the gradients to thresholds 10 and 30 and to m, by a surrogate."""
    holder = torch.nn.Module()
    holder.image, holder.layer = Image2Bit(), Layer2Bit()
    holder.image.set_thresholds(torch.tensor([10.0]), torch.tensor([30.0]))
    holder.layer.factor.data.fill_(factor)
    with surrogate(holder, name):
        image, layer = holder.image(torch.tensor([complexity])), holder.layer()
    (image + layer).sum().backward()
    slopes = [float(holder.image.lower.grad), float(holder.image.upper.grad)]
    return float(image.detach()), float(layer.detach()), slopes, float(holder.layer.factor.grad)


@pytest.mark.parametrize("complexity, factor", [(5.0, -0.9), (22.0, 0.2), (29.0, 0.6), (41.0, 1.4)])
def test_the_released_surrogate_is_that_of_the_released_modules(complexity, factor):
    image, layer = Image2Bit(), Layer2Bit()
    image.set_thresholds(torch.tensor([10.0]), torch.tensor([30.0]))
    layer.factor.data.fill_(factor)
    (image(torch.tensor([complexity])) + layer()).sum().backward()
    expected = (float(image.lower.grad), float(image.upper.grad), float(layer.factor.grad))
    hard_image, hard_layer, slopes, slope = mapped(RELEASED, complexity, factor)
    assert (*slopes, slope) == pytest.approx(expected, rel=1e-4)
    assert (hard_image, hard_layer) == (float(image(torch.tensor([complexity])).detach()), float(layer().detach()))


@pytest.mark.parametrize("name", FIXED)
def test_the_forward_pass_stays_the_step(name):
    for complexity, factor, expected in ((5.0, -0.9, -1.0), (22.0, 0.2, 0.0), (41.0, 0.7, 1.0)):
        assert mapped(name, complexity, factor)[:2] == (expected, expected)


def test_slopes_by_hand():
    assert mapped("identity", 5.0, 1.4)[3] == 1 and mapped("clipped identity", 5.0, 1.4)[3] == 0
    assert mapped("identity", 20.0, 0.0)[2] == pytest.approx([-1 / 40, -1 / 40])  # p = (c - 20) / (u - l)
    steep = "sigmoids, temperature 0.05"
    assert mapped(steep, 30.0, 0.5)[3] == pytest.approx(1 / 4 / 0.05, rel=1e-3)
    assert mapped(steep, 30.0, 0.0)[3] < 0.01
    lower, upper = mapped(steep, 30.0, 0.0)[2]
    assert abs(lower) < 1e-6 > upper, "an image at the upper threshold is no matter of the lower one"


def test_gumbel_softmax_draws_mostly_the_step():
    holder = torch.nn.Module()
    holder.layer = Layer2Bit()
    holder.layer.factor.data.fill_(0.9)
    with torch.no_grad(), surrogate(holder, "Gumbel-softmax", 1):
        drawn = [float(holder.layer()) for _ in range(300)]
    with torch.no_grad(), surrogate(holder, "Gumbel-softmax", 1):
        assert [float(holder.layer()) for _ in range(300)] == drawn, "the seed fixes what is drawn"
    assert set(drawn) <= {-1.0, 0.0, 1.0} and 0.85 < np.mean(np.equal(drawn, 1.0)) < 1
    assert "forward" not in vars(holder.layer) and float(holder.layer().detach()) == 1.0


def test_the_position_of_an_image():
    mapping = Image2Bit()
    mapping.set_thresholds(torch.tensor([10.0]), torch.tensor([30.0]))
    assert image_position(mapping, torch.tensor([10.0, 20.0, 30.0])).tolist() == [-0.5, 0.0, 0.5]


@torch.no_grad()
def test_gradients_and_differences_on_a_tiny_network(tiny):
    model, bench = tiny
    before = {name: value.clone() for name, value in model.state_dict().items()}
    rows = pd.DataFrame(agreement(model, bench, RUN, 4, 12, 1, 1)["rows"])
    layers = sum(layer.layer2bit is not None for layer in model.layers.values())
    assert list(rows["parameter"]) == [LAYER] * layers + [LOWER, UPPER]
    assert (rows["difference"] != 0).any() and (rows[RELEASED] != 0).all()
    assert np.allclose(rows["identity"][:layers], rows["clipped identity"][:layers]), "no factor lies beyond 1"
    slope = np.cosh([float(layer.layer2bit.factor) for layer in model.layers.values() if layer.layer2bit is not None])
    assert np.allclose(rows[RELEASED][:layers] * slope**2, rows["identity"][:layers])
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert not any(parameter.requires_grad for parameter in model.parameters())


@torch.no_grad()
def test_tunings_of_a_tiny_network(tiny):
    model, bench = tiny
    before = {name: value.clone() for name, value in model.state_dict().items()}
    found = tunings(model, bench, RUN, 4, 12, 1, 2, 2.0, 1)
    steps, rows = pd.DataFrame(found["steps"]), pd.DataFrame(found["rows"])
    assert list(rows["surrogate"]) == [UNTUNED, FEWER, MORE, *SURROGATES]
    bits = rows.set_index("surrogate")["fab"]
    assert bits[MORE] - 1 == bits[UNTUNED] == bits[FEWER] + 1
    assert set(steps["step"]) == {0, 1, 2} and steps[steps["step"] == 0]["fab"].nunique() == 1
    assert steps[steps["step"] == 2]["fab"].iloc[0] != steps["fab"].iloc[0], "two steps of 2 move factors"
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert not model.image2bit._forward_hooks and "forward" not in vars(model.image2bit)


def test_agreement_by_hand():
    found = tables()
    found["gradients"]["identity"] = [-2.0, -1.0, -3.0, -1.0, 5.0]
    by = gradient.agreements(found["gradients"]).set_index("surrogate")
    assert by.loc[RELEASED, ["layer sign", "layer cosine", "threshold sign", "threshold cosine"]].tolist() == [
        1,
        1,
        1,
        1,
    ]
    assert by.loc["identity", "layer sign"] == pytest.approx(2 / 3) and by.loc["identity", "threshold sign"] == 0
    assert by.loc["identity", "layer cosine"] == pytest.approx((2 + 2 - 9) / 14)
    assert by.loc["identity", "layer rank"] == pytest.approx(-1)


def test_gains_at_equal_bits_by_hand():
    found = tables(identity=0.5)
    found["patches"].loc[found["patches"]["surrogate"] == "clipped identity", "fab"] = 3.5
    ended = gradient.ends(found["patches"]).set_index(["surrogate", "patch"])
    assert ended.loc[("identity", "0"), "truth"] == pytest.approx(10 * np.log10(2))
    assert ended.loc[("clipped identity", "0"), "fp"] == pytest.approx(10 * np.log10(4) / 2)
    on = gradient.gains(gradient.ends(found["patches"]), "identity")
    assert on.loc["identity"].tolist() == [0, 0, 0, 0] and on.loc[RELEASED, "mean"] == pytest.approx(-10 * np.log10(2))


OTHERS = dict.fromkeys(SURROGATES, 0.5)


@pytest.mark.parametrize(
    "noise, errors, verdict",
    [
        (0.0, {}, "None helps: tuned with any approximation, the mappings gain nothing clear"),
        (
            0.0,
            {"identity": 2.0},
            "None helps: no approximation tunes the mappings to clearly more than calibration, and identity",
        ),
        (0.0, {**OTHERS, "identity": 0.4}, "Identity works better than AdaBM's tanh, by 0.97 dB"),
        (
            0.0,
            {**OTHERS, "identity": 0.6},
            "No approximation is clearly better than AdaBM's tanh; identity is clearly worse.",
        ),
        (0.0, OTHERS, "It hardly matters: no approximation ends clearly apart"),
        (3.0, {RELEASED: 0.9, "identity": 0.8}, "None helps: tuned with any approximation"),
    ],
)
def test_the_verdict(noise, errors, verdict):
    told = gradient.conclusion(tables(noise, **errors))
    first, advice, table, extents = told
    assert ("Do not tune the mappings." in advice) == verdict.startswith("None helps")
    assert first.startswith(f"**{verdict}") and cells(extents, 0) == ["net", "6", "1", "6 of 6 pairs of patch and seed"]
    assert "changes by -0.50 with tanh, nearly the same with identity, clipped identity," in first
    assert first.endswith(
        "right sign in 100% of cases with tanh and in 100% with the others (chance: 50%), a threshold of images has the right sign in 100% of cases "
        "with tanh and in 100% with the others."
    ) and table.count("\n") == 1 + len(SURROGATES)
    gains = [float(cells(table, row)[1]) for row in range(len(SURROGATES))]
    assert gains == sorted(gains, reverse=True)


def test_table_and_figures():
    found = gradient.joined([tables(identity=0.5), tables(identity=0.5)])
    found = {name: rows.assign(seed=[0] * (len(rows) // 2) + [1] * (len(rows) // 2)) for name, rows in found.items()}
    table = gradient.table(found["patches"])
    assert list(table["level"][:4]) == ["none", UNTUNED, FEWER, MORE] and table.loc[0, "psnr_y_db"] == pytest.approx(
        31.141
    )
    figures = gradient.figures(found)
    assert set(figures) == {"", "steps"} and len(figures["steps"].axes) == 8
    assert cells(gradient.conclusion(found)[-1], 0)[2] == "2"


def test_one_patch_decides_nothing():
    found = tables(**dict.fromkeys(SURROGATES, 0.99))
    patches = found["patches"]
    first = (patches["patch"] == "0") & (patches["surrogate"] == "identity")
    patches.loc[first, "truth"] /= 100
    assert gradient.gains(gradient.ends(patches)).loc["identity", "least"] > 0
    assert gradient.conclusion(found)[0].startswith("**None helps: tuned with any approximation")


def test_a_gain_of_few_patches_is_told_as_one():
    found = tables(**dict.fromkeys(SURROGATES, 0.5))
    rows = found["patches"]
    rows.loc[(rows["surrogate"] == "identity") & (rows["patch"] == "0"), "truth"] *= 0.5
    rows.loc[rows["surrogate"] == "identity", "truth"] *= 0.999  # a little on all
    told, advice, *_ = gradient.conclusion(found)
    assert told.startswith(
        "**It hardly matters: in the mean identity (+0.506 dB; +0.004 to +1.509) is clearly better than AdaBM's tanh, but on the median patch by "
        "less than 0.05 dB.** On the median patch that is +0.00 dB: a few patches make the mean. With tanh "
    )
    assert "what is better in the mean is so by less than 0.05 dB" in advice
    rows.loc[rows["surrogate"] == "clipped identity", "truth"] *= 1.1
    told = gradient.conclusion(found)[0]
    assert "less than 0.05 dB.**" in told and told.startswith(
        "**It hardly matters which, but for clipped identity, which is clearly worse: in the mean identity"
    )


def test_networks_are_told_apart():
    one, two = tables(**{**OTHERS, "identity": 0.499}), tables(**dict.fromkeys(SURROGATES, 0.9))
    rows = one["patches"]
    rows.loc[(rows["surrogate"] == "identity") & (rows["patch"] == "0"), "truth"] *= 0.5
    few = two["patches"]["patch"].isin(["0", "1"])
    two["patches"] = two["patches"][few]
    both = {name: pd.concat([one[name], two[name].assign(backbone="wide")]) for name in one}
    told, _, table, _ = gradient.conclusion(both)
    assert " Tanh itself gives +3.01 dB on net and +0.46 dB on wide (2 patches) at equal FAB. With tanh" in told
    medians = "the median patch of a network, in the mean of the networks"
    assert (
        f"but on {medians}, by less than 0.05 dB.** On the median patch that is +" in told
        and f"against tanh, {medians} " in table
    )
    assert "; that of identity is mostly net's (+0.51 dB). Tanh itself" in told
    assert "on net and wide" in table and cells(table, 0)[3] == "+3.52, +0.46"


def test_what_hardly_moved_the_bits_is_said_to_be_slow_perhaps():
    found = tables(**{**OTHERS, "identity": 0.6})
    steps = found["steps"]
    begun = steps.loc[steps["step"] == 0, "fab"].iloc[0]
    moved = (steps["surrogate"] == "identity") & (steps["step"] > 0)
    steps.loc[moved, "fab"] = begun - 0.1
    told = gradient.conclusion(found)[0]
    assert "; identity (bits hardly moved: it may only be slow) is clearly worse.**" in told
    assert ", and hardly with identity (-0.10)" in told and ", which may only be slow." in told
    steps.loc[moved, "fab"] = begun - 0.2
    assert "; identity is clearly worse.**" in gradient.conclusion(found)[0], "two fifths of what AdaBM's moves"


def test_networks_of_other_bits_count_alike_in_the_change_of_fab():
    steps = tables()["steps"]
    both = pd.concat([steps, steps.assign(backbone="wide", fab=steps["fab"] + 2)])
    found = gradient.fab_along(both).set_index(["surrogate", "step"])["fab"]
    assert found[RELEASED, 0] == 0 and found[RELEASED, 1] == pytest.approx(-0.5)
