"""What a user's engine tells of itself is checked where it is opened or taken, and refused in one line."""

import re

import numpy as np
import pytest

import adabm
from adabm.engines import EngineOutput
from adabm.engines.seamless import seamless_tiles
from adabm.errors import EngineError
from adabm.networks.reach import Reach
from helpers.cli_files import fails, smooth, write_files

ENGINE = '''
"""Nearest-neighbour enlargement."""
import numpy as np
from adabm.engines import EngineOutput, engine
from adabm.networks.reach import Reach


class Nearest:
    name, scale, channels, size_multiple = "nearest", 2, 3, 1
    {told}

    def upscale(self, pictures):
        images = pictures.astype(np.float32).repeat(2, 1).repeat(2, 2)
        return EngineOutput(images, np.full(len(pictures), 5.0), {{}})


@engine("wrong", description="tells what no engine can")
def open_wrong(model, device):
    return Nearest()
'''
WRONG = [
    ("reach", 20, "reach = 20: must be an adabm.networks.reach.Reach, or None"),
    ("reach", Reach(0, 0), "reach.alignment = 0: must be a whole number >= 1"),
    ("reach", Reach(-1), "reach.pixels = -1: must be a whole number >= 0, or null"),
    ("reach", Reach(2.5), "reach.pixels = 2.5: must be a whole number >= 0, or null"),
    ("size_multiple", 0, "size_multiple = 0: must be a whole number >= 1"),
    ("size_multiple", None, "size_multiple = None: must be a whole number >= 1"),
    ("size_multiple", 2.0, "size_multiple = 2.0: must be a whole number >= 1"),
    ("minimum_size", None, "minimum_size = None: must be a whole number >= 1"),
    ("scale", 4.0, "scale = 4.0: must be a whole number >= 1"),
    ("scale", "4", "scale = '4': must be a whole number >= 1"),
    ("scale", True, "scale = True: must be a whole number >= 1"),
    ("channels", 0, "channels = 0: must be a whole number >= 1"),
    ("name", 7, "name = 7: must be text"),
]


class Nearest:
    scale, channels, size_multiple, minimum_size, reach = 2, 3, 1, 1, None

    def __init__(self, **told) -> None:
        self.name = "nearest"
        vars(self).update(told)

    def upscale(self, pictures):
        images = pictures.astype(np.float32).repeat(2, 1).repeat(2, 2)
        return EngineOutput(images, np.full(len(pictures), 5.0), {})


@pytest.mark.parametrize("attribute, value, message", WRONG)
def test_an_engine_that_is_taken(attribute, value, message):
    wrong, picture = Nearest(**{attribute: value}), smooth(0)
    pictures = [adabm.Picture("p", smooth(0, 48, 56), picture)]
    whole = "^" + re.escape(f"engine {7 if attribute == 'name' else 'nearest'!r}: {message}") + "$"
    for call in (
        lambda: adabm.upscale(wrong, picture),
        lambda: adabm.upscale(wrong, picture, 8),
        lambda: list(seamless_tiles(wrong, picture, 8)),
        lambda: adabm.evaluate(wrong, pictures),
    ):
        with pytest.raises(EngineError, match=whole):
            call()


@pytest.mark.parametrize("told", [dict(reach=Reach(0)), dict(reach=Reach(None, 3)), dict(scale=np.int64(2)), {}])
def test_what_is_allowed(told):
    picture = smooth(0)
    made = adabm.upscale(Nearest(**told), picture, overlap=2, tile=8)
    assert np.array_equal(made.image, picture.repeat(2, 0).repeat(2, 1))


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return write_files(tmp_path_factory.mktemp("cli"))


def test_an_engine_that_is_opened(files, tmp_path, capsys):
    for number, (attribute, value, message) in enumerate(WRONG[:-1]):
        path = tmp_path / f"wrong{number}.py"
        path.write_text(ENGINE.format(told=f"{attribute} = {value!r}").replace('"wrong"', f'"wrong{number}"'))
        with pytest.raises(EngineError, match=re.escape(f"engine 'nearest': {message}")):
            adabm.open_engine(path, files / "q.safetensors")
    path = tmp_path / "wrong1.py"  # opened before, and so registered
    for command in (["upscale", files / "LR", tmp_path / "o", "--checkpoint"], ["evaluate", "--hr", files / "HR"]):
        told = fails(capsys, *command, files / "q.safetensors", "--engine", path)
        assert told == f"adabm: error: engine 'nearest': {WRONG[1][2]}"
