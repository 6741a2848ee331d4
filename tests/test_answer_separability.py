"""Separability: variances split by hand, searches that find what is known, the conclusion of round numbers."""

import numpy as np
import pandas as pd
import pytest

from adabm.study.answers import sensitivity, separability
from adabm.study.answers.separability import ADABM, ADDED, JOINT, SAME, SEPARATE
from adabm.study.answers.separability_measures import best_joint, best_separate, errors, policies
from adabm.study.answers.separability_telling import told_larger
from helpers.evidence import cells
from helpers.probed import probed


def units(interaction: float = 0.0, seed: int = 0) -> pd.DataFrame:
    """Three patches, four layers; the log error is a sum of both and of a pattern that has neither's mean."""
    rows = []
    for i in range(3):
        for k in range(4):
            mixed = interaction * (i - 1) * (-1) ** k
            log = i + 2.0 * k + mixed
            errors = {f"{more:+d}": float(np.exp(log - 1.4 * more)) for more in ADDED}
            rows.append(dict(dataset="Set", patch=f"p{i}", layer=f"l{k}", **errors))
    return pd.DataFrame(rows).assign(backbone="net", setting="W4A4 FQ", seed=seed)


def measured(separate: float, joint: float, adabm: float) -> pd.DataFrame:
    """Two patches a policy; the error to full precision is 100 less the policy's gain."""
    rows = [
        dict(
            policy=policy, fab=4.0, dataset="Set", patch=f"p{i}", fp=100 - gain, truth=200 - gain, **{"truth fp": 90.0}
        )
        for policy, gain in {SAME: 0, ADABM: adabm, SEPARATE: separate, JOINT: joint}.items()
        for i in range(2)
    ]
    return pd.DataFrame(rows).assign(backbone="net", setting="W4A4 FQ", seed=0)


def test_a_sum_is_explained_and_a_pattern_is_not():
    alone = separability.explained(units())
    assert len(alone) == len(ADDED) and alone["interaction"].to_numpy() == pytest.approx(0, abs=1e-9)
    assert alone["layer"].iloc[0] == pytest.approx(5 / (5 + 2 / 3))  # variances of 2k and of i
    assert separability.explained(units(interaction=3.0))["interaction"].iloc[0] == pytest.approx(6 / (6 + 5 + 2 / 3))


def test_the_searches_keep_the_budget_and_find_the_least():
    rng = np.random.default_rng(0)
    table = rng.random((3, 4, 1)) * 4.0 ** -np.arange(len(ADDED))
    joint = best_joint(table, ADDED)
    assert joint.shape == (3, 4) and joint.sum() <= 0 and set(joint.ravel()) <= set(ADDED)
    images, layers = best_separate(table, ADDED, 1)
    assert images.sum() <= 0 and layers.sum() <= 0 and set(images) | set(layers) <= {-1, 0, 1}
    total = lambda bits: sum(table[i, k, ADDED.index(bits[i, k])] for i in range(3) for k in range(4))
    assert total(joint) <= total(images[:, None] + layers) <= total(np.zeros((3, 4), int))
    # one patch with all of the error gets bits, the other, without any, gives them
    table = np.array([[8.0, 4, 2, 1, 0.5], [0] * 5])[:, None, :]
    assert best_joint(table, ADDED).tolist() == [[2], [-2]]
    assert best_separate(table, ADDED, 1)[0].tolist() == [1, -1]


def test_all_policies_have_the_bits_of_the_same_for_all():
    chosen = separability.choices(
        units(1.0), {f"Set p{i}": i for i in range(3)}, {f"l{k}": k for k in range(4)}, [0.34, 0.3]
    )
    for policy, by_patch in chosen.items():
        assert sum(sum(layers.values()) for layers in by_patch.values()) <= 0, policy
    assert chosen[ADABM]["Set p2"] == {"l0": 0, "l1": 1, "l2": 1, "l3": 2}


