"""Numbers that several pages show agree: committed tables of one profile against each other."""

import itertools
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from adabm.study.answers.measured import measured
from adabm.study.pages.sections import provenance
from helpers.committed import PARAMETERS, Committed

WHOLE = "image+layer+clipping"
BOARD = ["loss_db", "fab", "relative_bitops", "size_kib", "seeds"]
QUALITY = ["psnr_y_db", "fab", "loss_db"]


@pytest.fixture(scope="module", params=PARAMETERS)
def committed(request) -> Committed:
    return Committed(request.param)


def alike(committed: Committed, *questions: str, but: tuple[str, ...] = ()) -> bool:
    """Whether the questions are asked of the same network, sets, pool, setting and fine-tuning."""
    keys = {"backbone", "data", "sets", "pool", "setting", "patch_size", "rounds", "steps_per_round"} - set(but)
    blocks = [committed.blocks[question] for question in questions]
    blocks = [{"backbone": first_network(block)} | block for block in blocks]
    first, *others = ({key: block[key] for key in keys} for block in blocks)
    return all(first == other for other in others)


def first_network(block: dict) -> str:
    """The first network of a question that is asked on several, which has the question's own sets and setting."""
    return next(iter(block.get("backbones", [block.get("backbone")])))


def rows(committed: Committed, question: str, variable: str, series: str, level: object) -> pd.DataFrame:
    table = measured(committed.tables[question], variable)
    here = table[(table["series"] == series) & (table["level"] == str(level))]
    return here.set_index(["backbone", "dataset", "seed"])[QUALITY].sort_index()


def assert_same(one: pd.DataFrame, other: pd.DataFrame) -> None:
    shared = one.index.intersection(other.index)
    assert len(shared), "nothing to compare"
    pd.testing.assert_frame_equal(one.loc[shared], other.loc[shared], check_exact=True)


def test_the_leaderboard_has_the_rows_of_the_evaluation(committed):
    board = pd.read_csv(committed.results / "report" / "leaderboard.csv")
    summary = pd.read_csv(committed.results / "evaluation" / "evaluation_summary.csv")
    keys = ["backbone", "dataset", "tile", "setting", "method"]
    expected = summary[(summary["status"] == "measured") & (summary["method"] != "fp32")].set_index(keys)
    shown = board.set_index(keys)
    assert set(shown.index) == set(expected.index) and "adabm" in shown.index.get_level_values("method")
    pd.testing.assert_frame_equal(shown[BOARD], expected.loc[shown.index, BOARD], check_dtype=False)


def test_the_leaderboard_has_the_times_of_the_timing(committed):
    board = pd.read_csv(committed.results / "report" / "leaderboard.csv")
    board = board[board["seconds_from"] == "whole"]  # others are put together from parts
    timed = committed.tables["timing"]
    timed = timed[timed["series"] == "whole recipe"]
    medians = timed.groupby(["backbone", "setting", "level"])["seconds"].median()
    for row in board.itertuples():
        assert row.seconds == medians[row.backbone, row.setting, row.method]
    assert len(board) or timed.empty


def test_the_summary_is_the_mean_of_the_pictures(committed):
    summary = pd.read_csv(committed.results / "evaluation" / "evaluation_summary.csv")
    pictures = pd.read_csv(committed.results / "evaluation" / "evaluation_pictures.csv")
    keys = ["backbone", "dataset", "tile", "setting", "method"]
    means = pictures.groupby([*keys, "seed"])["psnr_y_db"].mean().groupby(keys).mean()
    told = summary[summary["status"] == "measured"].set_index(keys)["psnr_y_db"]
    shared = told.index.intersection(means.index)
    assert len(shared) > 10 and (told[shared] - means[shared]).abs().max() < 1e-3


def test_full_precision_is_the_same_in_all_questions(committed):
    found: dict[tuple, set] = {}
    for question, table in committed.tables.items():
        for row in table[(table["setting"] == "FP32") & table["psnr_y_db"].notna()].itertuples():
            if pd.notna(row.pictures) and question != "complexity":  # which measures patches of the pictures
                found.setdefault((row.backbone, row.dataset, row.pictures), set()).add(row.psnr_y_db)
    assert found and all(len(values) == 1 for values in found.values()), found


@pytest.mark.parametrize("tuned", [True, False])
def test_twenty_random_pictures_give_the_same_in_size_sampling_and_components(committed, tuned):
    """Each draws them by the same seed; what differs in a question's plan is left out of the comparison."""
    same = []
    for question, variable, level in (
        ("set_size", "pictures", 20),
        ("sampling", "strategy", "random"),
        ("components", "components", WHOLE),
    ):
        block = committed.blocks[question]
        series = "fine-tuned" if tuned else "not fine-tuned"
        if question != "components":
            kept = lambda changes: (changes.get("tune", "released") is None) != tuned and "map_bits" not in changes
            (series,) = [name for name, method in block["methods"].items() if kept(method.get("changes", {}))]
        assert block.get("pictures", block.get("count", 20)) == 20
        same.append((question, rows(committed, question, variable, series, level)))
    compared = 0
    for (one, first), (other, second) in itertools.pairwise(same):
        if alike(committed, one, other, but=() if tuned else ("rounds", "steps_per_round")):
            assert_same(first, second)
            compared += 1
    assert compared, "no two of the questions have one plan any more"


