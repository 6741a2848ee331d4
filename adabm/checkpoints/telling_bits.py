"""Let the state dict of a quantized model tell the bits of its layers, and take them with the rest.

Bits are no tensors of the model, so that without this the state dict of one model, loaded into another, would leave the other's.
"""

import warnings
from collections.abc import Iterator, Mapping, MutableMapping
from contextlib import contextmanager

import torch
from torch import Tensor

from ..quantization.bit_rule import Policy
from ..quantization.layers import QuantizedLayer
from ..quantization.model import QuantizedSR

LAYER_BITS = "layer_bits"  # the entry: for each layer in execution order bits of weights (0: none) and activations, place of the policy
_MOST = 32
_POLICIES = list(Policy)


def tell_bits(model: QuantizedSR) -> QuantizedSR:
    """Return the model, whose state dict from now on holds ``layer_bits``, and whose ``load_state_dict`` takes them.

    A state dict without them loads as before, with a warning that the bits stay.
    """
    if _tell not in model._state_dict_hooks.values():
        model.register_state_dict_post_hook(_tell)
        model.register_load_state_dict_pre_hook(_take)
    return model


@contextmanager
def bits_untold(model: QuantizedSR) -> Iterator[None]:
    """Inside the ``with`` block the model's state dict is that of its tensors; behind it, it tells the bits."""
    for hooks in (model._state_dict_hooks, model._load_state_dict_pre_hooks):
        for number, hook in list(hooks.items()):
            if getattr(hook, "hook", hook) in (_tell, _take):
                del hooks[number]
    try:
        yield
    finally:
        tell_bits(model)


def _row(layer: QuantizedLayer) -> list[int]:
    return [layer.weight_bits or 0, layer.activation_bits, _POLICIES.index(layer.policy)]


def _tell(model: QuantizedSR, state: MutableMapping[str, Tensor], prefix: str, _metadata: object) -> None:
    rows = [_row(layer) for layer in model.layers.values()]
    state[prefix + LAYER_BITS] = torch.tensor(rows, dtype=torch.int32, device="cpu")  # whatever the default device


def _take(
    model: QuantizedSR,
    state: MutableMapping[str, Tensor],
    prefix: str,
    _metadata: Mapping,
    _strict: bool,
    _missing: list[str],
    _unexpected: list[str],
    errors: list[str],
) -> None:
    told = state.pop(prefix + LAYER_BITS, None)
    if told is None:
        if any(name.startswith(prefix) and ".activation." in name for name in state):
            warnings.warn(
                "the state dict does not tell the bits of its layers (layer_bits); those of the model that it is loaded into stay. "
                "Use save_quantized and load_quantized",
                stacklevel=5,
            )
        return
    layers = list(model.layers.values())
    rows = told.tolist() if isinstance(told, Tensor) else told
    if not _fits(rows, layers):
        errors.append(
            f"{prefix}{LAYER_BITS} is not that of a model whose quantized layers are the same; use save_quantized and load_quantized"
        )
        return
    for layer, (weight, activation, _) in zip(layers, rows, strict=True):
        layer.weight_bits, layer.activation_bits = int(weight) or None, int(activation)


def _fits(rows: object, layers: list[QuantizedLayer]) -> bool:
    """Whether the entry holds a row of possible bits for each layer, which has weights and a policy as the row says."""
    return (
        isinstance(rows, list)
        and len(rows) == len(layers)
        and all(
            isinstance(row, list) and len(row) == 3 and all(float(number).is_integer() for number in row)
            for row in rows
        )
        and all(
            0 < activation <= _MOST
            and 0 <= weight <= _MOST
            and bool(weight) == bool(layer.weight_bits)
            and policy == _row(layer)[2]
            for layer, (weight, activation, policy) in zip(layers, rows, strict=True)
        )
    )
