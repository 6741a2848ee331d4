"""How much fine-tuning: gains, steps, turns and losses, told from tables whose answer is known."""

import dataclasses
from types import SimpleNamespace

import pandas as pd
import pytest

from adabm.errors import ConfigError
from adabm.study import Effort, Run
from adabm.study.answers import fine_tuning, tuning_advice
from adabm.study.answers.asked import open_asked
from adabm.study.answers.significance import Difference
from adabm.study.answers.tuning_outcomes import (
    Turns,
    best_run,
    first_as_good,
    gains_by_round,
    mean_psnr,
    outcomes,
    share_of_first_round,
)
from adabm.study.tables.schema import study_table
from helpers.evidence import cells
from helpers.study_files import enter_study_of_two
from helpers.study_tables import not_run, row

EFFORT = Effort(patch_size=12, patches=None, rounds=4, steps_per_round=5)  # turns end after 5, 10, 15, 20 steps
RUNS = {
    "released": {"method": "adabm"},
    "short": {"method": "adabm", "changes": {"tune.rounds": 1}},
    "long rounds": {"method": "adabm", "changes": {"tune.steps_per_round": 20, "tune.rounds": 3}},
    "weight ranges alone": {"method": "adabm", "changes": {"tune.groups": ["weight"]}},
}
NETS = {"one": "edsr_f64b16_x4", "two": "srresnet_bn_x4", "three": "DAT_light_x4", "four": "rrdbnet_psnr_x4"}


def table(psnr, series="released", seeds=(0,), network="one", **changes):
    """PSNR by step; seeds differ by 0.1 dB at each step alike."""
    return study_table(
        row(question="fine_tuning", variable="step", level=str(step), series=series, seed=seed, backbone=NETS[network],
            psnr_y_db=value + 0.1 * seed, loss_db=31 - value, **changes)
        for step, value in psnr.items() for seed in seeds
    )  # fmt: skip


def joined(*tables, more=()):
    return study_table([*(r for one in tables for r in one.to_dict("records")), *more])


def diverged(series, level, seed=0, network="one"):
    keys = dict(question="fine_tuning", variable="step", level=str(level), series=series, seed=seed)
    return not_run(**keys, backbone=NETS[network]) | dict(status="diverged")


def told(*tables, more=()):
    return fine_tuning.conclusion(joined(*tables, more=more), RUNS, EFFORT)


def test_a_plateau_inside_a_round_tells_how_few_steps_do():
    head, details, turns, rule, advice, evidence = told(
        table({0: 20.0, 5: 28.0, 10: 30.0, 20: 30.03, 60: 30.04}, "long rounds"),
        table({0: 20.0, 5: 28.0}, "short"),
    )
    assert head == "**Fine-tuning gains +10.04 dB in the run that ends best (1 seed). 10 steps are enough.**"
    assert details == 'Runs end between 28.00 and 30.04 dB, best "long rounds".'
    assert turns == (
        "Groups of parameters take turns, a round each. The first round, of weight ranges, has 100% of the change in runs that gain 0.1 dB or more. "
        'PSNR rises up to the last step of "short" (step 5). '
        'How few steps do is told by plateaus that begin inside a round: "long rounds" (step 10).'
    )
    assert "This is one network, EDSR-baseline." in rule
    assert advice == "*In practice:* stop after about 10 steps (learning rate 0.01)."
    assert "| 20 steps, weight ranges " in evidence and "| 60 (30.04 dB) |" in evidence


def test_a_plateau_that_begins_with_the_end_of_a_turn_does_not_tell_how_many_steps_are_needed():
    head, turns, _, advice, evidence = told(table({0: 20.0, 2: 24.0, 5: 29.0, 10: 29.5, 20: 29.51}))
    assert head == (
        "**Fine-tuning gains +9.51 dB in the run that ends best (1 seed). All of it is there when the turn of activation ranges "
        "ends, after 10 steps.**"
    )
    assert "The first round, of weight ranges, has 95% of the change in runs that gain 0.1 dB or more." in turns
    assert turns.endswith(
        'says that the turn was over, not that so many steps were needed: so with "released" (step 10).'
    )
    assert advice == "*In practice:* stop after the 10 steps of activation ranges (learning rate 0.01)."
    assert "| 10 (turn over) " in evidence


