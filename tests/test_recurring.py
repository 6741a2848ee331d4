"""One recipe on several pages: what each measured, and with which plan."""

import json

import pandas as pd

from adabm.study.pages.recurring import recurring
from adabm.study.tables.schema import study_table
from helpers.study_tables import row

OWN = {"method": "adabm-own-bits", "changes": {"tune": None}}
SIZE = [
    row(question="set_size", variable="pictures", level=level, series="plain", seed=seed, psnr_y_db=psnr, fab=fab,
        calibration_pictures=int(level))
    for level, seed, psnr, fab in (("20", 0, 30.0, 4.2), ("20", 1, 29.0, 4.0), ("5", 0, 20.0, 4.0))
]  # fmt: skip
SAMPLING = [
    row(question="sampling", variable="strategy", level=level, series="plain", psnr_y_db=psnr, fab=4.2, calibration_pictures=20)
    for level, psnr in (("random", 30.0), ("extremes", 25.0))
]  # fmt: skip
TUNED = [row(question="sampling", variable="strategy", level="random", series="tuned", psnr_y_db=31.0, seed=7)]


def shown(results, rows, **sides):
    for question, side in sides.items():
        folder = results / question
        folder.mkdir(parents=True)
        parameters = {"methods": {"plain": OWN, "tuned": {"method": "adabm-own-bits"}}, "effort": {"patch_size": side}}
        (folder / f"{question}.provenance.json").write_text(json.dumps({"parameters": parameters}))
    return recurring(results, study_table(rows))


def test_each_page_tells_its_plan_and_its_seeds(tmp_path):
    cells = shown(tmp_path, SIZE + SAMPLING + TUNED, set_size=96, sampling=48).cells
    assert list(cells["patch (pixels)"]) == ["96", "48"] and list(cells["calibration pictures"]) == ["20", "20"]
    assert list(cells["PSNR-Y (dB)"]) == ["29.50 ± 0.71", "30.00"]
    assert list(cells["by seed (FAB)"]) == ["30.00 (4.2), 29.00 (4.0)", "30.00 (4.2)"]


def test_traces_of_fine_tuning_and_the_main_results_stand_beside(tmp_path):
    """The page of stopping takes 4 steps, 2 of weight ranges; that of fine-tuning measured 4 of its first round too."""
    keys = dict(variable="step", series="adabm")
    stopped = [
        row(question="stopping", level=level, psnr_y_db=psnr, pictures=8, **keys)
        for level, psnr in (("0", 18.0), ("4", 22.0))
    ]
    traced = [
        row(question="fine_tuning", variable="step", level=level, series=series, seed=seed, psnr_y_db=psnr, calibration_pictures=20)
        for series, seed in (("released", 0), ("released, short", 0), ("released, short", 1), ("slow", 0))
        for level, psnr in (("0", 19.0), ("4", 31.0), ("8", 31.5))
    ]  # fmt: skip
    plans = {
        "stopping": {"methods": {"adabm": {"method": "adabm"}}, "pictures": 20, "side": 24, "effort": {"patch_size": 24, "rounds": 4, "steps_per_round": 1}},
        "fine_tuning": {
            "runs": {
                "released": {"method": "adabm"},
                "released, short": {"method": "adabm", "changes": {"tune.rounds": 1}},
                "slow": {"method": "adabm", "changes": {"tune.lr_weight": 0.001}},
            },
            "effort": {"patch_size": 96, "rounds": 3, "steps_per_round": 8},
        },
        "evaluation": {"plan": [], "effort": {"patch_size": 96, "rounds": 3, "steps_per_round": 2}},
    }  # fmt: skip
    for question, parameters in plans.items():
        (tmp_path / question).mkdir()
        (tmp_path / question / f"{question}.provenance.json").write_text(json.dumps({"parameters": parameters}))
    place = {name: SIZE[0][name] for name in ("backbone", "dataset", "setting")}
    main = [
        place | dict(tile=0, method=method, seed=0, status="measured", pictures=5, psnr_y_db=psnr, fab=4.4)
        for method, psnr in (("adabm-notune", 19.5), ("adabm", 31.2), ("minmax", 30.0))
    ]
    pd.DataFrame(main).to_csv(tmp_path / "evaluation" / "evaluation.csv")
    cells = shown(tmp_path, SIZE + SAMPLING + stopped + traced, set_size=96, sampling=48).cells
    found = [tuple(line)[1:] for line in cells.drop(columns=["page", "by seed (FAB)"]).itertuples(index=False)]
    assert found[2:] == [
        ("not", "the pool", "96", "5 pictures", "19.50"),
        ("not", "20", "24", "8 patches of 24", "18.00"),
        ("not", "20", "96", "5 pictures", "19.00 ± 0.00"),
        ("4 steps, 2 of weight ranges", "20", "24", "8 patches of 24", "22.00"),
        ("4 steps, 4 of weight ranges", "20", "96", "5 pictures", "31.00 ± 0.00"),
        ("6 steps, 2 of weight ranges", "the pool", "96", "5 pictures", "31.20"),
    ]


