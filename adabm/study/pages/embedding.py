"""Figures inside a page, so that it needs nothing outside: WebP without loss, of few colours where nothing but lines is drawn."""

import base64
import io
from pathlib import Path

from PIL import Image

from .figures import PICTURES

_COLORS = 48  # of a drawing: no difference that is seen, a third of the size


def embedded(path: Path) -> str:
    """Return a figure as a data address: a drawing in 48 colours of its own, one that holds pictures pixel by pixel."""
    with Image.open(path) as opened:
        figure, holds_pictures = opened.convert("RGB"), PICTURES.items() <= opened.info.items()
    if not holds_pictures:
        figure = figure.quantize(_COLORS, Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE).convert("RGB")
    buffer = io.BytesIO()
    figure.save(buffer, "WEBP", lossless=True, quality=80, method=4)
    return f"data:image/webp;base64,{base64.b64encode(buffer.getvalue()).decode()}"
