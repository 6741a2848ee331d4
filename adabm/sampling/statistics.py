"""What one full-precision pass over each picture of a pool tells about it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields

import numpy as np
import torch
from torch import Tensor

from ..errors import DataError, NetworkError
from ..pictures.padding import padded
from ..pictures.tensors import to_batch
from ..quantization.complexity import image_complexity
from ..quantization.layers import Policy, QuantizedLayer
from ..quantization.model import QuantizedSR

_FEATURE_LAYERS = 4


@dataclass(frozen=True, eq=False)
class Statistics:
    """Statistics of n pictures, by picture; l quantized layers, in execution order.

    They depend on the network, the pictures and which layers are quantized, not on bits. Keep them as
    ``np.savez(path, **statistics.to_arrays())`` and read them as ``Statistics.from_arrays(np.load(path))``. The arrays are
    copied and read-only.

    Attributes:
        layers: (l,) names of the layers.
        complexities: (n,) image complexities of the whole pictures (see :mod:`adabm.quantization.complexity`).
        ranges: (n, l, 2) least and greatest value of each layer's input.
        spreads: (n, l) standard deviation of each layer's input.
        features: (n, d) descriptor of the picture in the network's own terms: the mean absolute value, over all
            positions, of every input channel of four body layers (the last and others evenly spaced before it). It
            tells how strongly the picture drives each learned filter, at any picture size; the signed mean would
            tell little, since texture of both signs cancels.
    """

    layers: np.ndarray
    complexities: np.ndarray
    ranges: np.ndarray
    spreads: np.ndarray
    features: np.ndarray

    def __post_init__(self) -> None:
        for field in fields(self):
            object.__setattr__(self, field.name, read_only(getattr(self, field.name)))
        count, depth = len(self.complexities), len(self.layers)
        expected = dict(layers=(depth,), complexities=(count,), ranges=(count, depth, 2), spreads=(count, depth))
        expected["features"] = (count, self.features.size // max(count, 1))
        for name, shape in expected.items():
            if getattr(self, name).shape != shape:
                raise DataError(
                    f"statistics of {count} pictures and {depth} layers: {name} has shape {getattr(self, name).shape}"
                )
        for name in ("complexities", "ranges", "spreads", "features"):
            if getattr(self, name).dtype.kind not in "fiu":
                raise DataError(
                    f"statistics: {name} holds {getattr(self, name).dtype}, not numbers; measure them again"
                )
            if not np.isfinite(getattr(self, name)).all():
                raise DataError(f"statistics: {name} holds NaN or infinite values")

    def __len__(self) -> int:
        return len(self.complexities)

    def to_arrays(self) -> dict[str, np.ndarray]:
        """Return the arrays by name; none of them needs pickle."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray]) -> Statistics:
        """Build from what :meth:`to_arrays` gave; other entries are ignored.

        Raises:
            DataError: an array is missing, or shapes or values cannot be right.
        """
        missing = [field.name for field in fields(cls) if field.name not in arrays]
        if missing:
            raise DataError(f"the arrays of statistics lack {', '.join(missing)}; measure them again")
        return cls(**{field.name: np.asarray(arrays[field.name]) for field in fields(cls)})


def read_only(values: Sequence | np.ndarray) -> np.ndarray:
    """Return values as an array of its own that cannot be changed: strategies share it."""
    array = np.array(values)
    array.setflags(write=False)
    return array


def picture_complexity(image: np.ndarray) -> float:
    """Return the image complexity of a whole (H, W, C) uint8 picture; it needs no network."""
    return image_complexity(to_batch(image[None])).item()


@torch.no_grad()
def measure(model: QuantizedSR, images: Iterable[np.ndarray]) -> Statistics:
    """Run each picture, whole and alone, through the full-precision network once.

    Args:
        model: the wrapped network; it is not changed.
        images: (H, W, C) uint8 pictures; sizes may differ.

    Raises:
        NetworkError: the network gives NaN or infinite values.
    """
    seen: dict[str, list[tuple[float, float, float]]] = {}
    profiles: dict[str, np.ndarray] = {}

    def observe(layer: QuantizedLayer, x: Tensor) -> None:
        x = x if x.element_size() >= 4 else x.float()
        values = (*(v.item() for v in torch.aminmax(x)), x.std().item())
        if not np.isfinite(values).all():
            raise NetworkError(f"the input of {layer.name} is not finite; check the network's weights")
        seen[layer.name].append(values)
        if layer.name in described:
            profiles[layer.name] = _by_channel(x, layer.channel_axis).double().cpu().numpy()

    described = _described(model)
    rows: list[dict[str, tuple[float, float, float]]] = []
    features, complexities = [], []
    with model.full_precision(), model.visiting(observe):
        for image in images:
            seen, profiles = defaultdict(list), {}
            fitting = padded(image, model.descriptor.size_multiple, model.descriptor.minimum_size)
            model.infer(to_batch(fitting[None], model.descriptor.value_range, next(model.network.parameters())))
            rows.append({name: _merged(values) for name, values in seen.items()})
            features.append(np.concatenate([profiles[name] for name in described if name in profiles]))
            complexities.append(picture_complexity(image))
    layers = [name for name in model.layers if name in rows[0]]
    values = np.array([[row[name] for name in layers] for row in rows])
    return Statistics(np.array(layers), np.array(complexities), values[..., :2], values[..., 2], np.array(features))


def _by_channel(x: Tensor, axis: int) -> Tensor:
    """Return the mean absolute value of each channel, over all images and positions."""
    axis %= x.dim()
    return x.abs().mean(tuple(other for other in range(x.dim()) if other != axis))


def _described(model: QuantizedSR) -> list[str]:
    """The body layers whose inputs make the features."""
    body = [name for name, layer in model.layers.items() if layer.policy is Policy.ADAPTIVE]
    count = min(_FEATURE_LAYERS, len(body))
    return [body[len(body) * part // count - 1] for part in range(1, count + 1)]


def _merged(values: list[tuple[float, float, float]]) -> tuple[float, float, float]:
    """Range and mean spread of a layer over its calls in one pass; a shared layer has several."""
    lower, upper, spread = zip(*values)
    return min(lower), max(upper), sum(spread) / len(spread)