def test_one_page_alone_has_nothing_to_explain(tmp_path):
    assert shown(tmp_path, SIZE, set_size=96) is None


def test_without_provenance_no_plan_is_known(tmp_path):
    assert recurring(tmp_path, study_table(SIZE + SAMPLING)) is None


def test_another_network_is_no_page_of_the_same_model(tmp_path):
    other = [dict(r, backbone="another") for r in SAMPLING]
    table: pd.DataFrame = shown(tmp_path, SIZE + other, set_size=96, sampling=96)
    assert table is None


def test_other_networks_are_told_in_a_sentence_where_patches_of_another_size_give_other_numbers(tmp_path):
    def other(rows: list[dict], psnr: float) -> list[dict]:
        return [dict(r, backbone="srresnet_bn_x4", psnr_y_db=psnr, calibration_pictures=20) for r in rows[:1]]

    told = lambda results, size, sampled, **sides: (
        shown(results, SIZE + SAMPLING + other(SIZE, size) + other(SAMPLING, sampled), **sides).caption
    )
    one = told(tmp_path / "one", 29.4, 29.75, set_size=96, sampling=48)
    assert one.endswith(
        " Other networks alike: on SRResNet (Set5, W4A4 FQ) adabm-own-bits, not fine-tuned, from 20 pictures comes to 29.40 dB with patches "
        "of 96 pixels and 29.75 dB with patches of 48 pixels."
    )
    assert "Other networks" not in told(tmp_path / "alike", 29.4, 29.4, set_size=96, sampling=48)
    assert "Other networks" not in told(tmp_path / "same", 29.4, 29.75, set_size=96, sampling=96), "of one size"


def test_a_network_may_have_patches_of_its_own(tmp_path):
    shown(tmp_path, SIZE + SAMPLING, set_size=96, sampling=96)
    path = tmp_path / "sampling" / "sampling.provenance.json"
    record = json.loads(path.read_text())
    record["parameters"]["backbones"] = {f"a/{SIZE[0]['backbone'].upper()}.safetensors": {"patch_size": 48}, "b": {}}
    path.write_text(json.dumps(record))
    cells = recurring(tmp_path, study_table(SIZE + SAMPLING)).cells
    assert list(cells["patch (pixels)"]) == ["96", "48"]


def test_that_the_leaderboard_is_of_other_pictures_is_told(tmp_path):
    place = {name: SIZE[0][name] for name in ("backbone", "dataset", "setting")}
    main = place | dict(tile=0, method="adabm", seed=0, status="measured", pictures=5, psnr_y_db=31.2, fab=4.4)
    plan = {"plan": [], "effort": {"patch_size": 96, "rounds": 3, "steps_per_round": 2}}
    for told, dataset in ((True, "whole"), (False, SIZE[0]["dataset"])):
        results = tmp_path / dataset
        (results / "evaluation").mkdir(parents=True)
        pd.DataFrame([main | {"dataset": dataset}]).to_csv(results / "evaluation" / "evaluation.csv")
        (results / "evaluation" / "evaluation.provenance.json").write_text(json.dumps({"parameters": plan}))
        caption = shown(results, SIZE + SAMPLING, set_size=96, sampling=48).caption
        assert ("The leaderboard's pictures are others: whole." in caption) == told
