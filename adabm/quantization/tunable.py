"""What a module tells a tuner of the parameters that it may train (method section 6)."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from torch import Tensor, nn

GROUPS = ("weight", "activation", "mapping")  # of the released recipe, in their rotation
ROUNDING = "rounding"  # values of codes and biases, of weights whose rounding a step decided


@dataclass(frozen=True)
class Tunable:
    """Parameters that are trained together.

    A module with a method ``tunables()`` that yields these is found by the tuner, whatever the module is.

    Attributes:
        group: which takes its turn in fine-tuning: one of ``GROUPS``, or a name of one's own.
        rate: which learning rate it has: ``x`` for the setting ``lr_x`` of the step ``tune``.
        parameters: what is trained.
        width: calibrated size, the unit of relative learning rates and of ``keep_valid``.
        relative: whether relative learning rates are in units of ``width``.
        keep_valid: called with ``width`` after each update, whatever moved: puts the parameters back where the module
            can work (an order, a least size).
        lr: learning rate, in the parameters' own units, where the step ``tune`` has no setting of the name ``rate``.
    """

    group: str
    rate: str
    parameters: tuple[nn.Parameter, ...]
    width: float = 1.0
    relative: bool = False
    keep_valid: Callable[[float], None] | None = None
    lr: float | None = None


def tunables(model: nn.Module) -> Iterator[tuple[str, Tunable]]:
    """Yield all that the modules of ``model`` declare, with the name of the module, in the order of the modules."""
    for name, module in model.named_modules():
        if callable(declare := getattr(module, "tunables", None)):
            for tunable in declare():
                yield name, tunable


def keep_apart(lower: Tensor, upper: Tensor, least: float) -> None:
    """Move two ends that crossed or came closer than ``least`` apart around their middle, in place."""
    narrow, middle = upper - lower < least, (upper + lower) / 2
    lower.copy_((middle - least / 2).where(narrow, lower))
    upper.copy_((middle + least / 2).where(narrow, upper))
