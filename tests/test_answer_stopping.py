"""When to stop: decisions by hand, conclusions of traces whose answer is known, and a trace of a tiny network."""

import pandas as pd
import pytest

from adabm.errors import ConfigError
from adabm.study import Run
from adabm.study.answers import stopping
from adabm.study.answers.asked import Asked
from adabm.study.answers.stopping_traces import trace
from adabm.study.tables.conclusion import is_table
from helpers.evidence import cells
from helpers.probed import probed


def traces(truth, held_out, seeds=(0, 1), backbone="net", diverged=False, method="adabm") -> pd.DataFrame:
    """A network's traces, five steps a round, the seeds 0.1 dB apart."""
    rows = [
        dict(
            backbone=backbone, dataset="Set5", setting="W4A4 FQ", series="the released weight ranges", method=method, seed=seed, round=index, step=5 * index,
            group="weight", training=1.0, held_out=loss, to_fp_db=35.0, truth_db=db + seed / 10, truth_fp_db=33.0, fab=4.0,
            diverged=diverged, pictures=10,
        )
        for seed in seeds
        for index, (db, loss) in enumerate(zip(truth, held_out))
    ]  # fmt: skip
    return pd.DataFrame(rows)


def parts(found: pd.DataFrame, patience: int) -> list[str]:
    """A conclusion's prose, its advice, and its tables but that of advice."""
    told = stopping.conclusion(found, patience)
    tables = [text for text in told if is_table(text) and "in practice" not in text]
    (advice,) = (text for text in told if text.startswith("*In practice:*"))
    return [" ".join(text for text in told if text != advice and not is_table(text)), advice, *tables]


@pytest.mark.parametrize(
    "losses, patience, decided",
    [
        ([3, 2, 1], 2, (2, 2)),  # it never stops
        ([3, 2, 2, 2, 1], 2, (1, 3)),  # equals are no improvement, and what comes later is not seen
        ([1, 2, 3, 4], 3, (0, 3)),
        ([2, 3, 1, 3, 3], 2, (2, 4)),
    ],
)
def test_decisions_by_hand(losses, patience, decided):
    assert stopping.decide(losses, patience) == decided


def test_what_the_rule_has_and_what_there_was():
    found = stopping.decisions(traces([28, 29, 28.5, 30], [3, 1, 2, 2]), 2).iloc[0]
    assert (found["kept"], found["stopped"], found["steps"], found["best"]) == (5, 15, 15, 15)
    assert (found["start_db"], found["rule_db"], found["last_db"], found["best_db"]) == (28, 29, 30, 30)


def test_bits_that_the_kept_state_has_more_are_told():
    """The mapping takes half a bit behind the lowest loss; on another network bits stay."""
    moved = traces([28, 30, 29, 29], [3, 1, 2, 2], backbone="moved")
    moved.loc[moved["round"] > 1, "fab"] = 3.5
    first, _, states, _, networks = parts(pd.concat([moved, traces([28, 30, 29, 29], [3, 1, 2, 2])]), 2)
    assert (
        " The kept state has 0.50 bits more on moved, which rounds of the mappings move: how much of a difference is due to bits is not known.** "
        in first
    )
    assert cells(states, 0)[4] == "+0.25" and cells(networks, 0)[9:12] == ["3.50", "4.00", "4.00"]
    alone = traces([28, 30, 29, 29], [3, 1, 2, 2])
    advice = parts(moved, 2)[1]
    assert "over the last step that gives +1.00 dB, at 0.50 bits more in the mean." in advice
    assert "bits more" not in stopping.conclusion(alone, 2)[0]


@pytest.mark.parametrize(
    "truth, held_out, told",
    [
        (
            [30, 29, 27, 26],
            [1, 2, 3, 4],
            "Stop by the loss on held-out calibration pictures: the last step is clearly worse by 4.00 dB. The loss never falls.",
        ),
        ([30, 29, 27, 26], [4, 3, 2, 1], "does not tell when to stop: fine-tuning harms net (2 of 2 seeds) and"),
        ([28, 29, 30, 31], [1, 2, 3, 4], "The rule stops too early: on net"),
        (
            [28, 25, 25, 31],
            [2, 3, 3, 1],
            "but do not stop early: it is as good as the last step everywhere, while stopping costs net 3.00 dB.",
        ),
        ([28, 30, 29, 29], [3, 1, 2, 2], "is better than the last step, by 1.00 dB"),
        (
            [28, 30, 29, 29, 29, 29],
            [3, 2, 1, 1, 1, 1],
            "Fewer iterations are enough: stopping by the held-out teacher loss loses nothing against the last step, but 1.00 dB",
        ),
        ([28, 30, 29, 29], [4, 3, 2, 1], "The rule never stops within these steps"),
        ([28, 30, 30, 30, 30], [3, 1, 2, 2, 2], "and hardly anything against the best."),
    ],
)
def test_every_verdict(truth, held_out, told):
    assert told in stopping.conclusion(traces(truth, held_out), 2)[0].split("**")[1]