def test_where_one_group_has_all_turns_none_is_over():
    found = outcomes(table({0: 20.0, 5: 25.0, 20: 25.0}, "weight ranges alone"), RUNS, EFFORT)
    assert found["EDSR-baseline"]["weight ranges alone"].over is None
    head, _, rule, *_ = told(table({0: 20.0, 5: 25.0, 20: 25.0}, "weight ranges alone"))
    assert "5 steps are enough" in head and "the turn " not in rule


def test_what_still_rises_at_its_last_step_is_told():
    head = told(table({0: 20.0, 5: 21.0, 10: 22.0, 20: 23.0}))[0]
    assert (
        head
        == "**Fine-tuning gains +3.00 dB in the run that ends best (1 seed). PSNR still rises at its last step, 20.**"
    )


def test_the_answer_covers_all_networks():
    """One gains, one loses with what ends best, one hardly changes; seeds differ."""
    head, details, _, rule, advice, advised, evidence = told(
        table({0: 20.0, 5: 30.0, 10: 30.0, 60: 30.0}, "long rounds", seeds=(0, 1, 2)),
        table({0: 20.0, 5: 22.0, 20: 22.0}, network="two"),
        table({0: 29.0, 5: 27.0, 60: 26.0}, "long rounds", network="two"),
        table({0: 31.0, 5: 31.02, 20: 31.05}, network="three"),
    )
    assert head == (
        "**Fine-tuning gains +10.00 dB on EDSR-baseline (3 seeds) and hardly anything on DAT-light (+0.05 dB, 1 seed) in the "
        'runs that end best. The released recipe changes PSNR by +2.00 dB on SRResNet, what ends best is "long rounds". '
        "5 steps are enough on EDSR-baseline. Even what ends best is worse than not fine-tuned: "
        "-3.00 dB on SRResNet (1 seed).**"
    )
    assert (
        '"released" gains more on SRResNet, +2.00 dB, and ends lower: it starts at 20.00 dB instead of 29.00 and comes to '
        in details
    )
    assert "This is one network" not in rule
    assert advice == (
        "*In practice:* take 5 steps on EDSR-baseline, at a learning rate of 0.01; leave fine-tuning out on SRResNet and DAT-light."
    )
    assert [cells(advised, row)[:4] for row in range(3)] == [
        ["EDSR-baseline", "5 steps", "0.01", "+10.00 dB"],
        ["SRResNet", "leave fine-tuning out", "", "-3.00 dB"],
        ["DAT-light", "leave fine-tuning out", "", "+0.05 dB"],
    ]
    assert [line.split("|")[1].strip() for line in evidence.splitlines()[2:]] == [
        "EDSR-baseline",
        "SRResNet",
        "SRResNet",
        "DAT-light",
    ]


def test_networks_whose_turns_end_are_told_together():
    rise = {0: 20.0, 2: 23.0, 5: 30.0, 20: 30.0}
    rows = [table(rise, network=name) for name in ("one", "two")]
    head, *_, advice, advised, _ = told(*rows, table({0: 20.0, 2: 30.0, 20: 30.0}, network="three"))
    assert head.endswith(
        "2 steps are enough on DAT-light; on EDSR-baseline and SRResNet all of it is there when the turn of weight ranges ends, "
        "after 5 steps.**"
    )
    assert advice.startswith("*In practice:* take 2 to 5 steps on EDSR-baseline, SRResNet and DAT-light, at ")
    assert cells(advised, 1)[:2] == ["SRResNet", "5 steps, the turn of weight ranges"]


