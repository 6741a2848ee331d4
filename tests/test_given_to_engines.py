"""Batches that an engine cannot mean are refused by the engine itself, whoever calls it."""

import numpy as np
import pytest
import torch

import adabm
from adabm.errors import ImageError
from adabm.quantization.model import QuantizedSR
from adabm.recipes import calibrate
from helpers.configurations import configured
from helpers.tiny_networks import tiny

PICTURES = np.random.default_rng(0).integers(0, 256, (2, 9, 8, 3), dtype=np.uint8)


@pytest.fixture(scope="module", params=["simulated", "openvino"])
def engine(request):
    model = QuantizedSR(tiny("SRVGGNetCompact"), configured(clipping=False))
    calibrate(model, [torch.rand(4, 3, 16, 16, generator=torch.Generator().manual_seed(0))])
    try:
        return adabm.open_engine(request.param, model)
    except adabm.AdabmError as error:  # an extra that is not installed
        pytest.skip(str(error))


@pytest.mark.parametrize(
    "pictures, told",
    [
        (PICTURES[..., :1], r"have shape \(2, 9, 8, 1\); expected an array \(N, H, W, 3\)"),
        (PICTURES[0], r"have shape \(9, 8, 3\)"),
        (PICTURES[:0], "are empty"),
        (np.where(PICTURES > 250, np.nan, PICTURES), "NaN or infinite"),
        (PICTURES.astype(np.complex64), "of type complex64"),
        (list(PICTURES), "are a list"),
    ],
)
def test_no_pictures(engine, pictures, told):
    with pytest.raises(ImageError, match=told):
        engine.upscale(pictures)


def test_whole_numbers_and_fractions_are_taken(engine):
    expected = engine.upscale(PICTURES).images
    for kind in (np.int64, np.float64, np.float32):
        np.testing.assert_array_equal(engine.upscale(PICTURES.astype(kind)).images, expected)
