"""Find pretrained full-precision networks: those that ship with the package, and others by their path."""

from importlib import resources
from pathlib import Path

from ..errors import CheckpointError
from ..files import file_sha256

DEFAULT = "edsr_f32b8_x4"
_FOREIGN = (".pth", ".pt", ".ckpt", ".bin", ".params", ".onnx")


def default_backbone() -> Path:
    """Return the weight file of the default network: EDSR x4 of 32 features and 8 blocks."""
    return backbone_path(DEFAULT)


def backbone_path(name: str) -> Path:
    """Return the .safetensors file of a shipped network, or of any other.

    Args:
        name: of a shipped network, such as ``edsr_f32b8_x4``; or, if it ends in ``.safetensors``, the path of a
            file that :func:`adabm.save_network` or ``adabm import`` wrote.

    Raises:
        CheckpointError: no such file, or no such network; those that ship are named.
    """
    if name.endswith(".safetensors"):
        if not Path(name).is_file():
            raise CheckpointError(f"{name}: no such file")
        return Path(name)
    if "/" in name or name.lower().endswith(_FOREIGN):
        raise CheckpointError(
            f"{name}: a network is a .safetensors file; run `adabm import {name} out.safetensors` first, and name the result"
        )
    folder = Path(str(resources.files("adabm"))) / "weights"
    path = folder / f"{name}.safetensors"
    if not path.is_file():
        shipped = ", ".join(sorted(p.stem for p in folder.glob("*.safetensors"))) or "none"
        raise CheckpointError(f"{path}: no such backbone; shipped are: {shipped}")
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
