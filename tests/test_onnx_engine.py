"""What ONNX Runtime makes of exported networks: it optimizes the graph, and may not change what it computes."""

import io
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import adabm
from adabm.engines.integer.engine import export
from adabm.engines.integer.onnx import ONNX, files, runner
from helpers.cli_files import smooth
from helpers.slow import slow
from helpers.tiny_networks import tiny

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")
PICTURES = [smooth(seed, 40, 44) for seed in range(4)]


class Chain(nn.Module):
    """Convolutions one after the other, whose outputs end at 0."""

    def __init__(self, activation):
        super().__init__()
        self.first, self.last = nn.Conv2d(3, 8, 3, 1, 1), nn.Conv2d(8, 12, 3, 1, 1)
        self.body = nn.ModuleList(nn.Conv2d(8, 8, 3, 1, 1) for _ in range(3))
        self.activation = activation

    def forward(self, x):
        x = self.activation(self.first(x))
        for layer in self.body:
            x = self.activation(layer(x))
        return nn.functional.pixel_shuffle(self.last(x), 2)


def made(name: str):
    """A network and its descriptor."""
    if name in ("ECBSR", "SRVGGNetCompact"):
        network = tiny(name, act_type="relu")
        return network, adabm.describe(network)
    torch.manual_seed(0)
    network = Chain(torch.relu if name == "relu" else lambda x: torch.clamp(3 * x, 0, 0.3))
    body = {f"body.{place}": adabm.Role.BODY for place in range(3)}
    roles = {"first": adabm.Role.FIRST, "last": adabm.Role.LAST, **body}
    return network, adabm.NetworkDescriptor("Chain", 2, 1.0, roles, ())


def quantized(name: str, recipe: str, bits: int):
    network, descriptor = made(name)
    config = adabm.preset(recipe, weight_bits=bits, activation_bits=bits)
    return adabm.quantize(network, PICTURES, config, descriptor=descriptor, patch_size=24)[0]


def optimized(graph: bytes, path: Path) -> Counter:
    """How many nodes of each kind ONNX Runtime runs where nobody sets anything."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.optimized_model_filepath = str(path)
    onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    return kinds(path.read_bytes())


def kinds(graph: bytes) -> Counter:
    return Counter(node.op_type for node in onnx.load(io.BytesIO(graph)).graph.node)


def apart(model, picture: np.ndarray) -> float:
    """Root mean square of what an engine makes less what the simulation does, of the simulation's standard deviation."""
    expected = adabm.upscale(model, picture).image
    found = adabm.upscale(adabm.open_engine(ONNX, model), picture).image
    return float(np.sqrt(((found - expected) ** 2).mean()) / expected.std())


@pytest.mark.parametrize("name", ["ECBSR", "SRVGGNetCompact", "relu", "clamp"])
@pytest.mark.parametrize("recipe", ["minmax", "gptq"])
@pytest.mark.parametrize("bits", [8, slow(4)])
def test_the_runtime_leaves_weights_as_they_are(name, recipe, bits, tmp_path):
    model = quantized(name, recipe, bits)
    assert apart(model, PICTURES[0]) < {8: 7e-4, 4: 5e-3}[bits]  # single codes at ties, of 4 bits at the border, too
    graph = export(model, ONNX, files, runner).files["model.onnx"]
    before, after = kinds(graph), optimized(graph, tmp_path / "optimized.onnx")
    assert after["QLinearConv"] == before["QLinearConv"], "a convolution got integers that nobody chose"
    assert not after["DequantizeLinear"], "weights got integers that nobody chose"


def test_integers_stay_integers(tmp_path):
    model = adabm.quantize(tiny("EDSR"), PICTURES, adabm.preset("minmax"), patch_size=24)[0]
    graph = export(model, ONNX, files, runner).files["model.onnx"]
    assert optimized(graph, tmp_path / "optimized.onnx")["QLinearConv"] == kinds(graph)["QLinearConv"] == 2


def test_files_of_earlier_versions_keep_their_weights():
    """They have DequantizeLinear, which ONNX Runtime takes for a sign that it may round the weights behind it."""
    helper, tensor = onnx.helper, onnx.numpy_helper.from_array
    rng = np.random.default_rng(0)
    weight = rng.standard_normal((8, 8, 3, 3)).astype(np.float32)
    nodes = [
        helper.make_node("QuantizeLinear", ["picture", "step", "zero"], ["codes"]),
        helper.make_node("DequantizeLinear", ["codes", "step", "zero"], ["values"]),
        helper.make_node("Conv", ["values", "weight"], ["made"]),
        helper.make_node("QuantizeLinear", ["made", "step", "zero"], ["codes_made"]),
        helper.make_node("DequantizeLinear", ["codes_made", "step", "zero"], ["upscaled"]),
    ]
    inputs = [
        helper.make_tensor_value_info("picture", onnx.TensorProto.FLOAT, [1, 8, 20, 20]),
        helper.make_tensor_value_info("factor", onnx.TensorProto.INT64, []),
    ]
    outputs = [helper.make_tensor_value_info("upscaled", onnx.TensorProto.FLOAT, None)]
    step, zero = np.array(0.1, np.float32), np.array(0, np.uint8)
    constants = [tensor(step, "step"), tensor(zero, "zero"), tensor(weight, "weight")]
    graph = helper.make_graph(nodes, "earlier", inputs, outputs, constants)
    earlier = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8).SerializeToString()
    codes = rng.integers(0, 256, (1, 8, 20, 20))
    found = runner({"model.onnx": earlier})((codes * step).astype(np.float32), 0)
    values = torch.nn.functional.conv2d(torch.from_numpy(codes * step).float(), torch.from_numpy(weight)).numpy()
    assert np.abs(found - np.clip(values, 0, 25.5)).max() < 0.051  # half a step


CHANNELS = {"calibrate.granularity": "channel", "calibrate.weight": "mse", "calibrate.activation": "mse"}


@pytest.mark.parametrize("factor", [1e-6, *[pytest.param(of, marks=pytest.mark.slow) for of in (1e-10, 0.0)]])
@pytest.mark.parametrize(
    "recipe, settings, bits",
    [("minmax", CHANNELS | {"calibrate.weight_search": "own"}, (4, 4)), slow("gptq", {}, (6, 8))],
    ids=["mse", "gptq"],
)
def test_filters_of_almost_no_weight(recipe, settings, bits, factor):
    """Their bias is more of their units than 32 bits hold."""
    network = tiny("EDSR")
    with torch.no_grad():
        for block in network.body:
            block.conv1.weight[:2] *= factor
            block.conv1.bias[:2] = 60
    config = adabm.preset(recipe, settings, weight_bits=bits[0], activation_bits=bits[1])
    assert apart(adabm.quantize(network, PICTURES, config, patch_size=24)[0], PICTURES[0]) < 1e-2