def test_a_gain_within_the_spread_over_runs_is_not_called_one():
    mixed = pd.concat(
        [
            traces([28, 30, 29.6, 29.6, 29.6], [3, 1, 2, 2, 2], (0,)),
            traces([28, 30, 30.2, 30.2, 30.2], [3, 1, 2, 2, 2], (1,)),
        ]
    )
    assert stopping.conclusion(mixed, 2)[0].startswith("**Fewer iterations are enough: ")


def test_preventing_harm_on_one_network_may_cost_another():
    both = pd.concat(
        [traces([30, 27, 26], [1, 2, 3]), traces([28, 29, 31], [3, 1, 2], backbone="other", diverged=True)]
    )
    told = parts(both, 2)
    assert (
        "the last step is clearly worse by 4.00 dB on net; clearly better by 2.00 dB on other.** " in told[0]
        and "At the last step 2 of 2 seeds on net end more than 0.05 dB below where they began." in told[0]
    )
    _, _, states, certainties, networks = told
    assert [cells(certainties, n)[:3] for n in (0, 2)] == [
        ["lowest loss against the last step", "net", "+4.00"],
        ["lowest loss against the last step", "mean of the networks", "+1.00"],
    ]
    assert "saves 0% of the steps in 4 runs" in told[0]
    assert cells(states, 0)[2:] == ["-2.00", "+4.00", "+0.00", "40 of 40"]
    assert cells(networks, 1)[:3] == ["other", "2", "28.05"] and cells(networks, 1)[-1] == "2"


def test_harm_is_told_by_run_and_the_lowest_loss_that_a_rule_does_not_reach_is_advised():
    """Stopping keeps the start; one network falls and recovers below it, the others are as good at their end."""
    late = traces([30, 25, 25, 31, 28], [3, 4, 4, 1, 2])
    mixed = pd.concat(
        [traces([30, 29], [2, 1], (0,), backbone="mixed"), traces([30, 31], [2, 1], (1,), backbone="mixed")]
    )
    first, advice, *_ = parts(pd.concat([late, mixed]), 2)
    assert first.startswith(
        "**Keep the state of the lowest loss on held-out calibration pictures: the last step is clearly worse by 3.00 dB on net; as good on "
        "mixed.** At the last step 2 of 2 seeds on net and 1 of 2 on mixed end more than 0.05 dB below where they began. Against the last step, "
        "keeping the lowest loss of all steps gives +3.00 dB on net and nothing on mixed; no run loses more than 0.05 dB. Stopping"
    )
    assert (
        "on net keep the state of the lowest held-out loss; on mixed do not fine-tune at learning rate 0.01." in advice
    )


def test_a_difference_that_the_seeds_do_not_tell_is_not_called_clear():
    """Keeping the start gains 1 and 5 dB over the last step."""
    mixed = pd.concat([traces([30, 29, 29], [1, 2, 3], (0,)), traces([30, 25, 25], [1, 2, 3], (1,))])
    first, *_, certainties, _ = parts(mixed, 2)
    assert (
        "the last step is worse by 3.00 ± 2.83 dB, which 2 seeds cannot tell from nothing. The loss never falls.** In hindsight PSNR is best after 0 steps. Ag"
        in first
    )
    assert cells(certainties, 0)[2:4] == ["+3.00", "2.83"]


def test_where_the_loss_still_falls_at_the_last_step_it_is_told():
    first = stopping.conclusion(traces([28, 29, 30], [3, 2, 1]), 2)[0]
    assert (
        " 95 % of what the loss falls is there after 10 steps; at the last step, 10, it mostly still falls.** In hindsight PSNR is best after 10 steps. Against"
        in first
    )


def test_most_of_the_fall_is_there_before_the_lowest_loss():
    found = stopping.decisions(traces([28, 29, 30, 30, 30], [3.0, 1.1, 1.05, 1.0, 1.2], (0,)), 3).iloc[0]
    assert (found["near"], found["lowest"]) == (5, 15)


def test_patience_is_told_in_rounds_whatever_the_looks_of_each():
    """Two looks a round: after the lowest loss, in the first round, two more rounds are four looks."""
    twice = traces([28, 29, 28, 28, 28, 28, 28], [3, 1, 2, 2, 2, 2, 2], (0,))
    twice["round"] = (twice["round"] + 1) // 2
    found = stopping.decisions(twice, 2).iloc[0]
    assert (found["kept"], found["stopped"], found["steps"]) == (5, 25, 30)
    assert "A run has 3 rounds of 10 steps; the released recipe has 500 steps." in stopping.conclusion(twice, 2)[0]


