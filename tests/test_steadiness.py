"""Networks that were changed by hand, or whose pictures depend on what stands beside them: tried out, and refused where they go wrong."""

import dataclasses

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

import adabm
from adabm.errors import NetworkError
from adabm.networks.untouched import is_untouched
from helpers.cli_files import smooth


def edsr() -> nn.Module:
    torch.manual_seed(0)
    return adabm.build_network("EDSR", num_feat=8, num_block=2, upscale=2).eval()


def pictures() -> list[np.ndarray]:
    return [smooth(seed, 24, 24) for seed in range(2)]


class ByClass(nn.Module):
    def __init__(self, layer: nn.Conv2d) -> None:
        super().__init__()
        self.conv1 = layer

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.conv1(x) if type(self.conv1) is nn.Conv2d else x


class Dropping(ByClass):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + F.dropout(self.conv1(x))


def by_class(network: nn.Module) -> None:
    network.body[0] = ByClass(network.body[0].conv1)


def dropping(network: nn.Module) -> None:
    network.body[0] = Dropping(network.body[0].conv1)


def noisy(network: nn.Module) -> None:
    network.register_forward_hook(lambda module, inputs, output: output + torch.randn_like(output))


def past_its_layers(network: nn.Module) -> None:
    network.forward = lambda x: x.repeat_interleave(2, 2).repeat_interleave(2, 3)


def by_batch(network: nn.Module) -> None:
    network.body.append(nn.BatchNorm2d(8, track_running_stats=False))


@pytest.mark.parametrize(
    "change, told",
    [
        (by_class, "once its layers are replaced"),
        (dropping, "another picture each time for the same one"),
        (noisy, "another picture each time for the same one"),
        (past_its_layers, "runs none of its layers"),
        (by_batch, "where a second one stands in the batch"),
    ],
)
def test_a_known_network_that_was_changed_is_tried_out(change, told):
    network = edsr()
    change(network)
    with pytest.raises(NetworkError, match=f"EDSR: .*{told}"):
        adabm.quantize(network, pictures(), "minmax", patch_size=16)


def test_changes_that_go_well_are_taken():
    network = edsr()
    network.body[0].register_forward_hook(lambda module, inputs, output: 0.5 * output)
    assert not is_untouched(network) and is_untouched(edsr())
    model, *_ = adabm.quantize(network, pictures(), "minmax", patch_size=16)
    picture = torch.rand(1, 3, 16, 16)
    with torch.no_grad(), model.full_precision():
        assert torch.equal(model(picture), network(picture))


class Beside(nn.Module):
    """Whose pictures depend on the batch, by ``kind``."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind, self.upscale = kind, 2
        self.head, self.body = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 8, 3, padding=1)
        self.norm = nn.BatchNorm2d(8, track_running_stats=False) if kind == "normalization" else nn.Identity()
        self.tail = nn.Sequential(nn.Conv2d(8, 12, 3, padding=1), nn.PixelShuffle(2))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        mean = x.mean() if self.kind == "mean" else x.mean((1, 2, 3), keepdim=True)
        mean = x.max() if self.kind == "largest" else mean
        y = self.tail(self.norm(self.body(self.head(x - mean)))) + mean
        return y * (len(x) if self.kind == "count" else 1)


@pytest.mark.parametrize("kind", ["mean", "count", "largest", "normalization"])
def test_pictures_that_depend_on_the_batch_are_refused(kind):
    with pytest.raises(
        NetworkError, match="Beside: .*where a second one stands in the batch.*compute each picture by itself"
    ):
        adabm.quantize(Beside(kind).eval(), pictures(), "minmax", patch_size=16)


@pytest.mark.filterwarnings("ignore:Beside is unknown")
def test_pictures_with_a_mean_of_their_own_are_taken():
    adabm.quantize(Beside("picture").eval(), pictures(), "minmax", patch_size=16)


class Both(Beside):
    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return super().forward(x), x


def test_an_output_that_is_no_picture_is_told_as_such():
    described = adabm.describe(Beside("picture"))
    with pytest.raises(NetworkError, match="returns a tuple, not a picture; wrap it"):
        adabm.quantize(
            Both("picture").eval(), pictures(), "minmax", dataclasses.replace(described, name="Both"), patch_size=16
        )


def test_a_network_that_is_refused_is_left_as_it_was():
    network = nn.utils.parametrizations.spectral_norm(nn.Conv2d(3, 12, 3, padding=1))
    network = nn.Sequential(network, nn.Conv2d(12, 12, 3, padding=1), nn.PixelShuffle(2))
    before = {name: value.clone() for name, value in network.state_dict().items()}
    adabm.networks.usable.check_network(network)
    assert network.training and all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
