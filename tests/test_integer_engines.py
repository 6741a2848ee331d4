"""Engines in integers against the simulation: grids, layers, whole networks, files and the command line."""

import errno
import importlib.util
import json
import math
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import adabm
from adabm.engines import open_engine
from adabm.engines.exporting import EXPORTERS
from adabm.engines.integer.engine import export
from adabm.engines.integer.exported import FORMAT, Exported, read_exported
from adabm.engines.integer.graph import layer_graph
from adabm.engines.integer.grid import grid
from adabm.engines.integer.layers import LARGEST_IN_16_BITS, factors, integer_layers
from adabm.engines.integer.onnx import files as onnx_files
from adabm.engines.integer.onnx import runner as onnx_runner
from adabm.engines.integer.openvino import files as openvino_files
from adabm.engines.integer.openvino_cpu import large_weights_in_floating_point
from adabm.engines.integer.openvino_cpu import runner as openvino_runner
from adabm.engines.simulated import SimulatedEngine
from adabm.errors import CheckpointError, ConfigError, EngineError
from helpers.cli_files import SCALE, fails, run, smooth, write_files
from helpers.slow import slow_among

pytest.importorskip("openvino")
pytest.importorskip("onnx")
EXPORTING = tuple(EXPORTERS)
ENGINES = (*EXPORTING, "torch-int8")
FEW = {"allocate_bits.pixels": 1000, "allocate_bits.directions": 2}  # of what the closed form looks at
EXAMPLE = Path(__file__).parents[1] / "examples" / "run_exported.py"


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return write_files(tmp_path_factory.mktemp("cli"))


@pytest.fixture
def model(files):
    return adabm.load_quantized(files / "q.safetensors")


def near(engine, model, pictures, most: float = 0.5) -> None:
    """Outputs agree but for flips of single codes at ties; bits agree exactly."""
    for picture in pictures:
        found, expected = engine.upscale(picture[None]), SimulatedEngine(model).upscale(picture[None])
        assert found.images.shape == expected.images.shape and found.images.dtype == np.float32
        difference = found.images - expected.images
        assert np.sqrt((difference**2).mean()) < most * expected.images.std() / 10
        assert found.feature_average_bits.tolist() == expected.feature_average_bits.tolist()
        assert {n: b.tolist() for n, b in found.layer_bits.items()} == {
            n: b.tolist() for n, b in expected.layer_bits.items()
        }


# -- grids -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("bits", range(1, 9))
@pytest.mark.parametrize("lower, upper", [(-1.0, 1.3), (0.0, 2.0), (-7.0, 0.0), (0.02, 2.0), (-3.0, -0.01)])
def test_levels_are_codes_and_zero_is_near_one(bits, lower, upper):
    laid_out = grid(lower, upper, bits)
    levels = laid_out.offset + np.arange(2**bits)
    values = laid_out.remainder + laid_out.step * (levels - laid_out.zero)
    assert np.allclose(values, np.linspace(lower, upper, 2**bits))
    assert 0 <= laid_out.zero <= 255 and 0 <= levels.min() and levels.max() <= 255
    if bits < 8 or lower <= 0 <= upper:
        assert laid_out.near and abs(laid_out.remainder) <= (upper - lower) / 2 / (2**bits - 1) * 1.001


def test_a_range_far_from_zero():
    assert not grid(100.0, 101.0, 4).near and not grid(-9.0, -8.0, 8).near


# -- layers ------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_weights_and_bits_are_those_of_the_simulation(model):
    assert factors(model) == (-1, 0, 1)
    for factor in factors(model):
        for name, layer in integer_layers(model, factor).items():
            original = model.layers[name]
            used = original.weight_quantizer(original.weight, original.weight_bits).detach().numpy()
            assert np.array_equal(layer.used, used)
            if layer.weight is None:
                assert name == "conv_first"  # three channels
                continue
            half = 0 if layer.weight.half is None else layer.weight.half.reshape(-1, 1, 1, 1)
            again = layer.weight.codes * layer.weight.scale.reshape(-1, 1, 1, 1) + half
            assert np.allclose(again, used, rtol=0, atol=1e-6 * np.abs(used).max())
            assert (layer.weight.half is not None) == (original.weight_bits == 8)
            assert layer.bits == original.activation_bits + int(
                original.layer2bit.hard if original.layer2bit else 0
            ) + (factor if original.policy.value == "adaptive" else 0)


