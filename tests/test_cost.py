"""Theoretical cost, counted by hand."""

from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from torch import nn

from adabm.engines.cost import cost, size_bits
from adabm.errors import NetworkError
from adabm.networks import build_network
from adabm.quantization.macs import count_macs
from adabm.quantization.model import QuantizedSR
from adabm.recipes import calibrate
from helpers.configurations import configured
from helpers.tiny_networks import TINY, tiny


def wrapped(network=None, **settings) -> QuantizedSR:
    return QuantizedSR(network if network is not None else tiny("EDSR"), configured(**settings))


def used_bits(model: QuantizedSR, bits: float | None = None) -> dict[str, float]:
    return {name: layer.activation_bits if bits is None else bits for name, layer in model.layers.items()}


# Tiny EDSR: 8 features, 2 blocks, x4; multiply-accumulates per input pixel.
PER_PIXEL = {
    "conv_first": 3 * 8 * 9,
    **{f"body.{b}.conv{c}": 8 * 8 * 9 for b in (0, 1) for c in (1, 2)},
    "conv_after_body": 8 * 8 * 9,
    "upsample.0": 8 * 32 * 9,
    "upsample.2": 8 * 32 * 9 * 4,
    "conv_last": 8 * 3 * 9 * 16,
}


@pytest.mark.parametrize("size", [(24, 24), (96, 96), (180, 320)])
def test_macs_of_edsr_by_hand(size):
    assert count_macs(wrapped(), *size) == {name: n * size[0] * size[1] for name, n in PER_PIXEL.items()}


def test_macs_of_the_published_baseline():
    """EDSR-baseline x4 at 1280x720 output: 114.2 G, as its authors' followers report."""
    model = wrapped(build_network("EDSR", num_feat=64, num_block=16, upscale=4))
    assert sum(count_macs(model, 180, 320).values()) / 1e9 == pytest.approx(114.2, abs=0.1)


class InThread(nn.Module):
    """A module that computes in a thread of its own."""

    def __init__(self, within: nn.Module) -> None:
        super().__init__()
        self.within = within

    def forward(self, x):
        with ThreadPoolExecutor(1) as pool:
            return pool.submit(self.within, x).result()


def test_layers_that_run_in_threads_are_not_counted_as_nothing():
    model = wrapped()
    model.network.body = InThread(model.network.body)
    with pytest.raises(NetworkError, match=r"body\.within\.0\.conv1 runs in a thread of its own"):
        count_macs(model, 24, 24)


@pytest.mark.parametrize("name", TINY)
def test_what_torch_counts_is_what_layers_compute(name):
    model = wrapped(tiny(name))
    measured = {}

    def count(conv_name):
        def hook(module, _inputs, out):
            measured[conv_name] = measured.get(conv_name, 0) + module.weight.numel() * out[0, 0].numel()

        return hook

    for conv_name, module in model.network.named_modules():
        if isinstance(module, torch.nn.Conv2d):
            module.register_forward_hook(count(conv_name))
    with torch.no_grad(), model.full_precision():
        model(torch.zeros(1, 3, 16, 20))
    expected = {name: measured.pop(name) for name in model.layers}
    if measured:
        expected[""] = sum(measured.values())
    assert count_macs(model, 16, 20) == expected


def test_full_precision_is_the_unit():
    for result in (cost(wrapped()), cost(wrapped(), {})):
        assert result.relative_bitops == 1 and result.bitops == result.macs * 1024
        assert result.macs == sum(PER_PIXEL.values()) * 180 * 320


def test_all_8_bit_costs_a_sixteenth():
    model = wrapped(weight_bits=8, activation_bits=8)
    assert cost(model, used_bits(model)).relative_bitops == pytest.approx(1 / 16)


@pytest.mark.parametrize("fully", [False, True])
def test_bitops_by_hand(fully):
    """W4 and 4.5 bits on average in the body; the rest at 8/8 or in full precision."""
    model = wrapped(fully_quantized=fully)
    bits = {name: 4.5 if layer.activation_bits == 4 else 8 for name, layer in model.layers.items()}
    body = {name for name in PER_PIXEL if name.startswith("body.") or (fully and name == "conv_after_body")}
    rest = 64 if fully else 1024
    expected = sum(n * (4 * 4.5 if name in body else rest) for name, n in PER_PIXEL.items()) * 90 * 160
    result = cost(model, bits, output=(360, 640))
    assert result.bitops == pytest.approx(expected, rel=1e-12)
    assert result.relative_bitops == pytest.approx(expected / (sum(PER_PIXEL.values()) * 90 * 160 * 1024))


def test_bits_in_use_give_the_cost():
    model = wrapped()
    images = torch.rand(2, 3, 10, 10, generator=torch.Generator().manual_seed(0))
    calibrate(model, [images])
    out = model.infer(images[:1])
    bits = {name: float(b) for name, b in out.layer_bits.items()}
    assert 1 / 64 * 0.25 < cost(model, bits).relative_bitops < 1 / 16


def test_size_in_bits_by_hand():
    network = tiny("EDSR")
    weights = {name: p.numel() for name, p in network.named_parameters() if name.endswith("weight")}
    biases = sum(p.numel() for name, p in network.named_parameters() if name.endswith("bias"))
    assert size_bits(wrapped(), quantized=False) == 32 * (sum(weights.values()) + biases)
    at_4 = sum(n for name, n in weights.items() if name.startswith(("body.", "conv_after_body")))
    at_8 = sum(weights.values()) - at_4
    settings = 9 * 3 + 5 + 2  # l, u and s of nine layers, m of five, c_l and c_u
    assert size_bits(wrapped()) == 4 * at_4 + 8 * at_8 + 32 * (biases + settings)
    body = sum(n for name, n in weights.items() if name.startswith("body."))
    uniform = wrapped(fully_quantized=False, image_mapping=False, layer_mapping=False)
    assert size_bits(uniform) == 4 * body + 32 * (sum(weights.values()) - body + biases + 4 * 3)
    model = wrapped()
    assert cost(model).size_bits == size_bits(model, quantized=False)
    assert cost(model, used_bits(model)).size_bits == size_bits(model)


def test_batch_norm_and_activations_stay_in_full_precision():
    network = tiny("SRResNet")
    quantized = wrapped(network, fully_quantized=False, image_mapping=False, layer_mapping=False, weight_bits=2)
    body = sum(network.get_submodule(name).weight.numel() for name in quantized.layers)
    total = sum(p.numel() for p in network.parameters())
    assert size_bits(quantized) == 2 * body + 32 * (total - body + 3 * len(quantized.layers))
