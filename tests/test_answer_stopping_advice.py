"""What follows for who fine-tunes, of traces whose answer is known."""

import pandas as pd
from test_answer_stopping import parts, traces

from helpers.evidence import cells

GAINED = traces([28, 30, 29, 29, 29], [3, 1, 2, 2, 2], backbone="gained")  # 2 dB over none, 1 dB over the last step
FROM_RELEASED = "*In practice:* Where fine-tuning starts from the released weight ranges, "
WHEN_ALONE = " From others no rule was measured."


def advice(*found: pd.DataFrame, patience: int = 2) -> str:
    return parts(pd.concat(found), patience)[1]


def test_where_the_last_step_alone_gains_on_none_it_is_advised():
    late = traces([28, 28, 29], [3, 1, 2], backbone="late")
    assert advice(GAINED, late) == (
        f"{FROM_RELEASED}on gained stop after 2 rounds without a lower held-out loss and keep the state of the lowest; on late take the last "
        f"step.{WHEN_ALONE}"
    )
    assert advice(late) == (
        f"{FROM_RELEASED}do not stop by held-out loss: over none the last step gains +1.00 dB, the kept state +0.00 dB.{WHEN_ALONE}"
    )
    *_, certainties, _ = parts(pd.concat([GAINED, late]), 2)
    assert [cells(certainties, row)[:3] for row in (9, 10)] == [
        ["last step against not fine-tuned", "gained", "+1.00"],
        ["last step against not fine-tuned", "late", "+1.00"],
    ]


def test_where_the_last_step_is_clearly_better_than_the_kept_state_it_is_advised():
    better = traces([28, 28.5, 30], [3, 1, 2], backbone="better")
    assert "on better take the last step." in advice(GAINED, better)
    assert "do not stop by held-out loss: over none the last step gains +2.00 dB, the kept state +0.50 dB." in advice(
        better
    )


def test_where_nothing_is_gained_on_none_fine_tuning_is_left_out():
    harmed, flat = (traces([30, last, last], [1, 2, 3], backbone=name) for name, last in (("harmed", 26), ("flat", 30)))
    assert f"; on harmed do not fine-tune at learning rate 0.01.{WHEN_ALONE}" in advice(GAINED, harmed)
    unclear = [traces([30, last, last], [3, 1, 1], (seed,), "unclear") for seed, last in enumerate((29, 31))]
    assert advice(flat, *unclear).startswith(
        f"{FROM_RELEASED}on flat and unclear do not fine-tune at learning rate 0.01."
    )
    assert advice(*unclear).startswith(
        f"{FROM_RELEASED}do not fine-tune at learning rate 0.01: neither the kept state nor the last step gains anything clear over none."
    )
    assert advice(harmed) == (
        f"{FROM_RELEASED}do not fine-tune at learning rate 0.01: the kept state is step 0 with every seed.{WHEN_ALONE}"
    )
    assert (
        " Against not fine-tuned the state that the rule keeps gives +0.00 dB. It is step 0, no fine-tuning. These"
        in (parts(harmed, 2)[0])
    )


def test_what_the_lowest_loss_gains_is_told_by_network_and_what_stopping_gives_up():
    late = traces([28, 29, 28, 28, 31, 30], [3, 2, 2.5, 2.5, 1, 1.5])
    both = pd.concat([late, traces([28, 29, 30, 30, 30, 30], [3, 2, 1, 1, 1, 1], backbone="other")])
    assert advice(both).startswith(
        f"{FROM_RELEASED}on net keep the state of the lowest held-out loss; on other stop after 2 rounds without a lower held-out loss and keep "
        "the state of the lowest, which saves steps and gains no dB clearly."
    )
    assert advice(late).startswith(
        f"{FROM_RELEASED}hold some calibration pictures out, fine-tune as long as their loss may still fall and keep the state of "
        "the lowest: over the last step that gives +1.00 dB. Stop early, after 2 rounds without a lower loss, only "
        "to save steps: with 60% of them 2.00 dB less in the mean."
    )
    first = parts(both, 2)[0]
    assert "of all steps gives +1.00 dB on net and nothing on other; no run loses more than 0.05 dB. Stopping" in first
    assert "gives -1.00 dB on net and nothing on other; the worst run on net -1.00 dB." in first


def test_where_nothing_is_gained_on_the_last_step_only_steps_are_saved():
    assert advice(traces([28, 30, 30, 30, 30], [3, 1, 2, 2, 2], (0,))) == (
        f"{FROM_RELEASED}hold calibration pictures out only to save steps: stop after 2 rounds without a lower loss of theirs and keep the state "
        f"of the lowest; that takes 75% of the steps and gives +0.00 dB against the last.{WHEN_ALONE}"
    )


def test_a_rule_that_saves_nothing_is_not_advised_to_save_steps():
    assert advice(traces([28, 29, 30], [3, 2, 1]), patience=3) == (
        f"{FROM_RELEASED}hold no calibration pictures out: the rule saves nothing within these steps, and no state is clearly better than the "
        f"last.{WHEN_ALONE}"
    )
    better = advice(traces([28, 31, 30], [3, 1, 2]), patience=3)
    assert (
        "fine-tune as long as their loss may still fall and keep the state of the lowest" in better
        and "100%" not in better
    )


def test_states_kept_from_two_starts_are_compared_on_what_both_have():
    own = traces([32, 32.5], [2, 1], (1, 2), "gained", method="adabm-own-bits").assign(series="own ones")
    other = traces([30, 30], [2, 1], (0, 1), "other", method="adabm-own-bits").assign(series="own ones")
    found = pd.concat([GAINED, traces([28, 30], [2, 1], backbone="other"), own, other])
    told = " The state kept from own ones gives, over that kept from the released weight ranges, +2.50 dB on gained"
    assert f"{told} and nothing on other." in parts(found, 2)[0]
    apart = own.assign(seed=own["seed"] + 7)
    assert "The state kept from own ones" not in parts(pd.concat([GAINED, apart]), 2)[0]
