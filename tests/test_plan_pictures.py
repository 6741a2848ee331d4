"""The pictures of a plan are checked by their headers before anything is computed."""

import shutil

import cv2
import numpy as np
import pytest

from adabm.errors import DataError, ImageError
from adabm.pictures import reading
from adabm.pictures.reading import picture_size, read_raw
from adabm.pictures.writing import write_image
from adabm.study import Effort, read_plan
from helpers.study_files import EFFORT, part, write_pictures, write_study


@pytest.fixture
def root(tmp_path):
    return write_study(tmp_path)


def refused(root, kind: type, message: str, recipe: Effort = EFFORT, **changes) -> None:
    with pytest.raises(kind, match=message) as error:
        read_plan([part(sets=["Second"], methods=[], settings=[]), part(**changes)], root, recipe)
    assert str(error.value).startswith("part 2 of the plan: ") and "\n" not in str(error.value)


def test_pairs_of_another_scale(root):
    write_pictures(root / "data" / "First" / "LR", 2, 16)
    assert len(read_plan([part()], root, EFFORT)) == 2
    write_pictures(root / "data" / "First" / "LR", 2, 8)
    refused(
        root,
        DataError,
        "picture a: .*First/HR/a.png has 32x32 pixels, which are not 2 times the 8x8 of .*First/LR/a.png",
    )


def test_one_picture_under_two_names_is_told(root, recwarn):
    read_plan([part()], root, EFFORT)
    assert not [warning for warning in recwarn if "are one picture" in str(warning.message)]
    folder = root / "data" / "First" / "HR"
    shutil.copy(folder / "a.png", folder / "z.png")
    with pytest.warns(UserWarning, match="First: a.png and z.png are one picture, which counts 2 times; remove"):
        read_plan([part()], root, EFFORT)


def test_ground_truth_smaller_than_the_scale(root):
    write_image(root / "data" / "First" / "HR" / "c.png", np.zeros((9, 1, 3), np.uint8))
    refused(root, ImageError, "HR/c.png: 1x9 pixels are less than the scale 2")


def test_calibration_pictures_smaller_than_a_patch(root):
    write_image(root / "data" / "calibration" / "LR" / "narrow.png", np.zeros((40, 14, 3), np.uint8))
    assert len(read_plan([part()], root, Effort(patch_size=14))) == 2
    message = "narrow.png: 14x40 low-resolution pixels are less than a calibration patch of 15x15"
    refused(root, DataError, message, Effort(patch_size=15))
    shutil.rmtree(root / "data" / "calibration")
    assert len(read_plan([part(methods=[], settings=[])], root, Effort(patch_size=15))) == 1  # which uses none


@pytest.mark.parametrize("folder, name", [("First/HR", "a.png"), ("calibration/LR", "b.png")])
@pytest.mark.parametrize("damage", ["text", "empty", "half", "without its end"])
def test_damaged_pictures(root, folder, name, damage):
    shutil.copytree(root / "data" / "calibration", root / "data" / "sound")
    path = root / "data" / folder / name
    data = path.read_bytes()
    path.write_bytes(
        {"text": b"hello", "empty": b"", "half": data[: len(data) // 2], "without its end": data[:-30]}[damage]
    )
    with pytest.raises(ImageError, match=f"part 1 of the plan: .*{folder}/{name}: not a readable picture"):
        read_plan([part()], root, EFFORT)


def test_no_picture_is_decoded(root, monkeypatch):
    def decode(*_arguments):
        raise AssertionError("decoded")

    monkeypatch.setattr(cv2, "imdecode", decode)
    assert len(read_plan([part(sets=["First", "Second"])], root, EFFORT)) == 4


# -- sizes from headers ------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", reading.EXTENSIONS)
@pytest.mark.parametrize("channels", [(), (3,)])
def test_sizes_are_those_of_the_decoder(tmp_path, suffix, channels):
    path = tmp_path / f"x{suffix}"
    write_image(path, np.random.default_rng(0).integers(0, 256, (13, 22, *channels), dtype=np.uint8))
    assert picture_size(path) == read_raw(path).shape[:2] == (13, 22)
    path.write_bytes(path.read_bytes() + b"\0" * 9)  # as some cameras and tools append
    assert picture_size(path) == (13, 22)
    path.write_bytes(path.read_bytes()[:60])
    with pytest.raises(ImageError, match=f"x{suffix}: not a readable picture"):
        picture_size(path)


def test_size_of_no_file(tmp_path):
    with pytest.raises(ImageError, match="x.png: cannot be read"):
        picture_size(tmp_path / "x.png")
