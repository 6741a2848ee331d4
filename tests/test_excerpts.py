"""Excerpts of the demo pictures: where tiles and crops lie, and the stage that writes them."""

import sys
from pathlib import Path

import numpy as np
import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st

from adabm.errors import DataError
from adabm.pictures.folders import evaluation_pictures
from adabm.pictures.reading import list_images, read_rgb
from adabm.pictures.writing import write_image
from pipelines.prepare import demo as prepare
from pipelines.prepare.excerpts import tiles, write_crops, write_pool
from pipelines.prepare.replaced import MARKER

ROOT = Path(__file__).parents[1]


def coordinates(height: int, width: int) -> np.ndarray:
    """A picture (height, width, 2) whose pixels tell their place."""
    return np.stack(np.meshgrid(np.arange(height), np.arange(width), indexing="ij"), 2)


def places(image: np.ndarray, side: int, most: int) -> list[np.ndarray]:
    """Tops and lefts of the tiles, each in order."""
    found = tiles(image, side, most)
    assert all(
        tile.shape[:2] == (side, side) and np.array_equal(tile, tile[0, 0] + coordinates(side, side)) for tile in found
    )
    corners = [tuple(tile[0, 0]) for tile in found]
    tops, lefts = (sorted({corner[i] for corner in corners}) for i in (0, 1))
    assert corners == [(top, left) for top in tops for left in lefts], "a whole grid, row by row"
    return [np.array(tops), np.array(lefts)]


# -- tiles -----------------------------------------------------------------------------------------


