"""Make torchvision importable beside a torch that it was not built for, and by code of its time before 0.17.

A torchvision wheel built for another torch lacks the operator schema ``torchvision::nms`` and fails at import;
``torchvision.transforms.functional_tensor``, which BasicSR imports, was removed in torchvision 0.17.
:func:`install` mends both when torchvision is imported, the first one only where that fails, and costs nothing before.

This file stands alone, since :mod:`adabm.repair_environment` copies it into site-packages.
"""

import sys  # nothing else at the start: every program of a repaired environment imports this file

_GONE = "torchvision.transforms.functional_tensor"
_PRESENT = "torchvision.transforms._functional_tensor"  # the same, under its name of today
_libraries: list = []  # a garbage-collected torch.library.Library takes its operators along


def install() -> None:
    """Watch over imports of torchvision from now on; once, however often it is called."""
    if not any(getattr(finder, "adabm_repairs_torchvision", False) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Finder())


class _Finder:
    """Of ``sys.meta_path``: has the others find torchvision, and finds what none of them does."""

    adabm_repairs_torchvision = True

    def find_spec(self, name: str, path: object = None, target: object = None) -> object:
        if name not in ("torchvision", _GONE):
            return None
        others = (finder for finder in sys.meta_path if finder is not self and hasattr(finder, "find_spec"))
        found = next((spec for finder in others if (spec := finder.find_spec(name, path, target)) is not None), None)
        if name == _GONE:
            from importlib.machinery import ModuleSpec

            return found or ModuleSpec(name, _Alias())
        if found is not None and hasattr(found.loader, "exec_module"):
            found.loader.exec_module = lambda module: _execute(found.loader, module)
        return found


class _Alias:
    """Loads the module that is gone, from the one of today."""

    def create_module(self, spec: object) -> None:
        return None

    def exec_module(self, module: object) -> None:
        from importlib import import_module

        today = vars(import_module(_PRESENT))
        vars(module).update({name: value for name, value in today.items() if not name.startswith("__")})


def _execute(loader: object, module: object) -> None:
    execute = type(loader).exec_module
    try:
        execute(loader, module)
    except RuntimeError as error:
        if "torchvision::nms" not in str(error):
            raise
        _define_operators()
        for name in [name for name in sys.modules if name.startswith("torchvision.")]:
            del sys.modules[name]  # leftovers of the failed import
        execute(loader, module)


def _define_operators() -> None:
    import torch

    library = torch.library.Library("torchvision", "FRAGMENT")
    for operator in ("nms", "qnms"):
        library.define(f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    _libraries.append(library)
