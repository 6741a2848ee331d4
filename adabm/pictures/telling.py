"""Where the inputs of evaluated pictures come from, in words."""

import re
from collections.abc import Iterable
from pathlib import Path

from ..errors import ImageError

# private, since renaming it would change what results of questions are kept under
from .folders import _inside
from .pairs import by_kind, pair
from .reading import list_images


def tell_inputs(high_folder: Path, low_folder: Path | None, scale: int) -> str:
    """Say where the inputs of :func:`read_pictures` come from, and which pictures are left out of it by their names.

    Raises:
        ImageError: one that is left out, such as ``a_x4``, may be meant as the input of ``a`` in place of the one that is called ``a``.
    """
    high_folder, low_folder = _inside(high_folder, low_folder)
    if low_folder is None:
        left_out = set(list_images(high_folder)) - set(by_kind(high_folder, "HR", scale).values())
        told = f"inputs: made from {high_folder} as MATLAB's imresize makes them"
    else:
        pairs = pair(high_folder, low_folder, scale).pairs
        left_out = {*list_images(high_folder), *list_images(low_folder)} - {path for both in pairs for path in both}
        _check_meant(pairs, left_out, scale)
        told = f"inputs: {low_folder}"
    if not left_out:
        return told
    return f"{told}; left out, since their names call them of another kind or scale, or have no ground truth: {_some(left_out)}"


def _check_meant(pairs: Iterable[tuple[Path, Path]], left_out: Iterable[Path], scale: int) -> None:
    ending = re.compile(rf"[_-]?x{scale}$", re.IGNORECASE)
    lows = {low.stem: (high, low) for high, low in pairs}
    for other in sorted(left_out):
        name = ending.sub("", other.stem)
        if name != other.stem and name in lows and lows[name][1].parent == other.parent:
            high, low = lows[name]
            raise ImageError(
                f"{other.parent}: {low.name} and {other.name} may both be the x{scale} input of {high.name}; keep one"
            )


def _some(paths: Iterable[Path]) -> str:
    names = sorted(path.name for path in paths)
    return ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")
