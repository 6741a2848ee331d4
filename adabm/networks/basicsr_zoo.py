"""Weights of BasicSR's own networks: the names fit already, the constructor's options are deduced."""

import re

from ..errors import CheckpointError
from .conversion import Conversion, State, depth, residual_scale, tensor, upscale_of
from .foreign import rrdb_options


def from_edsr(state: State) -> Conversion:
    """EDSR, such as ``EDSR_Mx4_f64b16_DIV2K_official-0c287733.pth``.

    ``img_range`` and ``rgb_mean``, which no tensor tells, are left at BasicSR's defaults (255 and
    DIV2K's mean); 256 features mean the large EDSR with ``res_scale`` 0.1.
    """
    features, seen = tensor(state, "conv_first.weight", None, None, 3, 3).shape[:2]
    options = dict(_channels(state, seen), num_feat=features, num_block=depth(state, r"body\.(\d+)\."))
    return Conversion("EDSR", options | _upsampler(state, features) | residual_scale(features), dict(state))


def from_rcan(state: State) -> Conversion:
    """RCAN; ``res_scale``, ``img_range`` and ``rgb_mean`` are left at BasicSR's defaults."""
    features, seen = tensor(state, "conv_first.weight", None, None, 3, 3).shape[:2]
    squeeze = "body.0.residual_group.0.rcab.3.attention.1.weight"
    squeezed = tensor(state, squeeze, None, features, 1, 1).shape[0]
    if features % squeezed:
        raise CheckpointError(f"{squeeze}: {features} features are not squeezed by a whole factor to {squeezed}")
    options = dict(
        _channels(state, seen),
        num_feat=features,
        num_group=depth(state, r"body\.(\d+)\."),
        num_block=depth(state, r"body\.0\.residual_group\.(\d+)\."),
        squeeze_factor=features // squeezed,
    )
    return Conversion("RCAN", options | _upsampler(state, features), dict(state))


def from_rrdbnet(state: State) -> Conversion:
    """RRDBNet, ESRGAN's generator under BasicSR's names."""
    return Conversion("RRDBNet", rrdb_options(state), dict(state))


def from_msrresnet(state: State) -> Conversion:
    """MSRResNet, such as ``MSRResNet_x4_f64b16_DIV2K_1000k_B16G1-*.pth``."""
    features, seen = tensor(state, "conv_first.weight", None, None, 3, 3).shape[:2]
    names = [name for name in ("upconv1.weight", "upconv2.weight") if name in state]
    enlarging = [tensor(state, name, None, features, 3, 3).shape[0] for name in names]
    options = dict(
        _channels(state, seen),
        num_feat=features,
        num_block=depth(state, r"body\.(\d+)\."),
        upscale=upscale_of(enlarging, features),
    )
    return Conversion("MSRResNet", options, dict(state))


def from_srvgg(state: State) -> Conversion:
    """SRVGGNetCompact, such as Real-ESRGAN's ``realesr-general-x4v3.pth``.

    Without PReLU ``act_type`` is undecided: relu and leakyrelu have no tensors.
    """
    features, seen = tensor(state, "body.0.weight", None, None, 3, 3).shape[:2]
    with_slopes = "body.1.weight" in state
    last = depth(state, r"body\.(\d+)\.", step=1 if with_slopes else 2) - 1
    out = tensor(state, f"body.{last}.weight", None, features, 3, 3).shape[0]
    upscale = round((out / seen) ** 0.5)
    if seen * upscale**2 != out or last % 2:
        raise CheckpointError(f"body.{last} makes {out} channels: no scale fits {seen} channels of pictures")
    options = dict(num_in_ch=seen, num_out_ch=seen, num_feat=features, num_conv=last // 2 - 1, upscale=upscale)
    if with_slopes:
        return Conversion("SRVGGNetCompact", options | {"act_type": "prelu"}, dict(state))
    return Conversion("SRVGGNetCompact", options, dict(state), undecided=("act_type",))


def _channels(state: State, seen: int) -> dict[str, object]:
    return dict(num_in_ch=seen, num_out_ch=tensor(state, "conv_last.weight", None, None, 3, 3).shape[0])


def _upsampler(state: State, features: int) -> dict[str, object]:
    names = sorted(name for name in state if re.fullmatch(r"upsample\.\d+\.weight", name))
    return dict(upscale=upscale_of([tensor(state, name, None, features, 3, 3).shape[0] for name in names], features))