def test_few_runs_that_worsen_are_named_and_more_are_counted():
    better, worse = {0: 30.0, 2: 31.0, 20: 31.0}, {0: 30.0, 2: 29.0, 20: 29.0}
    few = told(table(better), table(worse, "long rounds"))[1]
    assert few.startswith('Worse than not fine-tuned is "long rounds" (-1.00 dB). ')
    many = [table(worse, name) for name in ("long rounds", "short", "weight ranges alone")]
    assert told(table(better), *many)[1].startswith("3 of 4 runs end worse than not fine-tuned. ")


def test_of_runs_that_end_alike_the_one_of_most_seeds_is_told():
    rows = joined(table({0: 20.0, 2: 30.02, 20: 30.02}), table({0: 29.0, 2: 29.9, 5: 29.9}, "short", seeds=(0, 1, 2)))
    (of_network,) = outcomes(rows, RUNS, EFFORT).values()
    assert best_run(of_network) == "short" and of_network["short"].seeds == 3


def test_what_harms_needs_no_step():
    rows = table({0: 30.0, 5: 29.9, 20: 29.0})
    head, _, advice, _ = told(rows)
    assert head == "**Even what ends best is worse than not fine-tuned: -1.00 dB (1 seed).**"
    assert advice == "*In practice:* leave fine-tuning out."
    tuned = outcomes(rows, RUNS, EFFORT)["EDSR-baseline"]["released"]
    assert (tuned.enough, tuned.best, tuned.share) == (0, 0, pytest.approx(0.1)) and tuned.harms and not tuned.helps


@pytest.mark.parametrize(
    "gain, spread, helps, harms",
    [
        (0.2, 0.1, True, False),
        (0.2, 0.3, False, False),
        (0.07, 0.0, False, False),
        (0.2, 0.0, True, False),
        (-0.2, 0.1, False, True),
        (-0.2, 0.3, False, False),
        (-0.07, 0.0, False, False),
    ],
)
def test_a_small_change_is_hardly_one(gain, spread, helps, harms):
    (tuned,) = outcomes(table({0: 30.0, 5: 30.2}), RUNS, EFFORT)["EDSR-baseline"].values()
    changed = dataclasses.replace(tuned, total=Difference(gain, spread, float("nan")))
    assert (changed.helps, changed.harms) == (helps, harms)


def test_p_values_stand_in_the_table_alone():
    rows = table({0: 20.0, 5: 25.0}, seeds=(0, 1, 2))
    rows.loc[(rows["level"] == "5") & (rows["seed"] == 2), "psnr_y_db"] += 0.3
    *prose, evidence = told(rows)
    assert "p (paired, not adjusted)" in evidence and not any(" p " in text or "p =" in text for text in prose)
    assert "+5.10 ± 0.17 dB in the run that ends best (3 seeds)" in prose[0]


@pytest.mark.parametrize(
    "psnr, share",
    [
        ({0: 30.0, 5: 30.02, 10: 30.04}, None),  # next to nothing
        ({0: 30.0, 5: 29.0, 10: 31.0}, None),  # the other way
        ({0: 30.0, 5: 33.0, 10: 31.0}, None),  # far beyond
        ({0: 30.0, 4: 30.5, 10: 31.0}, None),  # not measured
        ({0: 30.0, 5: 31.1, 10: 31.0}, pytest.approx(1.1)),
        ({0: 30.0, 5: 30.25, 10: 31.0}, pytest.approx(0.25)),
    ],
)
def test_a_share_is_told_where_it_means_something(psnr, share):
    at = {step: pd.Series({0: value}) for step, value in psnr.items()}
    assert share_of_first_round(at, 10, 5) == share


def test_one_round_has_no_share_of_itself():
    at = {0: pd.Series({0: 30.0}), 5: pd.Series({0: 31.0})}
    assert share_of_first_round(at, 5, 5) is None