class PerChannel(nn.Module):
    """A weight quantizer with a step for each output channel, as a step of a recipe may put into a layer."""

    def __init__(self, layer) -> None:
        super().__init__()
        self.step = layer.weight.detach().abs().amax((1, 2, 3)) / 7 + 1e-6

    def forward(self, weight, bits):
        codes, step = self.integers(weight, bits)
        return codes * step.view(-1, 1, 1, 1)

    def integers(self, weight, bits):
        return torch.round(weight / self.step.view(-1, 1, 1, 1)), self.step


class Affine(nn.Module):
    """A shift and a scale of each channel."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.shift = torch.linspace(-20, 20, channels).view(-1, 1, 1)
        self.scale = torch.linspace(0.5, 2, channels).view(-1, 1, 1)

    def forward(self, x):
        return (x - self.shift) / self.scale

    def inverse(self, x):
        return x * self.scale + self.shift


class Equalized(PerChannel):
    """The same behind a map that undoes the scales of the layer's input."""

    def __init__(self, layer) -> None:
        super().__init__(layer)
        self.columns = layer.activation.domain.scale.view(1, -1, 1, 1)

    def forward(self, weight, bits):
        return super().forward(weight * self.columns, bits) / self.columns

    def integers(self, weight, bits):
        return torch.round(weight * self.columns / self.step.view(-1, 1, 1, 1)), self.step


@pytest.mark.parametrize("engine", slow_among(ENGINES, ("onnx",)))
def test_quantizers_that_a_step_put_in(model, engine):
    first, second = model.layers["body.0.conv1"], model.layers["body.1.conv1"]
    first.weight_quantizer = PerChannel(first)
    second.activation.domain = Affine(second.in_channels)
    second.activation.set_range(torch.tensor([-150.0]), torch.tensor([150.0]))
    second.weight_quantizer = Equalized(second)
    near(open_engine(engine, model), model, [smooth(5), smooth(6)])


@pytest.fixture(scope="module")
def closed_form(files):
    network = adabm.load_network(files / "fp.safetensors")
    return adabm.quantize(network, [smooth(7), smooth(8)], adabm.preset("fast-adaptive", FEW), patch_size=16)[0]


@pytest.mark.parametrize("engine", slow_among(ENGINES, ("onnx",)))
def test_the_closed_form_recipe(closed_form, engine):
    model = closed_form
    layer = model.layers["body.0.conv1"]
    assert layer.activation.domain is not None and layer.weight_quantizer.is_decided
    found = integer_layers(model, 0)["body.0.conv1"]
    codes, _ = layer.weight_quantizer.integers(layer.weight, layer.weight_bits)
    assert np.array_equal(found.weight.codes, codes.numpy()) and found.exact_border
    assert np.array_equal(found.bias, layer.used_bias().double().numpy())
    near(open_engine(engine, model), model, [smooth(9), smooth(3, 9, 40)])


@pytest.mark.parametrize(
    "spoil, message",
    [
        (lambda layer: setattr(layer, "groups", 2), "body.0.conv1: integer engines take convolutions of one group"),
        (
            lambda layer: setattr(layer, "weight_quantizer", nn.Identity()),
            "conv1: its weight quantizer, a Identity, tells no",
        ),
        (
            lambda layer: setattr(layer, "activation", nn.Identity()),
            "conv1: its activation quantizer, a Identity, has no",
        ),
    ],
)
def test_layers_are_refused_by_name(model, spoil, message):
    layer = model.layers["body.0.conv1"]
    if "Identity, tells" in message:
        nn.Identity.forward, before = lambda self, x, bits=None: x, nn.Identity.forward
    try:
        spoil(layer)
        with pytest.raises(EngineError, match=message):
            integer_layers(model, 0)
    finally:
        if "Identity, tells" in message:
            nn.Identity.forward = before


