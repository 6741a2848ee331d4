"""SRResNet as SRGAN's generator describes it: with batch normalization."""

import torch
from torch import nn

from ..errors import NetworkError


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