def test_the_released_percentiles_are_the_recipe_itself(committed):
    """Thresholds moved nowhere: for images and for layers the same models."""
    for name in committed.blocks["thresholds"]["methods"]:
        images, layers = (
            rows(committed, "thresholds", "percentile", f"{which}, {name}", level)
            for which, level in (("images", 10), ("layers", 30))
        )
        pd.testing.assert_frame_equal(images, layers, check_exact=True)


def test_fine_tuning_starts_where_nothing_is_fine_tuned(committed):
    """Step 0 of the recipe of ``components``, where the plans are the same, is its row without fine-tuning."""
    blocks = committed.blocks
    first = Path(first_network(blocks["fine_tuning"])).stem
    same = [
        name
        for name, run in blocks["fine_tuning"]["runs"].items()
        if run["method"] == blocks["components"]["preset"] and first in run.get("backbones", [first])
    ]
    one_plan = alike(committed, "fine_tuning", "components", but=("rounds", "steps_per_round", "sets"))
    if not (same and one_plan and blocks["fine_tuning"]["pictures"] == blocks["components"]["pictures"]):
        pytest.skip("the plans of fine-tuning and components differ")
    table = rows(committed, "components", "components", "not fine-tuned", WHOLE)
    assert_same(rows(committed, "fine_tuning", "step", same[0], 0), table)


# Questions that look into models: how each calls the model of AdaBM that is not fine-tuned, all images alike, and its error
CALIBRATED = {
    "complexity": (None, "truth +0"),
    "dynamic": (("rule", "fixed (AdaBM)"), "truth"),
    "gradient": (("surrogate", "as calibrated"), "truth"),
}
FULL = {
    "complexity": "truth fp",
    "sensitivity": "truth fp",
    "separability": "truth fp",
    "bit_loss": "full",
    "gradient": "full",
}
PATCH = ["backbone", "dataset", "patch", "seed"]


def patch_errors(committed: Committed, question: str, column: str, only: tuple[str, str] | None = None) -> pd.Series:
    """Squared errors to ground truth by network, side of the patch, set, patch and seed."""
    table = pd.read_csv(committed.results / question / f"{question}_patches.csv")
    if only is not None:
        table = table[table[only[0]] == only[1]]
    block = committed.blocks[question]
    name_of_side = (
        "patch_size" if question == "gradient" else "side"
    )  # what it measures on is as large as what it calibrates on
    sides = {
        Path(name).stem.lower(): own.get(name_of_side, block[name_of_side]) for name, own in block["backbones"].items()
    }
    made_on = provenance(committed.results / question / f"{question}.csv")["torch_capability"]
    table = table.assign(side=table["backbone"].str.lower().map(sides))
    # a transformer's numbers are those of the processor's instructions; convolutions' are not (docs/results.md)
    table["side"] = (
        table["side"].astype(str).where(~table["backbone"].str.startswith("DAT"), table["side"].astype(str) + made_on)
    )
    keys = (
        [*PATCH, "side"] if only is None and column in FULL.values() else [*PATCH, "side", "fab"]
    )  # bits follow some patches
    return table.round({"fab": 3}).drop_duplicates(keys).set_index(keys)[column].sort_index()


def assert_close(found: dict[str, pd.Series]) -> int:
    """How many numbers were compared; they agree to the digits that are kept."""
    compared = 0
    for (one, first), (other, second) in itertools.combinations(found.items(), 2):
        both = pd.concat([first, second], axis=1, join="inner").to_numpy()
        np.testing.assert_allclose(both[:, 0], both[:, 1], rtol=1e-5, err_msg=f"{one} and {other}")
        compared += len(both)
    return compared


def test_patches_of_the_calibrated_model_have_one_error_in_all_questions(committed):
    """Where plans are the same: recipe, calibration pictures and side."""
    plans = {}
    for question, (only, column) in CALIBRATED.items():
        block = committed.blocks[question]
        method = block if only is None or "method" in block else next(iter(block["methods"].values()))
        plan = (method["method"], str(method["changes"]), block["pictures"], block["patch_size"])
        plans.setdefault(plan, {})[question] = patch_errors(committed, question, column, only)
    assert sum(assert_close(found) for found in plans.values()) >= 20


def test_patches_have_one_error_in_full_precision_in_all_questions(committed):
    found = {question: patch_errors(committed, question, column) for question, column in FULL.items()}
    assert assert_close(found) >= 5


def test_whole_pictures_have_one_psnr_in_full_precision_on_all_pages(committed):
    """Of the page of complexity, and of those that measure whole sets."""
    pictures = pd.read_csv(committed.results / "complexity" / "complexity_pictures.csv")
    psnr = pictures.assign(psnr=10 * np.log10(255**2 / pictures["truth fp"]))
    of_sets = psnr[psnr["seed"] == psnr["seed"].min()].groupby(["backbone", "dataset"])["psnr"].agg(["mean", "size"])
    compared = 0
    for table in committed.tables.values():
        for row in table[(table["setting"] == "FP32") & table["pictures"].notna()].itertuples():
            if (row.backbone, row.dataset) in of_sets.index and row.question != "complexity":
                mean, size = of_sets.loc[(row.backbone, row.dataset)]
                if size == row.pictures:
                    assert row.psnr_y_db == pytest.approx(mean, abs=6e-4), (row.question, row.backbone, row.dataset)
                    compared += 1
    assert compared
