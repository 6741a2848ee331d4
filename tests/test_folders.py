"""Folders of the user's own pictures."""

import numpy as np
import pytest

import adabm
from adabm.errors import ConfigError, DataError, ImageError
from adabm.pictures.folders import calibration_images, evaluation_files, evaluation_pictures, read_pictures
from adabm.pictures.pairs import pair
from adabm.pictures.resize import downscale
from adabm.pictures.writing import write_image


def picture(seed: int, height: int = 24, width: int = 32) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.fixture
def pairs(tmp_path):
    for i, name in enumerate(("b", "a")):
        write_image(tmp_path / "HR" / f"{name}.png", picture(i))
        write_image(tmp_path / "LR" / f"{name}.png", picture(10 + i, 6, 8))
    return tmp_path


def test_pairs_are_taken_as_they_are(pairs):
    (pairs / "LR" / "notes.txt").touch()
    first, second = evaluation_pictures(pairs, 4)
    assert (first.name, second.name, first.scale) == ("a", "b", 4)
    assert np.array_equal(first.high, picture(1)) and np.array_equal(first.low, picture(11, 6, 8))


def test_partners_may_have_another_format(pairs):
    (pairs / "LR" / "a.png").unlink()
    write_image(pairs / "LR" / "a.bmp", picture(11, 6, 8))
    assert np.array_equal(evaluation_pictures(str(pairs), 4)[0].low, picture(11, 6, 8))


@pytest.mark.parametrize("lacking, there", [("HR", "LR"), ("LR", "HR")])
def test_a_missing_partner(pairs, lacking, there):
    (pairs / lacking / "a.png").unlink()
    with pytest.raises(DataError, match=f"picture a: is in {pairs}/{there} but not in {pairs}/{lacking}"):
        evaluation_pictures(pairs, 4)


def test_partners_may_be_called_as_data_sets_do(tmp_path):
    names = {"img_002_SRF_4_HR": "img_002_SRF_4_LR", "baby_GT": "baby", "0801": "0801x4"}
    for index, (high, low) in enumerate(names.items()):
        write_image(tmp_path / "HR" / f"{high}.png", picture(index))
        write_image(tmp_path / "LR" / f"{low}.png", picture(10 + index, 6, 8))
    found = evaluation_files(tmp_path, 4)
    assert [(f.name, f.low.stem) for f in found] == [(high, names[high]) for high in sorted(names)]
    with pytest.raises(DataError, match=f"picture 0801: is in {tmp_path}/HR but not in {tmp_path}/LR"):
        evaluation_files(tmp_path, 2)
    write_image(tmp_path / "LR" / "0801_X4.png", picture(0, 6, 8))
    with pytest.raises(ImageError, match=r"0801_X4\.png and 0801x4\.png are both the LR picture '0801'; keep one"):
        evaluation_files(tmp_path, 4)


def test_equal_names_belong_together_whatever_they_mean(tmp_path):
    for index, name in enumerate(("a_LR", "ax4", "a_x4", "b_SRF_2_HR")):
        write_image(tmp_path / "HR" / f"{name}.png", picture(index))
        write_image(tmp_path / "LR" / f"{name}.png", picture(10 + index, 6, 8))
    found = evaluation_files(tmp_path, 4)
    assert [f.name for f in found] == ["a_LR", "a_x4", "ax4", "b_SRF_2_HR"]
    assert all(f.low.name == f.high.name for f in found)


def test_pairs_and_what_is_left(tmp_path):
    for name in ("a_HR", "a_LR", "b_HR", "c_LR", "a_SRF_2_HR"):
        write_image(tmp_path / f"{name}.png", picture(0))
    found = pair(tmp_path, tmp_path, 4)
    assert found.pairs == [(tmp_path / "a_HR.png", tmp_path / "a_LR.png")]
    assert found.without_input == [tmp_path / "b_HR.png"] and found.without_truth == [tmp_path / "c_LR.png"]


