"""Which parts earn their bits: trials, and effects told from tables whose answer is known."""

from pathlib import Path

import numpy as np
import pytest

from adabm.errors import ConfigError
from adabm.study import Effort
from adabm.study.answers import components
from adabm.study.answers.component_frontier import as_many_bits, at_equal_fab, by_bits
from adabm.study.answers.component_trials import SERIES, Trials, all_combinations, switched
from adabm.study.answers.significance import Difference
from adabm.study.tables.schema import study_table
from helpers.study_tables import not_run, row

FRONTIER = {
    "bits": [3, 4],
    "weight_bits": 4,
    "series": ["AdaBM, not fine-tuned"],
    "tuned": {"bits": [4], "series": ["AdaBM"]},
}


class Bench:
    """Chooses pictures by number alone."""

    effort = Effort(12, None, 3, 1)

    def choose(self, strategy, count, run):
        assert strategy == "random"
        return (Path("picture.png"),) * count


def make(setting="W4A4 FQ", **changes) -> Trials:
    return Trials(Bench(), "adabm", setting, 5, [0, 1], **changes)


def of(variable, levels, series, gain=0.0, fab=None):
    """Two seeds a level, whose PSNR differ alike in every series."""
    return [
        row(question="components", variable=variable, level=level, series=series, seed=seed, dataset=dataset,
            psnr_y_db=value + seed * 0.1 + gain, fab=(float(level) if fab is None else fab))
        for dataset in ("Set5", "Set14") for level, value in levels.items() for seed in (0, 1)
    ]  # fmt: skip


def parts(series, **levels):
    return of("components", {name.replace("_", "+"): value for name, value in levels.items()}, series, fab=4.0)


# -- trials ----------------------------------------------------------------------------------------


def test_all_combinations_begin_with_none():
    assert all_combinations() == [
        "none", "image", "layer", "clipping", "image+layer", "image+clipping", "layer+clipping", "image+layer+clipping"
    ]  # fmt: skip


def test_a_combination_switches_the_rest_off():
    assert switched("none") == {"map_bits.image": None, "map_bits.layer": None, "clip": None, "tune": None}
    assert switched("image+tuning") == {"map_bits.layer": None, "clip": None}
    with pytest.raises(ConfigError, match=r"combinations, image\+layr: unknown 'layr'"):
        switched("image+layr")


def test_series_tells_tuning_and_level_the_rest():
    trials = make().components(["tuning", "clipping+image"])
    assert [(t.series, t.level, t.run.seed) for t in trials] == [
        ("fine-tuned", "none", 0),
        ("fine-tuned", "none", 1),
        ("not fine-tuned", "image+clipping", 0),
        ("not fine-tuned", "image+clipping", 1),
    ]
    assert all(t.wanted and len(t.calibration) == 5 for t in trials)


@pytest.mark.parametrize("setting, full", [("W4A4 FQ", " FQ"), ("W4A4", ""), ("W8A6", "")])
def test_the_frontier_is_fully_quantized_where_the_setting_is(setting, full):
    trials = make(setting).frontier(FRONTIER)
    assert [t.run.setting for t in trials] == [f"W4A{bits}{full}" for bits in (3, 3, 4, 4, 4, 4)]
    assert [t.series for t in trials[-2:]] == ["AdaBM", "AdaBM"] and trials[0].level == "3"


def test_what_is_tuned_can_be_left_out():
    wanted = {t.series: t.wanted for t in make(run_tuned=False).frontier(FRONTIER)}
    assert wanted == {"AdaBM, not fine-tuned": True, "AdaBM": False}
    assert not any(t.wanted for t in make(run_tuned=False).bit_weights([5]))


def test_interventions_and_weights_reach_their_runs():
    trials = make().frontier(FRONTIER | {"series": ["opposite layer factors, not fine-tuned"]})
    dealt = {"map_bits.image": None, "deal_factors": (("by", "opposite"),), "tune": None}
    assert dict(trials[0].run.changes) == dealt
    (trial, _) = make().bit_weights([0.5])
    assert trial.level == "0.5" and dict(trial.run.changes) == {"tune.bit_weight": 0.5}
    assert len(SERIES) == 10


def test_a_frontier_that_does_not_fit_is_named():
    with pytest.raises(ConfigError, match="frontier: unknown key 'bit'"):
        make().frontier(FRONTIER | {"bit": 3})
    with pytest.raises(ConfigError, match="frontier: unknown 'AdaBN'"):
        make().frontier(FRONTIER | {"series": ["AdaBN"]})


