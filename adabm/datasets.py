"""Prepared data sets: folders of high- and low-resolution pictures with a manifest."""

import hashlib
import importlib.util
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import yaml

from .errors import DataError
from .evaluation import Picture
from .images import list_images, read_rgb, write_image
from .resize import downscale, modcrop

SPLITS = ("calibration", "evaluation")


@dataclass(frozen=True)
class PreparedSet:
    """A data set on disk: ``<root>/<split>/{HR,LR}/<picture>.png`` for the splits of ``SPLITS``."""

    root: Path

    def __post_init__(self) -> None:
        if not self.root.is_dir():
            raise DataError(f"{self.root}: no prepared data set; run `dvc repro prepare` first")

    def evaluation_pictures(self) -> list[Picture]:
        """Return the pictures with ground truth, sorted by name."""
        high, low = self.root / "evaluation" / "HR", self.root / "evaluation" / "LR"
        return [Picture(p.stem, read_rgb(p), read_rgb(low / p.name)) for p in list_images(high)]

    def calibration_images(self) -> dict[str, np.ndarray]:
        """Return the low-resolution calibration pictures by name; no ground truth is read."""
        return {p.stem: read_rgb(p) for p in list_images(self.root / "calibration" / "LR")}


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
    """Write HR (cropped to a multiple of the scale) and MATLAB-style LR pictures; return how many pairs."""
    count = 0
    for split in SPLITS:
        for entry in manifest[split]:
            high = modcrop(read_rgb(bundled_path(entry)), manifest["scale"])
            write_image(Path(root) / split / "HR" / f"{entry['name']}.png", high)
            write_image(Path(root) / split / "LR" / f"{entry['name']}.png", downscale(high, manifest["scale"]))
            count += 1
    return count
