"""Files that are replaced while a study runs: nothing is kept under the key of what they were."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from adabm.errors import DataError
from adabm.pictures.reading import read_rgb
from adabm.pictures.writing import write_image
from adabm.study import ResultCache, read_plan
from adabm.study.origin.file_hashes import FileHashes, sha256
from adabm.study.running import tasks
from adabm.study.running.tasks import MeasureTask, ModelTask
from helpers.study_files import EFFORT, forget, part, write_study


@pytest.fixture
def measuring(tmp_path) -> Iterator[MeasureTask]:
    """Two pictures to be measured with a model of MinMax."""
    forget()
    cell = read_plan([part()], write_study(tmp_path), EFFORT)[-1]
    model = ModelTask(cell.backbone, cell.calibration, cell.run, EFFORT, ResultCache(tmp_path / "cache"))
    yield MeasureTask(model, cell.pictures.files, cell.pictures.tile)
    forget()  # what was replaced, which other tests of this process would be told of


def replacing(path: Path, function):
    """A function that first replaces a picture by another one."""

    def replaced(*arguments, **options):
        write_image(path, 255 - read_rgb(path))
        return function(*arguments, **options)

    return replaced


def test_a_measurement_on_a_replaced_picture_is_not_kept(measuring, monkeypatch):
    high = measuring.files[0].high
    monkeypatch.setattr(tasks, "measure", replacing(high, tasks.measure))
    with pytest.raises(DataError, match=f"{high}: changed while the study ran; .* Run it again"):
        measuring.carry_out()
    assert not [*measuring.model.cache.folder.glob("pictures/*/*")]
    monkeypatch.undo()
    forget()
    measuring.carry_out()
    assert not measuring.missing()


def test_a_model_from_a_replaced_picture_is_not_kept(measuring, monkeypatch):
    model = measuring.model
    monkeypatch.setattr(tasks, "quantize", replacing(model.calibration[0], tasks.quantize))
    with pytest.raises(DataError, match=f"{model.calibration[0]}: changed while the study ran"):
        model.carry_out()
    assert not [path for path in model.cache.folder.rglob("*") if path.is_file()]


def test_a_file_of_the_same_size_and_times_is_read_again_where_it_was_just_written(tmp_path):
    path, hashes = tmp_path / "a", FileHashes()
    path.write_text("1")
    assert hashes(path) == sha256(path)
    hashes.check_unchanged()
    os.utime(path, (0, 0))
    hashes.check_unchanged()  # its times alone changed
    path.write_text("2")
    with pytest.raises(DataError, match="a: changed while the study ran"):
        hashes.check_unchanged()
    path.unlink()
    hashes.check_unchanged()
    hashes.cache_clear()
    path.write_text("3")
    assert hashes(path) == sha256(path)
