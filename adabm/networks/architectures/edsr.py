"""EDSR of BasicSR, and weights for it by BasicSR, by its authors and by krasserm/wdsr."""

import math

import torch
from torch import Tensor

from ...errors import CheckpointError
from ..architecture import Reader, register_basicsr
from ..conversion import Conversion, State, channels, depth, tensor, upsampler, upscale_of
from ..descriptor import Role
from ..layout import Layout

_RGB_MEAN = (0.4488, 0.4371, 0.4040)  # of DIV2K, what every EDSR subtracts; checked, not carried over
_IMG_RANGE = 2.0  # krasserm's networks see (picture - mean) * 2, pictures in [0, 1]
_LARGE_FEATURES = 256  # this EDSR alone scales its residuals, by 0.1 (EDSR paper, section 3.3)

LAYOUT = Layout(((r"body\..+", Role.BODY), ("conv_after_body", Role.AFTER_BODY), (r"upsample\..+", Role.UPSAMPLER)))


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
    return Conversion("EDSR", options | {"img_range": _rgb_range(state)} | _residual_scale(features), converted)


def from_basicsr(state: State) -> Conversion:
    """EDSR, such as ``EDSR_Mx4_f64b16_DIV2K_official-0c287733.pth``.

    ``img_range`` and ``rgb_mean``, which no tensor tells, are left at BasicSR's defaults (255 and
    DIV2K's mean); 256 features mean the large EDSR with ``res_scale`` 0.1.
    """
    features, seen = tensor(state, "conv_first.weight", None, None, 3, 3).shape[:2]
    options = dict(channels(state, seen), num_feat=features, num_block=depth(state, r"body\.(\d+)\."))
    return Conversion("EDSR", options | upsampler(state, features) | _residual_scale(features), dict(state))


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


def _residual_scale(features: int) -> dict[str, object]:
    """Return the option ``res_scale`` of the large EDSR, which no tensor tells; nothing for others."""
    return {"res_scale": 0.1} if features == _LARGE_FEATURES else {}


register_basicsr(
    "EDSR",
    "archs.edsr_arch",
    __name__,
    LAYOUT,
    (
        Reader(
            "edsr-krasserm",
            from_krasserm_edsr,
            ("arg:DIV2K_mean", "arg:convolution0_weight"),
            "EDSR of krasserm/wdsr, converted to MXNet",
        ),
        Reader(
            "edsr-pytorch",
            from_edsr_pytorch,
            ("head.0.weight", "body.0.body.0.weight", "tail.1.weight"),
            "EDSR of sanghyun-son/EDSR-PyTorch",
        ),
        Reader("basicsr-edsr", from_basicsr, ("body.0.conv1.weight", "conv_after_body.weight"), "EDSR of BasicSR"),
    ),
)
