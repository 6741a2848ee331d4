"""What a number depends on: the code that computes it, files, settings; each as a sha256."""

import ast
import hashlib
import json
from collections.abc import Mapping
from functools import cache
from importlib import resources
from pathlib import Path

import torch

# A change in one of these can change a quantized model; a change in the others of the package cannot.
QUANTIZING = (
    "api",
    "quantization.bit_mapping",
    "steps.calibration",
    "steps.clipping",
    "quantization.complexity",
    "steps.fine_tuning",
    "quantization.layers",
    "steps.losses",
    "quantization.model",
    "quantization.observers",
    "pictures.patches",
    "pictures.tensors",
    "quantization.quantizers",
    "networks.describe",
    "networks.folding",
    "networks.infer",
    "networks.rdn",
    "networks.scale",
    "networks.srresnet",
    "networks.trace",
)
# These can change what is measured on a picture with a given model.
MEASURING = (
    "quantization.bit_mapping",
    "quantization.complexity",
    "engines.evaluation",
    "quantization.layers",
    "engines.metrics",
    "engines.simulated",
    "quantization.model",
    "quantization.quantizers",
    "pictures.resize",
    "engines.tiles",
    "pictures.tensors",
    "networks.folding",
    "networks.rdn",
    "networks.srresnet",
)
# These change a calibrated model by a rule of the study, where a run asks for it.
INTERVENING = ("study.plan.interventions",)
# These decide which calibration pictures a strategy chooses.
SAMPLING = (
    "quantization.complexity",
    "quantization.model",
    "quantization.quantizers",
    "sampling.adaptive",
    "sampling.pool",
    "sampling.registry",
    "sampling.statistics",
    "sampling.strategies",
)
# These decide which models a question compares and what of them stands in its table.
STUDYING = ("study.running.bench", "study.answers.significance", "study.running.timing", "study.running.traces")
# Reading, writing, checking, describing: no number depends on how they do it.
NEUTRAL = (
    "__init__",
    "__main__",
    "_compat",
    "networks.backbones",
    "quantization.checkpoint",
    "quantization.config",
    "engines.cost",
    "files",
    "full_precision",
    "pictures.bundled",
    "pictures.folders",
    "pictures.pairs",
    "errors",
    "pictures.picture",
    "pictures.reading",
    "pictures.writing",
    "pictures.orientation",
    "steps.progress",
    "serialization",
    "suggestions",
    "networks.__init__",
    "steps.__init__",
    "quantization.__init__",
    "pictures.__init__",
    "engines.__init__",
    "engines.protocol",
    "engines.registry",
    "plugins",
    "networks.basicsr_zoo",
    "networks.conversion",
    "networks.descriptor",
    "networks.foreign",
    "networks.importing",
    "networks.mxnet_params",
    "networks.raw_tensors",
    "networks.registry",
    # a selection counts by the pictures that it chose
    "sampling.__init__",
    "sampling.adaptive",
    "sampling.pool",
    "sampling.registry",
    "sampling.statistics",
    "sampling.strategies",
)


@cache
def code_hash(modules: tuple[str, ...], torch_version: str | None = None) -> str:
    """Hash what modules of this package compute; see :func:`source_hash`."""
    package = resources.files("adabm")
    sources = {
        m: package.joinpath(*m.split(".")[:-1], m.split(".")[-1] + ".py").read_text(encoding="utf-8") for m in modules
    }
    return source_hash(sources, torch_version)


def source_hash(sources: Mapping[str, str], torch_version: str | None = None) -> str:
    """Hash the syntax trees of modules, given as name and text, and torch's version (default: that of this process).

    Comments, docstrings and formatting do not count, so that improving them leaves measured results valid.
    """
    digest = hashlib.sha256((torch_version or torch.__version__).encode())
    for module, source in sources.items():
        tree = ast.parse(source)
        for node in ast.walk(tree):
            body = getattr(node, "body", None)
            if (
                isinstance(body, list)
                and body
                and isinstance(body[0], ast.Expr)
                and isinstance(body[0].value, ast.Constant)
            ):
                del body[0]
        digest.update(f"{module}\0{ast.dump(tree)}\0".encode())
    return digest.hexdigest()


def key(**parts: object) -> str:
    """Hash named JSON-ready parts, whatever their order."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def sha256(path: Path) -> str:
    """sha256 of a file, or of a folder's relative file names and contents in sorted order, as they are now."""
    if not path.is_dir():
        return hashlib.sha256(path.read_bytes()).hexdigest()
    digest = hashlib.sha256()
    for file in sorted(p for p in path.rglob("*") if p.is_file()):
        digest.update(f"{file.relative_to(path).as_posix()}\0".encode())
        digest.update(hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()


@cache
def file_hash(path: Path) -> str:
    """sha256 of a file that does not change while the study runs."""
    return sha256(path)


def folder_hash(paths: list[Path]) -> str:
    """Hash names and contents of pictures in their order, which calibration depends on."""
    return key(files=[(path.name, file_hash(path)) for path in paths])
