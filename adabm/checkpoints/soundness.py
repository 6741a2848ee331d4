"""What in a quantized model would make its pictures wrong or NaN without a word, or what comes back from its file another model."""

from collections.abc import Iterator, Mapping

import torch
from torch import Tensor

from ..full_precision import FULL_PRECISION_BITS
from ..networks.sameness import same_output, test_output
from ..quantization.bit_mapping import Image2Bit
from ..quantization.bit_rule import least_bits
from ..quantization.channel_weights import ChannelWeightQuantizer
from ..quantization.domains import channel_affine
from ..quantization.layers import QuantizedLayer
from ..quantization.model import QuantizedSR, SROutput
from ..quantization.quantizers import ActivationQuantizer, WeightQuantizer
from ..recipes.carrying_out import beyond_calibration
from ..steps.decisions import DecidingStep, can_decide


def unsound(model: QuantizedSR, tensors: Mapping[str, Tensor]) -> Iterator[str]:
    """Yield a sentence for each fault of the model and of the tensors that its file holds; none, if it can be written and loaded."""
    if not all(torch.isfinite(t).all() for t in tensors.values() if t.is_floating_point()):
        yield "it holds NaN or infinite values"
    if isinstance(model.image2bit, Image2Bit) and not model.image2bit.lower <= model.image2bit.upper:
        yield f"the lower threshold of images is above the upper one ({model.image2bit.extra_repr()})"
    for name, layer in model.layers.items():
        if (least := least_bits(layer, model.image2bit)) < 1:
            yield f"some pictures would get {least} bits at the input of {name!r}"
        yield from (f"{fault} of {name!r}" for fault in _faults(layer, tuned=model.config.step("tune") is not None))


def _faults(layer: QuantizedLayer, tuned: bool) -> Iterator[str]:
    """What is wrong with the quantizers of this package; a user's own are his."""
    if isinstance(layer.activation, ActivationQuantizer):
        if layer.activation_bits < FULL_PRECISION_BITS and not layer.activation.lower < layer.activation.upper:
            yield "the activation range is empty"
        affine = channel_affine(layer)
        if affine is not None and not (affine.scale > 0).all():
            yield "a channel's scale is not positive"
    weights = getattr(layer, "weight_quantizer", None)
    if layer.weight_bits is None or layer.weight_bits >= FULL_PRECISION_BITS:
        return
    if isinstance(weights, WeightQuantizer) and not weights.scale > 0:
        yield "the range of the weights is empty"
    if isinstance(weights, ChannelWeightQuantizer) and not (weights.step > 0).all():
        yield "a step of the weights is not positive"
    if isinstance(weights, ChannelWeightQuantizer) and weights.latent is not None:
        if not weights.is_decided and weights.latent.any():
            yield "there are codes of the weights that were not decided"
        half = 2 ** (layer.weight_bits - 1)
        if not tuned and not ((weights.latent >= -half) & (weights.latent < half)).all():  # tuning may push them out
            yield "a code of the weights is beyond its bits"


def left_out(model: QuantizedSR) -> str | None:
    """Return a step of the recipe that was not carried out, or None.

    Of a model whose tensors came from elsewhere: a step that was to decide how weights are rounded, where no layer has anything decided.
    """
    if model.carried_out is not None:
        return None if model.carried_out else next(iter(beyond_calibration(model.config.recipe.steps)))
    deciding = next((step.name for step in model.config.recipe.steps if isinstance(step, DecidingStep)), None)
    quantizers = [layer.weight_quantizer for layer in model.layers.values() if can_decide(layer)]
    rooms = [one for one in quantizers if isinstance(one, ChannelWeightQuantizer) and one.latent is not None]
    return deciding if rooms and not any(one.is_decided for one in rooms) else None


def full_precision_output(model: QuantizedSR) -> Tensor | None:
    """What the model gives in full precision for the pictures of :func:`adabm.networks.sameness.test_output`."""
    with model.full_precision():
        return test_output(model, model.descriptor)


def quantizes_otherwise(model: QuantizedSR, again: QuantizedSR) -> bool:
    """Whether a model that was made again from what ``model`` saves chooses other bits, or gives another quantized picture.

    Both are run on the same device, their tensors laid out alike in memory, so that on a CPU nothing but code that no file
    holds makes a difference; elsewhere a hundredth of the largest value is allowed, for what a rounding that flips does.
    """
    own = model.state_dict()
    for name, tensor in again.state_dict(keep_vars=True).items():
        tensor.data = own[name].detach().clone()
    told = []
    for one in (model, again):
        bits: list[Tensor] = []
        run = lambda images, of=one, to=bits: _kept(of.infer(images), to)
        told.append((test_output(run, one.descriptor, one), bits))
    (output, bits), (other, other_bits) = told
    if output is None or other is None:
        return output is not other
    if len(bits) != len(other_bits) or not all(map(torch.equal, bits, other_bits)):
        return True
    if model.device.type == "cpu" or output.shape != other.shape:
        return not same_output(output, other, model)
    return bool((output - other).square().mean().sqrt() > 0.01 * output.abs().max())


def _kept(found: SROutput, bits: list[Tensor]) -> Tensor:
    bits += [found.feature_average_bits, *found.layer_bits.values()]
    return found.image