# -- conclusion ------------------------------------------------------------------------------------


def test_what_holds_on_the_first_set_alone_is_said_to():
    rows = parts("fine-tuned", image_layer_clipping=30.0, layer_clipping=29.9, image_clipping=29.0)
    for each in rows:  # so that it is not clear on Set5
        each["psnr_y_db"] += 0.15 * each["seed"] * (each["level"] == "layer+clipping" and each["dataset"] == "Set5")
    _, told, advice, _ = components.conclusion(study_table(rows), steps=30)
    clear = "by +0.10 dB (clearly) and layer mapping by +1.00 dB (clearly), fine-tuned."
    assert f"On Set14 image mapping changes PSNR {clear}" in told
    assert advice.startswith("*In practice:* keep all of AdaBM, which has the most PSNR") and "Set14" not in advice
    for each in rows:
        if each["dataset"] == "Set14" and each["level"] == "layer+clipping":
            each["psnr_y_db"] += 0.3 + 0.2 * each["seed"]
    _, told, advice, _ = components.conclusion(study_table(rows), steps=30)
    assert "On Set14 image mapping changes PSNR by -0.30 ± 0.14 dB and" in told
    assert advice.endswith(" That is on Set5; on Set14 layer+clipping has most, by 0.30 ± 0.14 dB.")
    for each in rows:
        if each["dataset"] == "Set14" and each["level"] == "layer+clipping":
            each["psnr_y_db"] -= 0.198 * each["seed"]
    assert components.conclusion(study_table(rows), steps=30)[0].endswith(
        "does is not clear with so few seeds; on Set14 image mapping (-0.20 ± 0.00 dB) is clear (fine-tuned for 30 steps; over 2 seeds, not over pictures).**"
    )


def test_effects_are_of_a_part_beside_the_other_two():
    rows = parts("not fine-tuned", image_layer_clipping=30.0, layer_clipping=30.2, image_clipping=29.0)
    head, told, advice, evidence = components.conclusion(study_table(rows), steps=30)
    assert head == (
        "**On net_x4 layer mapping (+1.00 dB at +0.00 bits) clearly adds quality; image mapping (-0.20 dB at +0.00 bits) "
        "clearly costs it (not fine-tuned; over 2 seeds, not over pictures).**"
    ), "differences that are the same with every seed need no test"
    assert told.startswith(
        "A part's effect is what it adds to the other two at the same base bits, on Set5. Seeds draw what models are calibrated on, not the "
        "pictures that they are measured on. This is one network, net_x4:"
    )
    assert advice == (
        "*In practice:* on net_x4 use layer+clipping, the best combination: +0.20 dB against all of AdaBM (chosen by looking, out of 3)."
    )
    assert "| AdaBM, not fine-tuned | without layer mapping |" in evidence


@pytest.mark.parametrize("alone, certainty", [([30.0, 30.2], "not clearly"), ([29.0, 29.1], None)])
@pytest.mark.parametrize("series", ["fine-tuned", "not fine-tuned"])
def test_a_gain_that_is_not_clear_without_what_costs_is_told(alone, certainty, series):
    """In the only series that has both combinations."""
    rows = parts("fine-tuned", image_layer_clipping=30.0, layer_clipping=30.2, image_clipping=29.0)
    rows += parts("not fine-tuned", layer_clipping=30.2) if series != "fine-tuned" else []
    rows += [one | dict(psnr_y_db=alone[one["seed"]]) for one in parts(series, clipping=0.0)]
    told = components.conclusion(study_table(rows), steps=30)[1]
    how = "" if series == "fine-tuned" else ", not fine-tuned"
    assert ("Without image mapping" in told) == (certainty is not None)
    assert certainty is None or f"Without image mapping layer mapping adds +0.15 ± 0.07 dB{how} ({certainty})." in told


