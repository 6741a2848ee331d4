"""The leaderboard: which recipe loses least, at which bits and cost, and how long it takes."""

from collections.abc import Mapping, Sequence

import pandas as pd
from scipy import stats

from ...full_precision import FULL_PRECISION
from ..running.runs import MEASURED
from .executable import in_integers, more_code_bits
from .methods import method
from .networks import network
from .presentation import ReadableTable, by_bits
from .summary import label_of, of_one_engine
from .times import parts, places_timed, timed_whole
from .wording import SIGNIFICANT

_SHOWN_BEST = 5
_ALWAYS_SHOWN = ("adabm", "adabm-layer", "minmax")  # with the released recipe, what it is compared with
SLIGHT = 0.05  # dB; a lead of so little, of one seed, tells nothing
_BELOW = 0.1  # bits; a FAB that is farther below the setting's is another one
BY_PARTS = "parts"  # how seconds were put together; else they are of the whole recipe
_INTEGER = {True: "yes", False: "no", None: ""}


def leaderboard(
    summary: pd.DataFrame, timing: pd.DataFrame | None = None, steps: Mapping[str, int] | None = None
) -> pd.DataFrame:
    """Return a row for each network, set, setting and recipe that was measured, the least loss of each setting first.

    Where several engines measured one, the simulation stands for it; a label names another engine.

    Columns: ``backbone, dataset, tile, setting, method, label, loss_db, psnr_std_db, seeds, fab, relative_bitops,
    size_kib`` as in ``summary``; ``code_bits``, the mean over layers of log2 of the codes that a layer's input can have;
    ``integer``, ``yes`` where the integer engines take the recipe's quantizers (of convolutions), else ``no``;
    ``seconds``, the measured median on one thread where the network's recipe was timed at that setting; and
    ``seconds_from``, ``whole`` where it was timed as a whole. The time of a recipe that fine-tunes follows the number of
    steps, another one in each question: there ``parts``, and the seconds are calibration, clipping and as many steps as the
    evaluated models had, from their measured parts.

    Args:
        summary: of the evaluation, a row a cell.
        timing: the table of the question ``timing``.
        steps: of the recipe whose parts were timed, how many the evaluation gave it.
    """
    rows = of_one_engine(summary[(summary["status"] == MEASURED) & (summary["method"] != FULL_PRECISION)])
    columns = ["loss_db", "psnr_std_db", "seeds", "fab", "relative_bitops", "size_kib"]
    board = rows[["backbone", "dataset", "tile", "setting", "method", *columns]].copy()
    board.insert(5, "label", [label_of(row) for _, row in rows.iterrows()])
    recipes = [method(name).recipe for name in board["method"]]
    board["code_bits"] = [bits + (more_code_bits(own) if own else 0) for bits, own in zip(board["fab"], recipes)]
    board["integer"] = [_INTEGER[in_integers(own) if own else None] for own in recipes]
    keys = list(zip(board["backbone"], board["setting"], board["method"]))
    whole = timed_whole(timing) if timing is not None else {}
    summed = _from_parts(timing, steps or {}) if timing is not None else {}
    board["seconds"] = [summed.get(key) if method(key[-1]).tuned else whole.get(key) for key in keys]
    board["seconds"] = board["seconds"].astype(float)
    board["seconds_from"] = [BY_PARTS if method(key[-1]).tuned else "whole" for key in keys]
    board.loc[board["seconds"].isna(), "seconds_from"] = ""
    places = {place: order for order, place in enumerate(dict.fromkeys(_places(board)))}
    order = pd.Series([places[place] for place in _places(board)], index=board.index)
    return board.assign(_order=order).sort_values(["_order", "loss_db"], kind="stable").drop(columns="_order")


def _places(board: pd.DataFrame) -> list[tuple]:
    return list(board[["backbone", "dataset", "tile", "setting"]].itertuples(index=False, name=None))


def _from_parts(timing: pd.DataFrame, steps: Mapping[str, int]) -> dict[tuple, float]:
    """Seconds by network, setting and recipe; a table of times is of one network at one setting."""
    found, places = parts(timing), places_timed(timing)
    if found is None or len(places) != 1:
        return {}
    return {(*places[0], name): found.whole(count) for name, count in steps.items()}


def by_parts(row: pd.Series) -> bool:
    """Whether the seconds of a row were put together."""
    return row.get("seconds_from") == BY_PARTS


def seconds_text(row: pd.Series) -> str:
    """Return the seconds of a row of the leaderboard, with a sign where they were put together; empty where there are none."""
    if pd.isna(row["seconds"]):
        return ""
    return f"≈ {row['seconds']:.0f}" if by_parts(row) else f"{row['seconds']:.1f}"


