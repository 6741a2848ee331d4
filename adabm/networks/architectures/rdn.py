"""RDN, the residual dense network."""

import torch
from torch import nn

from ...errors import NetworkError
from ..architecture import register_architecture
from ..descriptor import Role
from ..layout import Layout

LAYOUT = Layout(
    (
        ("SFENet2", Role.FIRST),
        (r"RDBs\.\d+\.convs\..+", Role.BODY),
        (r"RDBs\.\d+\.LFF", Role.FUSION),
        (r"GFF\.\d+", Role.BODY),
        (r"UPNet\.\d+", Role.UPSAMPLER),
    ),
    blocks=r"RDBs\.\d+",
    value_range=255.0,
    block_feature_size_normalized=True,
)


@register_architecture(LAYOUT)
class RDN(nn.Module):
    """Residual dense network: dense blocks with local and global feature fusion.

    Source: Y. Zhang et al., "Residual Dense Network for Image Super-Resolution", CVPR 2018,
    section 3; the defaults are its 16 blocks of 8 layers and growth 64. The value range of input and
    output is that of the pictures the weights were trained on.

    Args:
        num_in_ch: channels of the input.
        num_out_ch: channels of the output.
        num_feat: channels of the shallow and of the fused features (G0 of the paper).
        num_block: number of residual dense blocks (D).
        num_layer: 3x3 convolutions per dense block (C).
        growth: channels that each of them adds, also the features of the upsampler (G).
        upscale: upsampling factor 2, 3 (one step) or 4 (two steps of 2).

    Raises:
        NetworkError: ``upscale`` is not 2, 3 or 4.
    """

    def __init__(
        self,
        num_in_ch: int = 3,
        num_out_ch: int = 3,
        num_feat: int = 64,
        num_block: int = 16,
        num_layer: int = 8,
        growth: int = 64,
        upscale: int = 4,
    ) -> None:
        super().__init__()
        if upscale not in (2, 3, 4):
            raise NetworkError(f"RDN: upscale {upscale!r} is not supported; choose 2, 3 or 4")
        self.upscale = upscale
        self.SFENet1 = nn.Conv2d(num_in_ch, num_feat, 3, padding=1)
        self.SFENet2 = nn.Conv2d(num_feat, num_feat, 3, padding=1)
        self.RDBs = nn.ModuleList(ResidualDenseBlock(num_feat, num_layer, growth) for _ in range(num_block))
        self.GFF = nn.Sequential(
            nn.Conv2d(num_block * num_feat, num_feat, 1), nn.Conv2d(num_feat, num_feat, 3, padding=1)
        )
        steps: list[nn.Module] = []
        channels = num_feat
        for factor in (2, 2) if upscale == 4 else (upscale,):
            steps += [nn.Conv2d(channels, growth * factor**2, 3, padding=1), nn.PixelShuffle(factor)]
            channels = growth
        self.UPNet = nn.Sequential(*steps, nn.Conv2d(channels, num_out_ch, 3, padding=1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (N, num_in_ch, H, W) to (N, num_out_ch, upscale*H, upscale*W)."""
        shallow = self.SFENet1(x)
        x = self.SFENet2(shallow)
        outputs = []
        for block in self.RDBs:
            x = block(x)
            outputs.append(x)
        return self.UPNet(self.GFF(torch.cat(outputs, dim=1)) + shallow)


class ResidualDenseBlock(nn.Module):
    """Dense layers, fused to ``num_feat`` channels by a 1x1 convolution, plus the input.

    Maps (N, num_feat, H, W) to the same shape.
    """

    def __init__(self, num_feat: int, num_layer: int, growth: int) -> None:
        super().__init__()
        self.convs = nn.Sequential(*(DenseLayer(num_feat + j * growth, growth) for j in range(num_layer)))
        self.LFF = nn.Conv2d(num_feat + num_layer * growth, num_feat, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.LFF(self.convs(x)) + x


class DenseLayer(nn.Module):
    """Append ``growth`` new channels: (N, C, H, W) to (N, C + growth, H, W)."""

    def __init__(self, channels: int, growth: int) -> None:
        super().__init__()
        self.conv = nn.Sequential(nn.Conv2d(channels, growth, 3, padding=1), nn.ReLU())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.cat((x, self.conv(x)), dim=1)
