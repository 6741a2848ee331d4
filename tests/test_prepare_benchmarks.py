"""Preparing benchmark sets from downloads: small made-up pictures, and the real ones where they are at hand."""

import json
import os
from pathlib import Path

import numpy as np
import pytest

from adabm.pictures.reading import read_rgb
from adabm.pictures.resize import downscale
from helpers.downloads import CONTENT, PHOTOGRAPHS, picture, png, write_downloads, write_test_manifest
from pipelines.downloads.fetch import fetch
from pipelines.downloads.sources import read_sources
from pipelines.prepare.benchmarks import main, select
from pipelines.prepare.replaced import MARKER, replaced_folder

MIRROR = os.environ.get("ADABM_MIRROR")


@pytest.fixture
def prepare(tmp_path):
    """Write the given content as downloads and prepare it; return the exit status."""

    def prepare(*arguments: str, content: dict = CONTENT, scale: int = 4, count: int = 3) -> int:
        manifest = write_test_manifest(tmp_path / "manifest", content)
        write_downloads(tmp_path / "downloads", content)
        return main(
            [
                "--scale",
                str(scale),
                "--manifest",
                str(manifest),
                "--downloads",
                str(tmp_path / "downloads"),
                "--output",
                str(tmp_path / "out"),
                "--calibration-pictures",
                str(count),
                *arguments,
            ]
        )

    return prepare


def listing(folder: Path) -> list[str]:
    """What is in a prepared folder beside its marker."""
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file() and p.name != MARKER)


def test_layout(prepare, tmp_path, capsys):
    assert prepare("--sets", "Set5", "Urban100", "CLIC2025") == 0
    assert "x4, Set5 2, Urban100 2, CLIC2025 2, calibration 3" in capsys.readouterr().out
    chosen = select(PHOTOGRAPHS, 3, seed=0)
    assert listing(tmp_path / "out") == sorted(
        [f"{name}/{kind}/img_00{i}.png" for name in ("Set5", "Urban100") for kind in ("HR", "LR") for i in (1, 2)]
        + [f"CLIC2025/{kind}/{str(i) * 8}.png" for kind in ("HR", "LR") for i in (1, 2)]
        + [f"calibration/LR/{name}" for name in chosen]
        + ["contents.json"]
    )
    record = json.loads((tmp_path / "out" / "contents.json").read_text())
    assert record["scale"] == 4 and record["pictures"]["Set5"]["img_001"] == "Set5_x4/img_001_SRF_4_HR.png"
    assert list(record["pictures"]["calibration"].values()) == [f"CID22_training/{name}" for name in chosen]


def test_published_pairs_are_copied_byte_by_byte(prepare, tmp_path):
    assert prepare("--sets", "Set5") == 0
    for kind in ("HR", "LR"):
        published = CONTENT["Set5_x4"][f"img_002_SRF_4_{kind}.png"]
        assert (tmp_path / "out" / "Set5" / kind / "img_002.png").read_bytes() == published


def test_photographs_are_cropped_and_downscaled(prepare, tmp_path):
    assert prepare("--sets", "CLIC2025") == 0
    high, low = (read_rgb(tmp_path / "out" / "CLIC2025" / kind / "11111111.png") for kind in ("HR", "LR"))
    assert np.array_equal(high, picture(301, 34, 27)[:32, :24]) and np.array_equal(low, downscale(high, 4))


def test_buildings_at_x2_come_from_the_x4_ground_truth(prepare, tmp_path):
    assert prepare("--sets", "Set5", "Urban100", scale=2) == 0
    high, low = (read_rgb(tmp_path / "out" / "Urban100" / kind / "img_001.png") for kind in ("HR", "LR"))
    assert np.array_equal(high, picture(201)) and np.array_equal(low, downscale(high, 2))


def test_calibration_pictures_are_low_resolution_photographs(prepare, tmp_path):
    assert prepare("--sets", "Set5", count=7) == 0
    assert listing(tmp_path / "out" / "calibration") == sorted(f"LR/{name}" for name in PHOTOGRAPHS)
    low = read_rgb(tmp_path / "out" / "calibration" / "LR" / "12.png")
    assert np.array_equal(low, downscale(picture(402), 4))


def test_calibration_from_an_archive(prepare, tmp_path):
    assert prepare("--sets", "Set5", "--calibration", "DIV2K") == 0
    files = listing(tmp_path / "out" / "calibration")
    assert len(files) == 3 and all(name.endswith("x4.png") for name in files)
    number = int(files[0][3:7])
    assert np.array_equal(read_rgb(tmp_path / "out" / "calibration" / files[0]), picture(500 + number, 12, 10))