def test_runs_of_unequal_length_are_told_apart():
    turns = traces([28, 29, 30], [3, 2, 1], backbone="short")
    turns.loc[turns["round"] == 2, "group"] = "mapping"
    both = pd.concat([traces([28, 29, 30, 30], [3, 1, 2, 2]), turns])
    told = "A run has 3 rounds of 5 steps on net; 2 rounds of 5 steps (5 of 10 for the ranges of weights) on short; the released recipe"
    assert told in stopping.conclusion(both, 2)[0]


def test_runs_that_start_elsewhere_are_told_behind_the_first_ones():
    own = traces([32, 32.5, 32.2], [2, 1, 1.5], method="adabm-own-bits").assign(series="own ones")
    both = pd.concat([traces([30, 29, 27, 26], [1, 2, 3, 4]), own])
    first, advice, *tables = parts(both, 3)
    assert first.startswith(
        "**Stop by the loss on held-out calibration pictures: the last step is clearly worse by 4.00 dB."
    )
    assert (
        " From own ones the last step is, against the state of the lowest loss, clearly worse by 0.30 dB. 95 % of what the loss falls is there "
        "after 5 steps. In hindsight PSNR is best after 5 steps. "
        "Against not fine-tuned the state that the rule keeps gives +0.50 dB. These runs start 0.95 dB below full precision (32.05 of 33.00 dB), "
        "and the state that the rule keeps is 0.45 dB below it."
    ) in first
    assert advice.startswith(
        "*In practice:* Where fine-tuning starts from the released weight ranges, do not fine-tune at learning rate 0.01: the kept state is step "
        "0 with every seed. Where"
    )
    assert " The state kept from own ones gives, over that kept from the released weight ranges, +2.50 dB." in first
    assert (
        " Where fine-tuning starts from own ones, hold some calibration pictures out, fine-tune as long as their loss may still fall"
        in advice
    )
    (advised,) = (text for text in stopping.conclusion(both, 3) if text.startswith("| in practice"))
    assert [cells(advised, row) for row in range(2)] == [
        ["net", "the released weight ranges", "not fine-tuned", "0", "+0.00 dB", "-4.00 dB (clearly)", "4.00", "4.00"],
        ["net", "own ones", "lowest loss", "10", "+0.50 dB (clearly)", "+0.20 dB (clearly)", "4.00", "4.00"],
    ]
    assert len(tables) == 6 and tables[3].startswith("| state that is kept, from own ones")
    assert set(stopping.figures(both, 3)) == {"", "other_start"} and stopping.QUESTION.others["other_start"]


def test_the_gain_on_not_fine_tuned_is_of_one_state_in_the_text_and_in_the_table():
    """Stopping loses nothing, so that its state, not that of the lowest loss, is advised: 1 and 1.2 dB above the start."""
    one, other = (
        traces([28, 28 + gain, 28, 28, 28 + gain], [3, 1.0, 2, 2, 0.5], (seed,)) for seed, gain in enumerate((1.0, 1.2))
    )
    first, _, _, certainties, _ = parts(pd.concat([one, other]), 2)
    assert "Against not fine-tuned the state that the rule keeps gives +1.10 ± 0.14 dB" in first
    assert cells(certainties, 2)[:4] == ["by the rule against not fine-tuned", "net", "+1.10", "0.14"]


def test_only_runs_of_the_released_recipe_are_said_to_start_from_its_ranges():
    own = traces([30, 29, 27, 26], [1, 2, 3, 4], method="adabm-own-bits")
    first, advice, *_ = parts(own, 2)
    assert (
        "These runs start 2.95 dB below full precision (30.05 of 33.00 dB), and the state that the rule keeps is 2.95 dB below it. "
        in first
    )
    assert "released weight ranges" not in first + advice and advice.startswith("*In practice:* Do not fine")


def test_the_figure_marks_the_lowest_loss_of_all_steps_and_what_stopping_early_keeps():
    found = stopping.figures(traces([28, 29, 28, 28, 31, 30], [3, 2, 2.5, 2.5, 1, 1.5], (0,)), 2)[""]
    (dots, squares) = (
        [line for line in found.axes[0].get_lines() if line.get_marker() == marker] for marker in ("o", "s")
    )
    assert [list(line.get_xydata()[0]) for line in (*dots, *squares)] == [[20, 2], [5, 4]], "losses in dB"
    texts = [text.get_text() for legend in found.legends for text in legend.get_texts()]
    assert "lowest loss of all steps: +1.00 dB against the last step" in texts[0] and ": -1.00 dB against" in texts[1]


