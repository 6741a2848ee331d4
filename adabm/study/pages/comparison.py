"""Pictures side by side: crops of what each method makes, and where they differ from full precision."""

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from .figures import study_style

ENLARGED = 2
_GAP, _TITLE, _SUBTITLE = 12, 40, 20  # pixels between pictures, and of what stands above them
_WHITEST = 32  # gray levels of 255: a difference of so many or more is drawn brightest


def plot_differences(
    rows: Mapping[str, Mapping[str, np.ndarray]],
    quality: Mapping[str, Mapping[str, float]],
    reference: str,
    crop: tuple[slice, slice],
) -> Figure:
    """Draw two lines of pictures for each row: the same crop of all its images, and their differences from ``reference``.

    Each pixel is drawn as :data:`ENLARGED` x :data:`ENLARGED` pixels of the figure. What has no difference to show, the
    original and the reference, is drawn in the first row alone.

    Args:
        rows: (H, W, 3) images of 8 bits by name, by row; the first of each has no difference of interest.
        quality: PSNR in dB by name, by row.
        crop: of the images.
    """
    sample = next(iter(next(iter(rows.values())).values()))[crop]
    height, width = (ENLARGED * length for length in sample.shape[:2])
    columns = max(len(images) for images in rows.values())
    total = (columns * (width + _GAP) + _GAP, len(rows) * (2 * height + _TITLE + _SUBTITLE))
    with study_style():
        figure = Figure(layout="none")
        figure.set_size_inches(*(length / figure.dpi for length in total))
        for number, (row, images) in enumerate(rows.items()):
            top = number * (2 * height + _TITLE + _SUBTITLE) + _TITLE
            below = top + height + _SUBTITLE
            told = f"{row}: difference\nfrom {reference},\nblack 0, white {_WHITEST} of 255"
            figure.text(_GAP / total[0], 1 - (below + height / 2) / total[1], told, fontsize=8, va="center")
            for column, (name, image) in enumerate(images.items()):
                value, left = quality[row].get(name), _GAP + column * (width + _GAP)
                if number and (value is None or name == reference):
                    continue
                axis = _place(figure, (left, top, width, height), total)
                axis.imshow(image[crop], interpolation="nearest", aspect="auto")
                axis.set_title(name if value is None else f"{name}\n{value:.2f} dB", fontsize=8, pad=4)
                if value is None or name == reference:
                    continue
                difference = np.abs(image.astype(float) - images[reference])[crop].mean(2)
                axis = _place(figure, (left, below, width, height), total)
                axis.imshow(difference, cmap="gray", vmin=0, vmax=_WHITEST, interpolation="nearest", aspect="auto")
                axis.set_title(f"{difference.mean():.1f} of 255 in the mean", fontsize=7, pad=3)
    return figure


def _place(figure: Figure, box: tuple[int, int, int, int], total: tuple[int, int]) -> Axes:
    """Add axes without lines: left, top, width and height in pixels of a figure of ``total`` width and height."""
    left, top, width, height = box
    lower = total[1] - top - height
    axis = figure.add_axes((left / total[0], lower / total[1], width / total[0], height / total[1]))
    axis.set_axis_off()
    return axis


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
