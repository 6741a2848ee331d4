"""Multiplications and BitOPs of RRDBNet, SwinIR and DAT, counted by hand from what their papers say they compute."""

import math

import pytest

from adabm.engines.cost import cost
from adabm.networks.community import recognize
from adabm.quantization.macs import count_macs
from adabm.quantization.model import QuantizedSR
from helpers.community_networks import COMMUNITY, build_community
from helpers.configurations import configured
from helpers.tiny_networks import tiny

SIZES = [(16, 24), (18, 22)]  # the second one is filled up to whole windows


def convolution(inputs: int, outputs: int, window: int = 3, groups: int = 1) -> int:
    """Multiply-accumulates a place."""
    return inputs * outputs * window**2 // groups


def filled_up(side: int, multiple: int) -> int:
    return math.ceil(side / multiple) * multiple


def of_rrdbnet(height: int, width: int) -> dict[str, int]:
    """Blocks of three dense blocks, in which each convolution sees what the ones before it made; then twice a factor of 2."""
    features, growth, blocks, places = 8, 4, 2, height * width
    dense = [convolution(features + i * growth, growth if i < 4 else features) for i in range(5)]
    found = {"conv_first": convolution(3, features) * places}
    found |= {
        f"body.{b}.rdb{r}.conv{i + 1}": macs * places
        for b in range(blocks)
        for r in (1, 2, 3)
        for i, macs in enumerate(dense)
    }
    for name, enlarged, outputs in (
        ("conv_body", 1, features),
        ("conv_up1", 2, features),
        ("conv_up2", 4, features),
        ("conv_hr", 4, features),
        ("conv_last", 4, 3),
    ):
        found[name] = convolution(features, outputs) * places * enlarged**2
    return found


def of_swinir(height: int, width: int) -> dict[str, int]:
    """Two blocks of attention in windows of 4x4 and of a perceptron twice as wide; all of it on the picture filled up to windows."""
    features, window, hidden, scale = 8, 4, 16, 2
    places = filled_up(height, window) * filled_up(width, window)
    found = {"conv_first": convolution(3, features) * places}
    for block in range(2):
        name = f"layers.0.residual_group.blocks.{block}"
        found[f"{name}.attn.qkv"] = features * 3 * features * places
        found[f"{name}.attn.proj"] = features**2 * places
        for product in range(2):  # each place with those of its window
            found[f"{name}.attn.product{product}"] = window**2 * features * places
        found[f"{name}.mlp.fc1"] = found[f"{name}.mlp.fc2"] = features * hidden * places
    found["layers.0.conv"] = found["conv_after_body"] = convolution(features, features) * places
    found["upsample.0"] = convolution(features, 3 * scale**2) * places
    return found


def of_dat(height: int, width: int) -> dict[str, int]:
    """Attention in windows of 2x4 and 4x2 of half of the channels each, between places, and every other block between channels."""
    features, heads, window, hidden, scale, places = 32, 2, (2, 4), 128, 2, height * width
    in_windows = filled_up(height, max(window)) * filled_up(width, max(window))
    half, squeezed = features // 2, features // 8
    found, elsewhere = {"conv_first": convolution(3, features) * places}, 0
    for block in range(3):
        name = f"layers.0.blocks.{block}"
        found[f"{name}.attn.qkv"] = features * 3 * features * places
        found[f"{name}.attn.proj"] = features**2 * places
        found[f"{name}.attn.dwconv.0"] = convolution(features, features, groups=features) * places
        found[f"{name}.attn.spatial_interaction.0"] = features * (features // 16) * places
        found[f"{name}.attn.spatial_interaction.3"] = features // 16 * places
        elsewhere += 2 * features * squeezed  # of the means of channels
        for product in range(2):
            if block == 1:  # each channel with those of its head
                found[f"{name}.attn.product{product}"] = features * features // heads * places
            for branch in range(2 if block != 1 else 0):
                found[f"{name}.attn.attns.{branch}.product{product}"] = math.prod(window) * half * in_windows
        if (
            block != 1
        ):  # a perceptron of one hidden number tells what each distance in a window weighs, in either branch
            distances = math.prod(2 * side - 1 for side in window)
            elsewhere += 2 * distances * (2 + 1 + 1 + heads // 2)
        found[f"{name}.ffn.fc1"] = features * hidden * places
        found[f"{name}.ffn.sg.conv"] = convolution(hidden // 2, hidden // 2, groups=hidden // 2) * places
        found[f"{name}.ffn.fc2"] = hidden // 2 * features * places
    found["layers.0.conv"] = found["conv_after_body"] = convolution(features, features) * places
    found["upsample.0"] = convolution(features, 3 * scale**2) * places
    return found | {"": elsewhere}


BY_HAND = {"RRDBNet": of_rrdbnet, "SwinIR": of_swinir, "DAT": of_dat}


def wrapped(name: str) -> QuantizedSR:
    own = name == "RRDBNet"
    network = tiny(name, num_block=2) if own else recognize(build_community(name, **COMMUNITY[name]).state_dict())
    return QuantizedSR(network, configured())


@pytest.mark.filterwarnings("ignore:.* is unknown", "ignore:torch.meshgrid")
@pytest.mark.parametrize(
    "name", ["RRDBNet", *(pytest.param(name, marks=pytest.mark.slow) for name in ("SwinIR", "DAT"))]
)
def test_multiplications_and_bitops(name):
    model = wrapped(name)
    at_8_bits = model.layers.keys() & {"conv_first", "conv_up1", "conv_up2", "conv_hr", "conv_last", "upsample.0"}
    bits = {layer: 8.0 if layer in at_8_bits else 5.0 for layer in model.layers}
    for size in SIZES:
        macs = count_macs(model, *size)
        assert macs == BY_HAND[name](*size)
        expected = {"fixed": 0, "products": 0, "weights": 0, "full": 0}
        for layer, count in macs.items():
            kind = (
                "full"
                if not layer
                else "fixed"
                if layer in at_8_bits
                else "products"
                if "product" in layer
                else "weights"
            )
            expected[kind] += count
        bitops = cost(model, bits, macs=macs).bitops
        assert (
            bitops
            == 64 * expected["fixed"] + 25 * expected["products"] + 20 * expected["weights"] + 1024 * expected["full"]
        )
