"""Calibration pictures that show nothing are refused, as no range can be measured on them."""

import numpy as np
import pytest
import torch

import adabm
from adabm.errors import DataError
from helpers.cli_files import smooth
from helpers.tiny_networks import tiny


def flat(value: int) -> np.ndarray:
    return np.full((16, 16, 3), value, np.uint8)


@pytest.mark.parametrize(
    "images, told",
    [
        ([flat(9), flat(200)], "each calibration picture is of one colour"),
        ([flat(0) + np.arange(3, dtype=np.uint8)], "each calibration picture is of one colour"),
        (
            [(smooth(0) / 255).astype(np.uint8) for _ in range(2)],
            "no value of the calibration pictures is above 1; multiply",
        ),
    ],
)
@pytest.mark.parametrize("by_name", [False, True])
def test_pictures_that_show_nothing_are_refused(images, told, by_name):
    with pytest.raises(DataError, match=told):
        if by_name:
            adabm.quantize(network=tiny("EDSR"), images=images, config="minmax", patch_size=16)
        else:
            adabm.quantize(tiny("EDSR"), images, "minmax", patch_size=16)


def test_one_that_shows_something_suffices():
    adabm.quantize(tiny("EDSR"), [flat(0), smooth(0)], "minmax", patch_size=16)


def test_patches_that_show_nothing_are_refused():
    picture = np.zeros((400, 400, 3), np.uint8)
    picture[0, 0] = 255
    with pytest.raises(DataError, match="each picture of the calibration batches is of one colour"):
        adabm.quantize(tiny("EDSR"), [picture], "minmax", patch_size=16, patches=2)
    model = adabm.QuantizedSR(tiny("EDSR"), adabm.preset("minmax"))
    with pytest.raises(DataError, match="each picture of the calibration batches is of one colour"):
        adabm.calibrate(model, [torch.zeros(1, 3, 16, 16)])
