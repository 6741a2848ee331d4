"""How far a network sees: compared with what changes far away, on known and on made-up networks."""

import math

import pytest
import torch
from torch import nn

from adabm.errors import out_of_memory
from adabm.networks import build_network, describe
from adabm.networks.reach import Reach, find_reach
from helpers.tiny_networks import TINY, tiny


@pytest.mark.parametrize(
    ("name", "pixels"),
    [
        ("EDSR", 8),
        ("MSRResNet", 7),
        ("RRDBNet", 19),
        ("SRVGGNetCompact", 5),
        ("ECBSR", 4),
        ("SRResNet", 12),
        ("RDN", 11),
    ],
)
def test_what_lies_farther_changes_nothing(name, pixels):
    """Its weights as they are: the line at that distance changes, none behind it does."""
    network, scale = tiny(name).double(), TINY[name][1]
    assert find_reach(network, 3, scale) == Reach(pixels)
    torch.manual_seed(0)
    picture = torch.rand(1, 3, 4, 60 + pixels, dtype=torch.float64)
    other = picture.clone()
    edge = 20 + pixels
    other[..., edge:] = torch.rand_like(other[..., edge:])
    with torch.no_grad():
        changed = (network(picture) != network(other)).any(0).any(0).any(0)
    first = changed.nonzero().min().item() // scale
    assert edge - pixels <= first
    if name != "RRDBNet":  # so deep, and scaled by 0.2 each time, that the farthest is lost in rounding
        assert first == edge - pixels


class Unshuffled(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Conv2d(12, 12, 3, padding=1)

    def forward(self, x):
        return nn.functional.pixel_shuffle(self.body(nn.functional.pixel_unshuffle(x, 2)), 2)


class HourGlass(nn.Module):
    def __init__(self):
        super().__init__()
        self.down = nn.Conv2d(3, 4, 4, stride=4)
        self.up = nn.ConvTranspose2d(4, 3, 4, stride=4)

    def forward(self, x):
        return x + self.up(self.down(x).relu_())


class Windows(nn.Module):
    """Attention in windows of 8x8; without a convolution."""

    def __init__(self):
        super().__init__()
        self.keys, self.out = nn.Linear(3, 3), nn.Linear(3, 3)

    def forward(self, x):
        n, c, h, w = x.shape
        tokens = x.view(n, c, h // 8, 8, w // 8, 8).permute(0, 2, 4, 3, 5, 1).reshape(-1, 64, c)
        tokens = self.out((tokens @ self.keys(tokens).transpose(1, 2)).softmax(-1) @ tokens)
        return tokens.view(n, h // 8, w // 8, 8, 8, c).permute(0, 5, 1, 3, 2, 4).reshape(x.shape)


class Rolled(nn.Module):
    def forward(self, x):
        return x.roll(1, 2) - x


class Placed(nn.Module):
    """It knows where in the picture a pixel lies."""

    def forward(self, x):
        return x + torch.linspace(-1, 1, x.shape[3])


class Stretched(nn.Module):
    """How it enlarges goes by the size of the picture."""

    def forward(self, x):
        smaller = nn.functional.interpolate(x, scale_factor=0.5)
        return nn.functional.interpolate(smaller, size=x.shape[2:], mode="bilinear", align_corners=True)


class Sized(nn.Module):
    def forward(self, x):
        return x * (1 + math.log(x.shape[2]))


class Flattened(nn.Module):
    """The end of a row is beside the beginning of the next."""

    def __init__(self):
        super().__init__()
        self.line = nn.Conv1d(3, 3, 3, padding=1)

    def forward(self, x):
        return self.line(x.flatten(2)).view(x.shape)


class Counted(nn.Module):
    """It knows where a pixel lies without ``arange``."""

    def forward(self, x):
        return x + torch.ones_like(x).cumsum(3)


class Pooled(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 1)

    def forward(self, x):
        return x * self.conv(x.mean((2, 3), keepdim=True)).sigmoid()


class Hidden(nn.Module):
    def forward(self, x):
        return x.nan_to_num()


class Failing(nn.Module):
    def forward(self, x):
        raise ValueError("no")


def conv(*size, **options):
    return nn.Conv2d(3, 3, *size, **options)


@pytest.mark.parametrize(
    ("network", "expected"),
    [
        (conv(3, padding=2, dilation=2), Reach(2)),
        (conv((1, 7), padding=(0, 3)), Reach(3)),
        (conv((7, 1), padding="same", padding_mode="reflect"), Reach(3)),
        (conv(3, padding=1, groups=3), Reach(1)),
        (
            nn.Sequential(conv(3, padding=1), nn.BatchNorm2d(3), nn.LeakyReLU(inplace=True), conv(5, padding=2)),
            Reach(3),
        ),
        (Unshuffled(), Reach(2, 2)),
        (HourGlass(), Reach(0, 4)),
        (Windows(), Reach(0, 8)),
        (conv(3, padding=1, padding_mode="circular"), Reach(None)),
        (Rolled(), Reach(None)),
        (Placed(), Reach(None)),
        (Stretched(), Reach(None)),
        (nn.Sequential(conv(3, padding=1), Sized()), Reach(None)),
        (Counted(), Reach(None)),
        (Flattened(), Reach(None)),
        (Pooled(), Reach(None)),
        (nn.Sequential(conv(3, padding=1), nn.AdaptiveAvgPool2d(1), nn.Upsample((64, 64))), Reach(None)),
        (Hidden(), Reach(None)),
        (Failing(), Reach(None)),
    ],
    ids=lambda value: type(value).__name__,
)
def test_made_up_networks(network, expected):
    assert find_reach(network, 3, 1) == expected


def test_known_networks():
    assert find_reach(tiny("RCAN"), 3, 3) == Reach(None)  # its channel attention pools the whole picture
    network = build_network("RRDBNet", num_feat=4, num_block=1, num_grow_ch=2, scale=2)
    assert find_reach(network, 3, 2, describe(network).size_multiple) == Reach(37, 2)
    wide = build_network("EDSR", num_feat=4, num_block=32, upscale=4)
    assert find_reach(wide, 3, 4) == Reach(68)


def test_the_network_stays_as_it_was():
    network = tiny("SRResNet").train()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    find_reach(network, 3, 4)
    assert network.training and not torch.is_inference_mode_enabled()
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


LACKING = (
    MemoryError(),
    OSError(12, "Cannot allocate memory"),
    ImportError("libtorch_cpu.so: failed to map segment from shared object"),
    RuntimeError("could not create a primitive"),
    RuntimeError(
        "[enforce fail at alloc_cpu.cpp:118] err == 0. DefaultCPUAllocator: can't allocate memory: you tried to allocate 8"
    ),
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20 GiB"),
)
OTHERS = (
    RuntimeError("could not create a primitive descriptor for a convolution forward propagation primitive"),
    ValueError("out of memory"),
    OSError(2, "No such file or directory"),
)


@pytest.mark.parametrize("error", [*LACKING, *OTHERS], ids=lambda error: str(error)[-30:])
def test_for_want_of_memory_no_network_is_said_to_hide_what_it_sees(error):
    class Foreign(nn.Module):
        attends = False

        def forward(self, x):
            if self.attends:
                x @ x
            raise error

    assert out_of_memory(error) == (error in LACKING)
    if error in OTHERS:
        assert find_reach(Foreign(), 3, 1) == Reach(None)
    else:
        with pytest.raises(type(error)):
            find_reach(Foreign(), 3, 1)
        attending = Foreign()
        attending.attends = True
        assert find_reach(attending, 3, 1) == Reach(None)  # whose products of a strip may take more than there is
