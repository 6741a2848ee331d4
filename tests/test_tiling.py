"""Tiles: they cover the picture exactly, overlap hides the seams, each decides its own bits."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from adabm.engines.seamless import _even_spans, seamless_tiles
from adabm.engines.tiles import _spans, round_to_uint8, upscale, upscaled_tiles
from adabm.errors import ConfigError
from adabm.networks import build_network
from adabm.pictures.tensors import to_batch
from adabm.quantization.model import QuantizedSR
from adabm.recipes import calibrate
from helpers.configurations import configured
from helpers.tiny_networks import tiny


def quantized(name: str = "EDSR") -> QuantizedSR:
    model = QuantizedSR(tiny(name), configured(clipping=False))
    noise = torch.rand(6, 3, 16, 16, generator=torch.Generator().manual_seed(0)) - 0.5
    images = 0.5 + noise * torch.linspace(0, 1, 6).view(-1, 1, 1, 1)
    calibrate(model, [images * model.descriptor.value_range])
    return model


def picture(height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


@given(st.integers(1, 400), st.one_of(st.none(), st.integers(8, 130)))
@settings(max_examples=200, deadline=None, derandomize=True, database=None)
def test_spans_cover_exactly(length, tile):
    for spans in (list(_spans(length, tile)), list(_even_spans(length, tile))):
        edges = [0, *(end for _, end in spans)]
        assert [start for start, _ in spans] == edges[:-1] and edges[-1] == length
    sizes = [end - start for start, end in _spans(length, tile)]
    if tile is not None and length > tile:
        assert set(sizes[:-1]) <= {tile} and tile <= sizes[-1] < 2 * tile
    else:
        assert sizes == [length]
    even = [end - start for start, end in _even_spans(length, tile)]
    assert max(even) - min(even) <= 1 and max(even) <= (tile or length)


def test_spans_by_hand():
    assert list(_spans(96, 96)) == [(0, 96)]
    assert list(_spans(200, 96)) == [(0, 96), (96, 200)]
    assert list(_spans(288, 96)) == [(0, 96), (96, 192), (192, 288)]


@pytest.mark.parametrize("size", [(40, 40), (37, 61), (9, 50)])
@pytest.mark.parametrize("name", ["EDSR", "SRResNet"])
def test_enough_overlap_gives_the_whole_picture(name, size):
    """EDSR sees 8 pixels far, SRResNet with its 9x9 convolutions 12."""
    model, image = quantized(name), picture(*size)
    with model.full_precision():
        whole, tiled, cut = upscale(model, image), upscale(model, image, 16, 14), upscale(model, image, 16)
    scale = model.descriptor.scale
    assert whole.image.shape == (size[0] * scale, size[1] * scale, 3)
    spread = whole.image.std()
    np.testing.assert_allclose(tiled.image, whole.image, rtol=0, atol=1e-4 * spread)
    assert np.abs(cut.image - whole.image).max() > 0.01 * spread  # without overlap there are seams


def test_whole_picture_equals_the_model():
    model, image = quantized(), picture(20, 24)
    out = model.infer(to_batch(image[None], model.descriptor.value_range))
    result = upscale(model, image)
    np.testing.assert_array_equal(result.image, out.image[0].mul(255).permute(1, 2, 0).detach().numpy())
    assert result.tile_bits == [(0, 0, 20, 24, pytest.approx(out.feature_average_bits.item()))]
    assert result.layer_bits == {name: bits.item() for name, bits in out.layer_bits.items()}


def test_each_tile_has_its_own_bits():
    """The left half is flat, the right one rough."""
    model, image = quantized(), picture(16, 32)
    image[:, :16] = 128
    result = upscale(model, image, 16)
    places, bits = [t[:4] for t in result.tile_bits], [t[4] for t in result.tile_bits]
    assert places == [(0, 0, 16, 16), (0, 16, 16, 16)] and bits[1] == bits[0] + 2
    assert result.feature_average_bits == pytest.approx(sum(bits) / 2)
    left, right = upscale(model, image[:, :16]), upscale(model, image[:, 16:])
    for name, value in result.layer_bits.items():
        assert value == pytest.approx((left.layer_bits[name] + right.layer_bits[name]) / 2)
    np.testing.assert_allclose(result.image, np.concatenate([left.image, right.image], 1), rtol=0, atol=1e-2)


def test_tiles_one_by_one():
    model, image = quantized(), picture(20, 40)
    whole, covered = upscale(model, image, 16, 4), np.zeros((80, 160), int)
    for part in upscaled_tiles(model, image, 16, 4):
        covered[part.place(4)] += 1
        np.testing.assert_array_equal(whole.image[part.place(4)], part.pixels)
    assert (covered == 1).all()
    even = list(seamless_tiles(model, image, 16, 0))
    assert {(p.height, p.width) for p in even} <= {(10, 13), (10, 14)} and len(even) == 6


def test_a_network_that_demands_even_sides():
    torch.manual_seed(0)
    network = build_network("RRDBNet", num_feat=4, num_block=1, num_grow_ch=2, scale=2)
    model = QuantizedSR(network, configured())
    with model.full_precision():
        assert upscale(model, picture(9, 11)).image.shape == (18, 22, 3)


def test_no_gradients_are_recorded():
    model = quantized()
    model.requires_grad_(True)
    assert upscale(model, picture(8, 8)).image.dtype == np.float32


@pytest.mark.parametrize(("arguments", "message"), [((7,), "tile = 7: must be at least 8"), ((16, -1), "overlap = -1")])
def test_refused(arguments, message):
    with pytest.raises(ConfigError, match=message):
        upscale(quantized(), picture(16, 16), *arguments)


def test_rounding_to_8_bits():
    values = np.array([-3.0, -0.4, 0.4, 0.6, 127.5, 128.5, 254.6, 255.4, 300.0])
    out = round_to_uint8(values)
    assert out.dtype == np.uint8 and out.tolist() == [0, 0, 0, 1, 128, 128, 255, 255, 255]
