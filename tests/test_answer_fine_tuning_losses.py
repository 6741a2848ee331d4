"""Fine-tuning that loses: what is told, and advised, where all runs do, where seeds agree, and where it is not clear."""

from adabm.study import Effort
from adabm.study.answers import fine_tuning
from adabm.study.tables.schema import study_table
from helpers.study_tables import row

EFFORT = Effort(patch_size=12, patches=None, rounds=4, steps_per_round=5)
RUNS = {name: {"method": "adabm"} for name in ("one", "other")}
ALIKE = (0.0, 0.0, 0.0)


def run(before: float, after: float, offsets=ALIKE, series="one", backbone="edsr_f64b16_x4") -> list[dict]:
    """A run whose seeds begin alike, and end as far apart as ``offsets`` say."""
    return [
        row(question="fine_tuning", variable="step", level=level, series=series, seed=seed, backbone=backbone, psnr_y_db=psnr)
        for seed, offset in enumerate(offsets)
        for level, psnr in (("0", before + 0.1 * seed), ("5", after + 0.1 * seed + offset))
    ]  # fmt: skip


def told(*runs: list[dict]) -> tuple[str, str]:
    """The answer, and the advice."""
    found = fine_tuning.conclusion(study_table([each for of in runs for each in of]), RUNS, EFFORT)
    return found[0], next(text for text in found if text.startswith("*In practice:*"))


def test_a_loss_with_every_seed_alike_is_clear():
    head, advice = told(run(28.0, 27.0))
    assert head == "**Even what ends best is worse than not fine-tuned: -1.00 dB (3 seeds).**"
    assert advice == "*In practice:* leave fine-tuning out."


def test_where_all_runs_harm_time_does_not_matter():
    near = (0.0, 0.02, -0.02)
    assert told(run(28.0, 27.0, near), run(28.0, 25.0, near, "other"))[1] == "*In practice:* leave fine-tuning out."
    assert told(run(28.0, 25.0, (0.0,)))[1] == "*In practice:* leave fine-tuning out."
    hardly = run(28.0, 28.01, near)
    assert told(hardly)[1] == "*In practice:* leave fine-tuning out where time matters."
    assert told(hardly, run(28.0, 27.0, near, backbone="srresnet_bn_x4"))[1] == (
        "*In practice:* leave fine-tuning out on SRResNet, and on EDSR-baseline where time matters."
    )


def test_a_loss_that_is_not_clear_is_not_called_hardly_a_gain():
    doubtful = run(30.0, 29.8, (0.0, -0.6))
    head, advice = told(doubtful)
    assert head == "**Fine-tuning loses 0.50 ± 0.42 dB (not clearly) in the run that ends best (2 seeds).**"
    assert advice == "*In practice:* leave fine-tuning out."
    assert told(doubtful, run(28.0, 29.0, backbone="srresnet_bn_x4"))[0].startswith(
        "**Fine-tuning gains +1.00 dB on SRResNet (3 seeds) and loses 0.50 ± 0.42 dB on EDSR-baseline (not clearly, 2 seeds) in the runs "
        "that end best."
    )
