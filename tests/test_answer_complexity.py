"""Complexity: measures on pictures whose order is known, bits dealt out by hand, the conclusion of round numbers."""

import numpy as np
import pandas as pd
import pytest
import torch

from adabm.errors import ConfigError
from adabm.study import Run
from adabm.study.answers import complexity, complexity_gains
from adabm.study.answers.complexity_flat import flat_told
from adabm.study.answers.complexity_measures import MEASURES, OWN, errors
from adabm.study.answers.complexity_predicted import (
    PROJECTED,
    ROUNDING,
    output_error,
    predictions,
    rounding_error,
)
from adabm.study.answers.complexity_telling import moved_told
from adabm.study.answers.complexity_whole import measure_whole, ranks_of, whole_told
from adabm.study.answers.layer_probes import adaptive_layers, adding
from adabm.study.answers.probing import batch_of, patches
from helpers.complexity_units import concluded, units
from helpers.evidence import cells
from helpers.probed import probed

RNG = np.random.default_rng(0)
FLAT = np.full((32, 32, 3), 90, dtype=np.uint8)
NOISE = RNG.integers(0, 256, (32, 32, 3), dtype=np.uint8)


@pytest.mark.parametrize("name", MEASURES)
def test_noise_is_more_complex_than_a_flat_picture(name):
    assert MEASURES[name](NOISE) > MEASURES[name](FLAT) >= 0


def test_rank_correlations():
    found = complexity.agreements(units()).set_index("measure")
    assert found.loc[OWN, "benefit"] == pytest.approx(1) and found.loc["variance", "harm"] == pytest.approx(-1)


def test_one_patch_has_no_order():
    found = complexity.agreements(pd.concat([units(), units((3,)).assign(backbone="one")]))
    assert (found.loc[found["backbone"] == "one", ["benefit", "harm"]] == 0).all(axis=None)


@pytest.mark.slow
def test_a_network_of_one_patch_is_told_without_a_rank():
    told = concluded(pd.concat([units(), units((3,)).assign(backbone="one")]))
    assert "on net (rank correlation 1.00), hardly on one (0.00)" in told[0] and "nan" not in " ".join(told)


def test_equal_bits_and_the_gain_by_hand():
    rules = complexity.rules(units(), 0.1).set_index("measure")
    assert rules.loc[OWN, "to_fp_db"] == pytest.approx(10 * np.log10(1000 / 991))  # 9 less in one of ten patches
    assert rules.loc[complexity.ORACLE, "to_fp_db"] == pytest.approx(rules.loc[OWN, "to_fp_db"])
    assert rules.loc["variance", "to_fp_db"] < rules.loc[complexity.RANDOM, "to_fp_db"] < rules.loc[OWN, "to_fp_db"]
    table = complexity.table(units(), 0.1)
    assert set(table.loc[table["setting"] != "FP32", "fab"]) == {4.0}
    gain = (
        10 * np.log10(100 / 91) + 10 * np.log10(100 / 100)
    ) / 10  # what is worth 9 gains, what is worth nothing loses nothing
    where = "not fine-tuned, on 1 network; more on the page of complexity."
    known = f", by their measured worth in squared error {gain:+.2f} dB, {where}"
    assert complexity_gains.image_worth(table).endswith(f"says changes PSNR to ground truth by {gain:+.2f} dB{known}")
    unknown = complexity_gains.image_worth(table[table["level"] != complexity.ORACLE])
    assert unknown.endswith(f"by {gain:+.2f} dB, {where}")
    rows = table["setting"] != "FP32"
    poorer = table[rows].assign(
        seed=1, psnr_y_db=table["psnr_y_db"].where(table["level"] != OWN, table["psnr_y_db"] - 0.2)
    )
    several = complexity_gains.image_worth(pd.concat([table, poorer]))
    assert several.endswith(f"by {gain - 0.1:+.2f} dB ({gain - 0.2:+.2f} to {gain:+.2f} by seed){known}")
    wide = complexity_gains.image_worth(pd.concat([table, poorer.assign(backbone="wide", seed=0)]))
    assert (
        f"({gain - 0.2:+.2f} to {gain:+.2f} by network), by their measured worth in squared error" in wide
        and "on 2 networks" in wide
    )
    assert complexity_gains.image_worth(table[table["level"] != complexity_gains.UNIFORM]) == ""