def first_board(board: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of the first network, set and setting of the plan: what the report opens with."""
    keys = ["backbone", "dataset", "tile", "setting"]
    return board[(board[keys] == board[keys].iloc[0]).all(axis=1)]


def best(board: pd.DataFrame) -> pd.Series:
    """Return the row of least loss on the first board among recipes whose codes take no more bits than the FAB, if any does so.

    Of those that lose as little to a hundredth of a decibel, the first that integer engines run, if any is.
    """
    rows = first_board(board)
    equal = rows[~dearer(rows)]
    equal = equal if len(equal) else rows
    tied = equal[equal["loss_db"].round(2) == round(equal["loss_db"].iloc[0], 2)]
    runs = tied[tied["integer"] == "yes"]
    return (runs if len(runs) else tied).iloc[0]


def dearer(rows: pd.DataFrame) -> pd.Series:
    """Which recipes' codes take more bits than the FAB."""
    return rows["code_bits"] > rows["fab"] + 1e-6


def below_bits(row: pd.Series) -> bool:
    """Whether the FAB of a row is clearly below the bits of its setting."""
    return row["fab"] < bits_of(row["setting"]) - _BELOW


def bits_of(setting: str) -> int:
    """Return the bits of activations of a setting such as ``W4A4 FQ``."""
    return by_bits(setting)[0][1]


def fewer_bits(one: str, other: str) -> bool:
    """Whether a setting has fewer bits than another in weights or activations, in none more, and the same layers quantized.

    >>> fewer_bits("W4A4 FQ", "W6A6 FQ"), fewer_bits("W8A6", "W6A6"), fewer_bits("W4A4", "W6A6 FQ")
    (True, False, False)
    """
    (bits, kind), (others, other_kind) = ((by_bits(setting)[0], setting.partition(" ")[2]) for setting in (one, other))
    return bits != others and kind == other_kind and all(a <= b for a, b in zip(bits, others))


def rivals(board: pd.DataFrame) -> pd.DataFrame:
    """The recipes of the first board beside the best, but those whose codes take more bits than the FAB."""
    rows = first_board(board)
    return rows[~dearer(rows) & (rows["method"] != best(board)["method"])]


def not_told_apart(board: pd.DataFrame) -> list[pd.Series]:
    """Return the rows of the first board that the seeds cannot tell from the best."""
    first = best(board)
    return [row for _, row in rivals(board).iterrows() if _not_told_apart(first, row)]


def who_cannot_tell(first: pd.Series, near: Sequence[pd.Series]) -> str:
    """Return ``one seed`` where none of the rows was repeated, else ``the seeds``."""
    return "one seed" if max(row["seeds"] for row in (first, *near)) == 1 else "the seeds"


def _not_told_apart(first: pd.Series, other: pd.Series) -> bool:
    """Whether a Welch test over seeds does not tell the other's greater loss from the first's, or one seed has it 0.05 dB or less above."""
    if min(first["seeds"], other["seeds"]) < 2:
        return bool(abs(other["loss_db"] - first["loss_db"]) <= SLIGHT)
    p_value = p_value_of(first, other)
    return p_value is not None and p_value >= SIGNIFICANT


def p_value_of(one: pd.Series, other: pd.Series) -> float | None:
    """Of a Welch test over seeds between the losses of two rows; None where one was not repeated, or neither varies."""
    if min(one["seeds"], other["seeds"]) < 2 or max(one["psnr_std_db"], other["psnr_std_db"]) == 0:
        return None
    told = [(row["loss_db"], row["psnr_std_db"], row["seeds"]) for row in (one, other)]
    return float(stats.ttest_ind_from_stats(*told[0], *told[1], equal_var=False).pvalue)


def readable_board(board: pd.DataFrame, note: str = "", pictures: int | None = None) -> ReadableTable:
    """Return the first board as text: a row a recipe.

    Args:
        note: stands below it.
        pictures: that calibration took where it was timed, told above the times.
    """
    rows = first_board(board)
    first = rows.iloc[0]
    cells = {
        "recipe": list(rows["label"]),
        "loss (dB)": [loss_text(row) for _, row in rows.iterrows()],
        "FAB (simulated bits)": [f"{value:.2f}" for value in rows["fab"]],
        "seeds": [f"{value:.0f}" for value in rows["seeds"]],
        "BitOPs of FP32 (theoretical)": [f"{value:.3f}" for value in rows["relative_bitops"]],
        "size (KiB, theoretical)": [f"{value:.0f}" for value in rows["size_kib"]],
    }
    if (rows["code_bits"] != rows["fab"]).any():
        cells["codes (bits)"] = [f"{value:.2f}" for value in rows["code_bits"]]
    if (rows["integer"] != "").any():
        cells["in integers"] = list(rows["integer"])
    if rows["seconds"].notna().any():
        of = f", {pictures} pictures" if pictures else ""
        cells[f"time to quantize (s, measured{of})"] = [seconds_text(row) for _, row in rows.iterrows()]
    shared = f"{network(first['backbone'])}, {first['setting']}, {first['dataset']}."
    return ReadableTable(pd.DataFrame(cells), "Leaderboard.", 1, shared, note)


def shortened(board: pd.DataFrame, note: str = "", pictures: int | None = None) -> ReadableTable:
    """Return the first board's best five recipes and, further down, AdaBM, AdaBM without images, and MinMax."""
    rows = first_board(board)
    shown = rows.index.isin(rows.index[:_SHOWN_BEST]) | rows["method"].isin(_ALWAYS_SHOWN)
    return readable_board(rows[shown], note, pictures)


def loss_text(row: pd.Series) -> str:
    """Return the loss of a row of the leaderboard in dB, with its spread over seeds where there is one."""
    spread = f" ± {row['psnr_std_db']:.2f}" if pd.notna(row["psnr_std_db"]) else ""
    return f"{row['loss_db']:.2f}{spread}"