def test_the_spread_over_seeds_excuses_an_earlier_step():
    at = {0: pd.Series({0: 20.0, 1: 20.0}), 5: pd.Series({0: 29.9, 1: 30.12}), 10: pd.Series({0: 30.2, 1: 30.0})}
    assert first_as_good(at, 10) == 5, "0.09 dB less in the mean, spread 0.30"
    at[5] = pd.Series({0: 29.5, 1: 30.1})
    assert first_as_good(at, 10) == 10, "0.3 dB less is too much, whatever the spread"
    at[5] = pd.Series({0: 29.7, 1: 29.5})
    assert first_as_good(at, 10) == 10


def test_runs_that_diverged_are_told():
    assert told(table({0: 20.0, 5: 25.0}), more=[diverged("released", 10)]) == [
        "**No run came to its end: all diverged.**",
        '"released" diverged before step 10.',
    ]
    head, details, *_ = told(
        table({0: 20.0, 2: 25.0, 20: 25.0}), table({0: 20.0, 2: 19.0}, network="two"),
        more=[diverged("released", 20, network="two")],
    )  # fmt: skip
    assert head.endswith(". 2 steps are enough on EDSR-baseline. On SRResNet every run diverged.**")
    assert '"released" on SRResNet diverged before step 20.' in details


def test_seeds_that_diverged_are_left_out_and_told():
    """The surviving seed gains 5 dB; that of the other, before it diverged, would count in the mean before."""
    rows = joined(
        table({0: 20.0, 2: 25.0, 20: 25.0}), table({0: 10.0, 2: 9.0}, seeds=[1]), more=[diverged("released", 20, 1)]
    )
    (tuned,) = outcomes(rows, RUNS, EFFORT)["EDSR-baseline"].values()
    assert (tuned.start, tuned.end, tuned.seeds, tuned.diverged) == (20.0, 25.0, 1, 1)
    details = fine_tuning.conclusion(rows, RUNS, EFFORT)[1]
    assert '"released" diverged before step 20 with 1 of 2 seeds, which its numbers leave out.' in details


def test_what_was_not_run_is_not_told_of():
    rows = [
        not_run(question="fine_tuning", variable="step", level=str(step), series="short", backbone=NETS["one"])
        for step in (0, 5)
    ]
    assert list(outcomes(joined(table({0: 20.0, 5: 25.0}), more=rows), RUNS, EFFORT)["EDSR-baseline"]) == ["released"]


def test_turns_are_those_of_the_run():
    assert Turns.of(RUNS["released"], "W4A4 FQ", EFFORT) == Turns(("weight", "activation", "mapping"), 4, 5)
    assert Turns.of(RUNS["long rounds"], "W4A4 FQ", EFFORT) == Turns(("weight", "activation", "mapping"), 3, 20)
    assert Turns.of(RUNS["weight ranges alone"], "W4A4 FQ", EFFORT).groups == ("weight",)
    assert [(t[0], t[2]) for t in Turns(("a", "b"), 3, 5).rounds_of] == [(0, "a"), (5, "b"), (10, "a")]


def test_gains_by_round_need_both_ends():
    rows = joined(
        table({0: 20.0, 5: 25.0, 10: 26.0, 20: 27.0}),
        table({0: 21.0, 3: 24.0}, "short"),
        table({0: 20.0, 5: 21.0, 20: 22.0, 40: 25.0}, "long rounds", network="two"),
    )
    means = mean_psnr(rows)
    assert list(means) == [0, 3, 5, 10, 20, 40]
    gains = gains_by_round(rows, RUNS, EFFORT)
    assert list(gains.index) == [(NETS["one"], "released"), (NETS["two"], "long rounds")], "one has no whole round"
    assert list(gains["steps a round"]) == [5, 20]
    assert gains[["round 1", "round 2"]].to_numpy().tolist() == [[5.0, 1.0], [2.0, 3.0]]
    assert gains_by_round(table({0: 20.0, 3: 25.0}), RUNS, EFFORT).empty


