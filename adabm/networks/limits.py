"""Build no network that is larger than memory, or much larger than the file which describes it."""

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from torch import Tensor, nn
from torch.nn.modules.module import register_module_parameter_registration_hook

from ..errors import NetworkError

# Blocks that training splits into branches have more tensors, and larger ones, than the folded ones of a file.
_MORE, _LARGER, _FREE = 32, 16, 2**20
MOST_TENSORS, MOST_VALUES = 2**14, 2**27  # of any network: three times the largest ones of super-resolution, half a GiB


@contextmanager
def no_larger_than(tensors: Mapping[str, Tensor] | None = None) -> Iterator[None]:
    """End the building of a network inside as soon as its parameters are far more than the file's ``tensors``.

    Parameters are counted before they are initialized, so that options which ask for ten million blocks, or channels,
    are refused at once instead of filling the memory.

    Args:
        tensors: None where there is no file: the limits are then ``MOST_TENSORS`` and ``MOST_VALUES``.

    Raises:
        NetworkError: from within.
    """
    count, size = MOST_TENSORS, MOST_VALUES
    told = f"the options ask for a network of more than {count:,} tensors, or {size:,} parameters; choose smaller ones"
    if tensors is not None:
        count, size = _MORE * (len(tensors) + 1), _LARGER * sum(t.numel() for t in tensors.values()) + _FREE
        told = "its options ask for a network that is larger than the tensors of the file"
    thread, found = threading.get_ident(), [0, 0]

    def counted(module: nn.Module, name: str, parameter: nn.Parameter | None) -> None:
        if parameter is None or threading.get_ident() != thread:
            return
        found[0] += 1
        found[1] += parameter.numel()
        if found[0] > count or found[1] > size:
            raise NetworkError(told)

    hook = register_module_parameter_registration_hook(counted)
    try:
        yield
    finally:
        hook.remove()
