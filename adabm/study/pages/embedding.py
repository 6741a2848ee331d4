"""Figures inside a page, so that it needs nothing outside: WebP without artefacts, of few colours or coarser gray levels."""

import base64
import io
from pathlib import Path

from PIL import Image

from .figures import PICTURES

_COLORS = 32  # of a drawing: no difference that is seen, a third of the size
_REFINED = 2  # rounds that move these colours to those of the drawing, so that a method keeps its own
_LEVELS = (
    4  # of 255, between which pictures keep nothing: no pixel differs by more than two, three quarters of the size
)


def embedded(path: Path) -> str:
    """Return a figure as a data address: a drawing in 32 colours of its own, one that holds pictures in 64 levels a channel."""
    with Image.open(path) as opened:
        figure, holds_pictures = opened.convert("RGB"), PICTURES.items() <= opened.info.items()
    if holds_pictures:
        figure = figure.point([min(255, round(level / _LEVELS) * _LEVELS) for level in range(256)] * 3)
    else:
        figure = figure.quantize(_COLORS, Image.Quantize.MAXCOVERAGE, _REFINED, dither=Image.Dither.NONE).convert("RGB")
    buffer = io.BytesIO()
    figure.save(buffer, "WEBP", lossless=True, quality=80, method=4)
    return f"data:image/webp;base64,{base64.b64encode(buffer.getvalue()).decode()}"
