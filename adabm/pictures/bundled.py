"""Pictures that installed packages bundle, named by a manifest: the data set of the demo."""

import importlib.util
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ..errors import DataError
from ..support.files import file_sha256
from ..support.yaml_files import read_yaml
from .reading import read_rgb
from .resize import downscale, modcrop
from .writing import write_image

SPLITS = ("calibration", "evaluation")
_Name = Annotated[str, Field(pattern=r"^[\w-][\w.-]*$")]  # of a file or folder


class _Strict(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid")


class _Picture(_Strict):
    name: _Name
    package: _Name
    path: str
    licence: str = ""
    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


class _Manifest(_Strict):
    name: _Name
    scale: Annotated[int, Field(ge=1, le=16)]
    calibration: list[_Picture]
    evaluation: list[_Picture]


def read_manifest(path: str | Path) -> dict:
    """Read a manifest of pictures that installed packages bundle (see ``data/demo_photos.yaml``).

    Raises:
        DataError: unreadable, an entry missing or of another kind, or a picture named in both splits.
    """
    manifest = read_yaml(path, DataError)
    try:
        _Manifest.model_validate(manifest)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(map(str, first["loc"])) or "the manifest"
        raise DataError(f"{path}: {place}: {' '.join(first['msg'].split())}") from None
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
    digest = file_sha256(path)
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
