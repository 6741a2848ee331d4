"""Where do the first thresholds come from, and does it matter?"""

from collections.abc import Mapping

import pandas as pd
from matplotlib.figure import Figure

from ..pages import question_figures
from ..tables.conclusion import answer, evidence, practice
from ..tables.networks import named
from ..tables.question import Question
from .diverged import check_measured, tell_diverged
from .measured import measured
from .threshold_gains import at_equal_fab, compared
from .threshold_rows import rows, rows_blind
from .threshold_starts import CONSTANT, PERCENTILE, RANDOM, RELEASED, START, trials
from .threshold_telling import advice, begun, blind, even, matters, verdict
from .threshold_tuned import tuned
from .tuning_rates import told_tuning

__all__ = ["QUESTION", "conclusion", "figures", "told_tuning", "trials"]

QUESTION = Question(
    "thresholds",
    9,
    "Where should the first thresholds lie, and does it matter?",
    "Thresholds of Image2Bit and first factors of Layer2Bit are percentiles of what calibration saw. At percentile 0, the "
    "extremes, only what lies beyond all that calibration saw gets other bits: no layer, and few pictures. Other starts follow no "
    "percentile: thresholds of images drawn between the extremes, or 15 and 50 for all networks and pictures; factors of layers dealt "
    "to other layers. The same factor for all layers is percentile 0. Bits dealt to pictures blindly are what the same FAB gives in the "
    "mean over all choices of pictures, from models whose pictures all get one bit fewer, the base, or one bit more. What is called clear is not "
    "adjusted for the number of starts.",
    "Quality and bits against the start of thresholds: percentiles, and, apart, random and constant ones",
)
_APART = {RANDOM: (54.0, "random"), CONSTANT: (61.0, "constant")}


def figures(table: pd.DataFrame) -> dict[str, Figure]:
    """Draw PSNR against the released percentiles and FAB, a line for images and one for layers of each method, a column a network."""
    check_measured(table)
    begun_so = measured(table, START)
    swept = named(pd.concat([measured(table, PERCENTILE), begun_so[begun_so["level"].isin([*_APART])]]))
    several_networks = swept["backbone"].nunique() > 1
    shown = [
        here.assign(dataset=f"{name}, {dataset}" if several_networks else dataset, gained_db=_gained(here))
        for (name, dataset), here in swept.groupby(["backbone", "dataset"], sort=False)
    ]
    starts = {start: place for start, place in _APART.items() if start in set(swept["level"])}
    drawn = question_figures.plot_sweep(
        pd.concat(shown),
        ["gained_db", "fab"],
        "percentile of the thresholds",
        log=False,
        apart=starts,
        own=["fab"],
        legend=True,
    )
    return {"": drawn}


def _gained(swept: pd.DataFrame) -> pd.Series:
    """PSNR against that of the same series and seed at the released percentile, in dB."""
    released = swept["series"].str.partition(", ")[0].map(RELEASED).astype(str)
    own = swept[swept["level"] == released].set_index(["series", "seed"])["psnr_y_db"]
    return swept["psnr_y_db"] - own.reindex(pd.MultiIndex.from_frame(swept[["series", "seed"]])).to_numpy()


def conclusion(table: pd.DataFrame, tunings: Mapping[str, str] | None = None) -> list[str]:
    """Tell, on the first set of each network, whether images' and layers' starts matter, and how the released ones compare with the others.

    The answer is of the first method; what the others change is told after it.

    Args:
        tunings: by method, how it fine-tunes, as :func:`.tuning_rates.told_tuning` tells it.

    Raises:
        StudyError: no model was measured.
    """
    check_measured(table)
    found, dealt = compared(named(table)), at_equal_fab(named(table))
    main = [moved for moved in found if moved.name == found[0].name]
    told = [
        verdict(main),
        begun(main),
        even(main),
        blind([of for of in dealt if of.name == found[0].name]),
        tuned(found, tunings or {}),
    ]
    return [
        " ".join([answer(matters(main)), *filter(None, told)]),
        *tell_diverged(named(table)),
        practice(advice(main, [of for of in dealt if of.name == found[0].name])),
        *evidence([row for moved in found for row in rows(moved)]),
        *(evidence(rows_blind(dealt)) if dealt else []),
    ]
