"""Data sets: folders of high- and low-resolution pictures, the user's own or prepared from a manifest."""

import hashlib
import importlib.util
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import yaml

from ..engines.evaluation import Picture
from ..errors import DataError, ImageError
from .images import list_images, picture_size, read_rgb, write_image
from .resize import downscale, modcrop

SPLITS = ("calibration", "evaluation")
SCENE_SEPARATOR = "@"  # "<scene>@<index>.png" are excerpts of one scene


@dataclass(frozen=True)
class PictureFiles:
    """Where a picture with ground truth lies; without ``low``, the input is made from ``high``."""

    name: str
    high: Path
    low: Path | None = None

    def read(self, scale: int) -> Picture:
        """Read the pair.

        Raises:
            DataError: the ground truth is not ``scale`` times as large as the input.
            ImageError: a picture cannot be read or is smaller than ``scale``.
        """
        if self.low is not None:
            return _pair(self.name, self.high, self.low, scale)
        high = modcrop(read_rgb(self.high), scale)
        return Picture(self.name, high, downscale(high, scale))

    def check(self, scale: int) -> None:
        """Raise what :meth:`read` would, as far as the files' headers tell (:func:`adabm.pictures.images.picture_size`)."""
        high = picture_size(self.high)
        if self.low is not None:
            _check_pair(self.name, self.high, self.low, high, picture_size(self.low), scale)
        elif min(high) < scale:
            raise ImageError(
                f"{self.high}: {high[1]}x{high[0]} pixels are less than the scale {scale}; remove this picture"
            )


def evaluation_files(folder: str | Path) -> list[PictureFiles]:
    """Return where the pictures of a folder with ground truth lie, sorted by name; none is read.

    The folder holds either ``HR/`` and ``LR/`` with pictures of equal names (extensions may differ), or ``HR/``
    alone, or simply pictures; the last two are ground truth, which is cropped to a multiple of the scale and from
    which the inputs are made as MATLAB would (:func:`adabm.pictures.resize.downscale`).

    Raises:
        DataError: no such folder, a picture without its partner, or two of one name.
        ImageError: no picture.
    """
    folder = _existing(folder)
    high_folder, low_folder = folder / "HR", folder / "LR"
    if low_folder.is_dir() and not high_folder.is_dir():
        raise DataError(f"{folder}: has LR/ but no HR/; without ground truth there is nothing to measure")
    if not low_folder.is_dir():
        highs = _by_name(high_folder if high_folder.is_dir() else folder)
        return [PictureFiles(name, path) for name, path in highs.items()]
    highs, lows = _by_name(high_folder), _by_name(low_folder)
    for name in sorted(highs.keys() ^ lows.keys()):
        there, lacking = (high_folder, low_folder) if name in highs else (low_folder, high_folder)
        raise DataError(f"picture {name}: is in {there} but not in {lacking}; add its partner or remove it")
    return [PictureFiles(name, path, lows[name]) for name, path in highs.items()]


def evaluation_pictures(folder: str | Path, scale: int) -> list[Picture]:
    """Read all pictures of :func:`evaluation_files`; it and :meth:`PictureFiles.read` tell what can be wrong."""
    return [files.read(scale) for files in evaluation_files(folder)]


def calibration_files(folder: str | Path) -> dict[str, Path]:
    """Return the low-resolution pictures of a folder by name; no ground truth is among them.

    They lie in ``LR/`` of the folder or, where there is no such subfolder, in the folder itself.

    Raises:
        DataError: no such folder, only ``HR/`` in it, or two pictures of one name.
        ImageError: no picture.
    """
    folder = _existing(folder)
    low_folder = folder / "LR"
    if not low_folder.is_dir() and (folder / "HR").is_dir():
        raise DataError(f"{folder}: has HR/ but no LR/; calibration takes low-resolution pictures")
    return _by_name(low_folder if low_folder.is_dir() else folder)


def calibration_images(folder: str | Path) -> dict[str, np.ndarray]:
    """Read the pictures of :func:`calibration_files` as they are, each (H, W, 3) uint8."""
    return {name: read_rgb(path) for name, path in calibration_files(folder).items()}


