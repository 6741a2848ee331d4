"""Weights of other implementations, mapped to the networks of this package.

Each function takes tensors by the source's names and computes nothing but exact renaming,
reordering and folding, so that the outputs are the source's up to rounding. RGB means are DIV2K's
and are checked, not carried over.
"""

import math
import re

import torch
from torch import Tensor

from ..errors import CheckpointError
from .conversion import Conversion, State, depth, residual_scale, tensor, upscale_of

_RGB_MEAN = (0.4488, 0.4371, 0.4040)  # of DIV2K, what every EDSR subtracts
_IMG_RANGE = 2.0  # krasserm's networks see (picture - mean) * 2, pictures in [0, 1]


def from_krasserm_edsr(state: State) -> Conversion:
    """EDSR of github.com/krasserm/wdsr, converted to MXNet (Super-Resolution-Zoo, ``EDSR-*.params``).

    ``convolution<i>_{weight,bias}`` are numbered as they run: first, two a block, closing, upsampling,
    last. TensorFlow's depth-to-space takes channel (2i + j) * C + c where PixelShuffle takes
    4c + 2i + j, so the channels of the upsampling convolutions are reordered.

    Raises:
        CheckpointError: another network, such as a WDSR.
    """
    last = depth(state, r"arg:convolution(\d+)_weight") - 1
    features = tensor(state, "arg:convolution0_weight", None, 3, 3, 3).shape[0]
    tensor(state, f"arg:convolution{last}_weight", 3, features, 3, 3)
    widths = [tensor(state, f"arg:convolution{i}_weight", None, features, 3, 3).shape[0] for i in range(1, last)]
    plain = next((i for i, width in enumerate(widths) if width != features), len(widths))
    if plain < 3 or plain % 2 == 0:
        raise CheckpointError(f"{plain} convolutions of {features} features are not two a block and a closing one")
    blocks, enlarging = plain // 2, widths[plain:]
    options = dict(num_feat=features, num_block=blocks, upscale=upscale_of(enlarging, features))
    names = ["conv_first", *(f"body.{i}.conv{j}" for i in range(blocks) for j in (1, 2)), "conv_after_body"]
    names += [f"upsample.{2 * i}" for i in range(len(enlarging))] + ["conv_last"]
    converted = {}
    for index, name in enumerate(names):
        weight = tensor(state, f"arg:convolution{index}_weight", None, None, 3, 3)
        for part, value in (("weight", weight), ("bias", tensor(state, f"arg:convolution{index}_bias", len(weight)))):
            enlarges = name.startswith("upsample")
            converted[f"{name}.{part}"] = _pixel_shuffle_order(value, features) if enlarges else value
    if not torch.allclose(tensor(state, "arg:DIV2K_mean", 1, 3, 1, 1).flatten(), torch.tensor(_RGB_MEAN)):
        raise CheckpointError(f"arg:DIV2K_mean is not {_RGB_MEAN}")
    return Conversion("EDSR", options | {"img_range": _IMG_RANGE}, converted)


def from_tutorial_srresnet(state: State) -> Conversion:
    """SRResNet of PyTorch's ONNX tutorial, converted to MXNet (Super-Resolution-Zoo, ``SRResNet_*.params``).

    The source maps pictures in [0, 1] and ends with (convolution + 1) / 2. Both are folded into the
    first and last convolution, so that the converted network maps [0, 255] to [0, 255], which is what
    :func:`adabm.describe` says of an SRResNet; all features keep their values.

    Raises:
        CheckpointError: another network.
    """
    count = depth(state, r"arg:convolution(\d+)_weight")
    norms = depth(state, r"arg:batchnorm(\d+)_gamma")
    blocks, steps = (norms - 1) // 2, count - norms - 2  # the first and the last one besides
    if norms % 2 == 0 or blocks < 1 or steps < 1:
        raise CheckpointError(f"{count} convolutions and {norms} batch norms are not those of an SRResNet")
    features = tensor(state, "arg:convolution0_weight", None, 3, 9, 9).shape[0]
    converted = {
        "head.0.weight": state["arg:convolution0_weight"] / 255,
        "head.0.bias": tensor(state, "arg:convolution0_bias", features),
        "head.1.weight": tensor(state, "arg:leakyrelu0_weight", features),
    }
    for i in range(blocks):
        for j in (0, 1):
            square = tensor(state, f"arg:convolution{2 * i + j + 1}_weight", features, features, 3, 3)
            converted[f"body.{i}.conv{j + 1}.weight"] = square
            converted |= _batch_norm(state, 2 * i + j, f"body.{i}.bn{j + 1}", features)
        converted[f"body.{i}.act.weight"] = tensor(state, f"arg:leakyrelu{i + 1}_weight", features)
    converted[f"body.{blocks}.weight"] = tensor(state, f"arg:convolution{norms}_weight", features, features, 3, 3)
    converted |= _batch_norm(state, norms - 1, f"body.{blocks + 1}", features)
    enlarging = []
    for i in range(steps):
        weight = tensor(state, f"arg:convolution{norms + 1 + i}_weight", None, features, 3, 3)
        enlarging.append(weight.shape[0])
        converted[f"tail.0.{3 * i}.weight"] = weight  # already in PixelShuffle's order
        converted[f"tail.0.{3 * i}.bias"] = tensor(state, f"arg:convolution{norms + 1 + i}_bias", weight.shape[0])
        converted[f"tail.0.{3 * i + 2}.weight"] = tensor(state, f"arg:leakyrelu{blocks + 1 + i}_weight", features)
    converted["tail.1.weight"] = tensor(state, f"arg:convolution{count - 1}_weight", 3, features, 9, 9) * 127.5
    converted["tail.1.bias"] = (tensor(state, f"arg:convolution{count - 1}_bias", 3) + 1) * 127.5
    options = dict(num_feat=features, num_block=blocks, upscale=upscale_of(enlarging, features))
    return Conversion("SRResNet", options | {"bias": True, "prelu_per_channel": True}, converted)


