"""Pools of calibration pictures, and pictures that do not belong among photographs, made by code: drawings, text, noise, night."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from ...pictures.reading import read_rgb
from ..plan.cells import Run
from ..running.bench import Bench

_SHAPES, _LINE, _LETTERS = 6, 11, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
_DARK, _GRAIN = 0.06, 1.5  # of the light that is left at night, and standard deviation of the noise, 0 to 255


def drawing(photograph: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Flat colours with black outlines on white."""
    picture = Image.new("RGB", photograph.shape[1::-1], "white")
    brush = ImageDraw.Draw(picture)
    for _ in range(_SHAPES):
        corners = np.sort(rng.integers(0, picture.size, (2, 2)), axis=0)
        shape = (brush.rectangle, brush.ellipse)[rng.integers(2)]
        shape([*map(int, corners.ravel())], fill=tuple(map(int, rng.integers(0, 256, 3))), outline="black")
    return np.asarray(picture)


def text(photograph: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Black letters on white."""
    picture = Image.new("RGB", photograph.shape[1::-1], "white")
    brush, font = ImageDraw.Draw(picture), ImageFont.load_default()
    for top in range(0, picture.height, _LINE):
        line = "".join(rng.choice(list(_LETTERS), picture.width // 5))
        brush.text((0, top), line, fill="black", font=font)
    return np.asarray(picture)


def noise(photograph: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Independent uniform values."""
    return rng.integers(0, 256, photograph.shape, dtype=np.uint8)


def night(photograph: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The photograph nearly without light, and grain."""
    dark = photograph * _DARK + rng.normal(0, _GRAIN, photograph.shape)
    return dark.round().clip(0, 255).astype(np.uint8)


# by name; each takes a photograph (H, W, 3), 8 bits, whose place it takes, and a generator
OUTLIERS: dict[str, Callable[[np.ndarray, np.random.Generator], np.ndarray]] = {
    "drawings": drawing,
    "text": text,
    "noise": noise,
    "night": night,
}
CLEAN, ADAPTIVE = "photographs", "adaptive"
ALONE = {"documents alone": ("drawings", "text"), "night alone": ("night",)}  # other domains, by the kinds they mix
POOLS = (CLEAN, *OUTLIERS, *ALONE, ADAPTIVE)


def calibration(bench: Bench, run: Run, pool: str, number: int, share: float, folder: Path) -> tuple[Path, ...]:
    """Return the calibration pictures of a pool; a seed's photographs are the beginning of the same random order in all.

    Outliers stand at even distances, so that whatever part of the pictures a recipe looks at holds their share.

    Args:
        pool: of ``POOLS``; the adaptive one chooses how many photographs it needs.
        number: of pictures in the others.
        share: of them that outliers replace; all in the pools of ``ALONE``.
        folder: where outliers are written.
    """
    if pool == ADAPTIVE:
        return bench.choose(ADAPTIVE, len(bench.pool), run)
    chosen = list(bench.choose("random", number, run))
    if pool == CLEAN:
        return tuple(chosen)
    kinds, share = (ALONE[pool], 1.0) if pool in ALONE else ((pool,), share)
    outliers = round(share * number)
    for index, place in enumerate((np.arange(outliers) + 0.5) * number // max(outliers, 1)):
        place = int(place)
        kind = kinds[index % len(kinds)]
        made = OUTLIERS[kind](read_rgb(chosen[place]), np.random.default_rng([run.seed, place]))
        chosen[place] = folder / f"{kind}-{run.seed}-{place}.png"
        Image.fromarray(made).save(chosen[place])
    return tuple(chosen)
