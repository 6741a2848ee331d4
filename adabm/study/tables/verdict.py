"""What the leaderboard says in a few sentences: which recipe loses least, which to use, and where the best is worth its time."""

from collections.abc import Iterable

import numpy as np
import pandas as pd
from scipy import stats

from .leaderboard import (
    SLIGHT,
    below_bits,
    best,
    dearer,
    first_board,
    not_told_apart,
    p_value_of,
    rivals,
    who_cannot_tell,
)
from .methods import RELEASED_RECIPE
from .networks import network
from .presentation import by_bits
from .wording import SIGNIFICANT, least_to_most, several

_UNDERSHOOTS = "its bit loss undershoots: page of the bit loss"


def verdict(board: pd.DataFrame) -> str:
    """Return two sentences: the recipe of least loss on the first board, how it compares with AdaBM, and which to use.

    Recipes whose codes take more bits than the FAB are named behind it. Seconds are left out: their models may be others, see
    :func:`.times.told_amounts`.
    """
    rows = first_board(board)
    first = best(board)
    loses = "loses least:" if len(rows) > 1 else "loses"
    text = (
        f"On {network(first['backbone'])} at {first['setting']}, {first['dataset']}, {first['label']} {loses} "
        f"{first['loss_db']:.2f} dB at FAB {first['fab']:.2f}"
    )
    if len(rows) == 1:
        return f"{text}; no other recipe was measured there, so that nothing was compared."
    others, near = rivals(board), not_told_apart(board)
    if near:
        told = several([f"{row['label']} ({_near(row)})" for row in near])
        text += f"; {who_cannot_tell(first, near)} cannot tell it from {told}"
    known = {row["method"] for row in near} | {RELEASED_RECIPE}  # which has words of its own
    as_little = others[(others["loss_db"].round(2) <= round(first["loss_db"], 2)) & ~others["method"].isin(known)]
    if len(as_little):
        text += f"; {several(list(as_little['label']))} {'loses' if len(as_little) == 1 else 'lose'} as little"
    released = rows[rows["method"] == RELEASED_RECIPE]
    if len(released) and RELEASED_RECIPE not in {first["method"], *(row["method"] for row in near)}:
        row = released.iloc[0]
        why = f" ({_UNDERSHOOTS})" if below_bits(row) else ""
        text += f"; {row['label']} loses {row['loss_db']:.2f} dB at FAB {row['fab']:.2f}{why}"
    for _, row in rows[dearer(rows) & (rows["loss_db"] < first["loss_db"])].iterrows():
        text += f"; {row['label']} loses {row['loss_db']:.2f} dB, with codes of {row['code_bits']:.2f} bits"
    return f"{text}. {_use(board)}"


def _near(row: pd.Series) -> str:
    """The loss of a recipe that is not told from the best; of AdaBM as released its bits, too."""
    told = f"{row['loss_db']:.2f} dB"
    if row["method"] != RELEASED_RECIPE:
        return told
    return f"{told} at FAB {row['fab']:.2f}" + (f", {_UNDERSHOOTS}" if below_bits(row) else "")


def recommended(board: pd.DataFrame) -> pd.Series:
    """Return the row of the first board to use: the quickest of the best and of those not told from it, if the best was timed."""
    first = best(board)
    timed = [row for row in (first, *not_told_apart(board)) if pd.notna(row["seconds"])]
    return first if pd.isna(first["seconds"]) else min(timed, key=lambda row: row["seconds"])


