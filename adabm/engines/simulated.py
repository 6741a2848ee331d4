"""The network in torch, low bits simulated in floating point."""

from contextlib import nullcontext
from pathlib import Path

import numpy as np
import torch

from ..checkpoints.checkpoint import load_quantized
from ..errors import EngineError
from ..networks import describe, fold_reparameterized, load_network
from ..networks.placing import placed
from ..pictures.tensors import to_batch
from ..quantization.model import QuantizedSR
from ..recipes import preset
from ..support.serialization import file_metadata
from .given import check_pictures
from .protocol import Engine, EngineOutput, lacking
from .registry import engine

SIMULATED = "simulated"  # the engine's name


class SimulatedEngine:
    """Run a :class:`QuantizedSR` where it is, in its own type.

    Args:
        model: calibrated, unless it runs in full precision.
        full_precision: run the wrapped network as it was before; so it does inside ``model.full_precision()`` too.
    """

    name = SIMULATED

    def __init__(self, model: QuantizedSR, full_precision: bool = False) -> None:
        self.model, self.full_precision = model, full_precision

    @property
    def scale(self) -> int:
        return self.model.descriptor.scale

    @property
    def channels(self) -> int:
        return self.model.descriptor.channels

    @property
    def size_multiple(self) -> int:
        return self.model.descriptor.size_multiple

    @property
    def minimum_size(self) -> int:
        return self.model.descriptor.minimum_size

    @torch.no_grad()
    def upscale(self, pictures: np.ndarray) -> EngineOutput:
        """See :class:`adabm.engines.protocol.Engine`.

        Raises:
            ImageError: no such pictures.
            NetworkError: the model is not calibrated, or another thread is using it.
        """
        check_pictures(pictures, self.channels)
        value_range = self.model.descriptor.value_range
        batch = to_batch(pictures, value_range, next(self.model.parameters()))
        with self.model.full_precision() if self.full_precision else nullcontext():
            out = self.model.infer(batch)
        return EngineOutput(
            out.image.float().mul(255.0 / value_range).permute(0, 2, 3, 1).cpu().numpy(),
            _exact(out.feature_average_bits),
            {name: _exact(bits) for name, bits in out.layer_bits.items()},
        )


def _exact(bits: torch.Tensor) -> np.ndarray:
    return bits.double().cpu().numpy()  # numpy lacks bfloat16


@engine(SimulatedEngine.name, description="the network in torch, low bits simulated in floating point")
def open_simulated(model: QuantizedSR | Path, device: torch.device) -> SimulatedEngine:
    """Open a model, a quantized checkpoint, or full-precision weights, which run in full precision.

    Raises:
        CheckpointError: the file is missing, damaged, or holds no network that it describes.
    """
    if isinstance(model, QuantizedSR):
        return SimulatedEngine(model.to(device))
    if "adabm" in file_metadata(model):
        return SimulatedEngine(placed(load_quantized(model), device))
    network = fold_reparameterized(load_network(model))
    model = QuantizedSR(
        network, preset("adabm"), describe(network)
    )  # described here: roles that are guessed play no part
    return SimulatedEngine(placed(model, device), full_precision=True)


def as_engine(model: QuantizedSR | Engine) -> Engine:
    """Return an engine as it is, a model in the simulated engine.

    Raises:
        EngineError: neither of them.
    """
    if isinstance(model, QuantizedSR):
        return SimulatedEngine(model)
    if missing := lacking(model):
        raise EngineError(
            f"a {type(model).__name__} is neither a QuantizedSR nor an engine (it lacks {', '.join(missing)}); "
            "wrap the network: adabm.quantize(network, images), or QuantizedSR(network, config)"
        )
    return model
