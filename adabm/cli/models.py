"""Load the networks that a command works on, and prepare the processor."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import nn

from ..engines import Engine
from ..engines.checked import open_engine
from ..engines.integer.engine import IntegerEngine
from ..engines.integer.exported import is_exported, read_exported
from ..engines.simulated import SIMULATED
from ..errors import ConfigError, EngineError, NetworkError
from ..networks import NetworkDescriptor, fold_reparameterized, load_network
from ..networks.likeness import told_unlike
from ..quantization.model import QuantizedSR
from ..support.serialization import file_metadata
from .console import Console


@contextmanager
def computing(threads: int | None, device: str) -> Iterator[torch.device]:
    """Use ``threads`` CPU threads inside the ``with`` block and give the device, if there is one.

    Raises:
        ConfigError: no such device.
    """
    if device == "cuda" and not torch.cuda.is_available():
        raise ConfigError("--device cuda: torch finds no usable CUDA device; use --device cpu")
    before = torch.get_num_threads()
    if threads is not None:
        torch.set_num_threads(threads)
    try:
        yield torch.device(device)
    finally:
        torch.set_num_threads(before)


def is_quantized(path: Path) -> bool:
    """Tell a quantized checkpoint from full-precision weights.

    Raises:
        CheckpointError: missing or damaged.
    """
    return "adabm" in file_metadata(path)


def load_full_precision(path: Path) -> nn.Module:
    """Load full-precision weights, ECB blocks folded."""
    return fold_reparameterized(load_network(path))


def open_for_rgb(engine: str, path: Path, device: torch.device) -> Engine:
    """Open an engine, named or a user's file, on a checkpoint for RGB pictures.

    Raises:
        NetworkError: the network maps others.
        AdabmError: see :func:`adabm.open_engine`.
    """
    if engine == SIMULATED and is_exported(path):
        raise EngineError(f"{path}: was exported for --engine {read_exported(path).card['engine']}; name that engine")
    opened = open_engine(engine, path, device)
    if (model := shown_model(opened)) is not None:
        check_channels(path, model.descriptor)
    elif opened.channels != 3:
        raise NetworkError(
            f"{path}: engine {opened.name!r} takes pictures of {opened.channels} channels; the command line needs RGB (3)"
        )
    return opened


def shown_model(engine: Engine) -> QuantizedSR | None:
    """Return the model that an engine runs, if it shows one."""
    model = getattr(engine, "model", None)
    return model if isinstance(model, QuantizedSR) else None


def maps_no_images(engine: Engine) -> bool:
    """Whether an engine is known to give all pictures the same bits, as the model says that it shows or that was exported."""
    if (model := shown_model(engine)) is not None:
        return model.image2bit is None
    return isinstance(engine, IntegerEngine) and engine.card["image2bit"] is None


def note_unlike(console: Console, path: Path, network: nn.Module, descriptor: NetworkDescriptor) -> None:
    """Warn of a network in full precision that makes something else of pictures than larger ones."""
    if (told := told_unlike(network, descriptor)) is not None:
        console.note(f"warning: {path}: {told} (`adabm import --help` tells which can be given)")


def check_channels(path: Path, descriptor: NetworkDescriptor) -> None:
    """Raise :class:`NetworkError` unless the network maps RGB pictures to RGB pictures."""
    made = descriptor.output_channels or descriptor.options.get("num_out_ch", descriptor.channels)
    for option, channels in (("num_in_ch", descriptor.channels), ("num_out_ch", made)):
        if channels != 3:
            raise NetworkError(f"{path}: a network with {option} = {channels}; the command line needs RGB (3) networks")