@pytest.mark.parametrize(
    "interaction, gains, said",
    [
        (0.0, (9, 10, 8), "may be separated: a sum of both explains 100% of the variance of the log error. Over the same bits for all, the best"),
        (0.0, (10, 9, 8), "+0.46 dB to the full-precision output, the best joint bits +0.41, no more.**"),
        (2.0, (2, 10, 8), "roughly, at a price: a sum of both explains 68% of the variance of the log error. Over the same bits for all, the best"),
        (2.0, (2, 10, 8), "the best joint bits +0.46, clearly more (+0.37 to +0.37): an upper bound, for searching on the measured patches"),
        (9.0, (2, 10, 8), "cannot be separated: a sum of both explains only 9% of"),
        (9.0, (2, 10, 8), "To ground truth the best joint bits give +0.22 dB, the best separate ones +0.04 (clearly more, +0.18 to +0.18)."),
        (0.0, (10, 9, 8), "To ground truth the best joint bits give +0.20 dB, the best separate ones +0.22 (clearly less, -0.02 to -0.02)."),
    ],
)  # fmt: skip
def test_the_conclusion_tells_what_the_numbers_say(interaction, gains, said):
    told = separability.conclusion(units(interaction), measured(*gains))
    assert said in told[0]
    _, sure, advice, *_, parts, extents = told
    assert sure.startswith(
        "This rests on 3 patches of net, with one seed. From network to network and seed to seed a sum explains"
    )
    assert "Begin with layers: they explain " in advice
    assert cells(extents, 0) == ["net", "3", "4", "1"] and cells(parts, 0)[-2:] == ["10^3", "10^8"]
    of_each = lambda frame: pd.concat([frame.assign(backbone=name) for name in ("net", "wide")])
    both = separability.conclusion(of_each(units(interaction)), of_each(measured(*gains)))
    assert both[0] == told[0] and "all, in the mean" in cells(both[3], 0) and len(both[3].splitlines()) == 2 + 9


@pytest.mark.parametrize(
    "gains, said",
    [
        ((8, 10, -5), "AdaBM's choice of bits costs more than separating does: its bits give -0.21 dB (-0.21 to -0.21; to ground truth -0.11, -0.11"),
        ((8, 10, 4), "AdaBM's choice of bits costs more than separating does: its bits give +0.18 dB"),
        ((8, 10, 7), "Keep separate bits: AdaBM's give +0.32 dB (+0.32 to +0.32; to ground truth +0.15, +0.15 to +0.15), the best separate bits +0.36 dB (to"),
        ((8, 10, 7), "the best separate bits +0.36 dB (to ground truth +0.18, +0.18 to +0.18). Begin"),
        ((2, 20, -5), "Choose bits otherwise than AdaBM does: its bits give -0.21 dB"),
        ((-1, 10, -5), "Give all pictures and layers the same bits: over them AdaBM's bits give -0.21 dB (-0.21 to -0.21; to ground truth"),
    ],
)  # fmt: skip
def test_practice_follows_the_gains(gains, said):
    assert said in separability.conclusion(units(), measured(*gains))[2]


def test_what_separate_bits_give_to_ground_truth_is_told_by_network():
    one = measured(8, 10, 4)
    many = pd.concat([one.assign(patch=one["patch"] + more) for more in "abc"]).assign(backbone="wide")
    many.loc[(many["policy"] == SEPARATE) & (many["patch"] == "p0a"), "truth"] = 300.0
    told = separability.conclusion(units(), pd.concat([one, many]))[2]
    change = 10 * np.log10(200 / 192) * 5 / 6 + 10 * np.log10(200 / 300) / 6
    assert (
        f"dB; to ground truth the latter give +0.18 on net (2 patches) and {change:+.2f} on wide (not clearly). The best"
        in told
    )


def test_what_separate_bits_give_to_ground_truth_and_more_than_adabms_may_be_unclear():
    policies = measured(8, 10, 4)
    best = policies["policy"] == SEPARATE
    policies.loc[best & (policies["patch"] == "p0"), ["fp", "truth"]] = [120.0, 220.0]
    policies.loc[best & (policies["patch"] == "p1"), ["fp", "truth"]] = [60.0, 160.0]
    told = separability.conclusion(units(), policies)[2]
    assert "Keep separate bits: AdaBM's give +0.18 dB" in told
    assert "not clearly, -0.41 to +0.97). That AdaBM's are worse is not clear." in told
    policies.loc[policies["policy"] == ADABM, "truth"] = 220.0
    told = separability.conclusion(units(), policies)[2]
    assert (
        "Choose bits otherwise than AdaBM does: its bits give +0.18 dB (+0.18 to +0.18; to ground truth -0.41, -0.41 to -0.41)"
        in told
    )


def test_a_gain_of_adabms_bits_that_is_not_clear_is_no_advice_to_keep_them():
    policies = measured(8, 10, 8)
    for patch, error in (("p0", 70.0), ("p1", 110.0)):
        policies.loc[(policies["policy"] == ADABM) & (policies["patch"] == patch), ["fp", "truth"]] = [
            error,
            100 + error,
        ]
    told = separability.conclusion(units(), policies)[2]
    fp, truth = (10 * np.log10([100 / 110, 100 / 70]), 10 * np.log10([200 / 210, 200 / 170]))
    assert told.startswith(
        f"*In practice:* Whether AdaBM's choice of bits gains is not clear: its bits give {10 * np.log10(100 / 90):+.2f} dB "
        f"({fp[0]:+.2f} to {fp[1]:+.2f}; to ground truth {truth.mean():+.2f}, not clearly, {truth[0]:+.2f} to {truth[1]:+.2f}), the best"
    )
    assert "by what to choose is told on the pages of complexity" in told