def check_calibration(paths: Iterable[Path], patch_size: int) -> None:
    """Check by their headers that low-resolution pictures can be read and hold a patch of ``patch_size`` pixels a side.

    Raises:
        DataError: a picture is smaller.
        ImageError: a picture is damaged.
    """
    for path in paths:
        height, width = picture_size(path)
        if min(height, width) < patch_size:
            raise DataError(
                f"{path}: {width}x{height} low-resolution pixels are less than a calibration patch of "
                f"{patch_size}x{patch_size}; remove this picture or lower patch_size to {min(height, width)}"
            )


def _existing(folder: str | Path) -> Path:
    folder = Path(folder)
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder of pictures; name one, or run the pipeline that prepares it")
    return folder


def _by_name(folder: Path) -> dict[str, Path]:
    paths: dict[str, Path] = {}
    for path in list_images(folder):
        if path.stem in paths:
            raise DataError(f"{folder}: {paths[path.stem].name} and {path.name} have the same name; rename one")
        paths[path.stem] = path
    return paths


def _pair(name: str, high_path: Path, low_path: Path, scale: int) -> Picture:
    high, low = read_rgb(high_path), read_rgb(low_path)
    _check_pair(name, high_path, low_path, high.shape, low.shape, scale)
    return Picture(name, high, low)


def _check_pair(
    name: str, high_path: Path, low_path: Path, high: tuple[int, ...], low: tuple[int, ...], scale: int
) -> None:
    """Compare shapes that begin with height and width."""
    if high[:2] != (low[0] * scale, low[1] * scale):
        raise DataError(
            f"picture {name}: {high_path} has {high[1]}x{high[0]} pixels, which are not {scale} times "
            f"the {low[1]}x{low[0]} of {low_path}"
        )


def read_manifest(path: str | Path) -> dict:
    """Read a manifest of pictures that installed packages bundle (see ``data/demo_photos.yaml``).

    Raises:
        DataError: unreadable, a split missing, or a picture named in both splits.
    """
    try:
        manifest = yaml.safe_load(Path(path).read_text())
    except (OSError, yaml.YAMLError) as error:
        raise DataError(f"{path}: cannot be read ({error})") from None
    for key in ("name", "scale", *SPLITS):
        if key not in (manifest or {}):
            raise DataError(f"{path}: has no entry {key!r}")
    shared = {e["sha256"] for e in manifest["calibration"]} & {e["sha256"] for e in manifest["evaluation"]}
    if shared:
        raise DataError(f"{path}: a picture is in both splits (sha256 {shared.pop()[:12]}...)")
    return manifest


def bundled_path(entry: dict) -> Path:
    """Return the file of a manifest entry inside its installed package, its checksum verified."""
    spec = importlib.util.find_spec(entry["package"])
    if spec is None or spec.origin is None:
        raise DataError(f"picture {entry['name']}: package {entry['package']} is not installed; run `make env`")
    path = Path(spec.origin).parent / entry["path"]
    if not path.is_file():
        raise DataError(f"picture {entry['name']}: {path} is missing; install the locked version of {entry['package']}")
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    if digest != entry["sha256"]:
        raise DataError(
            f"picture {entry['name']}: {path} has sha256 {digest}, expected {entry['sha256']}; "
            f"install the locked version of {entry['package']}"
        )
    return path


def prepare_bundled(manifest: dict, root: str | Path) -> int:
    """Write what a manifest names; return how many pictures.

    ``<root>/<name of the set>/{HR,LR}`` get the evaluation pairs (HR cropped to a multiple of the scale, LR
    MATLAB-style), ``<root>/calibration/LR`` the inputs of the calibration pictures, without their ground truth.
    """
    root, scale = Path(root), manifest["scale"]
    for split in SPLITS:
        for entry in manifest[split]:
            high = modcrop(read_rgb(bundled_path(entry)), scale)
            folder = root / (manifest["name"] if split == "evaluation" else split)
            if split == "evaluation":
                write_image(folder / "HR" / f"{entry['name']}.png", high)
            write_image(folder / "LR" / f"{entry['name']}.png", downscale(high, scale))
    return sum(len(manifest[split]) for split in SPLITS)
