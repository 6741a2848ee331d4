"""Compute alike whatever of torch the caller has switched: gradients, inference mode, autocast, default device and type."""

import functools
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import ParamSpec, TypeVar

import torch

P = ParamSpec("P")
R = TypeVar("R")
_AUTOCASTING = ("cpu", "cuda")  # kinds of devices, each with a switch of its own


@contextmanager
def usual_surroundings() -> Iterator[None]:
    """Inside the ``with`` block torch computes as in a new process; then its switches are as they were.

    Gradients can be asked for, no inference mode and no autocast is on, and new tensors are of float32 on the CPU unless told
    otherwise. The default type is one of the process: other threads see it too, where it was another. What a user's own code inside
    makes of it, such as a step of a recipe, is undone.
    """
    with ExitStack() as stack:
        stack.enter_context(torch.inference_mode(False))
        stack.enter_context(torch.enable_grad())
        for kind in _AUTOCASTING:
            if torch.is_autocast_enabled(kind):
                stack.enter_context(torch.autocast(kind, enabled=False))
        if torch.get_default_device().type != "cpu":
            stack.enter_context(torch.device("cpu"))
        stack.callback(torch.set_default_dtype, torch.get_default_dtype())
        torch.set_default_dtype(torch.float32)
        yield


def as_usual(function: Callable[P, R]) -> Callable[P, R]:
    """Let the decorated function compute in the :func:`usual_surroundings`."""

    @functools.wraps(function)
    def computing(*args: P.args, **kwargs: P.kwargs) -> R:
        with usual_surroundings():
            return function(*args, **kwargs)

    return computing
