"""What a network makes of a picture looks like it: else the range of its values, or a number that no tensor tells, is wrong."""

import dataclasses
import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import adabm
from adabm.cli import main
from adabm.errors import NetworkError
from adabm.networks.likeness import likeness, told_unlike
from adabm.pictures.writing import write_image
from helpers.cli_files import smooth
from helpers.tiny_networks import tiny


class Enlarging(nn.Module):
    """Enlarges by repeating, and adds a little by convolutions of what it sees; values go from 0 to ``most``."""

    def __init__(self, most: float) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.upscale, self.most = 2, most
        self.head, self.body = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 8, 3, padding=1)
        self.tail = nn.Sequential(nn.Conv2d(8, 12, 3, padding=1), nn.PixelShuffle(2))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        more = self.tail(self.body(self.head(x / self.most - 0.5).relu()))
        return F.interpolate(x, scale_factor=2) + 0.1 * self.most * more


def quantize(network: nn.Module, descriptor: adabm.NetworkDescriptor | None = None) -> None:
    adabm.quantize(network, [smooth(0)], "minmax", descriptor, patch_size=16)


@pytest.mark.filterwarnings("ignore:Enlarging is unknown")
def test_a_range_of_values_that_is_guessed_wrongly_is_told():
    quantize(Enlarging(1.0))
    wide = Enlarging(255.0)
    with pytest.raises(
        NetworkError, match=r"Enlarging: takes pictures of 0 to 255, not of 0 to 1 as is guessed.*value_range=255\.0"
    ):
        quantize(wide)
    quantize(wide, adabm.describe(wide, value_range=255.0))
    with pytest.raises(NetworkError, match=r"of 0 to 255, not of 0 to 1 as its descriptor tells.*value_range=255\.0"):
        quantize(wide, adabm.describe(wide, value_range=1.0))


def test_likeness_is_that_of_values_of_0_to_1():
    network = Enlarging(1.0)
    described = adabm.describe(network)
    for layer in (network.tail[0],):
        nn.init.zeros_(layer.weight), nn.init.constant_(layer.bias, 1.0)
    assert likeness(network, described) == pytest.approx(20, abs=1e-4)  # off by 0.1
    nn.init.zeros_(network.tail[0].bias)
    assert likeness(network, described) > 100
    assert told_unlike(network, described) is None
    assert likeness(network, dataclasses.replace(described, channels=1)) is None


def test_networks_that_are_not_trained_are_told():
    network = tiny("SRResNet")
    assert "does not look like it" in told_unlike(network, adabm.describe(network))
    shipped = adabm.load_network(adabm.default_backbone())
    found = likeness(shipped, adabm.describe(shipped))
    assert 50 < found < math.inf and told_unlike(shipped, adabm.describe(shipped)) is None
    wrong = adabm.build_network("EDSR", **(shipped.adabm_options | {"img_range": 1.0}))
    wrong.load_state_dict(shipped.state_dict())
    assert "does not look like it (24." in told_unlike(wrong, adabm.describe(wrong))


def test_the_command_line_warns_of_them(tmp_path, capsys):
    weights, imported = tmp_path / "x.pth", tmp_path / "x.safetensors"
    torch.save(tiny("RRDBNet").state_dict(), weights)
    picture, made = tmp_path / "LR" / "a.png", tmp_path / "q.safetensors"
    write_image(picture, smooth(0))
    quantizing = [
        "quantize",
        "--network",
        weights,
        "--images",
        picture.parent,
        "--output",
        made,
        "--recipe",
        "minmax",
        "--patch-size",
        16,
    ]
    for command in (quantizing, ["info", weights], ["import", weights, imported], ["info", "edsr_f32b8_x4"]):
        assert main([*map(str, command), "--quiet"]) == 0
        warned = f"adabm: warning: {weights}: what it makes of a smooth picture" in capsys.readouterr().err
        assert warned == (weights in command)


def test_info_tells_the_numbers_that_no_tensor_tells(tmp_path, capsys):
    torch.save(tiny("EDSR").state_dict(), tmp_path / "x.pth")
    assert main(["import", str(tmp_path / "x.pth"), str(tmp_path / "x.safetensors"), "--set", "res_scale=0.25"]) == 0
    assert main(["info", str(tmp_path / "x.safetensors")]) == 0
    shown = capsys.readouterr().out
    assert (
        "res_scale = 0.25, img_range = 255.0, rgb_mean = [0.4488, 0.4371, 0.404]\nfull precision, not quantized"
        in shown
    )
