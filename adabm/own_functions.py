"""Functions of the user's own that a recipe names: they see copies, and what they return is checked."""

import functools
from collections.abc import Callable

import torch
from torch import Tensor, nn

from .errors import ConfigError

# of (result, arguments): what the result is instead, None: as it has to be
Fault = Callable[[object, tuple], str | None]


def is_own(defined: object) -> bool:
    """Whether a function or class is the user's own: defined outside of this package."""
    return (getattr(defined, "__module__", None) or "").partition(".")[0] != __package__


def guarded(function: Callable, kind: str, name: str, fault: Fault, wanted: str, apart: bool = False) -> Callable:
    """Return a function that calls ``function`` with copies of its tensors, and refuses what it must not return.

    Its first call is made twice, so that one that gives something else each time is noticed. A layer is not copied, but one
    that is not afterwards what it was before is refused.

    Args:
        kind, name: what it is, in errors.
        fault: see :data:`Fault`.
        wanted: what it has to return, in words.
        apart: it looks at pictures (N, C, H, W), first of its arguments, each by itself; one that does not is refused, too.

    Raises:
        ConfigError: by the function that is returned.
    """
    tried = False

    @functools.wraps(function)
    def checked(*args: object) -> object:
        nonlocal tried
        layers = [arg for arg in args if isinstance(arg, nn.Module)]
        before = [_holds(layer) for layer in layers]
        result = function(*map(_copied, args))
        if any(not _same(held, _holds(layer)) for layer, held in zip(layers, before)):
            raise ConfigError(f"{kind} {name!r} changes the layer that it looks at; let it only read")
        if (told := fault(result, args)) is not None:
            raise ConfigError(f"{kind} {name!r} returns {told}; it has to return {wanted}")
        if not tried:
            if not _same(result, function(*map(_copied, args))):
                raise ConfigError(f"{kind} {name!r} returns something else each time for the same; let it draw nothing")
            if apart and not _looks_at_each_alone(function, *args):
                raise ConfigError(
                    f"{kind} {name!r} returns something else for a picture where others stand in the batch; let it look at each picture by "
                    "itself, such as x.flatten(1).mean(1) in place of x.mean()"
                )
            tried = True
        return result

    return checked


def _looks_at_each_alone(function: Callable, pictures: Tensor, value_range: float, *others: object) -> bool:
    """Whether a function gives a picture among a darker and an inverted one the number that it gives it alone."""
    own = pictures[:1]
    batch = torch.cat([own / 2, own, (value_range - own) / 4])
    together = function(batch.clone(), value_range, *others)
    alone = torch.cat([function(one.clone(), value_range, *others) for one in batch.split(1)])
    return torch.allclose(together, alone, rtol=1e-3, atol=1e-6 * alone.abs().nan_to_num().max().item(), equal_nan=True)


def _copied(value: object) -> object:
    return value.clone() if isinstance(value, Tensor) else value


def _holds(layer: nn.Module) -> list:
    """What a layer computes with: its tensors as they are now, its modules and its plain attributes."""
    plain = [(name, value) for name, value in vars(layer).items() if isinstance(value, (bool, int, float, str, tuple))]
    tensors = [(name, tensor.detach().clone()) for name, tensor in layer.state_dict().items()]
    return [plain, tensors, [(name, id(module)) for name, module in layer.named_modules()]]


def _same(one: object, other: object) -> bool:
    if isinstance(one, (tuple, list)):
        return isinstance(other, (tuple, list)) and len(one) == len(other) and all(map(_same, one, other))
    if isinstance(one, Tensor):
        return torch.allclose(one.detach(), other.detach(), equal_nan=True)
    return one == other


def one_number_a_picture(result: object, args: tuple) -> str | None:
    """The :data:`Fault` of an image complexity."""
    if not isinstance(result, Tensor) or not result.is_floating_point() or result.shape != args[0].shape[:1]:
        return told(result)
    odd = result[~result.isfinite()]
    return str(odd[0].item()) if len(odd) and args[0].isfinite().all() else None


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


def a_step_a_channel(result: object, args: tuple) -> str | None:
    """The :data:`Fault` of an observer of weights by channel."""
    if not isinstance(result, Tensor) or not result.is_floating_point() or result.shape != (len(args[0]), 1):
        return told(result)
    return (
        None if result.isfinite().all() and (result > 0).all() else f"steps from {result.min():g} to {result.max():g}"
    )


def codes_and_bias(result: object, args: tuple) -> str | None:
    """The :data:`Fault` of a rounding rule."""
    weight, bias, *_, bits = args
    if not isinstance(result, (tuple, list)) or len(result) != 2:
        return told(result)
    if any(not isinstance(value, Tensor) or value.shape != old.shape for value, old in zip(result, (weight, bias))):
        return " and ".join(map(told, result))
    codes, half = result[0], 2 ** (bits - 1)
    if not ((codes >= -half) & (codes < half) & (codes == codes.round())).all():  # NaN is neither
        return (
            f"codes from {codes.min():g} to {codes.max():g} that are not all whole numbers from {-half} to {half - 1}"
        )
    return None if result[1].isfinite().all() else "a bias that is not finite"


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
