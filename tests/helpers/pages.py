"""Pages of Markdown: the code and sections in them, and a folder in which readers could be."""

import re
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from markdown_it import MarkdownIt

from adabm.pictures.bundled import bundled_path, read_manifest
from adabm.pictures.reading import read_rgb
from adabm.pictures.resize import downscale
from adabm.pictures.writing import write_image

ROOT = Path(__file__).parents[2]


class Block(NamedTuple):
    """Fenced code: its language, the name in its first line (``# name``) or "", its text."""

    language: str
    name: str
    text: str


def blocks(text: str) -> list[Block]:
    found = []
    for token in MarkdownIt().parse(text):
        if token.type == "fence":
            first = re.match(r"# (.+)\n", token.content)
            named = first is not None and token.info in ("python", "yaml")
            found.append(Block(token.info, first[1] if named else "", token.content))
    return found


def sections(text: str) -> dict[str, str]:
    """The text of each heading of the second level."""
    parts = re.split(r"^## (.+)$", text, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2]))


@cache
def photos() -> dict[str, np.ndarray]:
    """Two photographs of 384x384 pixels, by name."""
    entries = read_manifest(ROOT / "data" / "demo_photos.yaml")["calibration"][:2]
    return {entry["name"]: read_rgb(bundled_path(entry))[:384, :384] for entry in entries}


def write_photos(folder: Path) -> None:
    """Write two photographs in ``HR`` and ``LR``, 384x384 and 96x96."""
    for name, picture in photos().items():
        write_image(folder / "HR" / f"{name}.png", picture)
        write_image(folder / "LR" / f"{name}.png", downscale(picture, 4))


def enter(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Work in a folder that has ``photos``, as a reader of the pages would."""
    monkeypatch.chdir(folder)
    write_photos(folder / "photos")
    (folder / "dvc.yaml").touch()  # the root, which paths of a plan are relative to
    for name in ("ADABM_ARCHITECTURES", "ADABM_MIRROR", "ADABM_CACHE"):
        monkeypatch.setenv(name, "")  # whatever a page exports is taken back
