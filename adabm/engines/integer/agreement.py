"""Whether an integer engine computes what the simulation does: what a library makes of a graph is seen from pictures alone."""

from collections.abc import Callable
from contextlib import nullcontext

import numpy as np
import torch

from ...checkpoints.soundness import full_precision_output
from ...errors import EngineError
from ...networks.sameness import test_output
from ...quantization.model import QuantizedSR
from ...support.surroundings import as_usual
from ..deciding import factor_given
from .layers import factors

Run = Callable[[np.ndarray, int], np.ndarray]  # f((1, C, H, W) picture in the network's value range, an image's factor)
_UNSEEN = (
    1 / 255
)  # of the value range: what borders and ties of rounding may make of 8 bits, beside which nothing is gained


@as_usual
def check_agreement(run: Run, model: QuantizedSR, factor: int, engine: str) -> None:
    """Compare an engine with the simulation on two small pictures, at one factor of an image.

    Single values fall on another side of a rounding, so that they never agree wholly; where they are further apart than
    quantization has put the simulation from full precision, something else is computed.

    Args:
        run: what the engine computes.
        model: in float32 on the CPU.
        engine: its name, for the message.

    Raises:
        EngineError: they differ by more than quantization and by more than a level of 8 bits, root mean square, or the engine
            gives another size or NaN.
        Exception: what ``run`` raises.
    """
    value_range = model.descriptor.value_range
    whole = full_precision_output(model)
    given = nullcontext() if model.image2bit is None else factor_given(model, torch.tensor([float(factor)]))
    with given:
        expected = test_output(model, model.descriptor)
    if expected is None or whole is None:
        return  # the network takes no pictures of these sizes
    failed: list[Exception] = []
    found = test_output(lambda images: _computed(run, images, factor, failed), model.descriptor, model)
    if failed:
        raise failed[0]
    apart, costs = _apart(found, expected), _apart(whole, expected)
    if apart <= max(costs, _UNSEEN * value_range):
        return
    levels = lambda value: f"{value * 255 / value_range:.1f}"
    raise EngineError(
        f"engine {engine!r} does not compute this network as the simulation does: at factor {factor:+d} test pictures are "
        f"{levels(apart)} of 255 apart, where quantization itself costs {levels(costs)}; use --engine simulated or another engine"
    )


def agreeing(run: Run, model: QuantizedSR, engine: str) -> Run:
    """Return ``run`` with each factor compared, see :func:`check_agreement`, before it first computes with it."""
    left = set(factors(model))

    def compared(picture: np.ndarray, factor: int) -> np.ndarray:
        if factor in left:
            check_agreement(run, model, factor, engine)
            left.remove(factor)
        return run(picture, factor)

    return compared


def _computed(run: Run, images: torch.Tensor, factor: int, failed: list[Exception]) -> torch.Tensor:
    try:
        return torch.from_numpy(run(images.contiguous().numpy(), factor))
    except Exception as error:
        failed.append(error)
        raise


def _apart(one: torch.Tensor | None, other: torch.Tensor) -> float:
    """The root mean square of the difference; infinite where there is none."""
    if one is None or one.shape != other.shape:
        return np.inf
    apart = (one - other).square().mean().sqrt().item()
    return apart if np.isfinite(apart) else np.inf
