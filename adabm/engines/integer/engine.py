"""Integer networks as engines: the bits of a picture are decided at run time, as the simulation decides them."""

import copy
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from pathlib import Path

import numpy as np
import torch

from ...checkpoints.checkpoint import load_quantized
from ...errors import AdabmError, EngineError, out_of_memory
from ...full_precision import FULL_PRECISION_BITS
from ...networks.reach import Reach
from ...pictures.padding import padded
from ...pictures.tensors import to_batch
from ...quantization.complexity import COMPLEXITIES
from ...quantization.model import IsModel, QuantizedSR
from ...support.surroundings import as_usual
from ...turns import turn
from ...validation import check
from ..failing import check_sides
from ..given import check_pictures
from ..protocol import EngineOutput
from .agreement import Run, agreeing, check_agreement
from .exported import Exported, card_of, is_exported, read_exported
from .graph import layer_graph
from .layers import IntegerConv, factors, integer_layers


class IntegerEngine:
    """Run an exported model.

    Args:
        run: ``f(picture, factor)`` of a (1, C, H, W) picture in the network's value range and an image's factor.
        model: what was exported, where it is at hand.
    """

    def __init__(self, exported: Exported, run: Run, model: QuantizedSR | None = None) -> None:
        card = exported.card
        self.name: str = card["engine"]
        self.scale: int = card["scale"]
        self.channels: int = card["channels"]
        self.size_multiple: int = card["size_multiple"]
        self.minimum_size: int = card["minimum_size"]
        self.reach = Reach(*card["reach"])
        self.card, self.model = card, model
        self._run = run
        self._decided: int | None = None
        self._like = torch.zeros((), dtype=torch.float32)

    @contextmanager
    def deciding_on(self, picture: np.ndarray) -> Iterator[None]:
        """Give all that is upscaled inside the ``with`` block the bits of the whole (H, W, C) ``picture``."""
        with self.decided_by(picture)():
            yield

    def decided_by(self, picture: np.ndarray) -> Callable[[], AbstractContextManager[None]]:
        """Decide the bits of a picture now; see :func:`adabm.engines.deciding.decided_by`."""
        return partial(self._given, self._factor(self._batch(padded(picture, self.size_multiple, self.minimum_size))))

    @contextmanager
    def _given(self, factor: int) -> Iterator[None]:
        before, self._decided = self._decided, factor
        try:
            yield
        finally:
            self._decided = before

    @as_usual
    @torch.no_grad()
    def upscale(self, pictures: np.ndarray) -> EngineOutput:
        """See :class:`adabm.engines.protocol.Engine`; one picture after the other, whichever thread asks.

        Raises:
            ImageError: no such pictures.
        """
        check_pictures(pictures, self.channels)
        with turn(self):
            return self._upscaled(pictures)

    def _upscaled(self, pictures: np.ndarray) -> EngineOutput:
        images, used = [], []
        for picture in pictures:
            batch = self._batch(picture)
            factor = self._factor(batch) if self._decided is None else self._decided
            made = self._run(batch.numpy(), factor)
            expected = tuple(side * self.scale for side in batch.shape[2:])
            if made.shape[2:] != expected:  # a library may give what it computed before, of another picture
                raise EngineError(
                    f"{self.name}: makes {made.shape[3]}x{made.shape[2]} pixels of {batch.shape[3]}x{batch.shape[2]}, "
                    f"not {self.scale} times as many a side"
                )
            images.append(made[0].transpose(1, 2, 0) * np.float32(255.0 / self.card["value_range"]))
            used.append(self.card["bits"][str(factor)])
        bits = {name: np.array([each[name] for each in used], np.float64) for name in self.card["layers"]}
        counted = [name for name, layer in self.card["layers"].items() if layer["counts"]]
        # in the simulation's precision, so that averages come out the same
        full = [np.full(len(images), float(FULL_PRECISION_BITS))]
        average = torch.tensor(np.stack([bits[name] for name in counted] or full), dtype=torch.float32).mean(0)
        return EngineOutput(np.stack(images), average.double().numpy(), bits)

    def _batch(self, picture: np.ndarray) -> torch.Tensor:
        return to_batch(picture[None], self.card["value_range"], self._like)

    def _factor(self, batch: torch.Tensor) -> int:
        mapping = self.card["image2bit"]
        if mapping is None:
            return 0
        complexity = COMPLEXITIES[mapping["complexity"]](batch, self.card["value_range"])
        lower, upper = (torch.tensor(mapping[end], dtype=torch.float32) for end in ("lower", "upper"))
        return int(complexity > upper) - int(complexity < lower)


