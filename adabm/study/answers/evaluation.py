"""The main results: full precision, uniform quantization, AdaBM and its parts on the evaluation sets."""

from collections.abc import Sequence

import pandas as pd

from ..running.runs import MEASURED
from ..tables.conclusion import answer, evidence, practice
from ..tables.leaderboard import (
    SLIGHT,
    below_bits,
    best,
    bits_of,
    dearer,
    fewer_bits,
    first_board,
    leaderboard,
    loss_text,
    not_told_apart,
    who_cannot_tell,
)
from ..tables.methods import RELEASED_RECIPE, label
from ..tables.networks import network
from ..tables.summary import label_of, of_one_engine
from ..tables.verdict import equal_at
from ..tables.wording import several
from ..tables.writing import ENGINE
from .diverged import tell_lacking_seeds

PLACE = ("backbone", "dataset", "tile")


def first_place(table: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of the first network and set of the plan, which figures and single pictures are shown of."""
    return table[(table[list(PLACE)] == table[list(PLACE)].iloc[0]).all(axis=1)]


def losses_by_picture(pictures: pd.DataFrame) -> pd.DataFrame:
    """Return the loss against full precision in dB, mean over seeds: a row a setting and method, a column a picture.

    Args:
        pictures: of one network and set.
    """
    rows = pictures.pivot_table(index=_models(pictures), columns="picture", values="psnr_y_db", sort=False)
    return rows.loc["FP32"].iloc[0] - rows.drop("FP32")


def bits_by_picture(pictures: pd.DataFrame) -> pd.DataFrame:
    """Return AdaBM's feature average bits, mean over seeds: a row a setting and method, a column a picture."""
    adaptive = pictures[pictures["method"].str.startswith("adabm")]
    return adaptive.pivot_table(index=_models(pictures), columns="picture", values="fab", sort=False)


def _models(pictures: pd.DataFrame) -> list[str]:
    return ["setting", "method", *([ENGINE] if ENGINE in pictures else [])]


def conclusion(summary: pd.DataFrame) -> list[str]:
    """Tell which method loses least and how often, and what to use elsewhere.

    The evidence tells, of each network, set and setting, the ends and AdaBM beside the published loss.

    Args:
        summary: a row a cell, with the columns of ``adabm.study.with_published``.
    """
    rows = of_one_engine(summary[(summary["status"] == MEASURED) & (summary["method"] != "fp32")])
    groups = [(keys, here) for keys, here in rows.groupby([*PLACE, "setting"], sort=False)]
    if not groups:
        return [answer("No quantized network was measured."), *tell_lacking_seeds(summary)]
    board = _compared_first(leaderboard(summary))
    return [
        answer(_verdict(board)),
        *_told_of_released(board),
        *_told_of_published(rows),
        *_told_of_bits(board),
        *_told_of_equal(board),
        *tell_lacking_seeds(summary),
        practice(_advice(board)),
        *evidence([_row(keys, here) for keys, here in groups]),
    ]


def _compared_first(board: pd.DataFrame) -> pd.DataFrame:
    """The board with the first network, set and setting ahead of which several methods were measured, if there are any."""
    places = _places(board)
    return pd.concat([places[0], board.drop(places[0].index)]) if places else board


def _verdict(board: pd.DataFrame) -> str:
    """The recipe of least loss on the first board, and how often it is the first, where it was measured with others.

    Recipes whose codes take more bits are no rivals.
    """
    first = best(board)
    places = [here for here in _places(board) if first["method"] in set(here["method"])]
    where = f"On {network(first['backbone'])} at {first['setting']}, {first['dataset']}, {first['label']}"
    if not _places(board):
        return f"{where} loses {loss_text(first)} dB; no other method was measured beside it, so that nothing was compared."
    text = f"{where} loses least, {loss_text(first)} dB"
    near = not_told_apart(board)
    names = several([row["label"] for row in near]) if near else ""
    text += f" ({who_cannot_tell(first, near)} cannot tell it from {names})" if near else ""
    released = first_board(board)
    for _, row in released[(released["method"] == "adabm") & (first["method"] != "adabm")].iterrows():
        text += f", AdaBM {loss_text(row)} dB"
    if len(places) < 2:
        return f"{text}."
    simple = sum(set(here["method"]) - {first["method"]} <= {"minmax", "fast"} for here in places)
    text += f". {first['label']} is first in {_counted(places, [first['method']], 'that it is part of')}"
    return text + (f", in {simple} of them against {label('fast')} and {label('minmax')} alone." if simple else ".")


def _counted(places: list[pd.DataFrame], methods: Sequence[str], which: str) -> str:
    """In how many comparisons one of the methods loses least, as tables tell it: ``all 3 comparisons``, and which those are.

    Behind it stands how many of those tell little: where the lead over others is 0.05 dB or less, and where one seed tells it.
    """
    won, leads, alone = 0, [], 0
    for here in places:
        own = here["method"].isin(methods)
        first, rivals = here.loc[here.loc[own, "loss_db"].idxmin()], here[~own & ~dearer(here)]
        if round(first["loss_db"], 2) > round(best(here)["loss_db"], 2):
            continue
        won += 1
        leads += [rivals["loss_db"].min().round(2) - first["loss_db"].round(2)] if len(rivals) else []
        alone += int(first["seeds"] == 1 or (len(rivals) > 0 and rivals.loc[rivals["loss_db"].idxmin(), "seeds"] == 1))
    near, tied = (sum(lead <= most + 1e-9 for lead in leads) for most in (SLIGHT, 0.0))
    told = [f"tied with another in {tied}"] if tied else []
    told += [f"ahead by {SLIGHT} dB or less in {near - tied}"] if near > tied else []
    told += [f"with one seed of the first or the next in {alone}"] if alone else []
    first = "all" if won == len(places) else f"{won or 'none'} of the"
    return f"{first} {len(places)} comparisons {which}" + (f" ({', '.join(told)})" if told else "")


def _places(board: pd.DataFrame) -> list[pd.DataFrame]:
    """The rows of each network, set and setting at which there is anything to compare."""
    return [here for _, here in board.groupby([*PLACE, "setting"], sort=False) if len(here) > 1]


def _advice(board: pd.DataFrame) -> str:
    """The best recipe, those that the seeds cannot tell from it, how often one of them is first, and what is where none was measured."""
    if not _places(board):
        return "measure several methods on the same network, set and setting before one is chosen."
    first, near = best(board), not_told_apart(board)
    where = f"on {network(first['backbone'])} at {first['setting']}"
    told = f"quantize with {first['label']}"
    told += (
        f" or with {several([row['label'] for row in near])} ({where} {who_cannot_tell(first, near)} cannot tell them apart)"
        if near
        else ""
    )
    methods, places = [row["method"] for row in (first, *near)], _places(board)
    part = [here for here in places if here["method"].isin(methods).any()]
    if len(places) < 2 or not part:
        return f"{told}."
    networks = several([network(name) for name in dict.fromkeys(here["backbone"].iloc[0] for here in part)])
    told += f": {_counted_of(part, methods)}, on {networks}. {_rivals(part, methods)}"
    them = "none of them" if len(near) > 1 else "neither" if near else "it"
    return told + _elsewhere(places, part, methods, them)


def _rivals(part: list[pd.DataFrame], methods: Sequence[str]) -> str:
    """In how many comparisons MinMax is the only other method, and in how many AdaBM as released takes part."""
    others = [set(here["method"]).difference(methods) for here in part]
    alone, released = sum(names == {"minmax"} for names in others), sum("adabm" in names for names in others)
    simple = f"in {alone} of these {label('minmax')} is the only other method; " if alone else ""
    told = f"{simple}{label('adabm')} takes part in {released or 'none'}{'' if alone else ' of these'}."
    return told[:1].upper() + told[1:]


def _counted_of(part: list[pd.DataFrame], methods: Sequence[str]) -> str:
    if len(methods) == 1:
        return f"it is first in {_counted(part, methods, 'that it is part of')}"
    return (
        f"one of them is first in {_counted(part, methods, 'with either' if len(methods) == 2 else 'with any of them')}"
    )


def _elsewhere(places: list[pd.DataFrame], part: list[pd.DataFrame], methods: Sequence[str], them: str) -> str:
    """What loses least of each network and setting that the advised recipes were not measured at, on the network's first set.

    Where one of these loses less at fewer bits, it is that.
    """
    known = {_network_and_setting(here) for here in part}
    networks: dict[str, dict[str, pd.Series]] = {}
    for here in places:
        backbone, setting = _network_and_setting(here)
        if (backbone, setting) not in known:
            networks.setdefault(backbone, {}).setdefault(setting, best(here))
    least, fewer, sets = [], [], []
    for name, of in networks.items():
        others = []
        for at, row in of.items():
            cheaper = _at_fewer_bits(row, part, methods)
            if cheaper is not None:
                fewer.append(_better(row, cheaper))
                continue
            others.append(f"{at} {row['loss_db']:.2f} ({row['label']})")
            sets.append(row["dataset"])
        least += [f"{network(name)} at {several(others)}"] if others else []
    measured = "was not measured" if them == "it" else "was measured"
    on = several(list(dict.fromkeys(sets))) if sets else ""
    told = f" Where {them} {measured}, others lose least (dB on {on}): {'; '.join(least)}." if least else ""
    return told + "".join(fewer)


def _at_fewer_bits(row: pd.Series, part: list[pd.DataFrame], methods: Sequence[str]) -> pd.Series | None:
    """The advised recipe that loses least on the network and set of a row at fewer bits, if it loses less than that row."""
    found = []
    for here in part:
        same = (here[list(PLACE)].iloc[0] == row[list(PLACE)]).all()
        if same and fewer_bits(here["setting"].iloc[0], row["setting"]):
            found += [of for _, of in here[here["method"].isin(methods) & ~dearer(here)].iterrows()]
    least = min(found, key=lambda of: of["loss_db"], default=None)
    return least if least is not None and least["loss_db"] < row["loss_db"] - SLIGHT else None


def _better(row: pd.Series, cheaper: pd.Series) -> str:
    return (
        f" On {network(row['backbone'])} at {row['setting']} use {cheaper['label']}, though it was not measured there: at {cheaper['setting']} it "
        f"already loses less ({cheaper['loss_db']:.2f} dB on {row['dataset']}) than the best at {row['setting']} ({row['label']}, {row['loss_db']:.2f})."
    )


def _network_and_setting(here: pd.DataFrame) -> tuple[str, str]:
    return here["backbone"].iloc[0], here["setting"].iloc[0]


def _told_of_released(board: pd.DataFrame) -> list[str]:
    """How often the best recipe was compared with AdaBM as released."""
    first = best(board)
    places = [here for here in _places(board) if first["method"] in set(here["method"])]
    if len(places) < 2 or first["method"] == "adabm":
        return []
    beside = sum("adabm" in set(here["method"]) for here in places)
    return [f"AdaBM as released takes part in {beside or 'none'} of {first['label']}'s {len(places)} comparisons."]


def _told_of_published(rows: pd.DataFrame) -> list[str]:
    known = rows[(rows["method"] == "adabm") & rows["published_loss_db"].notna()]
    if known.empty:
        return []
    less = int((known["loss_db"] < known["published_loss_db"]).sum())
    return [
        f"AdaBM's loss is below the published one in {less} of {len(known)} cases for which one is known, "
        "each against its own full precision and on weights of other quality."
    ]


def _told_of_bits(board: pd.DataFrame) -> list[str]:
    """Where AdaBM's bits are clearly below those of the setting, so that its loss is that of fewer bits."""
    rows = board[board["method"] == RELEASED_RECIPE]
    below = rows[[below_bits(row) for _, row in rows.iterrows()]]
    if below.empty:
        return []
    least = below.loc[(below["fab"] - [bits_of(setting) for setting in below["setting"]]).idxmin()]
    return [
        f"AdaBM's FAB is below the setting's bits in {len(below)} of its {len(rows)} cases, most on {least['dataset']} at {least['setting']}: "
        f"{least['fab']:.2f}."
    ]


def _told_of_equal(board: pd.DataFrame) -> list[str]:
    """Where the best recipe and another that is not told from it lose the same to the last digit."""
    first = best(board)
    found = {row["label"]: equal_at(board, first, row) for row in not_told_apart(board)}
    return [f"{first['label']} equals {name} {where}." for name, where in found.items() if where]


def _of_least(row: pd.Series) -> str:
    """A recipe's label, and its FAB where that is how AdaBM as released comes to lose least."""
    below = row["method"] == RELEASED_RECIPE and below_bits(row)
    return label_of(row) + (f", FAB {row['fab']:.2f}" if below else "")


def _row(keys: tuple, rows: pd.DataFrame) -> dict[str, str]:
    backbone, dataset, tile, setting = keys
    most = rows.loc[rows["loss_db"].idxmax()]
    first = rows[
        rows["loss_db"].round(2) == rows["loss_db"].round(2).min()
    ]  # a hundredth of a decibel is what tables tell
    alone = rows["method"].nunique() == 1
    cells = {
        "network": network(backbone),
        "set": f"{dataset} in {tile}px patches" if tile else dataset,
        "setting": setting,
        "methods": str(rows["method"].nunique()),
        "least loss (dB)": f"{first['loss_db'].min():.2f} ({several([_of_least(row) for _, row in first.iterrows()])})",
        "most loss (dB)": "" if alone else f"{most['loss_db']:.2f} ({label_of(most)})",
    }
    for _, row in rows[rows["method"] == "adabm"].iterrows():
        spread = f" ± {row['psnr_std_db']:.2f}" if row["seeds"] > 1 else ""
        known = pd.notna(row["published_loss_db"])
        cells |= {
            "AdaBM's loss (dB)": f"{row['loss_db']:.2f}{spread}",
            "seeds": str(row["seeds"]),
            "FAB": f"{row['fab']:.2f}",
        }
        cells |= {"published loss (dB)": f"{row['published_loss_db']:.2f}"} if known else {}
    return cells
