"""Figures inside a page: PNG of few colours, so that the page is light and needs nothing outside."""

import base64
import io
from pathlib import Path

from PIL import Image

_COLORS = 128  # of one figure: no difference that is seen, a third of the size


def embedded(path: Path) -> str:
    """Return a picture as a data address: its pixels in 128 colours of its own."""
    with Image.open(path) as picture:
        few = picture.convert("RGB").quantize(_COLORS, Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
    buffer = io.BytesIO()
    few.save(buffer, "PNG", optimize=True)
    return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"
