"""How figures draw and name series: the same colour for the same method everywhere, names beside the lines."""

import itertools
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb

from .figures import IMAGES, INK, LAYERS, family_color, label_beside

UNTUNED = ", not fine-tuned"
_NOT_TUNED, _TUNED = "not fine-tuned", "fine-tuned"
_MARKERS = "os^DvPX*"
_FAMILIES = {
    "AdaBM": "AdaBM",
    "MinMax": "MinMax",
    "uniform bits": "MinMax",
    "Fast": "Fast",
    "Best": "Best",
}  # how a name begins, and whose colour it has
_PARTS = {"image": IMAGES, "layer": LAYERS}  # likewise of what stands for one mapping
_OTHERS = (
    (0.34, 0.71, 0.91),
    (0.35, 0.12, 0.44),
    (0.64, 0.21, 0.51),
    (0.0, 0.39, 0.45),
)  # what no family and no part has


def series_styles(names: Iterable[str]) -> dict[str, dict]:
    """Return colour, marker, its filling and line style by series, as matplotlib names them.

    Methods that stand on the leaderboard too, and uniform bits, have the colours of their families there; one series alone
    that is no method has none. A series and the same one "not fine-tuned" share colour and marker; beside fine-tuned ones the
    latter are pale, dashed and open.
    """
    names = list(names)
    bases = list(dict.fromkeys(_base(name) for name in names))
    free = itertools.cycle(_OTHERS if len(bases) > 1 else (INK,))
    colors = {base: _own(base) or next(free) for base in bases}
    markers = dict(zip(bases, itertools.cycle(_MARKERS)))
    pale = [name for name in names if name.endswith(_NOT_TUNED)]
    pale = pale if len(pale) < len(names) else []
    return {name: _style(colors[_base(name)], markers[_base(name)], name in pale) for name in names}


def _base(name: str) -> str:
    return name.removesuffix(_NOT_TUNED).removesuffix(_TUNED).removesuffix(", ") or "AdaBM"


def _own(base: str) -> tuple | None:
    known = _PARTS | {begin: family_color(family) for begin, family in _FAMILIES.items()}
    return next((color for begin, color in known.items() if base.startswith(begin)), None)


def _style(color: tuple, marker: str, pale: bool) -> dict:
    if not pale:
        return dict(color=color, marker=marker, ls="-")
    return dict(color=tuple(0.7 * part + 0.3 for part in to_rgb(color)), marker=marker, mfc="white", ls="--")


def name_lines(axis: Axes, ends: Mapping[str, tuple[float, float]], styles: Mapping[str, Mapping]) -> None:
    """Write the name of each line beside the right edge, in its colour, from top to bottom as the lines end."""
    order = sorted(ends, key=lambda name: axis.transData.transform(ends[name])[1])
    for name, place in zip(order, _places([axis.transData.transform(ends[name])[1] for name in order], axis)):
        label_beside(axis, name, ends[name], place, styles[name]["color"])


def _places(heights: Sequence[float], axis: Axes, gap: float = 0.13) -> np.ndarray:
    """Heights between 0 and 1, near those of the ends, at least ``gap`` apart where there is room for it."""
    low, high = axis.transAxes.transform([(0, 0), (0, 1)])[:, 1]
    return apart((np.array(heights) - low) / (high - low), gap)


def apart(places: Sequence[float], gap: float) -> np.ndarray:
    """Return ascending places between 0 and 1, at least ``gap`` apart where there is room for it, each near its own."""
    places = np.array(places, dtype=float)
    gap = min(gap, 1 / max(1, len(places) - 1))
    for index in range(1, len(places)):
        places[index] = max(places[index], places[index - 1] + gap)
    places[-1:] = np.minimum(places[-1:], 1.0)
    for index in range(len(places) - 2, -1, -1):
        places[index] = min(places[index], places[index + 1] - gap)
    return places