@pytest.mark.slow
def test_the_conclusion_names_the_best_measure():
    head, _, advice, *tables = concluded(units(flip=OWN))
    assert head.startswith(
        "**AdaBM's gradient hardly ranks which patches need bits (rank correlation -1.00, -1.00 to -1.00); variance, best of 10 "
        "others, does clearly better (1.00, not adjusted for that choice). Moving bits by the gradient loses "
    )
    assert advice.startswith(
        "*In practice:* give all images the same bits: variance gains most mean PSNR to ground truth of 11"
    )
    assert "| -1.00" in tables[0] and "as the other seeds tell" not in advice, "there is one seed"
    assert cells(tables[0], 0)[3] == "" and cells(tables[0], 1)[3] == "+2.00 to +2.00"
    head, _, advice, *_ = concluded(units())
    assert (
        "ranks well which patches need bits (rank correlation 1.00, +1.00 to +1.00), best of all measures. Moving"
        in head
    )
    assert (
        " bits by the gradient gains 0.04 dB (" in head
        and " of the pooled error to the full-precision output and 0." in head
    )
    assert advice.startswith("*In practice:* let bits follow the gradient.")
    assert complexity.figures(units(), 0.1)[""].axes


@pytest.mark.slow
def test_networks_that_the_gradient_ranks_otherwise_are_told_apart():
    mixed = units().assign(**{OWN: [3.0, 5, 0, 8, 1, 9, 2, 7, 4, 6]})
    networks = pd.concat([units(), units(), mixed]).assign(backbone=np.repeat(["net", "wide", "odd"], 10))
    head, _, _, measures, *_ = concluded(networks)
    rank = networks[-10:][OWN].corr(networks[-10:]["entropy"], method="spearman")
    assert 0 < rank < 0.3 and head.startswith(
        "**AdaBM's gradient ranks well which patches need bits on net and wide (rank correlation 1.00 and 1.00), hardly on odd "
        f"({rank:.2f}); entropy, best of 10 others, does clearly better (1.00 against {(2 + rank) / 3:.2f} in the mean, not adjusted for "
        "that choice). "
    )
    assert "on net, wide and odd" in measures and cells(measures, 0)[2] == f"1.00, 1.00, {rank:.2f}"
    alike = concluded(pd.concat([units(), units().assign(backbone="wide")]))[0]
    assert "which patches need bits (rank correlation 1.00, +1.00 to +1.00), best" in alike


@pytest.mark.slow
def test_a_measure_that_is_better_by_one_exchange_is_not_clearly_better():
    here = units(worth=range(1, 11))
    here[OWN] = here[OWN].to_numpy()[[0, 1, 2, 3, 5, 4, 6, 7, 8, 9]]
    assert (
        "; entropy, best of 10 others, does better, but not clearly (1.00, not adjusted for that choice)."
        in concluded(here)[0]
    )
    here[OWN] = here[OWN].to_numpy()[[4, 3, 2, 1, 0, 9, 8, 7, 6, 5]]
    head = concluded(here)[0]
    assert (
        "ranks fairly well which patches" in head
        and "; entropy, best of 10 others, does clearly better (1.00, not" in head
    )


