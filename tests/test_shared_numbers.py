"""Numbers that several pages show agree: committed tables of one profile against each other."""

import itertools
from pathlib import Path

import pandas as pd
import pytest

from adabm.study.answers.measured import measured
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
