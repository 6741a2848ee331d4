"""SRResNet as SRGAN's generator describes it, with batch normalization, and weights of PyTorch's tutorial for it."""

import torch
from torch import Tensor, nn

from ...errors import CheckpointError, NetworkError
from ..architecture import Reader, register_architecture
from ..conversion import Conversion, State, depth, tensor, upscale_of
from ..descriptor import Role
from ..layout import Layout

LAYOUT = Layout(
    (
        (r"body\.\d+\.conv[12]", Role.BODY),
        (r"body\.\d+", Role.AFTER_BODY),
        (r"tail\.0\.\d+", Role.UPSAMPLER),
    ),
    value_range=255.0,
)


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


def _batch_norm(state: State, index: int, name: str, features: int) -> dict[str, Tensor]:
    sources = {
        "weight": "arg:{}_gamma",
        "bias": "arg:{}_beta",
        "running_mean": "aux:{}_moving_mean",
        "running_var": "aux:{}_moving_var",
    }
    values = {f"{name}.{part}": tensor(state, s.format(f"batchnorm{index}"), features) for part, s in sources.items()}
    return values | {f"{name}.num_batches_tracked": torch.tensor(0)}


TUTORIAL = Reader(
    "srresnet-tutorial",
    from_tutorial_srresnet,
    ("arg:batchnorm0_gamma", "arg:leakyrelu0_weight"),
    "SRResNet of PyTorch's tutorial, converted to MXNet",
)


@register_architecture(LAYOUT, (TUTORIAL,))
class SRResNet(nn.Module):
    """Residual super-resolution network with batch normalization and PReLU.

    Source: C. Ledig et al., "Photo-Realistic Single Image Super-Resolution Using a Generative
    Adversarial Network", CVPR 2017, section 2.1 and figure 4. By default convolutions have no bias
    and each PReLU has one parameter, as in AdaBM's released code; the first and last convolution
    are 9x9. BasicSR's MSRResNet is a different network without batch normalization. There is no
    mean shift: the value range of input and output is that of the pictures the weights were
    trained on.

    Batch normalization must be frozen (``eval()``) for calibration and quantization.

    Args:
        num_in_ch: channels of the input.
        num_out_ch: channels of the output.
        num_feat: channels of the features.
        num_block: number of residual blocks.
        upscale: upsampling factor 2, 3 (one step) or 4 (two steps of 2).
        bias: give a bias to the convolutions that no batch norm follows: the first, the upsampling
            and the last one.
        prelu_per_channel: give each PReLU a parameter for every channel.

    Raises:
        NetworkError: ``upscale`` is not 2, 3 or 4.
    """

    def __init__(
        self,
        num_in_ch: int = 3,
        num_out_ch: int = 3,
        num_feat: int = 64,
        num_block: int = 16,
        upscale: int = 4,
        bias: bool = False,
        prelu_per_channel: bool = False,
    ) -> None:
        super().__init__()
        if upscale not in (2, 3, 4):
            raise NetworkError(f"SRResNet: upscale {upscale!r} is not supported; choose 2, 3 or 4")
        self.upscale = upscale
        slopes = num_feat if prelu_per_channel else 1
        self.head = nn.Sequential(nn.Conv2d(num_in_ch, num_feat, 9, padding=4, bias=bias), nn.PReLU(slopes))
        blocks = [ResidualBlock(num_feat, slopes) for _ in range(num_block)]
        closing = nn.Conv2d(num_feat, num_feat, 3, padding=1, bias=False)
        self.body = nn.Sequential(*blocks, closing, nn.BatchNorm2d(num_feat))
        steps: list[nn.Module] = []
        for factor in (2, 2) if upscale == 4 else (upscale,):
            enlarging = nn.Conv2d(num_feat, num_feat * factor**2, 3, padding=1, bias=bias)
            steps += [enlarging, nn.PixelShuffle(factor), nn.PReLU(slopes)]
        last = nn.Conv2d(num_feat, num_out_ch, 9, padding=4, bias=bias)
        self.tail = nn.Sequential(nn.Sequential(*steps), last)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (N, num_in_ch, H, W) to (N, num_out_ch, upscale*H, upscale*W)."""
        x = self.head(x)
        return self.tail(self.body(x) + x)


class ResidualBlock(nn.Module):
    """Convolution, batch norm, PReLU, convolution, batch norm, plus the input: (N, C, H, W) to the same.

    Args:
        num_feat: channels C.
        slopes: parameters of the PReLU, 1 or C.
    """

    def __init__(self, num_feat: int, slopes: int = 1) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(num_feat, num_feat, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(num_feat)
        self.act = nn.PReLU(slopes)
        self.conv2 = nn.Conv2d(num_feat, num_feat, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(num_feat)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        inner = self.act(self.bn1(self.conv1(x)))
        return self.bn2(self.conv2(inner)) + x