def test_figures_name_the_groups_in_turn_of_each_run():
    rows = joined(
        table({0: 20.0, 2: 25.0, 20: 26.0}),
        table({0: 20.0, 20: 21.0}, "weight ranges alone", seeds=(0, 1)),
        table({0: 20.0, 60: 15.0}, "long rounds", network="two"),
        table({0: 20.0}, "short", network="two"),
        more=[diverged("short", 5, network="two")],
    )
    (figure,) = fine_tuning.figures(rows, RUNS, EFFORT).values()
    panels = {axis.get_title(): [text.get_text() for text in axis.texts] for axis in figure.axes if axis.axison}
    assert panels == {
        "released\nPSNR +6.00 dB": ["w", "a", "m", "w"],
        "weight ranges alone\nPSNR +1.00 dB": ["w", "w", "w", "w"],
        "long rounds\nPSNR -5.00 dB": ["w", "a", "m"],
        "short\ndiverged before step 5": [],
    }
    assert [axis.get_ylabel() for axis in figure.axes if axis.get_ylabel()] == [
        "EDSR-baseline\nW4A4 FQ",
        "SRResNet\nW4A4 FQ",
    ]


# -- networks -------------------------------------------------------------------------------------


@pytest.fixture
def root(tmp_path, monkeypatch):
    return enter_study_of_two(tmp_path, monkeypatch)


def networks(runs, **own):
    backbones = {"net.safetensors": {"seeds": [1, 0]} | own, "other.safetensors": {"seeds": [2], "sets": ["Second"]}}
    effort = Effort(patch_size=12, patches=None, rounds=3, steps_per_round=2)
    where = (backbones, "data", ["First", "Second"], "data/pool", effort, "W4A4 FQ", runs, ["steps"])
    return open_asked(*where, 1, parameter="runs")


def test_networks_and_runs_have_steps_of_their_own(root):
    runs = {
        "plain": {"method": "adabm"},
        "early": {"method": "adabm", "steps": [1], "seeds": [1], "backbones": ["net"], "run": False},
    }
    one, other = networks(runs, steps=[2, 4])
    told = lambda found: {
        steps: [(t.series, t.run.seed, t.wanted, len(t.calibration)) for t in trials] for steps, trials in found.items()
    }
    assert told(fine_tuning.trials(one, 2, runs, [6])) == {
        (2, 4): [("plain", 1, True, 2), ("plain", 0, True, 2)],
        (1,): [("early", 1, False, 2)],
    }
    assert told(fine_tuning.trials(other, 2, runs, [6])) == {(6,): [("plain", 2, True, 2)]}
    assert fine_tuning.trials(other, 2, runs, [6])[(6,)][0].run == Run.at("adabm", "W4A4 FQ", 2)


@pytest.mark.slow
def test_the_table_of_all_networks_holds_what_each_alone_gives(root):
    runs = {"plain": {"method": "adabm"}, "longer": {"method": "adabm", "steps": [3, 6], "backbones": ["net"]}}
    opened = networks(runs)
    trials = [fine_tuning.trials(network, 2, runs, [6]) for network in opened]
    found = fine_tuning.trace(opened, trials)
    assert found.equals(study_table(found.to_dict("records")))
    assert found[found["setting"] == "FP32"][["backbone", "dataset"]].to_numpy().tolist() == [
        ["net", "First"],
        ["other", "Second"],
    ], "full precision of a network's first set, once"
    levels = found[found["setting"] != "FP32"].groupby(["backbone", "series"], sort=False)["level"].agg(list)
    assert levels.to_dict() == {
        ("net", "plain"): ["0", "0", "6", "6"],
        ("net", "longer"): ["0", "0", "3", "6", "3", "6"],
        ("other", "plain"): ["0", "6"],
    }
    alone = opened[1].bench.trace("fine_tuning", trials[1][(6,)], [6])
    assert found[found["backbone"] == "other"].reset_index(drop=True).equals(alone)


