"""Step ``correct_bias``: the mean error of each output channel goes into the bias."""

from dataclasses import dataclass

from torch import Tensor

from ..quantization.layers import QuantizedConv2d, QuantizedLayer
from ..quantization.model import QuantizedSR
from ..validation import Count
from .decisions import DecidingStep, bias_of, can_decide
from .step import step
from .two_streams import run_two_streams
from .workspace import Workspace


@step("correct_bias")
@dataclass(frozen=True)
class CorrectBias(DecidingStep):
    """Subtract from each bias what quantization adds to the channel's output on average, layer after layer.

    The output is that for the input which the quantized layers before it, already corrected, give; so errors of
    activations and weights are made up for.

    Source: M. Nagel et al., "Data-Free Quantization through Weight Equalization and Bias Correction", ICCV 2019, section
    4.2 and appendix D (the empirical form). Deviation: on patches of pictures, not data-free.

    Attributes:
        pixels: of the low-resolution patches, together; at least one patch is taken.
        patch_size: in LR pixels; None: as in calibration.
    """

    pixels: Count = 100_000
    patch_size: Count | None = None

    def apply(self, model: QuantizedSR, workspace: Workspace) -> None:
        """Correct all layers in one pass of both streams."""
        run_two_streams(model, workspace.some(self.pixels, self.patch_size), _correct, repair=False)


def _correct(layer: QuantizedLayer, full: Tensor, x: Tensor, target: Tensor, errors: list[Tensor]) -> None:
    """Called as :data:`adabm.steps.two_streams.Solver` says."""
    if not can_decide(layer):
        return
    error = (type(layer).forward(layer, x) - target).float()
    mean = error.mean((0, 2, 3)) if isinstance(layer, QuantizedConv2d) else error.flatten(0, -2).mean(0)
    codes, step = layer.weight_quantizer.integers(layer.weight, layer.weight_bits)
    layer.weight_quantizer.decide(codes, step, bias_of(layer) - mean)
