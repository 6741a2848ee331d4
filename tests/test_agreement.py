"""Whether engines in integers compute what the simulation does, whatever their libraries make of the graph."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

import adabm
from adabm.engines.integer import agreement
from adabm.engines.integer import openvino as lowering
from adabm.engines.integer.agreement import check_agreement
from adabm.engines.integer.layers import integer_layers
from adabm.errors import EngineError
from helpers.cli_files import smooth
from helpers.slow import slow_among
from helpers.tiny_networks import tiny

pytest.importorskip("openvino")
pytest.importorskip("onnx")
FOUR = dict(weight_bits=4, activation_bits=4)
FEW = {"allocate_bits.pixels": 1000, "allocate_bits.directions": 2}  # of what the closed form looks at
ENGINES = ("openvino", "onnx", "torch-int8")
CHANNELS = 16
BEFORE = {
    "nothing": lambda x: x,
    "concatenation": lambda x: torch.cat([x[:, ::2], F.relu(x[:, 1::2])], 1),
    "pooling": lambda x: F.max_pool2d(x, 2),
    "average": lambda x: F.avg_pool2d(x, 2),
    "padding": lambda x: F.pad(x, (1, 1, 1, 1), mode="reflect"),
    "shuffle": lambda x: F.pixel_shuffle(x.repeat(1, 4, 1, 1), 2),
    "split": lambda x: torch.cat([x, x], 1).chunk(2, 1)[1],
}
SCALES = {"pooling": 1, "average": 1, "shuffle": 4}  # 2 for the others


class Net(nn.Module):
    """A convolution whose input comes from ``before``."""

    def __init__(self, before: str) -> None:
        super().__init__()
        self.before = before
        self.first, self.body = nn.Conv2d(3, CHANNELS, 3, 1, 1), nn.Conv2d(CHANNELS, 12, 3, 1, 1)
        with torch.no_grad():
            self.first.weight *= torch.logspace(-1, 1, CHANNELS).view(-1, 1, 1, 1)

    def forward(self, x):
        height, width = x.shape[2:]
        x = self.body(BEFORE[self.before](F.relu(self.first(x))))
        scale = SCALES.get(self.before, 2)
        return F.pixel_shuffle(x, 2)[..., : height * scale, : width * scale]


def model_of(before: str):
    torch.manual_seed(0)
    roles = {"first": adabm.Role.FIRST, "body": adabm.Role.BODY}
    descriptor = adabm.NetworkDescriptor("Net", SCALES.get(before, 2), 1.0, roles, (), size_multiple=2)
    model = adabm.quantize(
        Net(before), [smooth(1), smooth(3)], adabm.preset("fast", FEW, **FOUR), descriptor=descriptor, patch_size=16
    )[0]
    body = integer_layers(model, 0)["body"]
    assert body.stretch is not None and body.shift is None
    return model


@pytest.mark.parametrize("engine", slow_among(ENGINES, ("onnx", "torch-int8")))
@pytest.mark.parametrize("before", BEFORE)
def test_a_scale_of_each_channel_behind_anything(before, engine):
    """OpenVINO takes wrong ranges for a division by channel, a clamp and a quantization behind most of these."""
    model, picture = model_of(before), smooth(2, 24, 20)
    expected = adabm.upscale(model, picture).image
    found = adabm.upscale(adabm.open_engine(engine, model), picture).image
    assert np.sqrt(((found - expected) ** 2).mean()) < 0.02 * expected.std()


def clamped_behind_division(x, layer):
    return lowering.operations().clamp(lowering._to_domain(x, layer), layer.lower, layer.upper)


def test_what_computes_something_else_is_refused(monkeypatch, tmp_path):
    model = model_of("pooling")
    monkeypatch.setattr(lowering, "_clamped", clamped_behind_division)
    monkeypatch.setattr("adabm.engines.integer.openvino_cpu._refuse_misread", lambda _: None)
    with pytest.raises(
        EngineError, match=r"'openvino' does not compute this network .* [0-9.]+ of 255 apart, where quantization"
    ):
        adabm.upscale(adabm.open_engine("openvino", model), smooth(2))
    with pytest.raises(EngineError, match="does not compute"):
        lowering.export_openvino(model)


def test_a_file_that_an_earlier_version_exported_wrongly_is_refused(monkeypatch, tmp_path):
    monkeypatch.setattr(lowering, "_clamped", clamped_behind_division)
    with monkeypatch.context() as earlier:
        earlier.setattr("adabm.engines.integer.openvino_cpu._refuse_misread", lambda _: None)
        earlier.setattr("adabm.engines.integer.engine.check_agreement", lambda *_: None)
        (tmp_path / "net.zip").write_bytes(lowering.export_openvino(model_of("padding")))
    engine = adabm.open_engine("openvino", tmp_path / "net.zip")
    with pytest.raises(EngineError, match="net.zip: its graph .* export the model again"):
        engine.upscale(smooth(2)[None])


@pytest.mark.parametrize(
    "wrong", [lambda y: y[..., :-1], lambda y: y * np.nan, lambda y: y[:, ::-1], lambda y: y + 0.1]
)
def test_another_output_is_refused(wrong):
    model = adabm.quantize(tiny("EDSR"), [smooth(1)], adabm.preset("minmax", **FOUR), patch_size=16)[0]

    def run(picture, factor):
        return np.ascontiguousarray(wrong(model.infer(torch.from_numpy(picture)).image.numpy()))

    with torch.no_grad(), pytest.raises(EngineError, match="does not compute"):
        check_agreement(run, model, 0, "mine")


def test_each_factor_is_compared_once(monkeypatch):
    model = adabm.quantize(tiny("EDSR"), [smooth(1), smooth(2)], adabm.preset("adabm-notune", **FOUR), patch_size=16)[0]
    compared = []
    monkeypatch.setattr(agreement, "check_agreement", lambda run, model, factor, engine: compared.append(factor))
    run = agreement.agreeing(lambda picture, factor: factor, model, "mine")
    assert [run(None, factor) for factor in (1, 0, 1, -1, 0)] == [1, 0, 1, -1, 0]
    assert compared == [1, 0, -1]


def test_what_an_engine_raises_comes_through():
    model = adabm.quantize(tiny("EDSR"), [smooth(1)], adabm.preset("minmax", **FOUR), patch_size=16)[0]

    def run(picture, factor):
        raise EngineError("no kernel")

    with pytest.raises(EngineError, match="no kernel"):
        check_agreement(run, model, 0, "mine")