@pytest.mark.parametrize(
    "runs, told",
    [
        ({"x": {"method": "adabm", "chnges": {}}}, "runs, x: unknown key 'chnges'"),
        ({"x": {"preset": "adabm"}}, "runs, x: unknown key 'preset'"),
        ({"x": {"method": "adabm", "backbones": ["nut"]}}, "runs, x: backbones: unknown 'nut'"),
        ({"x": {"method": "adabm", "steps": [0]}}, "runs, x: steps"),
    ],
)
def test_what_does_not_fit_is_refused(root, runs, told):
    with pytest.raises(ConfigError) as caught:
        networks(runs)
    assert told in str(caught.value)


def test_a_network_without_a_run_is_refused(root):
    runs = {"x": {"method": "adabm", "backbones": ["net"]}}
    with pytest.raises(ConfigError, match="backbones, other: no run is asked of it"):
        fine_tuning.trials(networks(runs)[1], 2, runs, [2])


def test_rates_of_networks_that_differ_are_named():
    rates = {("a", "run"): "0.01", ("b", "run"): "0.001", ("c", "run"): "0.01"}
    of = {"run": SimpleNamespace(seeds=2, end=30.0, last=5, helps=True, falls=False, rising=False, enough=5)}
    assert tuning_advice.advice(dict.fromkeys("abc", of), rates) == (
        "take 5 steps on a, b and c, at a learning rate of 0.01 on a and c and 0.001 on b."
    )


def test_what_is_lost_again_by_the_last_step_is_told():
    falls = table({0: 20.0, 5: 20.4, 10: 20.05}, seeds=(0, 1))
    falls.loc[(falls["level"] == "5") & (falls["seed"] == 1), "psnr_y_db"] += 0.1
    head, details, *_, advice, advised, _ = told(falls, table({0: 20.0, 5: 24.0, 10: 25.0}, network="two"))
    assert "hardly anything on EDSR-baseline (+0.05 dB, 2 seeds)" in head
    assert details == (
        "What ends best on EDSR-baseline had gained more at step 5, chosen by looking: +0.45 ± 0.07 dB, then -0.40 ± 0.07 dB in the turn of "
        "activation ranges."
    )
    assert "take 10 steps on SRResNet; at most 5 on EDSR-baseline, at a learning rate of 0.01." in advice
    assert cells(advised, 0)[:4] == ["EDSR-baseline", "at most 5 steps, chosen by looking", "0.01", "+0.45 ± 0.07 dB"]
    alone = told(falls)
    assert "take at most 5 steps, chosen by looking: by step 10 less of the gain is left." in alone[-2]


def test_a_run_that_gains_more_from_a_lower_start_is_told():
    rows = table({0: 29.0, 5: 30.0, 10: 30.0}, fab=4.3), table({0: 20.0, 5: 29.8}, "short", fab=3.8)
    assert (
        '"short" gains more, +9.80 dB, and ends lower: it starts at 20.00 dB instead of 29.00 and comes to 29.80 dB (FAB 3.8) in 5 steps '
        "instead of 30.00 dB (FAB 4.3) in 5 steps."
    ) in told(*rows)[1]


RATES = {
    "own": {"method": "adabm-own-bits"},
    "own, slow": {"method": "adabm-own-bits", "changes": {"tune.lr_weight": 0.001, "tune.lr_activation": 0.001}},
    "own, slower": {"method": "adabm-own-bits", "changes": {"tune.lr_weight": 1e-4, "tune.lr_activation": 1e-4, "tune.rounds": 1}},
    "own, short": {"method": "adabm-own-bits", "changes": {"tune.rounds": 2}},
    "released": {"method": "adabm"},
}  # fmt: skip


