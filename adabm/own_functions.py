"""Functions of the user's own that a recipe names: they see copies, and what they return is checked."""

import functools
from collections.abc import Callable

import torch
from torch import Tensor

from .errors import ConfigError

# of (result, arguments): what the result is instead, None: as it has to be
Fault = Callable[[object, tuple], str | None]


def guarded(function: Callable, kind: str, name: str, fault: Fault, wanted: str) -> Callable:
    """Return a function that calls ``function`` with copies of its tensors, and refuses what it must not return.

    Its first call is made twice, so that one that gives something else each time is noticed.

    Args:
        kind, name: what it is, in errors.
        fault: see :data:`Fault`.
        wanted: what it has to return, in words.

    Raises:
        ConfigError: by the function that is returned.
    """
    tried = False

    @functools.wraps(function)
    def checked(*args: object) -> object:
        nonlocal tried
        result = function(*map(_copied, args))
        if (told := fault(result, args)) is not None:
            raise ConfigError(f"{kind} {name!r} returns {told}; it has to return {wanted}")
        if not tried:
            if not _same(result, function(*map(_copied, args))):
                raise ConfigError(f"{kind} {name!r} returns something else each time for the same; let it draw nothing")
            tried = True
        return result

    return checked


def _copied(value: object) -> object:
    return value.clone() if isinstance(value, Tensor) else value


def _same(one: object, other: object) -> bool:
    if isinstance(one, (tuple, list)):
        return all(map(_same, one, other))
    if isinstance(one, Tensor):
        return torch.allclose(one.detach(), other.detach(), equal_nan=True)
    return one == other


def one_number_a_picture(result: object, args: tuple) -> str | None:
    """The :data:`Fault` of an image complexity."""
    if not isinstance(result, Tensor) or not result.is_floating_point() or result.shape != args[0].shape[:1]:
        return told(result)
    return None


def one_number(result: object, _args: tuple, least: float = -float("inf")) -> str | None:
    """The :data:`Fault` of a layer sensitivity: what is no finite number in a tensor, of at least ``least``."""
    if not isinstance(result, Tensor) or result.numel() != 1:
        return told(result)
    return None if result.isfinite() and result >= least else str(result.item())


def a_half_width(result: object, args: tuple) -> str | None:
    """The :data:`Fault` of an observer of weights."""
    return told(result) if isinstance(result, Tensor) and result.dim() > 1 else one_number(result, args, 0)


def a_range(result: object, args: tuple) -> str | None:
    """The :data:`Fault` of an observer of activations."""
    if not isinstance(result, (tuple, list)) or len(result) != 2:
        return told(result)
    if any(isinstance(end, Tensor) and end.dim() > 1 for end in result):
        return ", ".join(map(told, result))
    faults = [fault for end in result if (fault := one_number(end, args)) is not None]
    if not faults and result[0] > result[1]:
        return f"{result[0].item()} and {result[1].item()}"
    return faults[0] if faults else None


def a_factor_a_layer(result: object, args: tuple) -> str | None:
    """The :data:`Fault` of a bit allocation."""
    if not isinstance(result, (Tensor, tuple, list)) or len(result) != len(args[0]):
        return told(result)
    return next((str(float(factor)) for factor in result if float(factor) not in (-1, 0, 1)), None)


def told(result: object) -> str:
    """What something is, in short."""
    if isinstance(result, Tensor):
        return f"a tensor of {str(result.dtype).removeprefix('torch.')} of shape {tuple(result.shape)}"
    return "None" if result is None else f"a {type(result).__name__}"
