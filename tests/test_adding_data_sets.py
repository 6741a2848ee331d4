"""A data set is added from outside by one entry of a manifest: fetched, prepared, planned, without a line of code."""

import io
import json
import zipfile
from pathlib import Path

import numpy as np
import pytest

from adabm.pictures.reading import read_rgb
from adabm.pictures.resize import downscale
from adabm.pictures.writing import write_image
from adabm.study import Effort, read_plan
from helpers.study_files import write_network
from pipelines.downloads.fetch import main as fetch
from pipelines.downloads.record_checksums import main as record
from pipelines.prepare.benchmarks import main as prepare

ENTRY = """
  {id}:
    kind: dataset
    title: a title
    licence: a licence
    citation: a citation
    urls: ['http://127.0.0.1:9/{{path}}']
    folder: {id}
    set: {name}
    use: {use}
    scales: [{scale}]
    {patterns}
"""
RECIPE = Effort(patch_size=8, patches=2, rounds=1, steps_per_round=1)


def picture(seed: int, side: int = 24) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (side, side, 3), dtype=np.uint8)


@pytest.fixture
def manifest(tmp_path, monkeypatch) -> Path:
    """One of a calibration set that a mirror has."""
    for number in range(4):
        write_image(tmp_path / "mirror" / "Streets" / f"street-{number}.png", picture(number))
    write_image(tmp_path / "mirror" / "Streets" / "map.png", picture(9))
    (tmp_path / "manifest" / "checksums").mkdir(parents=True)
    path = tmp_path / "manifest" / "sources.yaml"
    path.write_text("sources:")
    monkeypatch.setenv("ADABM_MIRROR", str(tmp_path / "mirror"))
    add(path, id="Streets", name="Streets", use="calibration", scale=2, patterns=r"high: '(street-\d+)\.png'")
    return path


def add(manifest: Path, **entry: object) -> None:
    """The one place: an entry, and its checksums, which a command writes."""
    manifest.write_text(manifest.read_text() + ENTRY.format(**entry))
    mirror = manifest.parents[1] / "mirror"
    assert record([str(entry["id"]), "--mirror", str(mirror), "--manifest", str(manifest)]) == 0


def planned(manifest: Path, *options: str) -> dict[str, Path]:
    """Fetch and prepare all there is, read a plan of one line on the set; return its ground truth by name."""
    root = manifest.parents[1]
    places = ["--manifest", str(manifest), "--downloads", str(root / "downloads")]
    assert fetch(["--all", "--offline", *places]) == 0
    arguments = ["--scale", "2", "--calibration", "Streets", "--calibration-pictures", "3", *options]
    assert prepare([*arguments, "--output", str(root / "x2"), *places]) == 0
    network = str(write_network(root / "net.safetensors"))
    line = dict(backbone=network, data="x2", sets=["Doors"], settings=["W4A4"], methods=["minmax"])
    cells = read_plan([line], root, RECIPE)
    assert all(path.parent == root / "x2" / "calibration" / "LR" for path in cells[1].calibration)
    assert {path.stem.partition("-")[0] for path in cells[1].calibration} == {"street"} and len(
        cells[1].calibration
    ) == 3
    assert {cell.pictures.name for cell in cells} == {"Doors"}
    return {files.name: files.high for files in cells[0].pictures.files}


def test_ground_truth_alone(manifest, tmp_path):
    for number in range(2):
        write_image(tmp_path / "mirror" / "Doors_v1" / "test" / f"{number}_of_2.png", picture(20 + number, 25))
    add(manifest, id="Doors_v1", name="Doors", use="evaluation", scale="2, 3", patterns=r"high: '(\d)_of_\d\.png'")
    found = planned(manifest)
    assert list(found) == ["0", "1"] and found["0"] == tmp_path / "x2" / "Doors" / "HR" / "0.png"
    low = read_rgb(tmp_path / "x2" / "Doors" / "LR" / "1.png")
    assert np.array_equal(low, downscale(picture(21, 25)[:24, :24], 2))
    origins = json.loads((tmp_path / "x2" / "contents.json").read_text())["pictures"]
    assert origins["Doors"] == {"0": "Doors_v1/test/0_of_2.png", "1": "Doors_v1/test/1_of_2.png"}


def test_published_pairs(manifest, tmp_path):
    folder = tmp_path / "mirror" / "Doors"
    write_image(folder / "HR" / "a.png", picture(30))
    write_image(folder / "LR" / "a_x2.png", picture(31, 12))
    patterns = "high: '([a-z])\\.png'\n    low: '([a-z])_x{scale}\\.png'"
    add(manifest, id="Doors", name="Doors", use="evaluation", scale=2, patterns=patterns)
    found = planned(manifest, "--sets", "Doors")
    assert found["a"].read_bytes() == (folder / "HR" / "a.png").read_bytes()
    assert (tmp_path / "x2" / "Doors" / "LR" / "a.png").read_bytes() == (folder / "LR" / "a_x2.png").read_bytes()


def test_an_archive(manifest, tmp_path):
    data = io.BytesIO()
    write_image(tmp_path / "one.png", picture(40))
    with zipfile.ZipFile(data, "w") as file:
        file.writestr("inner/", b"")
        file.writestr("inner/door1.png", (tmp_path / "one.png").read_bytes())
    (tmp_path / "mirror" / "Doors").mkdir()
    (tmp_path / "mirror" / "Doors" / "doors.zip").write_bytes(data.getvalue())
    add(manifest, id="Doors", name="Doors", use="evaluation", scale=2, patterns=r"high: '(door\d)\.png'")
    assert np.array_equal(read_rgb(planned(manifest)["door1"]), picture(40))


def test_a_picture_that_is_calibrated_on_is_refused(manifest, tmp_path, capsys):
    for number in range(2):
        write_image(tmp_path / "mirror" / "Doors" / f"{number}.png", picture(number))
    add(manifest, id="Doors", name="Doors", use="evaluation", scale=2, patterns=r"high: '(\d)\.png'")
    with pytest.raises(AssertionError):
        planned(manifest)
    assert "calibration and evaluation must not share a picture" in capsys.readouterr().err