@pytest.mark.slow
def test_how_sure_the_answer_is():
    both = [units(5 * np.arange(1.0, 11)).assign(backbone=name) for name in ("net", "wide")]
    head, sure, _, measures, networks, _, extents = concluded(pd.concat(both))
    assert sure == "This rests on 10 patches each of net and wide, with one seed each."
    assert "(rank correlation 1.00, +1.00 to +1.00)" in head  # the benefit rises with it, whichever are drawn
    least, most = (float(end) for end in cells(networks, 0)[2].split("(")[1].strip(")").split(" to "))
    mean = float(cells(networks, 0)[2].split()[0])
    assert (
        cells(networks, 0)[:2] == [OWN, "all, in the mean"] and least < mean <= most
    )  # bits for what is worth most: draws may lack it
    assert [cells(networks, row)[1] for row in (1, 2)] == ["net", "wide"] and cells(extents, 0)[0] == "net"
    assert cells(measures, 0)[2:4] == ["1.00, 1.00", "+1.00 to +1.00"]


@pytest.mark.slow
def test_what_one_patch_decides_is_not_clear():
    here = units(np.ones(10))
    for name in MEASURES:
        here[name] = np.arange(10.0)
    here.loc[9, "fp +1"] = 90.0  # it has a bit more in draws that hold it
    here["fp -1"] = 101.5 + 0.01 * np.arange(10)
    here["truth +1"], here["truth -1"] = 100.0, 110.0
    head, _, advice, *_ = concluded(here)
    assert (
        "gains nothing clear of the pooled error to the full-precision output (+0.04 dB, -0.002 to +0.037) and loses 0.04 dB"
        in head
    )
    assert "largest errors" not in advice
    here["fp -1"] = 100.5 + 0.01 * np.arange(10)
    here["fp +1"] = 90.0 - 0.01 * np.arange(10)  # as much wherever the bit goes
    head, _, advice, *_ = concluded(here)
    assert (
        "gains 0.04 dB (0.04 to 0.04) of the pooled error to the full-precision output and loses 0.04 dB (0.04 to 0.04) of mean"
        in head
    )
    assert advice.endswith("Let them follow the gradient only where the largest errors count, not the mean PSNR.")


def test_bits_that_change_nothing():
    even = units(np.ones(10)).assign(
        **{f"{kind} {more}": 100.0 for kind in ("fp", "truth") for more in ("-1", "+0", "+1")}
    )
    even["fp +1"], even["fp -1"] = 100 - 1e-4 * np.arange(10), 100 + 1e-4 * np.arange(10)  # ranks, and no more
    head, _, advice, *_ = concluded(even.assign(**{name: np.arange(10.0) for name in MEASURES}))
    assert (
        "best of all measures. But moving bits by the gradient changes nothing of the pooled error to the full-precision"
        in head
    )
    assert advice.startswith(
        "*In practice:* give all images the same bits: by none of 11 measures does moving them gain mean PSNR"
    )


def test_forced_factors_on_a_tiny_network(tmp_path):
    model, bench = probed(tmp_path)
    rows = errors(model, bench, 12, 2)["rows"]
    assert len(rows) == 2 and not model.image2bit._forward_hooks
    for row in rows:
        assert row["fp -1"] != row["fp +0"] != row["fp +1"] and 3 <= row["fab"] <= 5


def test_what_flat_patches_lose_by_a_bit_fewer():
    """The error doubles for the two flattest of ten patches, and grows fourfold for the third."""
    flat = units().assign(**{"truth -1": [200.0] * 2 + [400.0] + [100.0] * 7})
    assert flat_told(flat, 0.1) == (
        "The rule takes its bits from the flattest 10%, and flat patches lose most by one fewer: with one bit fewer for all patches the quarter of "
        "least gradient loses 3.01 dB of PSNR to ground truth, the quarter of greatest 0.00; the most that a patch loses is 6.02 dB (p2 of Set on net, "
        "number 3 of 10 from the flattest)."
    )
    busy = flat.assign(**{"truth -1": flat["truth -1"].to_numpy()[::-1]}, backbone="other")
    told = flat_told(pd.concat([busy, flat]), 0.1)
    assert (
        told.startswith("With one bit fewer for all patches the quarter of least gradient loses 0.00 to 3.01 dB")
        and "(by network)" in told
    )
    assert flat_told(flat, 0.1) in concluded(flat)[0]


