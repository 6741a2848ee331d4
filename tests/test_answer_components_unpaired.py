"""Parts of AdaBM whose seeds diverged apart: what cannot be compared is said to be, and the rest is told."""

import pytest

from adabm.study.answers import components
from adabm.study.tables.schema import study_table
from helpers.study_tables import row


def measured(level, seeds, psnr, series="fine-tuned", variable="components", dataset="Set5") -> list[dict]:
    return [
        row(question="components", variable=variable, level=level, series=series, seed=seed, dataset=dataset,
            psnr_y_db=psnr + seed / 10)
        for seed in seeds
    ]  # fmt: skip


WHOLE = "image+layer+clipping"
APART = "Not compared, as no seed was measured of both: all of AdaBM (seed 0) with layer+clipping (seeds 1 and 2), fine-tuned."


def apart(dataset="Set5") -> list[dict]:
    """AdaBM with one seed, what it is without images with the two others, which have more PSNR."""
    return [*measured(WHOLE, [0], 25.0, dataset=dataset), *measured("layer+clipping", [1, 2], 27.0, dataset=dataset)]


def test_a_pair_without_a_common_seed_is_said_not_to_be_compared():
    rows = [*apart(), *measured("image+clipping", [0, 1, 2], 24.0), *measured("image+layer", [0, 1], 24.5)]
    head, _, left_out, advice, evidence = components.conclusion(study_table(rows), 10)
    assert head.startswith("**On net_x4 what layer mapping (+1.00 dB") and "image mapping" not in head
    assert left_out == APART and "without image mapping" not in evidence
    assert advice == "*In practice:* keep all of AdaBM, which has the most PSNR in the mean on net_x4."


def test_it_is_said_where_nothing_else_is_told_and_on_other_sets():
    assert components.conclusion(study_table(apart()), 10) == [APART]
    assert components.image_worth(study_table(apart())) == ""
    rows = [
        *apart(),
        *measured("image+layer", [0], 24.0),
        *apart("Set14"),
        *measured("image+layer", [0], 26.0, dataset="Set14"),
    ]
    advice = components.conclusion(study_table(rows), 10)[3]
    assert advice.endswith(" That is on Set5; on Set14 image+layer has most, by 1.00 dB.")


@pytest.mark.parametrize("seeds, told", [([1], True), ([0, 1], False)])
def test_base_bits_without_a_common_seed_are_named(seeds, told):
    ways = [("layer mapping, not fine-tuned", [0]), ("random layer factors, not fine-tuned", seeds)]
    rows = [row for series, of in ways for row in measured("4", of, 30.0, series, "bits")]
    text = "Not compared, as no seed was measured of both: layer mapping, not fine-tuned, with random layer factors, not fine-tuned at 4 base bits."
    assert (text in components.conclusion(study_table(rows), 10)) == told


def test_the_best_combination_is_that_of_the_most_gain_with_equal_seeds():
    """What has a seed more, in which all do better, is not better for it."""
    rows = [*measured(WHOLE, [0], 25.0), *measured("layer+clipping", [0, 50], 24.9)]
    assert "keep all of AdaBM" in components.conclusion(study_table(rows), 10)[2]


def test_a_part_that_all_seeds_agree_on_is_clear():
    rows = [*measured(WHOLE, [0, 1, 2], 25.0), *measured("image+clipping", [0, 1, 2], 24.0)]
    assert components.conclusion(study_table(rows), 10)[0] == (
        "**On net_x4 layer mapping (+1.00 dB at +0.00 bits) clearly adds quality (fine-tuned for 10 steps; over 3 seeds, not over pictures).**"
    )
    idle = measured("image+layer", [0, 1, 2], 25.0)
    assert (
        "clearly adds quality; clipping (+0.00 dB at +0.00 bits) changes nothing (fine-tuned"
        in (components.conclusion(study_table([*rows, *idle]), 10)[0])
    )