def test_figures_tell_gains_by_network_and_seeds_apart():
    """One network makes the whole of a mean over networks."""
    harmed, flat = traces([30, 26, 26], [1, 2, 3], backbone="harmed"), traces([28, 30, 30], [3, 1, 1], backbone="flat")
    figure = stopping.figures(pd.concat([harmed, flat]), 2)[""]
    assert [axis.get_title() for axis in figure.axes[:2]] == [
        "harmed\nlowest +4.00, early +4.00 dB",
        "flat\nlowest +0.00, early +0.00 dB",
    ]
    lines = [[line.get_color() for line in axis.get_lines() if line.get_ls() == "-"] for axis in figure.axes]
    assert all(colors == lines[0] and len(set(colors)) == 2 for colors in lines)


def test_table_and_figure():
    found = traces([28, 29, 30], [3, 1, 2])
    table = stopping.table(found)
    assert list(table["psnr_y_db"]) == [33, 28, 29, 30, 28.1, 29.1, 30.1] and list(table["level"])[1:4] == [
        "0",
        "5",
        "10",
    ]
    assert [axis.get_yscale() for axis in stopping.figures(found, 2)[""].axes] == ["log"] * 2, (
        "a start may lose ten times more"
    )


def test_a_network_has_changes_of_its_own_to_all_methods(tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(
        stopping,
        "at_once",
        lambda _, calls: asked.extend(calls) or [dict(looks=[dict(step=0)], diverged=None) for _ in calls],
    )
    _, bench = probed(tmp_path)
    methods = {
        "one": {"method": "adabm", "changes": {"tune.rounds": 2, "tune.steps_per_round": 9}},
        "two": {"method": "adabm-own-bits", "backbones": ["other"]},
    }
    networks = [Asked(bench, "W4A4 FQ", (3, 4), {"changes": {"tune.steps_per_round": 1}})]
    found = stopping.measure(networks, methods, 2, 1, 12, 2, 1)
    assert [(run.seed, dict(run.changes)) for _, run, *_ in asked] == [
        (seed, {"tune.rounds": 2, "tune.steps_per_round": 1}) for seed in (3, 4)
    ]
    assert list(found["series"]) == ["one", "one"] and list(found["method"]) == ["adabm", "adabm"]
    with pytest.raises(
        ConfigError, match="one: changes have a learning rate of 0.1, which the page would tell as 0.01, that of adabm"
    ):
        stopping.measure(
            networks,
            {"one": {"method": "adabm", "changes": {"tune.lr_weight": 0.1, "tune.lr_activation": 0.1}}},
            2,
            1,
            12,
            2,
            1,
        )
    with pytest.raises(ConfigError, match="methods, one: unknown key 'run'"):
        stopping.measure(networks, {"one": {"method": "adabm", "run": False}}, 2, 1, 12, 2, 1)


def test_a_trace_of_a_tiny_network_is_looked_at_before_within_and_after_each_round(tmp_path):
    _, bench = probed(tmp_path)
    run = Run.at("adabm", "W4A4 FQ", 0, {"tune.steps_per_round": 3})
    found = trace(bench, run, 2, 1, 12, 2, 2)
    steps, rounds, groups = ([look[name] for look in found["looks"]] for name in ("step", "round", "group"))
    assert (steps, rounds) == ([0, 2, 3, 5, 6, 8, 9], [0, 1, 1, 2, 2, 3, 3]) and found["diverged"] is None
    assert groups == ["", "weight", "weight", "activation", "activation", "mapping", "mapping"]
    assert found["looks"][1]["held_out"] != found["looks"][0]["held_out"]
    assert trace(bench, run, 2, 1, 12, 2, 2) == found
    fewer = trace(bench, run, 2, 1, 12, 2, 5)  # what is looked at changes nothing
    assert [fewer["looks"][n]["held_out"] for n in (1, 2, 3)] == [found["looks"][n]["held_out"] for n in (2, 4, 6)]


def test_one_seed_is_told_of_several_networks():
    """Each of them harmed, so that the last step is compared with the kept state."""
    both = [traces([30, 29, 27, 26], [1, 2, 3, 4], (0,), name) for name in ("one", "two")]
    assert (
        "the last step is worse by 4.00 dB on one and by 4.00 dB on two" in stopping.conclusion(pd.concat(both), 2)[0]
    )


def test_runs_that_diverged_are_told_with_their_network():
    part = traces([28, 29, 30], [3, 2, 1], (0,), diverged=True)
    first = stopping.conclusion(pd.concat([part, traces([28, 29, 30], [3, 2, 1], (1, 2))]), 3)[0]
    assert (
        "Diverged before their last round: 1 of 3 seeds; the last step of these is the last one looked at before."
        in first
    )
    assert "iverged" not in stopping.conclusion(traces([28, 29, 30], [3, 2, 1]), 3)[0]
