"""Figures of the study: one style, readable in print and by the colour-blind; PNG and SVG.

They are plain ``Figure`` objects, unknown to pyplot: nothing stays open behind the caller's back.
"""

import io
import itertools
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import matplotlib as mpl
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ...support.files import write_atomically
from ..tables.methods import in_order, method

PICTURES = {"Comment": "holds pictures"}  # what the PNG of such a figure says
_SHARP = 160  # pixels an inch
_FAMILIES = (
    "MinMax",
    "Percentile",
    "OMSE",
    "AdaBM",
    "Fast",
    "Best",
    "MSE",
    "Reconstruction",
    "PTQ4SR",
    "2DQuant",
    "OAQ-SR",
    "DFSQ",
    "GBA",
)  # in the order of the palette
_PALE = 0.65  # least channel of a colour from which on names written in it cannot be read

# Colours that no method has, for what is none: what is looked at, and what it is compared with.
INK, SLATE = (0.13, 0.19, 0.27), (0.45, 0.52, 0.60)
BETTER, WORSE = (0.01, 0.62, 0.45), (0.62, 0.11, 0.31)  # what is clearly so
FACTORS = {
    -1: (0.66, 0.85, 0.82),
    0: (0.6, 0.6, 0.6),
    1: (0.0, 0.25, 0.3),
}  # a bit fewer, none and one more, darker the more bits
IMAGES, LAYERS = (0.87, 0.56, 0.02), (0.01, 0.62, 0.45)  # what is done, or measured, image by image and layer by layer;
# two families have such colours too, which no question compares on a page with these
_NETWORKS = ((INK, "o", "-"), (SLATE, "s", "--"), ("0.6", "D", ":"), (INK, "^", "-."), (SLATE, "v", "-"))


@contextmanager
def study_style() -> Iterator[None]:
    """Apply the style inside the ``with`` block only."""
    settings = {
        "figure.dpi": 110,
        "font.size": 9,
        "axes.titlesize": 10,
        "legend.frameon": False,
        "svg.hashsalt": "adabm",
        "svg.fonttype": "none",
        "figure.constrained_layout.use": True,
    }
    with sns.axes_style("whitegrid"), sns.color_palette("colorblind"), mpl.rc_context(settings):
        yield


def save_figure(figure: Figure, path: str | Path) -> None:
    """Write ``path`` as PNG and SVG (any suffix is replaced), without dates, atomically.

    PNGs are sharp enough for print; those that hold pictures, which are larger and gain nothing by it, are less fine and
    not cut, so that their pixels stay where they are; their PNG says so.
    """
    pictures = any(axis.images for axis in figure.axes)
    png = {"metadata": {"Software": None} | (PICTURES if pictures else {}), "dpi": "figure" if pictures else _SHARP}
    box = None if pictures else "tight"
    for suffix, options in ((".png", png), (".svg", {"metadata": {"Date": None}})):
        buffer = io.BytesIO()
        with mpl.rc_context({"svg.hashsalt": "adabm"}):
            figure.savefig(buffer, format=suffix[1:], bbox_inches=box, **options)
        write_atomically(Path(path).with_suffix(suffix), buffer.getvalue())


def factor_colors() -> dict[int, tuple]:
    """Colours of the bit factors -1, 0, +1, told apart in gray as well."""
    palette = sns.color_palette("colorblind")
    return {-1: palette[0], 0: (0.6, 0.6, 0.6), 1: palette[3]}


def network_styles(networks: Iterable[str]) -> dict[str, dict]:
    """Marker, line and shade of gray of each network, as matplotlib names them: colours are for methods."""
    return {name: dict(color=c, marker=m, ls=ls) for name, (c, m, ls) in zip(networks, itertools.cycle(_NETWORKS))}


def family_colors(methods: Iterable[str]) -> dict[str, tuple]:
    """Colours of methods: one for a family, the same in every figure."""
    methods = list(methods)
    palette = _family_palette(_families(methods))
    return {name: palette[_family(name)] for name in methods}


def family_color(family: str) -> tuple:
    """Colour of a family of shipped methods, the same in every figure."""
    return _family_palette(_FAMILIES)[family]


def _families(methods: Iterable[str]) -> list[str]:
    return list(dict.fromkeys([*_FAMILIES, *(_family(name) for name in in_order(methods))]))


def _family(name: str) -> str:
    """The family of a method; ``best`` is told apart from ``fast``, with which it is compared."""
    return "Best" if name == "best" else method(name).family


def _family_palette(families: Sequence[str]) -> dict[str, tuple]:
    legible = [color for color in sns.color_palette("colorblind") if min(color) < _PALE]
    legible += [color for color in sns.color_palette("dark") if color not in legible]
    return dict(zip(families, itertools.cycle(legible)))


def label_beside(axis: Axes, name: str, point: tuple[float, float], place: float, color: str | tuple = "black") -> None:
    """Write a name beside the right edge, at ``place`` between its lower (0) and upper (1) end, with a line to its point."""
    axis.annotate(
        name,
        point,
        (1.02, place),
        textcoords=axis.transAxes,
        fontsize=7,
        color=color,
        va="center",
        annotation_clip=False,
        arrowprops=dict(arrowstyle="-", color="0.75", lw=0.5),
    )