def test_only_what_is_sure_is_called_clear():
    effects = {
        "image": Difference(-0.3, 0.1, 0.03), "layer": Difference(0.4, 0.1, 0.01), "clipping": Difference(0.3, 0.1, 0.06)
    }  # fmt: skip
    bits = {"image": 0.25, "layer": 0.0, "clipping": -0.001}
    assert components._verdict(effects, bits, "net", {}) == (
        "On net layer mapping (+0.40 ± 0.10 dB at +0.00 bits) clearly adds quality; image mapping (-0.30 ± 0.10 dB at +0.25 bits) "
        "clearly costs it; what clipping (+0.30 ± 0.10 dB at +0.00 bits) does is not clear with so few seeds"
    )
    elsewhere = {"Set14": {"clipping": Difference(0.2, 0.05, 0.01)}}
    assert components._verdict(effects, bits, "net", elsewhere).endswith(
        "does is not clear with so few seeds; on Set14 clipping (+0.20 ± 0.05 dB) is clear"
    )


def test_all_parts_together_may_be_best():
    rows = parts("fine-tuned", image_layer_clipping=30.0, layer_clipping=29.0)
    told = components.conclusion(study_table(rows), 30)
    assert "on Set5; fine-tuning takes 30 steps." in told[1] and "keep all of AdaBM" in told[2]


def test_a_part_that_costs_bits_for_nothing_sure_is_to_be_left_out():
    rows = parts("fine-tuned", image_layer_clipping=30.0, layer_clipping=29.99, image_clipping=29.0)
    for each in rows:
        each["fab"] -= 0.25 * (each["level"] == "layer+clipping")
        each["psnr_y_db"] += 0.02 * each["seed"] * (each["level"] == "image+clipping")
        each["psnr_y_db"] -= 0.1 * each["seed"] * (each["level"] == "layer+clipping")
    head, _, advice, _ = components.conclusion(study_table(rows), 30)
    assert "what image mapping (+0.06 ± 0.07 dB at +0.25 bits) does is not clear" in head
    assert advice == (
        "*In practice:* on net_x4 keep layer mapping, and do without image mapping: +0.25 bits for +0.06 ± 0.07 dB, "
        "which the seeds cannot tell from nothing."
    )


def test_a_part_without_bits_is_kept_and_why_is_told():
    """Clipping is not clear on the first set, whose two seeds are far apart, but on the second."""
    rows = parts("fine-tuned", image_layer_clipping=30.0, layer_clipping=29.99, image_layer=29.0)
    for each in rows:
        each["fab"] -= 0.25 * (each["level"] == "layer+clipping")
        each["psnr_y_db"] -= 0.1 * each["seed"] * (each["level"] == "layer+clipping")
        each["psnr_y_db"] += 1.5 * each["seed"] * (each["level"] == "image+layer")
    advice = lambda: components.conclusion(study_table(rows), 30)[2]
    assert advice().startswith(
        "*In practice:* on net_x4 keep clipping (no bits), and do without image mapping: +0.25 bits"
    )
    for each in rows:
        if each["dataset"] == "Set14" and each["level"] == "image+layer":
            each["psnr_y_db"] -= 1.49 * each["seed"]
    assert "keep clipping (no bits; clear on Set14), and do without image mapping" in advice()


def test_what_as_many_bits_dealt_evenly_give_is_interpolated():
    front = study_table(of("bits", {"4": 30.0, "6": 31.0}, "layer mapping, not fine-tuned"))
    front = front[front["dataset"] == "Set5"].assign(setting=front["level"].map("W4A{} FQ".format))
    assert as_many_bits(front, "W4A4 FQ", 0.25) == (
        "; as many bits dealt evenly give +0.12 dB (interpolated between base bits, not fine-tuned)"
    )
    assert as_many_bits(front, "W4A6 FQ", 0.25) == as_many_bits(front[:0], "W4A4 FQ", 0.25) == ""


def test_the_answer_tells_whether_dealing_layers_by_chance_does_as_well():
    one, other = "layer mapping, not fine-tuned", "random layer factors, not fine-tuned"
    rows = parts("not fine-tuned", image_layer_clipping=30.0, layer_clipping=29.0)
    rows += of("bits", {"4": 29.0}, one) + of("bits", {"4": 28.0}, other)
    assert components.conclusion(study_table(rows), 30)[2].startswith(
        "Layer mapping, not fine-tuned, is better than random layer factors at 1 of 1 base bits, clearly (2 seeds)."
    )


def test_what_has_nothing_to_compare_is_left_out():
    assert components.conclusion(study_table(parts("fine-tuned", layer_clipping=29.0)), 30) == []
    assert components.conclusion(study_table(parts("fine-tuned", image_layer_clipping=29.0)), 30) == []


