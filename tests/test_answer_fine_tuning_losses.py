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


def traced(psnr: dict[int, float], series: str, offsets=ALIKE) -> list[dict]:
    """A run by step, whose seeds are as far apart as ``offsets`` say at all steps but the first."""
    return [
        row(question="fine_tuning", variable="step", level=str(step), series=series, seed=seed, psnr_y_db=db + offset * bool(step), fab=fab)
        for seed, offset in enumerate(offsets)
        for step, db in psnr.items() for fab in [4.4 if not step or "mapping" not in series else 4.2]
    ]  # fmt: skip


def conclusion(runs: dict[str, dict], *tables: list[dict]) -> list[str]:
    return fine_tuning.conclusion(study_table([each for of in tables for each in of]), runs, EFFORT)


def test_it_is_told_in_whose_turn_a_harmful_run_loses():
    """At the larger rate the turn of weight ranges gains more than at the smaller one; that of activation ranges loses it all."""
    slow = {"tune.lr_weight": 0.001, "tune.lr_activation": 0.001}
    runs = {"fast": {"method": "adabm-own-bits"}, "slow": {"method": "adabm-own-bits", "changes": slow}}
    fast = traced({0: 30.0, 5: 30.5, 10: 29.0}, "fast")
    told = conclusion(runs, fast, traced({0: 30.0, 5: 30.1, 10: 30.3}, "slow"))[1]
    assert told.startswith(
        "Harmful is a learning rate of 0.01 (-1.00 dB in 10 steps: +0.50 dB in the turn of weight ranges, against +0.10 dB at 0.001, and -1.50 dB in "
        "that of activation ranges). Learning rate: 0.001 ends best (+0.30 dB in 10 steps, 3 seeds), 0.01 harms."
    )
    unmeasured = conclusion(runs, traced({0: 30.0, 10: 29.0}, "fast"), traced({0: 30.0, 10: 30.3}, "slow"))[1]
    assert unmeasured.startswith("Harmful is a learning rate of 0.01 (-1.00 dB in 10 steps). ")


def test_the_released_recipe_has_its_own_gain_beside_a_group_alone_that_ends_better():
    runs = {"released": {"method": "adabm"}} | {
        f"{group} alone": {"method": "adabm", "changes": {"tune.groups": [group]}} for group in ("weight", "mapping")
    }
    tables = [traced({0: 28.0, 20: 27.9}, "released", (0.0, -0.2, 0.2)), traced({0: 28.0, 20: 28.05}, "weight alone", (0.0, 0.01, -0.01))]  # fmt: skip
    found = conclusion(runs, *tables, traced({0: 28.0, 20: 27.7}, "mapping alone"))
    assert found[0] == (
        "**Fine-tuning gains hardly anything (+0.05 ± 0.01 dB) in the run that ends best (3 seeds). The released recipe changes PSNR by -0.10 ± "
        '0.20 dB (within the spread over seeds), what ends best is "weight alone".**'
    )
    assert any(
        "Trained alone, weight ranges change PSNR by +0.05 ± 0.01 dB and the bit mapping by -0.30 dB (FAB 4.40 to 4.20)."
        in text
        for text in found
    )
    assert "*In practice:* leave fine-tuning out, or train weight ranges alone (+0.05 ± 0.01 dB)." in found


def test_a_loss_with_every_seed_alike_is_clear():
    head, advice = told(run(28.0, 27.0))
    assert head == "**Even what ends best is worse than not fine-tuned: -1.00 dB (3 seeds).**"
    assert advice == "*In practice:* leave fine-tuning out."


def test_what_hardly_gains_or_harms_is_left_out():
    near = (0.0, 0.02, -0.02)
    assert told(run(28.0, 27.0, near), run(28.0, 25.0, near, "other"))[1] == "*In practice:* leave fine-tuning out."
    assert told(run(28.0, 25.0, (0.0,)))[1] == "*In practice:* leave fine-tuning out."
    hardly = run(28.0, 28.01, near)
    assert told(hardly)[1] == "*In practice:* leave fine-tuning out."
    assert told(hardly, run(28.0, 27.0, near, backbone="srresnet_bn_x4"))[1] == (
        "*In practice:* leave fine-tuning out on EDSR-baseline and SRResNet."
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
