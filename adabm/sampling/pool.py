"""The pictures to choose from, with everything a strategy may want to know of them, computed when first asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
from torch import nn

from ..errors import DataError
from ..networks import NetworkDescriptor
from ..networks.usable import check_network
from ..pictures.padding import padded
from ..pictures.patches import check_pictures
from ..pictures.tensors import to_batch
from ..quantization.layers import WeightedLayer
from ..quantization.model import QuantizedSR
from ..quantization.observers import observe_weight
from ..recipes import QuantizationConfig, preset
from ..steps import find_step
from ..validation import check_all, shown
from .statistics import Statistics, measure, picture_complexity, read_only

Progress = Callable[[Sequence[np.ndarray], str], Iterable[np.ndarray]]
_IsStatistics = Annotated[Statistics | None, "an adabm.sampling.Statistics, as pool.statistics gives it, or null"]


class Pool:
    """Low-resolution pictures, and the network that is to be calibrated on some of them.

    The network is copied and never changed. Pictures run through it whole, one at a time: cut large ones into tiles
    first. Extreme values grow with the size of a picture, so that tiles of one size also compare best.

    Args:
        images: (H, W, 3) uint8 RGB low-resolution pictures; sizes may differ.
        network: full precision; pictures are computed on its device, in its dtype.
        scenes: by picture, the scene or photograph that it shows a part of; ``single_scene`` needs it.
        config: the quantization that is planned, or the name or file of a recipe, by default ``adabm``. It says which layers
            are quantized, the bits of ``errors`` and the percentile of the complexity thresholds.
        descriptor: see :class:`adabm.QuantizedSR`.
        statistics: what ``pool.statistics`` gave earlier for the same pictures, network and layers.
        errors: likewise ``pool.errors``, which depend on the bits too.
        progress: given the pictures that are about to run through the network and what for, returns them, one at a time,
            such as ``lambda pictures, what: tqdm(pictures, what)``.

    What is measured of them is read-only: a strategy that needs other values works on copies.

    Raises:
        DataError: no picture, one of the wrong kind, scenes or errors that are none, or arguments of another length.
        ImageError: a masked picture.
        ConfigError: another argument that is not of its kind.
        NetworkError: a network that is none.

    >>> pool = Pool(images, adabm.load_network(adabm.default_backbone()))  # doctest: +SKIP
    """

    def __init__(
        self,
        images: Sequence[np.ndarray],
        network: nn.Module,
        scenes: Sequence[str] | None = None,
        config: QuantizationConfig | str | Path | None = None,
        *,
        descriptor: NetworkDescriptor | None = None,
        statistics: Statistics | None = None,
        errors: np.ndarray | None = None,
        progress: Progress | None = None,
    ) -> None:
        check_pictures(images, what="pool picture")
        check_network(network)
        check_all(
            statistics=(statistics, _IsStatistics),
            descriptor=(descriptor, NetworkDescriptor | None),
            progress=(progress, Callable | None),
        )
        scenes = None if scenes is None else _texts(scenes)
        errors = None if errors is None else _numbers(errors)
        for name, given in (("scenes", scenes), ("statistics", statistics), ("errors", errors)):
            if given is not None and len(given) != len(images):
                raise DataError(f"{name} of {len(given)} pictures were given for a pool of {len(images)}")
        self.images = images
        self.network = network
        self.scenes = scenes
        self.config = (
            config if isinstance(config, QuantizationConfig) else preset("adabm" if config is None else config)
        )
        self.descriptor = descriptor
        self._progress = progress if progress is not None else lambda pictures, what: pictures
        # an instance attribute takes the place of the cached property of its name
        if statistics is not None:
            self.statistics = statistics
        if errors is not None:
            self.errors = errors

    def __len__(self) -> int:
        return len(self.images)

    @cached_property
    def statistics(self) -> Statistics:
        """All that one full-precision pass over each picture tells."""
        return measure(self._model, self._progress(self.images, "looking at the pictures"))

    @cached_property
    def complexities(self) -> np.ndarray:
        """(n,) image complexities; strategies that need nothing else do not run the network."""
        if "statistics" in vars(self):
            return self.statistics.complexities
        return read_only([picture_complexity(image) for image in self.images])

    @property
    def ranges(self) -> np.ndarray:
        """(n, layers, 2) least and greatest value of each quantized layer's input."""
        return self.statistics.ranges

    @property
    def spreads(self) -> np.ndarray:
        """(n, layers) standard deviation of each quantized layer's input."""
        return self.statistics.spreads

    @property
    def features(self) -> np.ndarray:
        """(n, d) descriptors of the pictures, see :class:`Statistics`."""
        return self.statistics.features

    @cached_property
    def errors(self) -> np.ndarray:
        """(n,) mean |SR_q - SR_fp| of each picture, unclamped, on the scale 0 to 255.

        SR_q is uniform MinMax quantization at the bits of ``config``, calibrated on the whole pool: each layer's range is
        the mean over pictures of least and greatest value, weights have the range max |W|. No mapping, clipping or
        fine-tuning takes part.

        Raises:
            DataError: the statistics that were given belong to other layers.
        """
        model = self._model
        self._set_ranges(model)
        errors = []
        with torch.no_grad():
            for image in self._progress(self.images, "measuring quantization errors"):
                fitting = padded(image, model.descriptor.size_multiple, model.descriptor.minimum_size)
                batch = to_batch(fitting[None], model.descriptor.value_range, next(model.network.parameters()))
                with model.full_precision():
                    teacher = model(batch).float()
                errors.append((model(batch).float() - teacher).abs().mean().item())
        return read_only(np.array(errors) * 255 / model.descriptor.value_range)

    def _set_ranges(self, model: QuantizedSR) -> None:
        layers = model.layers
        for name, (lower, upper) in zip(self.statistics.layers.tolist(), self.ranges.mean(0)):
            if name not in layers:
                raise DataError(
                    f"the statistics name the layer {name!r}, which is not quantized here; measure them again"
                )
            layer = layers[name]
            ends = (torch.tensor([end]).to(layer.activation.lower) for end in (lower, upper))
            layer.activation.set_range(*ends)
            if isinstance(layer, WeightedLayer):
                layer.weight_quantizer.set_scale(observe_weight(layer.weight, "minmax", layer.weight_bits))
        model.calibrated = True

    @property
    def image_percentile(self) -> float:
        """Where the planned quantization has its thresholds of complexity, in percent; the paper's where it has none."""
        mapping = self.config.step("map_bits")
        return (mapping if mapping is not None else find_step("map_bits")()).image_percentile

    @cached_property
    def _model(self) -> QuantizedSR:
        config = preset("minmax", **self.config.bits)
        return QuantizedSR(self.network, config, self.descriptor)


def _texts(scenes: Sequence[str]) -> list[str]:
    if isinstance(scenes, str | bytes) or not isinstance(scenes, Iterable):
        raise DataError(f"scenes = {shown(scenes)}: must be a list of names, one a picture")
    scenes = list(scenes)
    if (other := next((scene for scene in scenes if not isinstance(scene, str)), None)) is not None:
        raise DataError(f"scenes holds {shown(other)}; must be a list of names, one a picture")
    return scenes


def _numbers(errors: np.ndarray) -> np.ndarray:
    try:
        found = np.asanyarray(errors)
    except ValueError:  # lists of several lengths
        found = None
    if (
        found is None
        or isinstance(found, np.ma.MaskedArray)
        or found.ndim != 1
        or (found.size and found.dtype.kind not in "fiu")
    ):
        raise DataError(
            f"errors = {shown(errors)}: must be a list of numbers, one a picture, as pool.errors gives them"
        )
    if not np.isfinite(found).all():
        raise DataError("errors holds NaN or infinite values; measure them again")
    return read_only(found)