def test_the_worth_of_images_is_of_tuned_models_where_there_are_any():
    rows = parts("not fine-tuned", image_layer_clipping=30.0, layer_clipping=29.0)
    table = study_table(rows)
    assert components.image_worth(table) == (
        "Beside layer mapping and clipping it changes PSNR by +1.00 dB (clearly, 2 seeds) and FAB by +0.00 bits, "
        "not fine-tuned, on net_x4 and Set5."
    )
    rows += parts("fine-tuned", image_layer_clipping=30.0, layer_clipping=30.5)
    told = components.image_worth(study_table(rows))
    assert "-0.50 dB (clearly, 2 seeds)" in told and ", fine-tuned, on" in told
    assert components.image_worth(table[:0]) == ""


def test_sensitivity_is_compared_at_equal_bits():
    one, other = "layer mapping, not fine-tuned", "uniform bits, not fine-tuned"
    rows = of("bits", {"10": 30.0, "4": 29.0}, one) + of("bits", {"10": 29.999, "4": 28.0, "3": 20.0}, other)
    table = study_table(rows)
    found = by_bits(table[table["dataset"] == "Set5"], one, other)
    assert list(found) == ["4", "10"] and found["4"].mean == pytest.approx(1.0)
    told = components.conclusion(table, 30)
    assert told[0] == "**The parts of AdaBM were not compared with each other.**"
    assert (
        told[1] == "Layer mapping, not fine-tuned, is better than uniform bits at 1 of 2 base bits, clearly (2 seeds)."
    )
    seeds = lambda gain: [
        r | dict(psnr_y_db=r["psnr_y_db"] + gain + 0.01 * r["seed"]) for r in rows if r["series"] == one
    ]
    sure = study_table([*seeds(1.0), *(r for r in rows if r["series"] == other)])
    assert "than uniform bits at all 2 base bits, clearly (2 seeds)." in components.conclusion(sure, 30)[1]
    worse = study_table([*seeds(-3.0), *(r for r in rows if r["series"] == other)])
    assert "at none of 2 base bits and clearly worse at 2 (2 seeds)." in components.conclusion(worse, 30)[1]


def test_equal_fab_is_interpolated_seed_by_seed():
    front = study_table(
        of("bits", {"4": 31.0, "9": 40.0}, "AdaBM") + of("bits", {"3": 28.0, "5": 30.0}, "uniform bits")
    )
    gaps = at_equal_fab(front[front["dataset"] == "Set5"], "AdaBM", "uniform bits")
    assert list(gaps) == ["4"], "9 is beyond the other curve"
    np.testing.assert_allclose(gaps["4"], [[4.0, 2.0], [4.0, 2.0]])
    _, told, evidence = components.conclusion(front, 30)
    assert told == "AdaBM has more PSNR than uniform bits of equal FAB (interpolated) at 1 of 1 base bits."
    assert "| AdaBM          | 4.00  | +2.00                       | 0.00" in evidence


def test_weights_of_the_bit_loss():
    rows = of("bit_weight", {"0": 30.0, "50": 29.0}, "AdaBM", fab=4.25)
    _, told, evidence = components.conclusion(
        study_table([*rows, not_run(question="components", variable="bit_weight", level="500")]), 30
    )
    assert told == "Over all weights of the bit loss PSNR spans 1.00 dB and FAB 0.00."
    assert "| 0                        | 30.05         | 4.25  |" in evidence and "500" not in evidence


def test_figures_are_those_of_what_was_measured():
    rows = parts("not fine-tuned", image_layer_clipping=30.0)
    rows += [
        row(
            question="components",
            setting="FP32",
            series="full precision",
            variable="none",
            level="none",
            dataset=d,
            psnr_y_db=31.0,
        )
        for d in ("Set5", "Set14")
    ]
    drawn = components.figures(study_table(rows))
    assert list(drawn) == [""]
    assert [text.get_text() for text in drawn[""].axes[0].texts] == ["4.00", "FAB", "full precision"], (
        "bits beside PSNR"
    )
    rows += of("bits", {"4": 31.0}, "AdaBM") + of("bit_weight", {"5": 31.0}, "AdaBM")
    assert list(components.figures(study_table(rows))) == ["", "frontier"], "one weight moves nothing"
    rows += of("bit_weight", {"50": 30.0}, "AdaBM")
    assert list(components.figures(study_table(rows))) == ["", "frontier", "bit_weight"]
