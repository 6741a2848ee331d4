"""Make BasicSR 1.4.2 importable beside current torch and torchvision.

Two things stand in its way: a torchvision wheel built for another torch lacks the operator
schema ``torchvision::nms``, and ``torchvision.transforms.functional_tensor``, which BasicSR
imports, was removed in torchvision 0.17. Nothing here runs before a BasicSR module is asked for.
"""

import importlib
import sys
import types
import warnings
from types import ModuleType

import torch

_libraries: list[torch.library.Library] = []  # a garbage-collected Library takes its operators along


def basicsr_module(name: str) -> ModuleType:
    """Import ``basicsr.<name>``, e.g. ``basicsr_module("archs.edsr_arch")``."""
    _repair_torchvision()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # deprecations inside BasicSR, none of the user's doing
        return importlib.import_module(f"basicsr.{name}")


def spandrel() -> ModuleType:
    """Import ``spandrel``, which imports torchvision."""
    _repair_torchvision()
    return importlib.import_module("spandrel")


def _repair_torchvision() -> None:
    if "torchvision.transforms.functional_tensor" in sys.modules:
        return
    try:
        import torchvision  # noqa: F401
    except RuntimeError as error:
        if "torchvision::nms" not in str(error):
            raise
        library = torch.library.Library("torchvision", "FRAGMENT")
        for operator in ("nms", "qnms"):
            library.define(f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        _libraries.append(library)
        for module in [m for m in sys.modules if m.split(".")[0] == "torchvision"]:
            del sys.modules[module]  # leftovers of the failed import
    from torchvision.transforms.functional import rgb_to_grayscale

    alias = types.ModuleType("torchvision.transforms.functional_tensor")
    alias.rgb_to_grayscale = rgb_to_grayscale
    sys.modules[alias.__name__] = alias