def test_the_answer_tells_learning_rates_by_network_and_where_the_best_runs_start():
    """Of the released rate the run speaks whose rounds other rates have too; runs from other ranges do not."""
    rows = joined(
        table({0: 30.0, 5: 30.5, 20: 30.5}, "own"),
        table({0: 30.0, 5: 30.5, 20: 30.52}, "own, slow"),
        table({0: 30.0, 5: 30.2}, "own, slower"),
        table({0: 30.0, 5: 30.5, 10: 30.51}, "own, short", seeds=(0, 1)),
        table({0: 20.0, 5: 30.0, 20: 30.1}, "released"),
        table({0: 29.0, 5: 28.0, 20: 27.0}, "own", network="two"),
        table({0: 29.0, 5: 29.5, 20: 29.6}, "own, slow", network="two"),
        table({0: 28.0, 5: 28.5, 20: 28.5}, "own", network="three"),
        table({0: 28.0, 5: 28.5, 20: 28.5}, "own", network="four"),
    )
    found = fine_tuning.conclusion(rows, RATES, EFFORT)
    head, details = found[:2]
    assert [text for text in found if text.startswith("*In practice:* from ranges at own bits take 5 to 20 steps on")]
    assert "armful" not in head
    assert details.startswith(
        "Harmful is a learning rate of 0.01 on SRResNet (-2.00 dB in 20 steps). "
        "Learning rate: 0.01 and 0.001 end alike on EDSR-baseline (+0.50 dB and +0.52 dB in 20 steps, 1 seed), 0.0001 lower (+0.20 dB "
        "in 5 steps, 1 seed); 0.001 ends best on SRResNet (+0.60 dB in 20 steps, 1 seed), 0.01 harms; only "
        "0.01 was tried on DAT-light and RRDBNet. Runs of unequal length are compared on EDSR-baseline. "
        "These runs start from weight ranges searched at own bits. Runs from the released ranges start and "
        "end lower: by 10.05 and 0.46 dB on EDSR-baseline (both at 0.01)."
    )
    assert not any("Learning rate" in text for text in told(table({0: 20.0, 5: 25.0, 20: 25.0}))), "one rate alone"


@pytest.mark.parametrize(
    "runs",
    [
        {"own": 29.0, "own, slow": 30.05},  # with no rate it gains
        {"own": 29.0, "own, short": 31.0, "own, slow": 31.0},  # with that rate another run gains
    ],
)
def test_a_rate_is_harmful_where_another_gains_and_it_does_not(runs):
    """Runs end after 10 steps, at 30 dB before."""
    tables = [table({0: 30.0, 5: end, 10: end}, name) for name, end in runs.items()]
    details = fine_tuning.conclusion(joined(*tables), RATES, EFFORT)[1]
    assert details.startswith('Worse than not fine-tuned is "own" (-1.00 dB). ') and "armful" not in details


def test_the_answer_has_three_sentences():
    tables = [
        table({0: 20.0, 2: 30.0, 20: 30.0}, "own"),
        table({0: 20.0, 5: 19.0, 20: 18.0}, "own, slow"),
        table({0: 20.0, 5: 21.0, 20: 22.0}, "own", network="two"),
        table({0: 31.0, 20: 30.0}, "own", network="three"),
    ]
    head, details, *_ = fine_tuning.conclusion(joined(*tables), RATES, EFFORT)
    assert details.startswith("Harmful is a learning rate of 0.001 on EDSR-baseline (-2.00 dB in 20 steps). ")
    assert head == (
        "**Fine-tuning gains +10.00 dB on EDSR-baseline and +2.00 dB on SRResNet in the runs that end best (1 seed). 2 steps are enough on "
        "EDSR-baseline; on SRResNet PSNR still rises at its last step, 20. Even what ends best is worse than not fine-tuned: -1.00 dB on "
        "DAT-light (1 seed).**"
    )
