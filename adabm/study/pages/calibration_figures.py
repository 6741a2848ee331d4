"""Figures of one calibration: complexities, sensitivities of layers, and bits over a picture."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.patheffects import withStroke

from ...engines.tiles import Upscaled
from ...quantization.model import QuantizedSR
from ...steps import CalibrationRecord
from .figures import factor_colors, study_style
from .series import apart

_FACTOR_NAMES = {-1: "-1 bit", 0: "base", 1: "+1 bit"}


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
        axis.set_ylim(0, top * 1.45)  # room for the names
        named = sorted(pictures.items(), key=lambda item: item[1])
        least, most = axis.get_xlim()
        places = apart([(value - least) / (most - least) for _, value in named], 0.035)
        for (name, value), place in zip(named, places):
            axis.plot([value], [0], marker="^", color="black", clip_on=False, ms=5)
            axis.annotate(
                name,
                (value, 0),
                (place, 0.98),
                textcoords="axes fraction",
                fontsize=7,
                ha="center",
                va="top",
                rotation=90,
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
        for factor, name in _FACTOR_NAMES.items():
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