def _use(board: pd.DataFrame) -> str:
    """Advise the recommended recipe, and say where the best gains over it."""
    first, quick, near = best(board), recommended(board), not_told_apart(board)
    if quick["method"] == first["method"]:
        rivals = pd.notna(first["seconds"]) and any(pd.notna(row["seconds"]) for row in near)
        return f"Use {first['label']}{', the quicker' if rivals else ''}."
    text = f"Use {quick['label']}; {first['label']} takes {first['seconds'] / quick['seconds']:.1f} times as long"
    gains = _gains(board, first, quick)
    if gains:
        text += f" and gains {least_to_most(gains.values())} dB on {_sets(board)} where the seeds tell it: {_told_places(gains)}"
    else:
        seeds = who_cannot_tell(first, [quick])
        text += f", and {seeds} {'does' if seeds == 'one seed' else 'do'} not tell a gain"
    alone = _gains_of_one_seed(board, first, quick)
    if alone:
        text += f"; with one seed it gains {least_to_most(alone.values())} dB on {_sets(board)} {_told_places(alone)}"
    alike = equal_at(board, first, quick)
    return text + (f"; it equals {quick['label']} {alike}." if alike else ".")


def _pairs(
    board: pd.DataFrame, first: pd.Series, quick: pd.Series
) -> dict[tuple[str, str], tuple[pd.Series, pd.Series]]:
    """Rows of both recipes by setting and network, each network on its first set, where both were measured."""
    found = {}
    for backbone, of_network in board.groupby("backbone", sort=False):
        place = (of_network[["dataset", "tile"]] == of_network[["dataset", "tile"]].iloc[0]).all(axis=1)
        for setting, rows in of_network[place].groupby("setting", sort=False):
            here = rows.set_index("method")
            if {first["method"], quick["method"]} <= set(here.index):
                found[setting, network(backbone)] = here.loc[first["method"]], here.loc[quick["method"]]
    return found


def _gains(board: pd.DataFrame, first: pd.Series, quick: pd.Series) -> dict[tuple[str, str], float]:
    """Where the seeds tell that ``first`` loses less than ``quick``, and how much less, in dB.

    "Clearly", as everywhere: more than the spread, and p below 0.05 adjusted for the number of places.
    """
    repeated = {
        at: (one, other)
        for at, (one, other) in _pairs(board, first, quick).items()
        if p_value_of(one, other) is not None
    }
    if not repeated:
        return {}
    p_values = stats.false_discovery_control([p_value_of(*pair) for pair in repeated.values()])
    gains = {}
    for (at, (one, other)), p_value in zip(repeated.items(), p_values, strict=True):
        gain = other["loss_db"] - one["loss_db"]
        spread = np.hypot(one["psnr_std_db"], other["psnr_std_db"]) / np.sqrt(2)
        if gain > spread and p_value < SIGNIFICANT:
            gains[at] = gain
    return gains


def _sets(board: pd.DataFrame) -> str:
    """The sets that recipes are compared on: the first of each network."""
    return several(list(dict.fromkeys(board.groupby("backbone", sort=False)["dataset"].first())))


def _gains_of_one_seed(board: pd.DataFrame, first: pd.Series, quick: pd.Series) -> dict[tuple[str, str], float]:
    """Where ``first`` loses less than ``quick`` by more than a slight lead, in dB, and one of them has a single seed."""
    gains = {
        at: other["loss_db"] - one["loss_db"]
        for at, (one, other) in _pairs(board, first, quick).items()
        if min(one["seeds"], other["seeds"]) < 2
    }
    return {at: gain for at, gain in gains.items() if gain > SLIGHT}


def equal_at(board: pd.DataFrame, first: pd.Series, quick: pd.Series) -> str:
    """Tell at which settings and on which networks two recipes lose the same to the last digit of the table; empty where nowhere."""
    alike = [at for at, (one, other) in _pairs(board, first, quick).items() if one["loss_db"] == other["loss_db"]]
    return _told_places(alike) if alike else ""


def _told_places(places: Iterable[tuple[str, str]]) -> str:
    """List settings and networks: ``at W3A3 FQ on a and b, at W4A4 FQ on b``."""
    networks: dict[str, list[str]] = {}
    for setting, name in places:
        networks.setdefault(setting, []).append(name)
    settings: dict[tuple[str, ...], list[str]] = {}
    for setting in sorted(networks, key=by_bits):
        settings.setdefault(tuple(networks[setting]), []).append(setting)
    return ", ".join(f"at {several(of)} on {several(names)}" for names, of in settings.items())
