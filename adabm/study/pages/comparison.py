"""Pictures side by side: crops of what each method makes, and where they differ from full precision."""

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure

from .figures import study_style

_WHITEST = 32  # gray levels of 255: a difference of so many or more is drawn brightest


def plot_differences(
    rows: Mapping[str, Mapping[str, np.ndarray]],
    quality: Mapping[str, Mapping[str, float]],
    reference: str,
    crop: tuple[slice, slice],
) -> Figure:
    """Draw two lines of pictures for each row: the same crop of all its images, and their differences from ``reference``.

    What has no difference to show, the original and the reference, is drawn in the first row alone.

    Args:
        rows: (H, W, 3) images of 8 bits by name, by row; the first of each has no difference of interest.
        quality: PSNR in dB by name, by row.
        crop: of the images.
    """
    columns = max(len(images) for images in rows.values())
    with study_style():
        figure = Figure(figsize=(1.9 * columns, 4.1 * len(rows)))
        grid = figure.subplots(2 * len(rows), columns, squeeze=False)
        for axis in grid.flat:
            axis.set_axis_off()
        for number, (row, images) in enumerate(rows.items()):
            told = f"{row}: difference\nfrom {reference},\nblack 0, white {_WHITEST} of 255"
            grid[2 * number + 1, 0].text(0.0, 0.5, told, fontsize=8, va="center")
            for axis, below, (name, image) in zip(grid[2 * number], grid[2 * number + 1], images.items()):
                value = quality[row].get(name)
                if number and (value is None or name == reference):
                    continue
                axis.imshow(image[crop], interpolation="nearest")
                axis.set_title(name if value is None else f"{name}\n{value:.2f} dB", fontsize=8)
                if value is None:
                    continue
                difference = np.abs(image.astype(float) - images[reference])[crop].mean(2)
                if name != reference:
                    below.imshow(difference, cmap="gray", vmin=0, vmax=_WHITEST, interpolation="nearest")
                    below.set_title(f"{difference.mean():.1f} of 255 in the mean", fontsize=7)
    return figure


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