@pytest.mark.parametrize("low", ["a_x4", "a-x4", "ax4", "a_X4"])
def test_an_input_is_not_taken_twice(tmp_path, low):
    for index, name in enumerate(("a", low)):
        write_image(tmp_path / "HR" / f"{name}.png", picture(index))
    write_image(tmp_path / "LR" / f"{low}.png", picture(9, 6, 8))
    told = rf"{low}\.png: by its name the input of both (a\.png and {low}\.png|{low}\.png and a\.png); rename one"
    for read in (evaluation_files, lambda folder, scale: read_pictures(folder, None, scale)):
        with pytest.raises(ImageError, match=told):
            read(tmp_path, 4)


def test_a_wrong_size(pairs):
    write_image(pairs / "LR" / "b.png", picture(0, 6, 9))
    with pytest.raises(DataError, match=r"picture b: \S+ has 32x24 pixels, which are not 4 times the 9x6 of"):
        evaluation_pictures(pairs, 4)
    with pytest.raises(DataError, match="not 2 times"):
        evaluation_pictures(pairs, 2)


@pytest.mark.parametrize("inside", ["", "HR"])
def test_inputs_are_made_from_ground_truth_alone(tmp_path, inside):
    write_image(tmp_path / inside / "x.png", picture(0, 26, 35))
    (made,) = evaluation_pictures(tmp_path, 4)
    assert np.array_equal(made.high, picture(0, 26, 35)[:24, :32]) and np.array_equal(made.low, downscale(made.high, 4))


def test_two_pictures_of_one_name(tmp_path):
    write_image(tmp_path / "x.png", picture(0))
    write_image(tmp_path / "x.bmp", picture(1))
    for read in (lambda: evaluation_pictures(tmp_path, 4), lambda: calibration_images(tmp_path)):
        with pytest.raises(DataError, match=r"x\.bmp and x\.png have the same name; rename one"):
            read()


def test_folders_without_use(tmp_path):
    with pytest.raises(DataError, match="no such folder"):
        evaluation_pictures(tmp_path / "nowhere", 4)
    with pytest.raises(DataError, match="no such folder"):
        calibration_images(tmp_path / "nowhere")
    with pytest.raises(ImageError, match="holds no picture"):
        calibration_images(tmp_path)
    write_image(tmp_path / "low" / "LR" / "x.png", picture(0))
    with pytest.raises(DataError, match="has LR/ but no HR/"):
        evaluation_pictures(tmp_path / "low", 4)
    write_image(tmp_path / "high" / "HR" / "x.png", picture(0))
    with pytest.raises(DataError, match="has HR/ but no LR/"):
        calibration_images(tmp_path / "high")
    write_image(tmp_path / "tiny" / "x.png", picture(0, 3, 9))
    with pytest.raises(ImageError, match="smaller than the scale 4"):
        evaluation_pictures(tmp_path / "tiny", 4)


def test_calibration_images(pairs, tmp_path):
    images = calibration_images(pairs)
    assert list(images) == ["a", "b"] and np.array_equal(images["a"], picture(11, 6, 8))
    assert np.array_equal(calibration_images(pairs / "HR")["a"], picture(1))  # plain pictures, as they are


def test_gray_pictures_are_repeated(tmp_path):
    gray = picture(0)[..., 0]
    write_image(tmp_path / "x.png", gray)
    assert np.array_equal(calibration_images(tmp_path)["x"], np.repeat(gray[..., None], 3, 2))


def test_folders_may_be_named_by_texts(tmp_path):
    write_image(tmp_path / "HR" / "a.png", picture(0))
    (read,) = adabm.read_pictures(str(tmp_path), 2)
    assert read.name == "a" and read.scale == 2
    with pytest.raises(ConfigError, match="scale = '2'"):
        adabm.read_pictures(tmp_path, "2")
    with pytest.raises(ConfigError, match="high_folder"):
        adabm.read_pictures(None, 2)
