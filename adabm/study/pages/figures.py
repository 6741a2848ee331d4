"""Figures of the study: one style, readable in print and by the colour-blind; PNG and SVG.

They are plain ``Figure`` objects, unknown to pyplot: nothing stays open behind the caller's back.
"""

import io
import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle
from matplotlib.patheffects import withStroke

from ...engines.tiles import Upscaled
from ...files import write_atomically
from ...full_precision import FULL_PRECISION
from ...quantization.model import QuantizedSR
from ...steps import CalibrationRecord
from ..tables.methods import in_order, label, method

_LEAST_LOSS = 0.005  # dB; smaller losses and gains are drawn here, a logarithmic axis has no zero
_SHARP = 160  # pixels an inch
_FAMILIES = ("MinMax", "Percentile", "OMSE", "AdaBM", "Fast", "Best")  # they have the same colours in every figure
_PALE = 0.65  # least channel of a colour from which on names written in it cannot be read
FACTOR_NAMES = {-1: "-1 bit", 0: "base", 1: "+1 bit"}


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

    PNGs are sharp enough for print; those that hold pictures, which are larger and gain nothing by it, are less fine.
    """
    dpi = "figure" if any(axis.images for axis in figure.axes) else _SHARP
    png = {"metadata": {"Software": None}, "dpi": dpi}
    for suffix, options in ((".png", png), (".svg", {"metadata": {"Date": None}})):
        buffer = io.BytesIO()
        with mpl.rc_context({"svg.hashsalt": "adabm"}):
            figure.savefig(buffer, format=suffix[1:], bbox_inches="tight", **options)
        write_atomically(Path(path).with_suffix(suffix), buffer.getvalue())


def factor_colors() -> dict[int, tuple]:
    """Colours of the bit factors -1, 0, +1, told apart in gray as well."""
    palette = sns.color_palette("colorblind")
    return {-1: palette[0], 0: (0.6, 0.6, 0.6), 1: palette[3]}


def plot_complexity(
    record: CalibrationRecord, thresholds: tuple[float, float], pictures: Mapping[str, float]
) -> Figure:
    """Distribution of calibration complexities with the thresholds, and where whole pictures fall."""
    with study_style():
        figure = Figure(figsize=(6.4, 2.8))
        axis = figure.subplots()
        values = record.complexities.numpy()
        sns.histplot(x=values, bins=20, color="0.7", ax=axis)
        low, high = thresholds
        axis.axvline(low, color=factor_colors()[-1], label=f"$c_l$ = {low:.1f}")
        axis.axvline(high, color=factor_colors()[1], ls="--", label=f"$c_u$ = {high:.1f}")
        top = axis.get_ylim()[1]
        heights = np.linspace(0.62, 0.95, max(1, len(pictures)))
        for (name, value), height in zip(sorted(pictures.items(), key=lambda item: item[1]), heights):
            axis.plot([value], [0], marker="^", color="black", clip_on=False, ms=5)
            axis.annotate(
                name,
                (value, 0),
                (value, top * height),
                fontsize=7,
                ha="center",
                bbox=dict(facecolor="white", edgecolor="none", pad=0.5, alpha=0.8),
                arrowprops=dict(arrowstyle="-", color="0.4", lw=0.5),
            )
        axis.set(
            xlabel="complexity (mean gradient magnitude x 1000)",
            ylabel="calibration patches",
            title="Image complexity: patches (bars), evaluated pictures (triangles)",
        )
        axis.legend(loc="center right")
    return figure


def plot_layers(table: pd.DataFrame, base_bits: int) -> Figure:
    """Sensitivity of each adaptive layer, coloured by its factor, and the bits after fine-tuning.

    Args:
        table: rows in execution order with ``layer, sigma, initial_factor, tuned_factor``.
    """
    with study_style():
        figure = Figure(figsize=(7.2, 4.2))
        above, below = figure.subplots(2, 1, sharex=True, height_ratios=(2, 1))
        colors = factor_colors()
        positions = np.arange(len(table))
        above.bar(positions, table["sigma"], color=[colors[int(f)] for f in table["initial_factor"]])
        for factor, name in FACTOR_NAMES.items():
            above.bar([0], [0], color=colors[factor], label=name)
        above.set(
            ylabel=r"sensitivity $\sigma_k$", title="Layer sensitivity (std of the input) and the factor it starts with"
        )
        above.legend(title="initial factor", ncols=3, loc="upper center", fontsize=8)
        below.step(positions, base_bits + table["initial_factor"], where="mid", color="0.6", label="calibrated")
        below.step(
            positions, base_bits + table["tuned_factor"], where="mid", color="black", ls="--", label="fine-tuned"
        )
        below.set(ylabel="bits", yticks=[base_bits - 1, base_bits, base_bits + 1])
        below.legend(loc="upper left", ncols=2)
        below.set_xticks(positions, table["layer"], rotation=60, ha="right", fontsize=7)
        below.set_ylim(base_bits - 1.3, base_bits + 2.2)
    return figure


def plot_bit_map(image: np.ndarray, upscaled: Upscaled, model: QuantizedSR) -> Figure:
    """Draw the FAB of each tile over the low-resolution picture."""
    with study_style():
        figure = Figure(figsize=(6.0, 4.2))
        axis = figure.subplots()
        axis.imshow(np.repeat(image.mean(2, keepdims=True).astype(np.uint8), 3, 2))
        colors = factor_colors()
        for top, left, height, width, bits in upscaled.tile_bits:
            key = int(np.clip(round(bits - model.config.activation_bits), -1, 1))
            axis.add_patch(
                Rectangle(
                    (left - 0.5, top - 0.5),
                    width,
                    height,
                    facecolor=(*colors[key][:3], 0.35),
                    edgecolor="white",
                    lw=0.6,
                )
            )
            axis.text(
                left + width / 2,
                top + height / 2,
                f"{bits:.1f}",
                ha="center",
                va="center",
                fontsize=7,
                color="white",
                path_effects=[withStroke(linewidth=1.5, foreground="black")],
            )
        axis.set_axis_off()
        axis.set_title(f"Feature average bits of each {_side(upscaled)} tile (blue: one fewer, orange: one more)")
    return figure


def _side(upscaled: Upscaled) -> str:
    _, _, height, width, _ = upscaled.tile_bits[0]
    return f"{width}x{height}"


def worst_block(image: np.ndarray, reference: np.ndarray, side: int) -> tuple[slice, slice]:
    """Return the ``side`` x ``side`` block of the picture where two (H, W, C) pictures differ most."""
    difference = np.abs(image.astype(float) - reference).mean(2)
    rows, columns = (length // side for length in difference.shape)
    blocks = difference[: rows * side, : columns * side].reshape(rows, side, columns, side).mean((1, 3))
    row, column = np.unravel_index(blocks.argmax(), blocks.shape)
    return np.s_[row * side : (row + 1) * side, column * side : (column + 1) * side]


def plot_crops(crops: Mapping[str, np.ndarray], captions: Mapping[str, str]) -> Figure:
    """Show crops of the same place side by side, enlarged without smoothing."""
    with study_style():
        figure = Figure(figsize=(2.3 * len(crops), 2.6))
        axes = figure.subplots(1, len(crops), squeeze=False)[0]
        for axis, (name, crop) in zip(axes, crops.items()):
            axis.imshow(crop, interpolation="nearest")
            axis.set_title(f"{name}\n{captions.get(name, '')}", fontsize=8)
            axis.set_axis_off()
    return figure


def plot_losses(summary: pd.DataFrame) -> Figure:
    """PSNR loss against full precision: a panel a set, a row a method, a colour a setting.

    Bars span one standard deviation over seeds to each side; open diamonds are the published losses of
    the same method at the same setting with the published weights. The axis is logarithmic.
    """
    rows = summary[(summary["status"] == "measured") & (summary["method"] != FULL_PRECISION)]
    places = list(dict.fromkeys(zip(rows["dataset"], rows["tile"])))
    methods = in_order(rows["method"])
    settings = list(dict.fromkeys(rows["setting"]))
    has_published = "published_loss_db" in rows and rows["published_loss_db"].notna().any()
    with study_style():
        colors = dict(zip(settings, sns.color_palette("colorblind")))
        markers = dict(zip(settings, "os^vP"))
        figure = Figure(figsize=(2.2 + 1.9 * max(2, len(places)), 1.3 + 0.27 * len(methods)))
        axes = figure.subplots(1, len(places), squeeze=False, sharey=True, sharex=True)
        for axis, (dataset, tile) in zip(axes[0], places):
            here = rows[(rows["dataset"] == dataset) & (rows["tile"] == tile)]
            for _, row in here.iterrows():
                y = methods.index(row["method"]) + 0.16 * (settings.index(row["setting"]) - (len(settings) - 1) / 2)
                color, loss = colors[row["setting"]], max(row["loss_db"], _LEAST_LOSS)
                spread = row["psnr_std_db"] if row["seeds"] > 1 else 0.0
                axis.plot([max(loss - spread, _LEAST_LOSS), loss + spread], [y, y], color=color, lw=1.5)
                axis.plot(loss, y, markers[row["setting"]], color=color, ms=5)
                if has_published and pd.notna(row["published_loss_db"]):
                    axis.plot(max(row["published_loss_db"], _LEAST_LOSS), y, "D", mfc="none", mec=color, ms=7)
            axis.set(xscale="log", title=dataset + (f"\n({tile}px patches)" if tile else ""))
            axis.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
            axis.set_yticks(range(len(methods)), [label(m) for m in methods])
        axes[0][0].set_ylim(len(methods) - 0.5, -0.5)
        figure.supxlabel("loss of PSNR-Y against full precision (dB, logarithmic)", fontsize=9)
        handles = [Line2D([], [], marker=markers[s], color=colors[s], label=s) for s in settings]
        if has_published:
            handles.append(Line2D([], [], marker="D", color="0.3", mfc="none", ls="", label="published"))
        figure.legend(handles=handles, loc="outside upper center", ncols=5)
    return figure


def family_colors(methods: Iterable[str]) -> dict[str, tuple]:
    """Colours of methods: one for a family, the same in every figure."""
    methods = list(methods)
    palette = _family_palette(_families(methods))
    return {name: palette[_family(name)] for name in methods}


def family_color(family: str) -> tuple:
    """Colour of MinMax, Percentile, OMSE or AdaBM, the same in every figure."""
    return _family_palette(_FAMILIES)[family]


def _families(methods: Iterable[str]) -> list[str]:
    return list(dict.fromkeys([*_FAMILIES, *(_family(name) for name in in_order(methods))]))


def _family(name: str) -> str:
    """The family of a method; ``best`` is told apart from ``fast``, with which it is compared."""
    return "Best" if name == "best" else method(name).family


def _family_palette(families: Sequence[str]) -> dict[str, tuple]:
    legible = [color for color in sns.color_palette("colorblind") if min(color) < _PALE]
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


def plot_psnr_bitops(means: pd.DataFrame) -> Figure:
    """PSNR of each method, best first, a panel a setting with its theoretical BitOPs; full precision as a line."""
    reference = means[means["method"] == FULL_PRECISION].iloc[0]
    settings: Sequence[str] = list(dict.fromkeys(means.loc[means["method"] != FULL_PRECISION, "setting"]))
    counts = [max(4, int((means["setting"] == setting).sum())) for setting in settings]
    with study_style():
        figure = Figure(figsize=(6.4, 0.5 * len(settings) + 0.19 * sum(counts) + 0.4))
        axes = figure.subplots(len(settings), 1, squeeze=False, height_ratios=counts)[:, 0]
        colors = family_colors(name for name in means["method"] if name != FULL_PRECISION)
        for axis, setting in zip(axes, settings):
            _rank(axis, means[means["setting"] == setting].sort_values("psnr_y_db", kind="stable"), colors)
            axis.axvline(reference["psnr_y_db"], color="black", lw=0.8, ls=":")
            ends = [f"{value:.3g}" for value in np.unique(means.loc[means["setting"] == setting, "bitops_g"]) / 1000]
            axis.set_title(
                f"{setting}: {' to '.join(dict.fromkeys([ends[0], ends[-1]]))} T BitOPs (theoretical, 720p output)"
            )
        axes[-1].set_xlabel("PSNR-Y (dB); dotted: full precision")
    return figure


def _rank(axis: Axes, chosen: pd.DataFrame, colors: Mapping[str, tuple]) -> None:
    """Draw a dot a method, from bottom to top as the rows are, with its name and value."""
    for place, (_, row) in enumerate(chosen.iterrows()):
        value = row["psnr_y_db"]
        axis.plot(value, place, "o", color=colors[row["method"]], ms=5, zorder=3)
        beside = dict(textcoords="offset points", fontsize=7, va="center", color="0.3")
        axis.annotate(f"{value:.2f}", (value, place), (-6, 0), ha="right", **beside)
    axis.set_yticks(range(len(chosen)), [label(name) for name in chosen["method"]], fontsize=7)
    axis.set_ylim(-0.7, len(chosen) - 0.3)
    axis.margins(x=0.14)
    axis.grid(axis="x", visible=False)
