"""What answers tell of models whose fine-tuning diverged, and of tables in which all did."""

import pytest

from adabm.errors import StudyError
from adabm.study.answers import components, pictures, pool, sampling, set_size, thresholds
from adabm.study.answers.diverged import tell_diverged
from adabm.study.tables.schema import study_table
from helpers.study_tables import diverged, row


def table(variable="pictures", levels=("1", "20"), series=("adabm",), networks=("net",), seeds=(0, 1, 2)):
    """Full precision, and models that gain 0.1 dB a level and seed."""
    rows = []
    for name in networks:
        rows.append(row(backbone=name, setting="FP32", series="full precision", variable="none", level="none", seed=0))
        for place, level in enumerate(levels):
            keys = dict(backbone=name, variable=variable, level=level)
            rows += [
                row(**keys, series=one, seed=seed, psnr_y_db=30 + place / 10 + seed / 10)
                for one in series
                for seed in seeds
            ]
    return study_table(rows)


THRESHOLDS = ("images, untuned", "layers, untuned")
TOLD = {
    "set_size": (lambda of: set_size.conclusion(of, 40), lambda: table(series=("a", "b"))),
    "sampling": (
        lambda of: sampling.conclusion(sampling.compared(of)),
        lambda: table("strategy", ("random", "diverse"), ("a", "b")),
    ),
    "components": (
        lambda of: components.conclusion(of, 9),
        lambda: table("components", ("image+layer", "image+layer+clipping"), ("not fine-tuned", "fine-tuned")),
    ),
    "thresholds": (thresholds.conclusion, lambda: table("percentile", ("0", "10", "30"), THRESHOLDS)),
    "pool": (lambda of: pool.conclusion(of, 0.25), lambda: table("pool", ("photographs", "noise"), ("a", "b"))),
    "pictures": (
        lambda of: pictures.conclusion(of, ["one"]),
        lambda: table("setting", ("W4A4 FQ",), ("a", "b"), seeds=(0,)),
    ),
}


@pytest.mark.parametrize("question", TOLD)
def test_a_series_that_diverged_wholly_or_in_part_is_named_with_its_seeds(question):
    conclude, make = TOLD[question]
    whole = make()
    last = whole["series"].iloc[-1]
    seeds = whole["seed"].nunique()
    told = "\n".join(conclude(diverged(whole, whole["series"] == last)))
    count = "its only seed" if seeds == 1 else f"all {seeds} seeds"
    assert f'Diverged, and left out of all numbers: "{last}" ({count}).' in told and "nan" not in told
    if seeds > 1:
        told = "\n".join(conclude(diverged(whole, (whole["series"] == last) & (whole["seed"] > 0))))
        assert f'"{last}" (2 of 3 seeds).' in told and "nan" not in told
    assert "iverged" not in "\n".join(conclude(whole))


@pytest.mark.parametrize("question", TOLD)
def test_a_table_in_which_all_diverged_is_refused(question):
    conclude, make = TOLD[question]
    whole = make()
    lost = diverged(whole, whole["variable"] != "none")
    with pytest.raises(StudyError, match="full precision and [0-9]+ models with status 'diverged': no quantized model"):
        conclude(lost)
    if question != "pictures":
        figures = {"set_size": set_size, "sampling": sampling, "components": components, "pool": pool}
        with pytest.raises(StudyError, match="no quantized model"):
            figures.get(question, thresholds).figures(lost)


@pytest.mark.parametrize("question, reference", [("sampling", "random"), ("pool", "photographs"), ("thresholds", "0")])
def test_a_table_whose_reference_diverged_is_refused(question, reference):
    conclude, make = TOLD[question]
    whole = make()
    with pytest.raises(StudyError, match=reference):
        conclude(diverged(whole, whole["level"] == reference))
    part = "\n".join(
        conclude(diverged(whole, (whole["level"] == reference) & (whole["series"] == whole["series"].iloc[-1])))
    )
    assert f"(all 3 seeds at {reference})" in part and "nan" not in part, "the other series is told all the same"


def test_networks_levels_and_seeds_are_told_where_they_differ():
    whole = table(networks=("one", "two"))
    assert tell_diverged(whole) == []
    lost = diverged(whole, (whole["backbone"] == "two") & (whole["level"] == "1") & (whole["seed"] > 0))
    assert tell_diverged(lost) == ['Diverged, and left out of all numbers: "adabm" on two (2 of 3 seeds at 1).']
    sets = study_table([*whole.to_dict("records"), *whole.assign(dataset="Set14").to_dict("records")])
    lost = diverged(sets, (sets["backbone"] == "one") & (sets["seed"] == 1))
    assert tell_diverged(lost) == ['Diverged, and left out of all numbers: "adabm" on one (1 of 3 seeds).']