@settings(max_examples=100, deadline=None)
@given(st.integers(1, 20), st.integers(0, 60), st.integers(0, 60), st.integers(1, 20))
@example(side=1, more_rows=0, more_columns=1, most=3)
def test_a_grid_from_border_to_border(side, more_rows, more_columns, most):
    image = coordinates(side + more_rows, side + more_columns)
    grid = places(image, side, most)
    assert 1 <= len(grid[0]) * len(grid[1]) <= most
    for begins, length in zip(grid, image.shape):
        if len(begins) == 1:
            assert begins[0] == (length - side) // 2, "one alone lies in the middle"
            continue
        steps = np.diff(begins)
        assert begins[0] == 0 and begins[-1] == length - side
        assert np.ptp(steps) <= 2 and steps.min() >= max(1, side // 2), "even, overlap of half at most"


def test_as_many_tiles_as_go_in():
    assert [begins.tolist() for begins in places(coordinates(8, 20), 8, 99)] == [[0], [0, 4, 8, 12]]
    assert [begins.tolist() for begins in places(coordinates(8, 20), 8, 3)] == [[0], [0, 6, 12]]
    assert [begins.tolist() for begins in places(coordinates(16, 24), 8, 99)] == [[0, 4, 8], [0, 4, 8, 12, 16]]
    assert [begins.tolist() for begins in places(coordinates(16, 24), 8, 9)] == [[0, 4, 8], [0, 8, 16]]


@pytest.mark.parametrize("side, most, message", [
    (9, 4, "a tile of 9 pixels does not fit into a picture of 20x8"), (0, 4, "4 tiles of 0 pixels"), (8, 0, "0 tiles of 8 pixels"), (8, -1, "-1 tiles of 8"),
])  # fmt: skip
def test_impossible_tiles_are_told(side, most, message):
    with pytest.raises(DataError, match=message):
        tiles(coordinates(8, 20), side, most)


def test_the_pool_names_its_scenes(tmp_path):
    for index, name in enumerate(("sky", "grass")):
        write_image(
            tmp_path / "in" / f"{name}.png", np.random.default_rng(index).integers(0, 256, (8, 16, 3), dtype=np.uint8)
        )
    assert write_pool(tmp_path / "in", tmp_path / "pool", 8, 2) == 4
    assert [path.name for path in list_images(tmp_path / "pool")] == [
        "grass@00.png",
        "grass@01.png",
        "sky@00.png",
        "sky@01.png",
    ]
    assert np.array_equal(read_rgb(tmp_path / "pool" / "sky@01.png"), read_rgb(tmp_path / "in" / "sky.png")[:, 8:])


# -- crops -----------------------------------------------------------------------------------------


def write_pair(folder: Path, name: str, height: int, width: int, scale: int) -> np.ndarray:
    """Write a pair whose HR pixels have the colour of the LR pixel that they belong to; return LR."""
    low = np.zeros((height, width, 3), np.uint8)
    low[..., :2] = coordinates(height, width)
    write_image(folder / "LR" / f"{name}.png", low)
    write_image(folder / "HR" / f"{name}.png", low.repeat(scale, 0).repeat(scale, 1))
    return low


@pytest.mark.parametrize("scale", [2, 4])
def test_crops_show_the_same_place(tmp_path, scale):
    wide, tall = write_pair(tmp_path / "in", "wide", 10, 21, scale), write_pair(tmp_path / "in", "tall", 13, 8, scale)
    assert write_crops(tmp_path / "in", tmp_path / "crops", 8, scale) == 2
    found = {picture.name: picture for picture in evaluation_pictures(tmp_path / "crops", scale)}
    for name, expected in (("wide", wide[1:9, 6:14]), ("tall", tall[2:10])):
        assert np.array_equal(found[name].low, expected), "in the middle"
        assert np.array_equal(found[name].high, expected.repeat(scale, 0).repeat(scale, 1)), (
            "each LR pixel over its HR pixels"
        )


def test_a_picture_smaller_than_a_crop_is_told(tmp_path):
    write_pair(tmp_path / "in", "small", 7, 20, 2)
    with pytest.raises(DataError, match="small: a crop of 8 pixels does not fit into 20x7"):
        write_crops(tmp_path / "in", tmp_path / "crops", 8, 2)


# -- the stage -------------------------------------------------------------------------------------


@pytest.fixture
def run_stage(tmp_path, monkeypatch):
    """Prepare the first pictures of the demo set; return the exit status."""
    manifest = yaml.safe_load((ROOT / "data" / "demo_photos.yaml").read_text())
    manifest = manifest | {split: manifest[split][:1] for split in ("calibration", "evaluation")}
    (tmp_path / "manifest.yaml").write_text(yaml.safe_dump(manifest))

    def run_stage(**options) -> int:
        given = dict(manifest=tmp_path / "manifest.yaml", output=tmp_path / "out", tile=48, tiles=3, crop=64) | options
        monkeypatch.setattr(
            sys, "argv", ["prepare", *(text for name, value in given.items() for text in (f"--{name}", str(value)))]
        )
        return prepare.main()

    return run_stage


def test_the_stage_writes_set_pool_and_crops(run_stage, tmp_path, capsys):
    out = tmp_path / "out"
    out.mkdir()
    assert run_stage() == 0
    (out / "stale.png").touch()
    assert run_stage() == 0
    assert "demo-photos: 2 pictures and 2 tiles in" in capsys.readouterr().out.splitlines()[-1], (
        "a square picture: two by one of three"
    )
    written = sorted(path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file())
    pairs = [f"demo-photos{suffix}/{kind}/astronaut.png" for suffix in ("", "-crops") for kind in ("HR", "LR")]
    assert written == sorted(
        [MARKER, *pairs, "calibration/LR/brick.png", "pool/LR/brick@00.png", "pool/LR/brick@01.png"]
    )
    assert read_rgb(out / "pool/LR/brick@00.png").shape == (48, 48, 3)
    crop, whole = (evaluation_pictures(out / name, 4)[0] for name in ("demo-photos-crops", "demo-photos"))
    assert crop.low.shape == (64, 64, 3) and crop.high.shape == (256, 256, 3) and whole.low.shape == (128, 128, 3)
    assert np.array_equal(crop.low, whole.low[32:96, 32:96]) and np.array_equal(crop.high, whole.high[128:384, 128:384])


@pytest.mark.parametrize("options, message", [
    (dict(tile=200), "a tile of 200 pixels does not fit into a picture of 128x128"),
    (dict(tiles=0), "0 tiles of 48 pixels"),
    (dict(crop=129), "astronaut: a crop of 129 pixels does not fit"),
])  # fmt: skip
def test_a_failure_leaves_what_was_there(run_stage, tmp_path, capsys, options, message):
    (tmp_path / "out").mkdir()
    for name in (MARKER, "earlier.png"):
        (tmp_path / "out" / name).touch()
    assert run_stage(**options) == 1
    assert f"prepare: {message}" in capsys.readouterr().err
    assert {path.name for path in (tmp_path / "out").iterdir()} == {MARKER, "earlier.png"}


def test_a_folder_of_an_earlier_version_is_replaced_and_no_other(run_stage, tmp_path, capsys):
    """Before there was a marker: what holds the manifest's pictures and nothing else was written by the stage."""
    out = tmp_path / "out"
    assert run_stage() == 0
    (out / MARKER).unlink()
    assert run_stage(tiles=2) == 0 and (out / MARKER).is_file()
    for mine in ("pool/LR/mine.png", "calibration/HR/brick.png", "notes.txt", "pool/LR/mine@00.png"):
        (out / MARKER).unlink()
        (out / mine).parent.mkdir(exist_ok=True)
        (out / mine).write_text("mine")
        assert run_stage() == 1
        assert f"prepare: {out}: holds files, and none called {MARKER}" in capsys.readouterr().err
        assert (out / mine).read_text() == "mine" and not out.with_name("out.partial").exists()
        (out / mine).unlink()
        if mine.startswith("calibration"):
            (out / mine).parent.rmdir()
        (out / MARKER).touch()