def test_selection_is_fixed_and_grows():
    names = [f"{i:04}.png" for i in range(1, 801)]
    assert select(names, 3, seed=0) == select(names[::-1], 3, seed=0) == ["0370.png", "0762.png", "0776.png"]
    assert set(select(names, 100, seed=0)) < set(select(names, 101, seed=0))
    assert select(names, 100, seed=0) != select(names, 100, seed=1)


def test_shared_pictures_are_refused(prepare, tmp_path, capsys):
    leaked = {**CONTENT, "CID22_training": {"10.png": png(picture(101)), "11.png": png(picture(9))}}
    assert prepare("--sets", "Set5", content=leaked, count=2) == 1
    assert "calibration/10 (CID22_training/10.png) is also Set5/img_001: calibration" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_too_many_calibration_pictures(prepare, capsys):
    assert prepare("--sets", "Set5", count=8) == 1
    assert "8 calibration pictures were asked for; there are 7" in capsys.readouterr().err


def test_missing_and_damaged_downloads(prepare, tmp_path, capsys):
    assert prepare("--sets", "Set5") == 0
    before = listing(tmp_path / "out")
    missing = tmp_path / "downloads" / "Set5_x4" / "img_001_SRF_4_LR.png"
    arguments = [
        "--scale",
        "4",
        "--sets",
        "Set5",
        "--manifest",
        str(tmp_path / "manifest" / "sources.yaml"),
        "--downloads",
        str(tmp_path / "downloads"),
        "--output",
        str(tmp_path / "out"),
    ]
    for fault in ("missing", "sha256 "):
        missing.unlink() if fault == "missing" else missing.write_bytes(bytes(len(CONTENT["Set5_x4"][missing.name])))
        assert main(arguments) == 1
        message = capsys.readouterr().err
        assert f"{missing}: {fault}" in message
        assert (
            f"run `python -m pipelines.downloads.fetch Set5_x4 CID22_training --downloads {tmp_path}/downloads`"
            in message
        )
    assert listing(tmp_path / "out") == before


def test_a_folder_of_an_earlier_version_is_replaced_and_no_other(prepare, tmp_path, capsys):
    """Before there was a marker: its contents.json named all of its files."""
    out = tmp_path / "out"
    assert prepare("--sets", "Set5") == 0
    (out / MARKER).unlink()
    assert prepare("--sets", "Set5", count=2) == 0 and (out / MARKER).is_file()
    for mine, text in (
        ("Set5/HR/mine.png", "mine"),
        ("contents.json", "[]"),
        ("contents.json", '{"pictures": {"a": 3}}'),
    ):
        before = (out / mine).read_text() if (out / mine).exists() else None
        (out / MARKER).unlink()
        (out / mine).write_text(text)
        assert prepare("--sets", "Set5") == 1
        assert f"prepare_benchmarks: {out}: holds files, and none called {MARKER}" in capsys.readouterr().err
        assert (out / mine).read_text() == text
        (out / mine).unlink() if before is None else (out / mine).write_text(before)
        (out / MARKER).touch()


def test_unknown_sets_and_scales_are_told_in_one_line(prepare, capsys):
    for arguments, message in (
        (["--sets", "Set15"], "unknown evaluation set 'Set15'; did you mean 'Set5'?"),
        (["--sets", "CID22"], "CID22 is a set for calibration, not for evaluation"),
        (["--sets", "Set5", "--calibration", "CID2"], "unknown calibration set 'CID2'; did you mean 'CID22'?"),
    ):
        assert prepare(*arguments) == 1
        assert capsys.readouterr().err == f"prepare_benchmarks: {message}\n"
    assert prepare("--sets", "Set5", scale=3) == 1
    assert capsys.readouterr().err == "prepare_benchmarks: Set5 is not there at scale 3, but at 2, 4\n"


def test_by_default_all_sets_of_the_manifest(prepare, tmp_path):
    assert prepare() == 0
    assert {path.name for path in (tmp_path / "out").iterdir() if path.is_dir()} == {
        *("Set5", "Urban100", "CLIC2025", "calibration")
    }


def test_a_set_with_low_resolution_pictures_of_some_alone(prepare, capsys):
    some = {name: data for name, data in CONTENT["Set5_x4"].items() if name != "img_002_SRF_4_LR.png"}
    assert prepare("--sets", "Set5", content={**CONTENT, "Set5_x4": some}) == 1
    assert "Set5_x4: holds no low-resolution picture of img_002 at scale 4" in capsys.readouterr().err
    more = CONTENT["Set5_x4"] | {f"img_00{i}_SRF_4_LR.png": png(picture(i, 8, 6)) for i in (3, 4)}
    assert prepare("--sets", "Set5", content={**CONTENT, "Set5_x4": more}) == 1
    assert "Set5_x4: holds no ground truth of img_003, img_004 at scale 4" in capsys.readouterr().err


