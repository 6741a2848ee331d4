"""Complexity: what bits by their known worth gain, in squared error and in dB, by either way of averaging."""

import numpy as np
import pandas as pd
import pytest

from adabm.study.answers import complexity
from adabm.study.answers.complexity_measures import OWN
from adabm.study.answers.complexity_telling import pictures_told
from helpers.complexity_units import concluded, units
from helpers.evidence import cells


@pytest.mark.slow
def test_the_two_ways_of_averaging_are_told_against_both_references():
    """By worth in squared error the pooled error falls, and the mean of the patches' PSNR, to either reference."""
    far = units()
    for kind in ("fp", "truth"):
        far.loc[0, [f"{kind} -1", f"{kind} +0", f"{kind} +1"]] = [
            2.5,
            1.0,
            1.0,
        ]  # a bit fewer costs little error, and 4 dB
    rules = complexity.rules(far, 0.1).set_index("measure").loc[complexity.ORACLE]
    pooled, mean = 10 * np.log10(901 / 893.5), (10 * np.log10(100 / 91) - 10 * np.log10(2.5)) / 10
    assert rules[["to_fp_db", "truth_pooled_db"]].tolist() == pytest.approx([pooled] * 2)
    assert rules[["to_fp_mean_db", "truth_db"]].tolist() == pytest.approx([mean] * 2)
    head, _, advice, *_ = concluded(far)
    assert "of mean PSNR to ground truth" in head and "to ground truth falls more than by chance" in head
    assert (
        "Moving 10% of the patches up and 10% down by one bit by their worth in squared error, were it known, changes PSNR of the pooled error "
        f"by {pooled:+.2f} dB (to ground truth {pooled:+.2f}) and the mean of the patches' PSNR by {mean:+.2f} dB (to ground truth {mean:+.2f}): "
        "those that give up a bit lose more decibels than those that get one gain."
    ) in advice
    even = units(flip=OWN).assign(**{f"truth {more}": 100.0 for more in ("-1", "+1")})
    assert concluded(even)[2].endswith(
        "+0.04 dB (to ground truth +0.00) and the mean of the patches' PSNR by +0.04 dB (to ground truth +0.00)."
    )


def decibels(seeds: int = 2) -> pd.DataFrame:
    """Ten patches, of which a bit in one is worth 10 dB and none in another; the rest lose 3 dB by one fewer; seeds alike."""
    here = units()
    here["truth +1"], here["truth +0"], here["truth -1"] = 100.0, 100.0, 200.0
    here.loc[3, "truth +1"], here.loc[5, "truth -1"] = 10.0, 100.0
    return pd.concat([here.assign(seed=seed) for seed in range(seeds)], ignore_index=True)


def test_the_worth_in_decibels_is_that_of_the_other_seeds():
    rules = complexity.rules(decibels(), 0.1).set_index("measure")
    assert rules.loc[complexity.DECIBELS, "truth_db"] == pytest.approx(1.0)
    other = decibels(2)
    second = other["seed"] == 1
    other.loc[second, "truth +1"] = other.loc[second, "truth +1"].to_numpy()[::-1]  # another patch has 10 dB to gain
    assert complexity.rules(other, 0.1).set_index("measure").loc[complexity.DECIBELS, "truth_db"] == pytest.approx(0.0)
    assert complexity.DECIBELS not in set(complexity.rules(decibels(1), 0.1)["measure"])
    assert complexity.DECIBELS not in set(complexity.table(decibels(), 0.1)["level"])


@pytest.mark.slow
def test_what_no_measure_finds_is_told():
    advice, rows = (concluded(decibels())[place] for place in (2, 3))
    assert advice.startswith(
        "*In practice:* give all images the same bits: by none of 11 measures does moving them gain mean PSNR to ground truth (at"
    )
    assert (
        "By their worth in dB to ground truth, as the other seeds tell it, the mean there changes by +1.00 dB ("
        in advice
    )
    assert cells(rows, 13)[0] == "worth known, dB to ground truth" and cells(rows, 13)[-1] == "+1.00"
    axes = complexity.figures(decibels(), 0.1)[""].axes
    assert [tick.get_text() for tick in axes[0].get_yticklabels()][-3:] == [
        *complexity.SHOWN.values(),
        complexity.RANDOM,
    ]
    assert (
        "mean\nPSNR to ground truth" in axes[2].get_title()
        and sum(line.get_marker() == "|" for line in axes[2].lines) == 13
    )


def test_patches_of_few_pictures_are_told():
    assert pictures_told(units()) == ""
    shared = units().assign(patch=[f"cat {place}-0" for place in range(5)] + [f"dog {place}-0" for place in range(5)])
    assert pictures_told(shared) == "; patches are of 2 pictures, and draws take those of one picture as independent"
