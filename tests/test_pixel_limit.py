"""The largest picture that is read, as the environment says it."""

import numpy as np
import pytest

from adabm.errors import ConfigError, ImageError
from adabm.pictures.header import check_pixels
from adabm.pictures.reading import read_rgb
from adabm.pictures.writing import write_image


@pytest.mark.parametrize("text", ["9" * 19, "9" * 5000, "1e6", "-1", "1_000"])
def test_a_limit_that_is_none(tmp_path, monkeypatch, text):
    write_image(tmp_path / "a.png", np.zeros((4, 4, 3), np.uint8))
    monkeypatch.setenv("ADABM_MAX_PIXELS", text)
    with pytest.raises(ConfigError, match="ADABM_MAX_PIXELS=.{1,40}: must be a whole number of pixels, of 18 digits"):
        read_rgb(tmp_path / "a.png")


def test_the_greatest_limit(monkeypatch):
    monkeypatch.setenv("ADABM_MAX_PIXELS", "9" * 18)
    check_pixels(999_999_999, 999_999_999, "a.png")
    with pytest.raises(ImageError, match="pixels are more than"):
        check_pixels(10**9, 10**9, "a.png")