def from_esrgan(state: State) -> Conversion:
    """RRDBNet under the names of github.com/xinntao/ESRGAN (``RRDB_trunk.0.RDB1.conv1``), x4.

    Raises:
        CheckpointError: not an RRDBNet.
    """
    renames = {"trunk_conv": "conv_body", "upconv1": "conv_up1", "upconv2": "conv_up2", "HRconv": "conv_hr"}
    converted = {}
    for name, value in state.items():
        module, _, part = name.rpartition(".")
        module = re.sub(r"^RRDB_trunk\.(\d+)\.RDB(\d)\.", r"body.\1.rdb\2.", module)
        converted[f"{renames.get(module, module)}.{part}"] = value
    return Conversion("RRDBNet", rrdb_options(converted), converted)


def rrdb_options(state: State) -> dict[str, object]:
    """Deduce the options of BasicSR's RRDBNet from its tensors."""
    features, seen = tensor(state, "conv_first.weight", None, None, 3, 3).shape[:2]
    channels = tensor(state, "conv_last.weight", None, features, 3, 3).shape[0]
    unshuffled = {1: 4, 4: 2, 16: 1}.get(seen // channels)  # BasicSR's x2 and x1 fold pixels into channels first
    if unshuffled is None or seen % channels:
        raise CheckpointError(f"conv_first takes {seen} channels and conv_last makes {channels}: no scale fits")
    return dict(
        num_in_ch=channels,
        num_out_ch=channels,
        scale=unshuffled,
        num_feat=features,
        num_block=depth(state, r"body\.(\d+)\."),
        num_grow_ch=tensor(state, "body.0.rdb1.conv1.weight", None, features, 3, 3).shape[0],
    )


def from_edsr_pytorch(state: State) -> Conversion:
    """EDSR of github.com/sanghyun-son/EDSR-PyTorch (``edsr_baseline_x4-6b446fab.pt`` and its like).

    The range of its pictures, 255 in all that were released, is read from ``sub_mean.bias``. That the
    large EDSR scales residuals by 0.1 no tensor tells; it is concluded from its 256 features.

    Raises:
        CheckpointError: another network, or a shift of the mean other than DIV2K's.
    """
    features = tensor(state, "head.0.weight", None, 3, 3, 3).shape[0]
    closing = depth(state, r"body\.(\d+)\.") - 1
    modules = {"head.0": "conv_first", f"body.{closing}": "conv_after_body", "tail.1": "conv_last"}
    modules |= {f"body.{i}.body.{2 * j}": f"body.{i}.conv{j + 1}" for i in range(closing) for j in (0, 1)}
    steps = [name for name in ("tail.0.0", "tail.0.2", "tail.0.4") if f"{name}.weight" in state]
    modules |= {name: name.replace("tail.0", "upsample") for name in steps}
    converted = {}
    for name, value in state.items():
        module, _, part = name.rpartition(".")
        if module not in ("sub_mean", "add_mean"):
            converted[f"{modules.get(module, module)}.{part}"] = value
    enlarging = [state[f"{name}.weight"].shape[0] for name in steps]
    options = dict(num_feat=features, num_block=closing, upscale=upscale_of(enlarging, features))
    return Conversion("EDSR", options | {"img_range": _rgb_range(state)} | residual_scale(features), converted)


def _rgb_range(state: State) -> float:
    """Return R, where ``sub_mean`` subtracts R times DIV2K's mean and ``add_mean`` adds it."""
    if "sub_mean.bias" not in state:
        return 255.0
    shift = tensor(state, "sub_mean.bias", 3)
    value = round(-shift[0].item() / _RGB_MEAN[0], 3)  # the stored float32 is off by 1e-7 of it
    for name, sign in (("sub_mean", -1), ("add_mean", 1)):
        weight, bias = tensor(state, f"{name}.weight", 3, 3, 1, 1), tensor(state, f"{name}.bias", 3)
        as_expected = torch.allclose(bias, sign * value * torch.tensor(_RGB_MEAN), rtol=1e-4, atol=0)
        if not (0 < value < math.inf and as_expected and torch.equal(weight[..., 0, 0], torch.eye(3))):
            raise CheckpointError(f"{name} does not shift by a multiple of DIV2K's mean {_RGB_MEAN}")
    return value


def _pixel_shuffle_order(value: Tensor, features: int) -> Tensor:
    """Reorder the first axis from depth-to-space's (r, r, C) to PixelShuffle's (C, r, r)."""
    parts = value.reshape(-1, features, *value.shape[1:])
    return parts.transpose(0, 1).reshape(value.shape)


def _batch_norm(state: State, index: int, name: str, features: int) -> dict[str, Tensor]:
    sources = {
        "weight": "arg:{}_gamma",
        "bias": "arg:{}_beta",
        "running_mean": "aux:{}_moving_mean",
        "running_var": "aux:{}_moving_var",
    }
    values = {f"{name}.{part}": tensor(state, s.format(f"batchnorm{index}"), features) for part, s in sources.items()}
    return values | {f"{name}.num_batches_tracked": torch.tensor(0)}