def test_every_real_file_counts_as_what_it_is():
    """By the patterns of the manifest: pairs are complete, photographs are chosen."""
    sources = read_sources()
    counts = {}
    for source in sources.values():
        for scale in source.pictures.scales if source.pictures else ():
            names = [file.name for file in source.files]
            high = {source.pictures.high_name(name, scale) for name in names} - {None}
            low = {source.pictures.low_name(name, scale) for name in names} - {None}
            assert not low or low == high
            counts[source.pictures.name, scale] = (len(high), len(low))
    archives = {("DIV2K", 2): (0, 0), ("DIV2K", 4): (0, 0)}  # their members are not listed
    pairs = {("Set5", 2): 5, ("Set5", 4): 5, ("Set14", 2): 14, ("Set14", 4): 14, ("BSD100", 2): 100, ("BSD100", 4): 100}
    made = {("Urban100", 2): 100, ("CLIC2025", 2): 15, ("CLIC2025", 4): 15, ("CID22", 2): 183, ("CID22", 4): 183}
    expected = {key: (count, count) for key, count in pairs.items()} | {key: (count, 0) for key, count in made.items()}
    assert counts == expected | archives | {("Urban100", 4): (100, 100)}


def test_replaced_as_a_whole(prepare, tmp_path):
    for folder, left in (("out", "old"), ("out.partial", "left over")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / left).touch()
        (tmp_path / folder / MARKER).touch()
    assert prepare("--sets", "Set5") == 0
    assert "old" not in listing(tmp_path / "out") and "left over" not in listing(tmp_path / "out")
    assert not (tmp_path / "out.partial").exists()


@pytest.mark.parametrize("earlier", [True, False])
@pytest.mark.parametrize("place", ["in the block", "rename", "unlink"])
def test_an_interruption_leaves_the_old_folder_or_the_new(tmp_path, monkeypatch, place, earlier):
    out, taken = tmp_path / "out", []
    if earlier:
        with replaced_folder(out) as folder:
            (folder / "old").touch()

    with pytest.raises(KeyboardInterrupt), monkeypatch.context() as patch:
        with replaced_folder(out) as folder:
            (folder / "new").touch()
            if place == "in the block":
                raise KeyboardInterrupt
            original = getattr(Path, place)
            patch.setattr(Path, place, lambda path, *more: interrupting(original, taken, path, *more))
        if place == "unlink" and not earlier:
            raise KeyboardInterrupt  # there was nothing to delete
    assert [path.name for path in tmp_path.iterdir()] == (["out"] if earlier or place != "in the block" else [])
    if out.exists():
        assert listing(out) == (["old"] if place == "in the block" else ["new"])


def interrupting(method, taken: list, path: Path, *more):
    """Do what a method does, and be interrupted the first time."""
    method(path, *more)
    if not taken:
        taken.append(path)
        raise KeyboardInterrupt
    return path


def test_a_pair_of_wrong_size(prepare, capsys):
    wrong = {**CONTENT["Set5_x4"], "img_001_SRF_4_LR.png": png(picture(1, 9, 6))}
    assert prepare("--sets", "Set5", content={**CONTENT, "Set5_x4": wrong}) == 1
    assert "24x32 pixels are not 4 times 6x9" in capsys.readouterr().err


@pytest.mark.paper
@pytest.mark.skipif(not MIRROR, reason="ADABM_MIRROR names no folder with the published files")
def test_the_published_files(tmp_path):
    """Set5 and 100 calibration pictures, from the mirror to the prepared folder."""
    fetch(["Set5_x4", "CID22_training"], tmp_path / "downloads", offline=True)
    folders = ["--downloads", str(tmp_path / "downloads"), "--output", str(tmp_path / "x4")]
    assert main(["--scale", "4", "--sets", "Set5", *folders]) == 0
    assert len(listing(tmp_path / "x4" / "calibration" / "LR")) == 100
    for low in sorted((tmp_path / "x4" / "Set5" / "LR").iterdir()):
        assert np.array_equal(downscale(read_rgb(tmp_path / "x4" / "Set5" / "HR" / low.name), 4), read_rgb(low))
    assert len(read_sources()["CID22_training"].files) == 209
