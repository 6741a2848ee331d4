"""Find what is added to a layer's output on the way, and how far that is off in a pass of two streams.

The output of a residual block is x + a f(x): a layer that closes f can repair the error that x has gathered, if its
target contains it. What is added is found in a trace of torch's operations, so that it needs no knowledge of the network.
"""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from numbers import Number

from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

_KEEP = {"clone", "dropout", "_to_copy"}
_NOTHING = {
    "alias",
    "detach",
    "lift_fresh",
}  # come and go with torch's state: not counted, their result is what they took
_RESHAPE = {"view", "_unsafe_view", "reshape"}


@dataclass(frozen=True)
class Skip:
    """A tensor that is added to the output of a layer.

    Attributes:
        place: of the operation that made it, in the order of execution.
        output: which of its results it is.
        factor: what it is multiplied by where the layer's output is multiplied by 1; a number or one for each channel.
        operation: the name of that operation.
    """

    place: int
    output: int
    factor: float | Tensor
    operation: str = "layer"


@dataclass
class _Operation:
    name: str
    inputs: list  # (place, output, shape) of tensors that operations made, None for other tensors; numbers as they are
    shape: tuple[int, ...] | None
    arguments: tuple
    consumers: list[int] = field(default_factory=list)


class _Counting(TorchDispatchMode):
    """Counts operations while it is entered; a layer, inside which it is paused, counts as one."""

    def __init__(self) -> None:
        super().__init__()
        self.place = 0

    @contextmanager
    def paused(self) -> Iterator[None]:
        """See nothing inside the ``with`` block; the mode must be the one entered last."""
        self.__exit__(None, None, None)
        try:
            yield
        finally:
            self.__enter__()

    def layer(self, output: Tensor) -> int:
        """Count a layer that gave ``output``, and return its place."""
        self.made("layer", (), output, {})
        return self.place - 1

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        output = func(*args, **kwargs)
        name = func._schema.name.split("::")[1].rstrip("_")
        if name in _NOTHING:
            self.same(args[0], output)
        else:
            self.made(name, args, output, kwargs)
        return output

    def same(self, tensor: Tensor, other: Tensor) -> None:
        """See that ``other`` is the same as ``tensor``."""

    def made(self, name: str, args: tuple, output: object, kwargs: Mapping) -> None:
        """See an operation."""
        self.place += 1


class SkipTrace(_Counting):
    """Records one pass in which layers call :meth:`layer`."""

    def __init__(self) -> None:
        super().__init__()
        self._operations: list[_Operation] = []
        self._makers: dict[int, tuple[int, int, Tensor]] = {}  # by identity of a tensor, which is kept alive

    def made(self, name: str, args: tuple, output: object, kwargs: Mapping) -> None:
        """Record an operation, what it took and what it made."""
        inputs = []
        for argument in _flat(args):
            if isinstance(argument, Tensor):
                made = self._makers.get(id(argument))
                inputs.append(None if made is None else (made[0], made[1], tuple(argument.shape)))
                if made is not None:
                    self._operations[made[0]].consumers.append(self.place)
            elif isinstance(argument, Number) and not isinstance(argument, bool):
                inputs.append(argument)
        shape = tuple(output.shape) if isinstance(output, Tensor) else None
        self._operations.append(_Operation(name, inputs, shape, (args, kwargs) if "batch_norm" in name else (kwargs,)))
        for index, tensor in enumerate(_flat([output])):
            if isinstance(tensor, Tensor):
                self._makers[id(tensor)] = self.place, index, tensor
        self.place += 1

    def same(self, tensor: Tensor, other: Tensor) -> None:
        """Let ``other`` have been made where ``tensor`` was."""
        if (made := self._makers.get(id(tensor))) is not None:
            self._makers[id(other)] = (*made[:2], other)

    def skips(self, layer: int) -> list[Skip]:
        """Return what is added to the output of the layer at a place before anything else but a scaling happens to it."""
        scale: float | Tensor = 1.0
        found: list[tuple[int, int, float | Tensor]] = []
        current = layer
        while len(self._operations[current].consumers) == 1:
            place = self._operations[current].consumers[0]
            operation = self._operations[place]
            factor = _factor(operation, self._operations[current].shape)
            if factor is not None:
                scale = scale * factor
                found = [(*skip, own * factor) for *skip, own in found]
            elif operation.name == "add" and not operation.arguments[0].get("alpha") and len(operation.inputs) == 2:
                tensors = [made for made in operation.inputs if not isinstance(made, Number)]
                others = [made for made in tensors if made is None or made[0] != current]
                if len(tensors) != 2 or len(others) != 1:
                    break
                if others[0] is not None:  # else the same in both streams
                    if others[0][0] >= layer or others[0][2] != operation.shape:
                        break  # made later, or broadcast
                    found.append((others[0][0], others[0][1], 1.0))
            else:
                break
            current = place
        if not _invertible(scale):
            return []
        return [Skip(place, output, own / scale, self._operations[place].name) for place, output, own in found]


class SkipErrors(_Counting):
    """In a pass of two streams, one batch of twice the images, holds how far skips of the second stream are off.

    Args:
        skips: all that will be asked for; each error is held until it was asked for as often as it stands there.
    """

    def __init__(self, skips: Iterable[Skip]) -> None:
        super().__init__()
        self._wanted: dict[tuple[int, int], int] = {}
        self._errors: dict[tuple[int, int], Tensor] = {}
        self._names: dict[int, str] = {}
        for skip in skips:
            key = skip.place, skip.output
            self._wanted[key] = self._wanted.get(key, 0) + 1
            self._names[skip.place] = skip.operation

    def made(self, name: str, args: tuple, output: object, kwargs: Mapping) -> None:
        """Keep the error of what is wanted."""
        if self._names.get(self.place) == name:
            for index, tensor in enumerate(_flat([output])):
                if (self.place, index) in self._wanted:
                    first, second = tensor.chunk(2)
                    self._errors[self.place, index] = first - second
        self.place += 1

    def of(self, skip: Skip) -> Tensor | None:
        """Return first minus second stream of a skip, times its factor; None where another operation stands at its place."""
        key = skip.place, skip.output
        error = self._errors.get(key)
        self._wanted[key] -= 1
        if not self._wanted[key]:
            self._errors.pop(key, None)
        return None if error is None else error * skip.factor


def _flat(values: Iterable) -> list:
    return [v for value in values for v in (value if isinstance(value, (list, tuple)) else [value])]


def _factor(operation: _Operation, shape: tuple[int, ...] | None) -> float | Tensor | None:
    """What an operation multiplies its one input by; None for one that does something else."""
    numbers = [value for value in operation.inputs if isinstance(value, Number)]
    tensors = [value for value in operation.inputs if not isinstance(value, Number)]
    if operation.name in _KEEP or (operation.name in _RESHAPE and operation.shape == shape):
        return 1.0
    if operation.name in ("mul", "div") and len(numbers) == len(tensors) == 1 and numbers[0]:
        return float(numbers[0]) if operation.name == "mul" else 1 / float(numbers[0])
    if "batch_norm" in operation.name:
        (_, weight, _, _, variance, *rest), _ = operation.arguments
        epsilon = [value for value in rest if isinstance(value, float)][-1]
        factor = (variance + epsilon).rsqrt() * (1.0 if weight is None else weight)
        return factor.view(1, -1, 1, 1)
    return None


def _invertible(scale: float | Tensor) -> bool:
    return bool((scale != 0).all()) if isinstance(scale, Tensor) else scale != 0
