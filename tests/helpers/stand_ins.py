"""A mirror of files that stand in for published ones: the same names and layout, other bytes, and the sums of those."""

import io
import shutil
import zipfile
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from adabm.support.files import file_sha256
from helpers.foreign_forwards import edsr_pytorch_weights
from pipelines.downloads.sources import Source, read_sources

SIDE = 24  # of a low-resolution picture: no smaller than the tile that notebook 1 shows
FROM_ARCHIVE = 110  # pictures in an archive, a few more than the calibration takes


def stand_in_mirror(root: Path, ids: list[str], mirror: Path, scale: int = 4) -> None:
    """Write stand-ins of ``ids`` below ``mirror``, and their sums into ``root/data/checksums`` in place of the published."""
    rng = np.random.default_rng(0)
    for source in (read_sources(root / "data" / "sources.yaml")[name] for name in ids):
        lines = []
        for file in source.files:
            path = mirror / file.path
            path.parent.mkdir(parents=True, exist_ok=True)
            _write(path, source, scale, rng)
            named = path.relative_to(mirror / source.folder).as_posix() if source.folder else path.name
            lines.append(f"{file_sha256(path)}  {path.stat().st_size}  {named}\n")
        (root / "data" / "checksums" / f"{source.id}.txt").write_text("".join(lines))


def _write(path: Path, source: Source, scale: int, rng: np.random.Generator) -> None:
    if path.suffix == ".pt":
        weights = edsr_pytorch_weights(4, 2, (2, 2))
        torch.save({name: torch.from_numpy(np.asarray(value)) for name, value in weights.items()}, path)
    elif path.suffix == ".zip":
        folder = path.stem.rsplit("_", 1)[0] + f"/X{scale}"  # DIV2K_train_LR_bicubic/X4
        with zipfile.ZipFile(path, "w") as archive:
            for number in range(1, FROM_ARCHIVE + 1):
                archive.writestr(f"{folder}/{number:04}x{scale}.png", _picture(rng, SIDE))
    else:
        path.write_bytes(_picture(rng, SIDE * (scale if path.stem.endswith("HR") else 1)))


def _picture(rng: np.random.Generator, side: int) -> bytes:
    """A smooth picture of its own, as PNG."""
    coarse = Image.fromarray(rng.integers(0, 256, (6, 6, 3), dtype=np.uint8))
    file = io.BytesIO()
    coarse.resize((side, side), Image.Resampling.BICUBIC).save(file, "PNG")
    return file.getvalue()


def project_copy(source: Path, names: tuple[str, ...], root: Path) -> Path:
    """Copy files and folders of the project to ``root``, links as links."""
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        if (source / name).is_dir():
            ignored = shutil.ignore_patterns("__pycache__", ".ipynb_checkpoints")
            shutil.copytree(source / name, root / name, symlinks=True, ignore=ignored)
        else:
            shutil.copy(source / name, root / name)
    return root