def test_predicted_errors_on_a_tiny_network(tmp_path):
    """Rounding by hand; and what is predicted of the output is less with more bits."""
    model, bench = probed(tmp_path)
    rows = predictions(model, bench, 12, 2)["rows"]
    assert [(row["dataset"], row["patch"]) for row in rows] == [
        (row["dataset"], row["patch"]) for row in errors(model, bench, 12, 2)["rows"]
    ]
    batch = batch_of(model, [patches(bench, 12, 2)[0].low])
    assert (rows[0][ROUNDING], rows[0][PROJECTED]) == (rounding_error(model, batch), output_error(model, batch))
    shares = []
    layers = adaptive_layers(model)

    def look(layer, x):
        if layer.name in layers:
            low, high = float(layer.activation.lower), float(layer.activation.upper)
            step = (high - low) / (2**layer.activation_bits - 1)
            nearest = low + ((x.clamp(low, high) - low) / step).round() * step
            shares.append(float((nearest - x).square().mean()) / step**2)

    with torch.no_grad(), model.full_precision(), model.visiting(look):
        model.infer(batch)
    assert len(shares) == len(layers) > 1 and rows[0][ROUNDING] == pytest.approx(np.mean(shares), rel=1e-4)
    with adding(model, dict.fromkeys(layers, 2)):
        assert 0 < output_error(model, batch) < rows[0][PROJECTED]


def test_whole_pictures_of_the_sets_that_a_network_has(tmp_path):
    _, bench = probed(tmp_path)
    run = Run.at("adabm-own-bits", "W4A4 FQ", 0, {"tune": None})
    found = measure_whole(bench, run, 2, {})
    assert [*found["patch"]] == [files.name for of in bench.sets for files in of.files]
    assert found.equals(measure_whole(bench, run, 2, {"whole": ["First"]}))
    with pytest.raises(ConfigError, match="net: whole: unknown 'Frist'; did you mean 'First'"):
        measure_whole(bench, run, 2, {"whole": ["Frist"]})


def test_how_measures_rank_whole_pictures():
    ranked = ranks_of(pd.concat([units(), units(flip=OWN).assign(backbone="wide")]))
    assert [*ranked.columns] == ["net", "wide"] and [*ranked.loc[OWN]] == pytest.approx([1, -1])
    alone = "Of whole pictures the gradient's rank correlation is 1.00 on net (10 of Set)"
    assert whole_told(units()) == f"{alone}; no other measure's is higher, and 7 others put them in the same order."
    nearly = units(flip=OWN).assign(entropy=units()["entropy"].to_numpy()[::-1])
    nearly[OWN] = [3.0, 5, 0, 8, 1, 9, 2, 7, 4, 6]
    assert "; variance has the highest (1.00)" not in whole_told(nearly) and " have the highest (1.00)." in whole_told(
        nearly
    )
    both = pd.concat([units(flip=OWN), units(flip=OWN).assign(backbone="wide", seed=1)])
    assert whole_told(both) == (
        "Of whole pictures the gradient's rank correlation is -1.00 on net (10 of Set) and -1.00 on wide (10 of Set); variance and 7 others "
        "have the highest (1.00 against -1.00 in the mean)."
    )


def test_how_few_patches_are_moved_is_told():
    many = units().loc[lambda rows: rows.index.repeat(20)].assign(patch=lambda rows: [f"{n}" for n in range(len(rows))])
    few = many.head(30)
    assert moved_told(few, 0.1) == " (3 patches)" and moved_told(many, 0.1) == ""
    both = pd.concat([few, few.head(20).assign(backbone="other")])
    assert moved_told(both, 0.1) == " (2 to 3 patches, by network)"
    assert moved_told(pd.concat([few, few.assign(backbone="other")]), 0.1) == " (3 patches of a network)"
