"""What questions about layers share: patches with what full precision makes of them, and errors at given bits of each layer."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from ...quantization.bit_rule import Policy
from ...quantization.layers import QuantizedLayer
from ...quantization.model import QuantizedSR
from .probing import Patch, batch_of, output, squared_error


def adaptive_layers(model: QuantizedSR) -> dict[str, QuantizedLayer]:
    """Return the layers whose bits adapt, by name in execution order."""
    return {name: layer for name, layer in model.layers.items() if layer.policy is Policy.ADAPTIVE}


@contextmanager
def adding(model: QuantizedSR, added: Mapping[str, int]) -> Iterator[None]:
    """Let layers compute with as many bits more, or fewer, than their base inside the ``with`` block; ranges stay."""
    layers = model.layers
    before = {name: layers[name].activation_bits for name in added}
    try:
        for name, more in added.items():
            layers[name].activation_bits = before[name] + more
        yield
    finally:
        for name, bits in before.items():
            layers[name].activation_bits = bits


@dataclass(frozen=True)
class Views:
    """Patches of one size as a batch, with the full-precision outputs, (N, H, W, 3) from 0 to 255, not rounded."""

    patches: Sequence[Patch]
    batch: Tensor
    full: np.ndarray

    @classmethod
    def of(cls, model: QuantizedSR, patches: Sequence[Patch]) -> "Views":
        batch = batch_of(model, [patch.low for patch in patches])
        with model.full_precision():
            return cls(patches, batch, output(model, batch))

    def single(self, index: int) -> "Views":
        """Return the patch of this index alone."""
        here = slice(index, index + 1)
        return Views(self.patches[here], self.batch[here], self.full[here])

    def to_full(self, model: QuantizedSR) -> np.ndarray:
        """Return each patch's squared error on Y to full precision, (N,), as the model is now."""
        images, border = output(model, self.batch), model.descriptor.scale
        return np.array([squared_error(image, full, border) for image, full in zip(images, self.full)])

    def rows(self, model: QuantizedSR) -> list[dict]:
        """Return of each patch its squared errors: ``fp`` to full precision, ``truth`` and, of full precision, ``truth fp``."""
        images, border = output(model, self.batch), model.descriptor.scale
        return [
            {
                "dataset": patch.dataset,
                "patch": patch.name,
                "fp": squared_error(image, full, border),
                "truth": squared_error(np.rint(image), patch.high, border),
                "truth fp": squared_error(np.rint(full), patch.high, border),
            }
            for patch, image, full in zip(self.patches, images, self.full)
        ]