def test_what_explains_more_comes_first():
    of = lambda layer, picture: dict(layer=layer, picture=picture)
    shares = lambda *rows: pd.DataFrame([dict(row, backbone=f"net{place}") for place, row in enumerate(rows)])
    both = told_larger(shares(of(0.6, 0.3), of(0.9, 0.05)))
    assert both == " Begin with layers: they explain 60% to 90% of the variance of the log error, pictures 5% to 30%."
    assert (
        told_larger(shares(of(0.2, 0.7)))
        == " Begin with pictures: they explain 70% of the variance of the log error, layers 20%."
    )
    assert told_larger(shares(of(0.2, 0.7), of(0.7, 0.2))) == ""


def test_draws_show_what_one_patch_decides():
    steady, lucky = measured(2, 10, 8), measured(2, 10, 8)
    lucky.loc[(lucky["policy"] == JOINT) & (lucky["patch"] == "p1"), "fp"] = 120.0  # far worse there
    lucky.loc[(lucky["policy"] == JOINT) & (lucky["patch"] == "p0"), "fp"] = 60.0
    alone, doubtful = (separability.conclusion(units(2.0), policies) for policies in (steady, lucky))
    gain = lambda better: 10 * np.log10(98 / better)
    assert f", clearly more ({gain(90):+.2f} to {gain(90):+.2f}): an upper bound" in alone[0]
    assert f", not clearly more ({gain(120):+.2f} to {gain(60):+.2f}).**" in doubtful[0]
    assert cells(doubtful[3], 2)[2].endswith(f"({10 * np.log10(100 / 120):+.2f} to {10 * np.log10(100 / 60):+.2f})")


def test_whiskers_hold_the_draws_that_the_table_tells():
    """Of two patches on which joint bits lose and gain as much, with one seed."""
    lucky = measured(2, 10, 8)
    for patch, error in (("p0", 60.0), ("p1", 120.0)):
        lucky.loc[(lucky["policy"] == JOINT) & (lucky["patch"] == patch), "fp"] = error
    axis = separability.figures(units(2.0), lucky)[""].axes[-1]
    (whiskers,) = [part for part in axis.collections if len(part.get_segments()) == 3]
    found = [segment[:, 0] for segment in whiskers.get_segments()]
    assert found[-1] == pytest.approx([10 * np.log10(100 / 120), 10 * np.log10(100 / 60)])
    assert found[0] == pytest.approx([10 * np.log10(100 / 92)] * 2)
    assert axis.get_xlabel().endswith("whiskers: 95 % of draws of patches and seeds")
    for question in (separability.QUESTION, sensitivity.QUESTION):
        assert (
            "PSNR of the error of all patches together; gains to ground truth are of mean PSNR." in question.explanation
        )


def test_table_and_figure():
    policies = measured(9, 10, 8)
    table = separability.table(policies)
    rows = table[table["setting"] != "FP32"].set_index("level")
    assert (
        set(rows.index) == {SAME, ADABM, SEPARATE, JOINT} and rows.loc[SAME, "psnr_y_db"] < rows.loc[JOINT, "psnr_y_db"]
    )
    assert len(separability.figures(units(), policies)[""].axes) == 2
    of_each = lambda frame: pd.concat([frame.assign(backbone=name) for name in ("net", "wide", "deep")])
    axes = separability.figures(of_each(units()), of_each(policies))[""].axes
    assert len(axes) == 4 and [len(axis.texts) for axis in axes[:3]] == [0, 0, 3], (
        "parts are named beside the last panel"
    )


def test_on_a_tiny_network(tmp_path):
    model, bench = probed(tmp_path)
    model.image2bit = None
    for layer in model.layers.values():
        layer.layer2bit = None
    names = [path.name for path in bench.pool]
    found = errors(model, bench, names, 12, 2, ADDED)
    table = pd.DataFrame(found["rows"])
    assert (table["-2"] > table["+2"]).all() and len(table) == len(found["deviation"]) * len(found["complexity"])
    (first, second), layers = found["complexity"], list(found["deviation"])
    chosen = {"some": {first: dict.fromkeys(layers, 1), second: {}}}
    rows = policies(model, bench, chosen, 12, 2)["rows"]
    assert [row["fab"] for row in rows] == [5.0, 4.0]