def test_a_weight_off_its_grid_and_a_bent_domain_are_refused(model):
    layer = model.layers["body.0.conv1"]
    layer.weight_quantizer = PerChannel(layer)
    layer.weight_quantizer.forward = lambda weight, bits: weight
    with pytest.raises(EngineError, match=r"body.0.conv1: its quantized weight is not a multiple of the step"):
        integer_layers(model, 0)
    other = model.layers["body.0.conv2"]
    other.activation.domain = Affine(8)
    other.activation.domain.inverse = lambda x: x**2
    layer.weight_quantizer = PerChannel(layer)
    with pytest.raises(EngineError, match=r"body.0.conv2: the domain .* a Affine, is not a shift and a scale"):
        integer_layers(model, 0)


# -- networks ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("engine", ENGINES)
def test_a_network_comes_out_as_simulated(model, engine):
    near(open_engine(engine, model), model, [smooth(1), smooth(2) // 4 + 100, smooth(3, 9, 40)])


@pytest.mark.parametrize("engine", ["openvino", "torch-int8"])
def test_the_border_is_exact(model, engine):
    """One layer of few bits at the border of the picture: no code flips with a single layer, so that all agrees."""
    for name in list(model.layers)[1:]:
        model.layers[name].activation_bits = model.layers[name].weight_bits = 32
        model.layers[name].layer2bit, model.layers[name].policy = None, adabm.quantization.bit_rule.Policy.FIXED
    layer = model.layers["body.0.conv1"]
    layer.activation_bits, layer.weight_bits = 3, 4
    picture = smooth(4)
    found = open_engine(engine, model).upscale(picture[None]).images
    expected = SimulatedEngine(model).upscale(picture[None]).images
    assert np.abs(found - expected).max() < 2e-2


@pytest.fixture(scope="module")
def other(request):
    """A quantized network of another kind, for all engines."""
    name, options = request.param
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = adabm.build_network(name, **options)
    return adabm.quantize(network, [smooth(7), smooth(8)], adabm.preset("adabm-notune"), patch_size=16)[0]


@pytest.mark.parametrize(
    "other",
    [
        ("SRResNet", dict(num_feat=8, num_block=1, upscale=2)),
        ("RRDBNet", dict(num_in_ch=3, num_out_ch=3, scale=4, num_feat=8, num_block=1, num_grow_ch=8)),
        ("SRVGGNetCompact", dict(num_in_ch=3, num_out_ch=3, num_feat=8, num_conv=2, upscale=2)),
        ("RCAN", dict(num_in_ch=3, num_out_ch=3, num_feat=8, num_group=1, num_block=1, squeeze_factor=4, upscale=2)),
    ],
    indirect=True,
    ids=lambda kind: kind[0],
)
@pytest.mark.parametrize("engine", ENGINES)
def test_other_networks(engine, other):
    near(open_engine(engine, other), other, [smooth(9)])


@pytest.mark.parametrize("activation", [nn.PReLU(8, 0.3), nn.PReLU(1, 0.3), nn.LeakyReLU(0.2)])
@pytest.mark.parametrize("through_body", [True, False])
def test_activation_functions_move_before_a_shuffle(activation, through_body):
    """Behind a quantized convolution, whose channels are put in another order for the shuffle, and behind a sum."""

    class Shuffling(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.up, self.last = nn.Conv2d(3, 8, 1), nn.Conv2d(8, 32, 3, 1, 1), nn.Conv2d(8, 3, 3, 1, 1)
            self.shuffle, self.activation = nn.PixelShuffle(2), activation

        def forward(self, x):
            x = self.first(x)
            x = self.up(x) if through_body else torch.cat([x, -x, x, -x], 1) + self.up(x)
            return self.last(self.activation(self.shuffle(x)))

    if isinstance(activation, nn.PReLU) and activation.num_parameters > 1:
        activation.weight.data = torch.linspace(-1, 1, 8)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = Shuffling()
    roles = {"first": adabm.Role.FIRST, "up": adabm.Role.BODY, "last": adabm.Role.LAST}
    descriptor = adabm.NetworkDescriptor("Shuffling", 2, 1.0, roles, ())
    config = adabm.preset("minmax", activation_bits=8)
    model = adabm.quantize(network, [smooth(7), smooth(8)], config, descriptor=descriptor, patch_size=16)[0]
    near(open_engine("openvino", model), model, [smooth(9)], most=0.1)


class Small(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.up, self.last = nn.Conv2d(3, 8, 1), nn.Conv2d(8, 32, 3, 1, 1), nn.Conv2d(8, 3, 3, 1, 1)

    def forward(self, x):
        return self.last(nn.functional.pixel_shuffle(self.up(self.first(x)), 2))


class Asking(Small):
    """Its code asks its layers for their class and what they have."""

    def forward(self, x):
        for layer in (self.first, self.up):
            x = layer(input=x) if isinstance(layer, nn.Conv2d) else x
        return self.last(nn.functional.pixel_shuffle(x * self.up.weight.abs().mean() / self.up.in_channels * 99, 2))


class Logarithmic(Small):
    def forward(self, x):
        return super().forward(x) * math.log(x.shape[2])


class Halving(Small):
    def forward(self, x):
        return super().forward(x) + x.sum((1, 2, 3), keepdim=True) / float(4 * x.shape[2] * x.shape[3])


class Centred(Small):
    def forward(self, x):
        return super().forward(x - 1e-5 * x.mean().item())


class Choosing(Small):
    def forward(self, x):
        return super().forward(x if x.mean() > 0.3 else x / 2)


class Unexportable(Small):
    def forward(self, x):
        size = [side // 2 for side in x.shape[2:]]
        return super().forward(x) + nn.functional.adaptive_avg_pool2d(x, size).mean((1, 2, 3), keepdim=True)


def small(kind):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = kind()
    roles = {"first": adabm.Role.FIRST, "up": adabm.Role.BODY, "last": adabm.Role.LAST}
    descriptor = adabm.NetworkDescriptor(kind.__name__, 2, 1.0, roles, ())
    config = adabm.preset("minmax", activation_bits=8)
    return adabm.quantize(network, [smooth(7), smooth(8)], config, descriptor=descriptor, patch_size=16)[0]


@pytest.mark.parametrize("engine", ["onnx", "torch-int8"])
def test_code_may_ask_layers_what_they_are(engine):
    model = small(Asking)
    near(open_engine(engine, model), model, [smooth(9)], most=0.1)


@pytest.mark.parametrize("kind", [Logarithmic, Halving, Centred, Choosing])
def test_numbers_of_one_picture_are_not_exported(kind):
    model = small(kind)
    with pytest.raises(EngineError, match=f"{kind.__name__}: cannot be exported, since .*numbers of the picture"):
        layer_graph(model)
    near(open_engine("torch-int8", model), model, [smooth(9)], most=0.1)


class Tiled(Small):
    """The exporter rounds -x // 4 the other way."""

    def __init__(self):
        super().__init__()
        self.places = nn.Parameter(torch.rand(1, 3, 4, 4))

    def forward(self, x):
        height, width = x.shape[2:]
        return super().forward(x + self.places.repeat(1, 1, -(-height // 4), -(-width // 4))[:, :, :height, :width])


def test_what_a_library_fails_on_is_told_in_one_line():
    engine = open_engine("onnx", small(Tiled))
    with pytest.raises(EngineError, match="onnx: cannot compute a picture of 18x17 .*; take another engine"):
        adabm.upscale(engine, smooth(9, 17, 18))


def test_what_torch_cannot_export_is_told_in_one_line(capfd):
    with pytest.raises(EngineError, match="Unexportable: cannot be exported: .*adaptive pooling"):
        layer_graph(small(Unexportable))
    assert capfd.readouterr().out == ""


class Bright(nn.Module):
    """Sums of the largest products of bytes, which 16 bits do not hold."""

    def __init__(self):
        super().__init__()
        self.first, self.up, self.last = nn.Conv2d(3, 8, 1), nn.Conv2d(8, 32, 3, 1, 1), nn.Conv2d(8, 3, 3, 1, 1)
        for layer in (self.first, self.up, self.last):
            nn.init.constant_(layer.weight, 0.1)

    def forward(self, x):
        return self.last(nn.functional.pixel_shuffle(self.up(self.first(x)), 2))


@pytest.fixture(scope="module")
def bright():
    roles = {"first": adabm.Role.FIRST, "up": adabm.Role.BODY, "last": adabm.Role.LAST}
    descriptor = adabm.NetworkDescriptor("Bright", 2, 1.0, roles, ())
    config, picture = adabm.preset("fast", FEW, weight_bits=8, activation_bits=8), np.full((16, 20, 3), 255, np.uint8)
    return adabm.quantize(Bright(), [picture, smooth(7)], config, descriptor=descriptor, patch_size=16)[0], picture


@pytest.mark.parametrize("overflows", [False, True])
@pytest.mark.parametrize("engine", ENGINES)
def test_the_largest_sums(bright, engine, overflows, monkeypatch):
    """As they are on this processor, and as they are where sums overflow."""
    model, picture = bright
    assert all(layer.may_overflow for layer in integer_layers(model, 0).values() if layer.weight)
    if overflows and engine != "onnx":
        file = {"openvino": "openvino_cpu", "torch-int8": "torch_int8"}[engine]
        module = importlib.import_module(f"adabm.engines.integer.{file}")
        monkeypatch.setattr(module, "overflows", lambda: True)
    near(open_engine(engine, model), model, [picture, smooth(9)], most=0.02)


def test_no_large_weight_stays_where_sums_overflow(bright):
    openvino = pytest.importorskip("openvino")
    files = export(bright[0], "openvino", openvino_files, openvino_runner).files
    constants = openvino.Tensor(np.frombuffer(files["factor+0.bin"], np.uint8).copy())
    model = openvino.Core().read_model(files["factor+0.xml"], constants)

    def largest() -> int:
        constants = [node for node in model.get_ordered_ops() if node.get_type_name() == "Constant"]
        bytes_ = [node for node in constants if node.get_element_type() == openvino.Type.i8]
        return max((np.abs(node.data.astype(int)).max() for node in bytes_), default=0)

    assert largest() > LARGEST_IN_16_BITS
    large_weights_in_floating_point(model)
    assert largest() <= LARGEST_IN_16_BITS


def test_a_file_for_onnx_has_no_sums_that_overflow_anywhere(bright):
    onnx = pytest.importorskip("onnx")
    made = onnx.load_from_string(export(bright[0], "onnx", onnx_files, onnx_runner).files["model.onnx"]).graph
    assert not [node for node in made.node if node.op_type == "QLinearConv"]


def test_attention_is_refused_by_name():
    class Attention(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.mix, self.last = nn.Conv2d(3, 8, 3, 1, 1), nn.Linear(8, 8), nn.Conv2d(8, 12, 3, 1, 1)

        def forward(self, x):
            x = self.mix(self.first(x).permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
            return nn.functional.pixel_shuffle(self.last(x), 2)

    roles = {"first": adabm.Role.FIRST, "mix": adabm.Role.BODY, "last": adabm.Role.LAST}
    descriptor = adabm.NetworkDescriptor("Attention", 2, 1.0, roles, ())
    model = adabm.quantize(Attention(), [smooth(7)], adabm.preset("minmax"), descriptor=descriptor, patch_size=16)[0]
    with pytest.raises(EngineError, match="mix: a QuantizedLinear; integer engines compute convolutions alone"):
        open_engine("openvino", model)


# -- files -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("engine", EXPORTING)
def test_an_exported_file_runs_and_decides_by_itself(files, model, tmp_path, engine, capsys):
    out = tmp_path / "q.zip"
    assert run("export", files / "q.safetensors", out, "--engine", engine, "--json") == 0
    document = json.loads(capsys.readouterr().out)
    assert document["engine"] == engine and document["bytes"] == out.stat().st_size
    assert out.read_bytes() == EXPORTERS[engine](model), "equal models give equal bytes"
    opened = open_engine(engine, out)
    assert (opened.scale, opened.channels, opened.reach.pixels) == (SCALE, 3, 8)
    flat, busy = (
        np.full((24, 28, 3), 90, np.uint8),
        np.random.default_rng(0).integers(0, 256, (24, 28, 3)).astype(np.uint8),
    )
    near(opened, model, [flat, busy, smooth(3)])
    bits = [float(opened.upscale(p[None]).feature_average_bits[0]) for p in (flat, busy)]
    assert bits[1] == bits[0] + 2
    with opened.deciding_on(busy):
        assert float(opened.upscale(flat[None]).feature_average_bits[0]) == bits[1]
    assert fails(capsys, "export", files / "q.safetensors", out, "--engine", engine).endswith(
        "add --overwrite to replace it"
    )


@pytest.mark.slow
def test_the_command_line(files, tmp_path, capsys):
    out = tmp_path / "q.zip"
    assert run("export", files / "q.safetensors", out) == 0
    command = ["evaluate", out, "--hr", files / "HR", "--lr", files / "LR", "--engine", "openvino", "--json"]
    capsys.readouterr()
    assert run(*command) == 0
    exported = json.loads(capsys.readouterr().out)["results"][0]
    assert run(*command[:1], files / "q.safetensors", *command[2:]) == 0
    opened = json.loads(capsys.readouterr().out)["results"][0]
    assert exported["mean"]["psnr_y_db"] == opened["mean"]["psnr_y_db"] and exported["network"] is None
    assert opened["mean"]["theoretical_bitops_g"] > 0  # it shows its network
    upscale = ["upscale", files / "LR" / "p0.png", tmp_path / "o.png", "--checkpoint", out]
    assert run(*upscale, "--engine", "openvino", "--tile", "8") == 0
    assert "exported for --engine openvino; name that engine" in fails(capsys, "evaluate", out, "--hr", files / "HR")
    assert run("info", out) == 0
    told = capsys.readouterr().out
    assert (
        "exported by adabm" in told and "--engine openvino" in told and "A bits at factor 1" in told and "int8" in told
    )
    assert run("info", out, "--json") == 0
    assert json.loads(capsys.readouterr().out)["kind"] == "exported"
    assert "must end in .zip" in fails(capsys, "export", files / "q.safetensors", tmp_path / "o")
    assert "no quantization state" in fails(capsys, "export", files / "fp.safetensors", tmp_path / "o.zip")
    assert "unknown engine that exports 'simulated'" in fails(
        capsys, "export", files / "q.safetensors", tmp_path / "o.zip", "--engine", "simulated"
    )
    assert not (tmp_path / "o.zip").exists()


def test_damaged_files_are_refused(model, tmp_path):
    path = tmp_path / "q.zip"
    path.write_bytes(EXPORTERS["openvino"](model))
    with zipfile.ZipFile(path) as archive:
        contents = {name: archive.read(name) for name in archive.namelist()}

    def written(changes: dict[str, bytes]) -> None:
        with zipfile.ZipFile(path, "w") as archive:
            for name, data in (contents | changes).items():
                archive.writestr(name, data)

    card = json.loads(contents["card.json"])
    other = card | {"scale": 3}
    for changes in (
        {"factor+0.bin": b"\0" * 99},
        {"card.json": json.dumps(other).encode()},
        {"README.md": contents["README.md"].replace(b"W4A4", b"W8A8")},
    ):
        written(changes)
        with pytest.raises(CheckpointError, match="does not match its recorded sha256; export it again"):
            read_exported(path)
    written({"more.bin": b"x"})
    with pytest.raises(CheckpointError, match="holds a part 'more.bin' that it was not exported with"):
        read_exported(path)
    written({"card.json": json.dumps(card | {"format": "other"}).encode()})
    with pytest.raises(CheckpointError, match="not of format 'adabm-integer-1'"):
        open_engine("openvino", path)
    written({"card.json": b"{"})
    with pytest.raises(CheckpointError, match="the exported model is damaged"):
        open_engine("openvino", path)


@pytest.mark.parametrize("kind", ["folder", "pipe", "too many open files"])
def test_a_file_that_cannot_be_read_is_not_called_damaged(tmp_path, monkeypatch, kind):
    path = tmp_path / "q.zip"
    if kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    else:
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("card.json", "{}")

        def no_more(*_arguments, **_options):
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

        monkeypatch.setattr(zipfile, "ZipFile", no_more)
    told = {"folder": "Is a directory", "pipe": "a pipe, device or socket; name a regular file"}.get(
        kind, "Too many open files"
    )
    for engine in ("openvino", "torch-int8"):
        with pytest.raises(CheckpointError, match=rf"q\.zip: cannot be read \({told}\)(; name a file)?$"):
            open_engine(engine, path)


def test_flipped_bytes_are_noticed(model, tmp_path):
    path, content = tmp_path / "q.zip", EXPORTERS["openvino"](model)
    whole = content.rindex(b"PK\x05\x06")  # behind it stands the archive's end, whose loss makes it no archive
    rng = np.random.default_rng(0)
    path.write_bytes(content)
    expected = read_exported(path)
    for position in rng.integers(0, whole, 60):
        damaged = bytearray(content)
        damaged[position] ^= 1 << int(rng.integers(8))
        path.write_bytes(damaged)
        try:
            assert read_exported(path) == expected  # in what nobody reads, such as a date
        except CheckpointError as error:
            assert str(path) in str(error)


def test_what_is_not_there_is_named(model, files, monkeypatch, tmp_path):
    with pytest.raises(EngineError, match="engine 'openvino' computes on the CPU"):
        open_engine("openvino", model, "meta")
    model.calibrated = False
    with pytest.raises(EngineError, match="not calibrated"):
        open_engine("openvino", model)

    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(
        EngineError, match=r"onnx cannot be imported .*; integer engines need it: pip install 'adabm\[engines\]'"
    ):
        open_engine("openvino", files / "q.safetensors")


def test_a_full_folder_of_temporary_files_is_named(model, monkeypatch, tmp_path):
    def full(_model, path, **_options):
        path.write_bytes(b"<?xml")
        raise RuntimeError("basic_ios::clear: iostream error\n")

    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr("adabm.engines.integer.openvino.lowered", lambda *_: None)
    monkeypatch.setattr("openvino.save_model", full)
    with pytest.raises(
        EngineError,
        match=rf"^{tmp_path}: openvino cannot write there \(basic_ios.* error\); make room, or .* TMPDIR$",
    ):
        EXPORTERS["openvino"](model)
    assert not list(tmp_path.iterdir())


def test_an_engine_that_does_not_export(files, tmp_path):
    with pytest.raises(ConfigError, match="unknown engine that exports 'opnvino'; did you mean 'openvino'"):
        EXPORTERS["opnvino"]


# -- without the package -----------------------------------------------------------------------------


@pytest.mark.parametrize("engine", EXPORTING)
def test_the_example_needs_the_engine_and_numpy_alone(model, tmp_path, engine):
    text = EXAMPLE.read_text()
    assert "import adabm" not in text and "import torch" not in text and len(text.splitlines()) <= 50
    spec = importlib.util.spec_from_file_location("run_exported", EXAMPLE)
    example = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(example)
    path = tmp_path / "q.zip"
    path.write_bytes(EXPORTERS[engine](model))
    opened = open_engine(engine, path)
    busy = np.random.default_rng(0).integers(0, 256, (24, 28, 3)).astype(np.uint8)
    for picture in (smooth(1), smooth(2) // 4 + 100, busy):
        pixels = torch.from_numpy(picture.transpose(2, 0, 1).copy())[None].float()
        assert example.complexity(picture) == pytest.approx(adabm.image_complexity(pixels).item(), rel=1e-5)
        expected = adabm.round_to_uint8(opened.upscale(picture[None]).images[0])
        assert (example.upscale(path, picture) == expected).mean() > 0.99


@pytest.mark.parametrize("change", [
    {"scale": 2.0}, {"value_range": 0.0}, {"size_multiple": 0}, {"size_multiple": 4096}, {"reach": None}, {"reach": [1, 2, 3]}, {"bits": {}},
    {"layers": {}}, {"image2bit": {"complexity": "gradient", "lower": "1", "upper": 2.0}},
])  # fmt: skip
def test_a_card_that_no_engine_can_follow_is_refused(model, tmp_path, monkeypatch, change):
    (tmp_path / "q.zip").write_bytes(EXPORTERS["onnx"](model))
    whole = read_exported(tmp_path / "q.zip")
    monkeypatch.setattr("adabm.engines.integer.exported._text", lambda card: "")
    (tmp_path / "x.zip").write_bytes(Exported({**whole.card, **change}, whole.files).to_bytes())
    with pytest.raises(CheckpointError, match="its card.json is damaged"):
        read_exported(tmp_path / "x.zip")


def test_a_part_that_would_unpack_to_far_more_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "x.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("card.json", json.dumps({"format": FORMAT, "files": {"big": ""}}))
        archive.writestr("big", bytes(2**23))
    with pytest.raises(CheckpointError, match="big would unpack to 8,388,608 bytes"):
        read_exported(tmp_path / "x.zip")


@pytest.mark.parametrize("engine", EXPORTERS)
def test_nonsense_under_a_fitting_digest_is_told_in_one_line(model, tmp_path, engine):
    path = tmp_path / "x.zip"
    path.write_bytes(EXPORTERS[engine](model))
    whole = read_exported(path)
    path.write_bytes(Exported(whole.card, dict.fromkeys(whole.files, b"nonsense")).to_bytes())
    with pytest.raises(EngineError, match=f"{engine} cannot run it .*; export it again"):
        open_engine(engine, path).upscale(np.zeros((1, 8, 8, 3), np.uint8))
    path.write_bytes(whole.to_bytes()[:2000])
    for kind, told in ((engine, "the exported model is damaged"), ("simulated", "damaged")):
        with pytest.raises(CheckpointError, match=told):
            open_engine(kind, path)
    with pytest.raises(CheckpointError, match="is an exported model, or the beginning of one"):
        adabm.load_quantized(path)


INTERRUPTED = """
import gc, signal
import numpy as np, openvino
from adabm.engines.integer.openvino_cpu import compiled
from openvino import opset13 as ops

def computed():
    x = ops.parameter([1, 3, 8, 8], np.float32)
    return compiled(openvino.Model([ops.relu(x)], [x]), 1)

one, other = computed(), computed()
del one
gc.collect()
del other
gc.collect()
try:
    signal.raise_signal(signal.SIGINT)
except KeyboardInterrupt:
    print("told")
"""


@pytest.mark.slow
def test_models_that_are_gone_leave_no_signal_without_a_stack():
    """OpenVINO gives threads a stack for signals; two that went in another order than reversed left one that was free."""
    ended = subprocess.run([sys.executable, "-c", INTERRUPTED], capture_output=True, text=True)
    assert (ended.returncode, ended.stdout) == (0, "told\n"), ended.stderr
