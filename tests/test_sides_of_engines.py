"""Networks that take sides of a multiple alone, which their descriptor does not tell, in engines of 8-bit integers."""

import dataclasses

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

import adabm
from adabm.errors import EngineError
from helpers.cli_files import smooth

pytest.importorskip("openvino")


class Halving(nn.Module):
    """Works at half the resolution inside, and adds that to what it keeps."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.scale = 2
        self.head, self.body = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 8, 3, 2, 1)
        self.more = nn.Conv2d(8, 8, 3, padding=1)
        self.tail = nn.Sequential(nn.Conv2d(8, 12, 3, padding=1), nn.PixelShuffle(2))

    def forward(self, x):
        features = self.head(x).relu()
        inside = self.more(F.interpolate(self.body(features).relu(), scale_factor=2))
        return F.interpolate(x, scale_factor=2) + 0.1 * self.tail(features + inside)


@pytest.fixture(scope="module")
def models():
    network = Halving().eval()
    found = adabm.describe(network)
    return [
        adabm.quantize(network, [smooth(0)], "minmax", descriptor, patch_size=16)[0]
        for descriptor in (found, dataclasses.replace(found, size_multiple=2))
    ]


@pytest.mark.filterwarnings("ignore:Reflecting is unknown")
@pytest.mark.parametrize("engine", ["openvino", "onnx"])
def test_they_are_refused(models, engine):
    with pytest.raises(EngineError, match=r"fails on a picture of 49x49.*multiples of 2, where.*size_multiple=2\)"):
        adabm.open_engine(engine, models[0])


def test_they_are_computed_where_it_is_told(models):
    engine, picture = adabm.open_engine("openvino", models[1]), smooth(1, 27, 35)
    found = adabm.upscale(engine, picture).image
    assert np.abs(found - adabm.upscale(models[1], picture).image).mean() < 0.5


class Reflecting(Halving):
    """Pads by what a picture of one pixel does not have."""

    def forward(self, x):
        features = F.pad(self.head(x).relu(), (1, 1, 1, 1), mode="reflect")
        return F.interpolate(x, scale_factor=2) + 0.1 * self.tail(self.more(features)[:, :, 1:-1, 1:-1])


def test_a_picture_too_small_for_its_padding_is_refused():
    model = adabm.quantize(Reflecting().eval(), [smooth(0)], "minmax", patch_size=16)[0]
    engine = adabm.open_engine("openvino", model)
    engine.upscale(np.zeros((1, 10, 12, 3), np.uint8))
    with pytest.raises(EngineError, match="Reflecting: its forward fails on a picture of 1x1 .RuntimeError: "):
        adabm.upscale(model, np.zeros((1, 1, 3), np.uint8))
    with pytest.raises(EngineError, match="openvino: cannot compute a picture of 1x1 .*dimension of at least 2"):
        engine.upscale(np.zeros((1, 1, 1, 3), np.uint8))


def test_a_picture_of_another_size_is_not_returned(models, monkeypatch):
    engine = adabm.open_engine("openvino", models[1])
    monkeypatch.setattr(engine, "_run", lambda batch, factor: np.zeros((1, 3, 8, 8), np.float32))
    with pytest.raises(EngineError, match="makes 8x8 pixels of 12x10, not 2 times as many a side"):
        engine.upscale(np.zeros((1, 10, 12, 3), np.uint8))
