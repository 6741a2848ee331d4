"""One pass of the full-precision network over the calibration patches, which several steps watch (method section 3)."""

from collections.abc import Iterable, Iterator, Sequence

import torch
from torch import Tensor

from ..errors import DataError, NetworkError
from ..networks import NetworkDescriptor
from ..quantization.layers import QuantizedConv2d, QuantizedLayer
from ..quantization.memory import dense_format
from ..quantization.model import QuantizedSR
from .step import Watcher
from .workspace import CalibrationRecord

_LEAST_PIXELS = 32 * 32


@torch.no_grad()
def watch(model: QuantizedSR, watchers: Sequence[Watcher], batches: Iterable[Tensor]) -> CalibrationRecord:
    """Run batches (N, C, H, W) in the network's value range through the full-precision network, watched by ``watchers``.

    Raises:
        DataError: no batch, pictures that are all of one colour, or a batch with NaN or infinite values or outside the value range.
    """
    complexities: list[Tensor] = []
    seen, shows = 0, False
    with model.full_precision():
        for batch in checked_batches(batches, model.descriptor):
            shows = shows or bool((batch != batch[:, :, :1, :1]).any())
            complexity = model.complexity(batch)
            complexities.append(complexity.cpu())
            for part, own in _parts(batch, seen, watchers):
                for watcher in own:
                    watcher.batch(part, complexity[: len(part)])
                if all(watcher.apart for watcher in own) and _computes_alike(model, part):
                    _watch_images(model, own, part)
                else:
                    _watch_batch(model, own, part)
            seen += len(batch)
    if not complexities:
        raise DataError("no calibration batch was given")
    if not shows:
        raise DataError(
            "each picture of the calibration batches is of one colour, on which no range can be measured; give pictures, and patches, that "
            "show something"
        )
    record = CalibrationRecord(torch.cat(complexities))
    for watcher in watchers:
        watcher.finish(record)
    return record


def _watch_batch(model: QuantizedSR, watchers: Sequence[Watcher], batch: Tensor) -> None:
    def visit(layer: QuantizedLayer, x: Tensor) -> None:
        for watcher in watchers:
            watcher.layer(layer, x)

    with model.visiting(visit):
        _check_output(model.infer(batch).image, batch, model.descriptor)


def _computes_alike(model: QuantizedSR, batch: Tensor) -> bool:
    """Whether the images of a batch are computed alone to the last bit as together, and faster.

    So it was with all convolutions that were tried on the CPU, channels last in memory. In the other layout, for images of
    fewer pixels and in products of matrices the order of sums may depend on the size of the batch.
    """
    return (
        model.device.type == "cpu"
        and batch.shape[-2] * batch.shape[-1] >= _LEAST_PIXELS
        and all(isinstance(layer, QuantizedConv2d) for layer in model.layers.values())
        and any(dense_format(parameter) is torch.channels_last for parameter in model.network.parameters())
    )


def _watch_images(model: QuantizedSR, watchers: Sequence[Watcher], batch: Tensor) -> None:
    """The same image by image: the features of one stay in the processor's cache, those of a batch do not."""
    calls: list[list[tuple[QuantizedLayer, list]]] = []  # by image; of each layer what each watcher found

    def visit(layer: QuantizedLayer, x: Tensor) -> None:
        calls[-1].append((layer, [watcher.image(layer, x) for watcher in watchers]))

    with model.visiting(visit):
        for image in batch.split(1):
            calls.append([])
            _check_output(model.infer(image).image, image, model.descriptor)
    for of_images in zip(*calls, strict=True):
        for index, watcher in enumerate(watchers):
            watcher.images(of_images[0][0], [found[index] for _, found in of_images])


def moving_average(old: Tensor, new: Tensor, keep: float) -> Tensor:
    """Update a value of the batches so far by that of the next one (method section 3)."""
    return old * keep + new * (1 - keep)


def _parts(batch: Tensor, seen: int, watchers: Sequence[Watcher]) -> list[tuple[Tensor, list[Watcher]]]:
    """Return how much of a batch behind ``seen`` patches is looked at, and by whom; all watchers of a part share its pass."""
    shares: dict[int, list[Watcher]] = {}
    for watcher in watchers:
        wanted = len(batch) if watcher.patches is None else min(len(batch), watcher.patches - seen)
        if wanted > 0:
            shares.setdefault(wanted, []).append(watcher)
    return [(batch[:wanted], own) for wanted, own in shares.items()]


def checked_batches(batches: Iterable[Tensor], network: NetworkDescriptor) -> Iterator[Tensor]:
    """Yield the batches, each checked as :func:`check_batch` does.

    Raises:
        DataError: also where they are no batches at all.
    """
    if isinstance(batches, Tensor | type) or not hasattr(batches, "__iter__"):
        raise DataError(f"the batches are a {type(batches).__name__}; give several tensors (N, C, H, W)")
    for batch in batches:
        check_batch(batch, network)
        yield batch


def check_batch(batch: Tensor, network: NetworkDescriptor) -> None:
    """Refuse what is no batch of pictures (N, C, H, W) that the network takes.

    Raises:
        DataError: with the remedy.
    """
    if not isinstance(batch, Tensor) or batch.ndim != 4:
        found = f"has shape {tuple(batch.shape)}" if isinstance(batch, Tensor) else f"is a {type(batch).__name__}"
        raise DataError(f"a calibration batch {found}; expected a tensor (N, C, H, W)")
    if batch.shape[1] != network.channels:
        raise DataError(f"a calibration batch has {batch.shape[1]} channels; {network.name} takes {network.channels}")
    value_range = network.value_range
    if not torch.isfinite(batch).all():
        raise DataError("a calibration batch holds NaN or infinite values")
    low, high = batch.min().item(), batch.max().item()
    if low < 0 or high > value_range or (value_range == 255 and 0 < high <= 1):
        raise DataError(f"calibration values span {low:g} to {high:g}; this network expects 0 to {value_range:g}")


def _check_output(image: Tensor, batch: Tensor, network: NetworkDescriptor) -> None:
    found, expected = tuple(image.shape[-2:]), tuple(network.scale * side for side in batch.shape[-2:])
    if found != expected:
        raise NetworkError(
            f"{network.name}: makes {found} of {tuple(batch.shape[-2:])} pixels, not {network.scale} times as many"
        )
    if not torch.isfinite(image).all():
        raise NetworkError(f"{network.name}: its output has NaN or infinite values; check the network's weights")