@as_usual
def export(
    model: QuantizedSR,
    engine: str,
    files: Callable[..., dict[str, bytes]],
    runner: Callable[[dict[str, bytes]], Run],
) -> Exported:
    """Turn a calibrated model into what an integer engine runs, and compare what it computes with the simulation.

    Args:
        files: ``f(graph, layers)`` that makes an engine's files of the graph with its layers, by factor.
        runner: makes of the files what computes them.

    Raises:
        EngineError: see :func:`described` and :func:`adabm.engines.integer.agreement.check_agreement`.
    """
    model, exported = _exported(model, engine, files)
    run = runner(exported.files)
    for factor in factors(model):
        check_agreement(run, model, factor, engine)
    return exported


def _exported(model: QuantizedSR, engine: str, files: Callable[..., dict[str, bytes]]) -> tuple[QuantizedSR, Exported]:
    """Return a copy of a model as :func:`described` does, and what an engine runs of it."""
    model, layers = described(model)
    check_sides(model)
    return model, Exported(card_of(model, engine, layers), files(layer_graph(model), layers))


def described(model: QuantizedSR) -> tuple[QuantizedSR, dict[int, dict[str, IntegerConv]]]:
    """Return a copy of a calibrated model in float32 on the CPU, and its layers in integers by factor and name.

    Raises:
        EngineError: the model is not calibrated, or has what integers cannot compute; named.
    """
    check("model", model, IsModel)
    if not model.calibrated:
        raise EngineError("the model is not calibrated: call adabm.calibrate(model, batches) first")
    with turn(model):
        model = copy.deepcopy(model).cpu().float()
    return model, {factor: integer_layers(model, factor) for factor in factors(model)}


@as_usual
def open_integer(
    model: QuantizedSR | Path,
    device: torch.device,
    engine: str,
    files: Callable[..., dict[str, bytes]],
    runner: Callable[[dict[str, bytes]], Run],
) -> IntegerEngine:
    """Open a model in memory, a quantized checkpoint or a file that was exported.

    A model is compared with its simulation when a factor of an image first occurs.

    Raises:
        EngineError: another device than the CPU, a file for another engine, or see :func:`export`.
        CheckpointError: the file cannot be read.
    """
    if device.type == "cpu" and isinstance(model, Path) and is_exported(model):
        exported = _exported_for(model, engine)
        return IntegerEngine(exported, _told(runner(exported.files), model, engine))
    model = in_memory(model, device, engine)
    plain, exported = _exported(model, engine, files)
    return IntegerEngine(exported, agreeing(runner(exported.files), plain, engine), model)


def in_memory(model: QuantizedSR | Path, device: torch.device, engine: str) -> QuantizedSR:
    """Return a model as it is, or read a quantized checkpoint.

    Raises:
        EngineError: another device than the CPU, or a file that was exported for an engine.
        CheckpointError: the file cannot be read.
    """
    if device.type != "cpu":
        raise EngineError(f"engine {engine!r} computes on the CPU; use --device cpu, or --engine simulated")
    if not isinstance(model, Path):
        return model
    if is_exported(model):
        _exported_for(model, engine)
    return load_quantized(model)


def _exported_for(path: Path, engine: str) -> Exported:
    exported = read_exported(path)
    if exported.card["engine"] != engine:
        raise EngineError(f"{path}: was exported for --engine {exported.card['engine']}, not {engine!r}")
    return exported


def _told(run: Run, path: Path, engine: str) -> Run:
    """Run a file's network, whatever its library raises on one that is not what it exported being told in one line."""

    def told(picture: np.ndarray, factor: int) -> np.ndarray:
        try:
            made = run(picture, factor)
        except EngineError as error:
            raise EngineError(f"{path}: {error}") from None
        except (AdabmError, MemoryError):
            raise
        except Exception as error:
            if out_of_memory(error):
                raise
            reason = " ".join(str(error).split())[:200]
            raise EngineError(
                f"{path}: {engine} cannot run it ({type(error).__name__}: {reason}); export it again"
            ) from None
        if made.ndim != 4 or len(made) != 1:
            raise EngineError(f"{path}: gives an array of shape {made.shape}, no picture; export it again")
        return made

    return told
