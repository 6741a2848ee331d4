"""MSRResNet of BasicSR: SRResNet without batch normalization."""

from ..architecture import Reader, register_basicsr
from ..conversion import Conversion, State, channels, depth, tensor, upscale_of
from ..descriptor import Role
from ..layout import Layout

LAYOUT = Layout(((r"body\..+", Role.BODY), ("upconv[12]|conv_hr", Role.UPSAMPLER)))


def from_basicsr(state: State) -> Conversion:
    """MSRResNet, such as ``MSRResNet_x4_f64b16_DIV2K_1000k_B16G1-*.pth``."""
    features, seen = tensor(state, "conv_first.weight", None, None, 3, 3).shape[:2]
    names = [name for name in ("upconv1.weight", "upconv2.weight") if name in state]
    enlarging = [tensor(state, name, None, features, 3, 3).shape[0] for name in names]
    options = dict(
        channels(state, seen),
        num_feat=features,
        num_block=depth(state, r"body\.(\d+)\."),
        upscale=upscale_of(enlarging, features),
    )
    return Conversion("MSRResNet", options, dict(state))


register_basicsr(
    "MSRResNet",
    "archs.srresnet_arch",
    __name__,
    LAYOUT,
    (Reader("basicsr-msrresnet", from_basicsr, ("body.0.conv1.weight", "upconv1.weight"), "MSRResNet of BasicSR"),),
)
