"""``adabm upscale``: the model's output in every format, folders, and what is refused."""

import errno
import json
import os
import shutil

import numpy as np
import pytest
import torch
from PIL import Image

from adabm.checkpoints.checkpoint import load_quantized
from adabm.cli.picture import upscale_picture
from adabm.engines.simulated import SimulatedEngine
from adabm.engines.tiles import upscale
from adabm.networks import build_network
from adabm.pictures.orientation import upright
from adabm.pictures.reading import read_raw
from adabm.pictures.writing import write_image
from adabm.quantization.model import QuantizedSR
from adabm.recipes import preset
from helpers.cli_files import SCALE, fails, run, smooth, write_files


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return write_files(tmp_path_factory.mktemp("cli"))


@pytest.fixture
def enlarge(files, tmp_path, capsys):
    """Write a picture, upscale it, and return the result."""

    def call(picture: np.ndarray, source: str = "in.png", target: str = "out.png", *more: str) -> np.ndarray:
        write_image(tmp_path / source, picture)
        assert (
            run(
                "upscale",
                tmp_path / source,
                tmp_path / target,
                "--checkpoint",
                files / "q.safetensors",
                "--overwrite",
                *more,
            )
            == 0
        )
        return read_raw(tmp_path / target)

    return call


def test_upscale_is_the_models_output(files, enlarge):
    picture = smooth(5)
    expected = upscale(load_quantized(files / "q.safetensors"), picture).image
    assert np.array_equal(enlarge(picture), np.clip(np.round(expected), 0, 255))
    assert np.array_equal(enlarge(picture, "in.png", "out.tif", "--tile", "0"), np.clip(np.round(expected), 0, 255))


def test_upscale_tiles_cover_the_picture(enlarge):
    picture = smooth(6, 21, 37)
    whole, tiled = enlarge(picture), enlarge(picture, "in.png", "out.png", "--tile", "8", "--overlap", "12")
    assert whole.shape == tiled.shape == (42, 74, 3)
    assert np.abs(whole.astype(int) - tiled).mean() < 8  # tiles may use other bits


def test_tiles_come_out_as_the_whole_picture(files, tmp_path, capsys):
    write_image(tmp_path / "in.png", smooth(7, 70, 150))

    def enlarged(*more: object) -> tuple[np.ndarray, dict, str]:
        command = ["upscale", tmp_path / "in.png", tmp_path / "o.png", "--checkpoint", files / "q.safetensors"]
        assert run(*command, "--overwrite", "--json", *more) == 0
        out, err = capsys.readouterr()
        return read_raw(tmp_path / "o.png"), json.loads(out)["pictures"][0], err

    whole, told, err = enlarged()
    assert told["overlap"] is None and told["tiles_like_whole"] and "warning" not in err
    tiled, told, err = enlarged("--tile", "75")
    assert np.array_equal(whole, tiled) and told["overlap"] == 8 and told["tiles_like_whole"] and "warning" not in err
    _, told, err = enlarged("--tile", "75", "--overlap", "2")
    assert told["overlap"] == 2 and not told["tiles_like_whole"]
    assert err.count("warning: the network sees 8 pixels far, the tiles have 2 pixels of context") == 1
    assert "102 at most with 4 bits" in err and "--overlap 8 or --tile 0 computes it" in err
    assert not enlarged("--tile", "75", "--bits-per", "tile")[1]["tiles_like_whole"]


@pytest.mark.parametrize(("height", "width"), [(1, 1), (3, 5), (1, 40)])
def test_upscale_tiny_pictures(enlarge, height, width):
    assert enlarge(smooth(0, height, width)).shape == (height * SCALE, width * SCALE, 3)


@pytest.mark.parametrize("scale", [1, 2])
def test_networks_that_unshuffle_take_odd_sizes(scale):
    network = build_network("RRDBNet", num_feat=8, num_block=1, num_grow_ch=4, scale=scale)
    model = QuantizedSR(network, preset("minmax"))
    picture, bits = upscale_picture(SimulatedEngine(model, full_precision=True), smooth(0, 13, 7), 8, 3)
    assert picture.shape == (13 * scale, 7 * scale, 3) and bits == 32


@pytest.mark.parametrize(
    ("source", "target"),
    [("a.png", "b.png"), ("a.jpg", "b.jpeg"), ("a.tiff", "b.tif"), ("a.bmp", "b.bmp"), ("a.webp", "b.webp")],
)
def test_upscale_formats(enlarge, source, target):
    assert enlarge(smooth(1), source, target).shape == (48, 56, 3)


def test_upscale_gray_alpha_and_16_bits(enlarge):
    gray = smooth(2, channels=None)
    assert enlarge(gray).shape == (48, 56)
    colour = smooth(2)
    eight = enlarge(colour)
    deep = enlarge(colour.astype(np.uint16) * 257)
    assert deep.dtype == np.uint16 and np.abs(deep / 257 - eight).max() < 0.51
    assert enlarge(gray.astype(np.uint16) * 257, "in.tif", "out.tif").dtype == np.uint16
    alpha = np.full((24, 28), 255, np.uint8)
    alpha[:, :14] = 0
    clear = enlarge(np.dstack([colour, alpha]))
    assert np.array_equal(clear[..., :3], eight)
    assert (clear[:, :20, 3] == 0).all() and (clear[:, -20:, 3] == 255).all()
    opaque = np.dstack([colour, np.full((24, 28), 255, np.uint8)])
    assert enlarge(opaque, "in.png", "out.bmp").shape == (48, 56, 3)


def test_upscale_applies_exif_orientation(files, tmp_path, enlarge):
    picture = smooth(3)
    expected = enlarge(np.rot90(picture, -1).copy())
    exif = Image.Exif()
    exif[0x0112] = 6
    for name in ("turned.png", "turned.tif", "turned.webp"):
        Image.fromarray(picture).save(tmp_path / name, exif=exif, lossless=True)
        assert (
            run("upscale", tmp_path / name, tmp_path / "t.png", "--checkpoint", files / "q.safetensors", "--overwrite")
            == 0
        )
        assert np.array_equal(read_raw(tmp_path / "t.png"), expected), name
    Image.fromarray(picture).save(tmp_path / "turned.jpg", exif=exif)
    assert (
        run(
            "upscale",
            tmp_path / "turned.jpg",
            tmp_path / "t.png",
            "--checkpoint",
            files / "q.safetensors",
            "--overwrite",
        )
        == 0
    )
    assert read_raw(tmp_path / "t.png").shape == expected.shape


def test_upright_agrees_with_pillow():
    from PIL import ImageOps

    picture = smooth(4, 3, 5)
    for orientation in range(1, 9):
        image = Image.fromarray(picture)
        image.getexif()[0x0112] = orientation
        assert np.array_equal(upright(picture, orientation), np.asarray(ImageOps.exif_transpose(image))), orientation


def test_upscale_folder_goes_on_after_a_bad_file(files, tmp_path, capsys):
    source, target = tmp_path / "in", tmp_path / "out"
    write_image(source / "a.jpg", smooth(0))
    write_image(source / "c.png", smooth(1))
    damaged = (source / "c.png").read_bytes()
    (source / "b.png").write_bytes(damaged[: len(damaged) // 2])
    (source / "notes.txt").write_text("not a picture")
    command = ["upscale", source, target, "--checkpoint", files / "q.safetensors"]
    assert "b.png: not a readable picture" in fails(capsys, *command, status=1)
    assert sorted(p.name for p in target.iterdir()) == ["a.png", "c.png"]
    assert run(*command, "--json", "--overwrite", "--format", "webp") == 1
    report = json.loads(capsys.readouterr().out)
    assert [p["output"] for p in report["pictures"]] == [str(target / "a.webp"), str(target / "c.webp")]
    assert list(report["failures"]) == [str(source / "b.png")]


def test_upscale_goes_on_with_a_folder(files, tmp_path, capsys):
    source, target = tmp_path / "in", tmp_path / "out"
    for index, name in enumerate(("a.png", "b.jpg", "c.png", "d.png", "e.png")):
        write_image(source / name, smooth(index))
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(smooth(4)).save(source / "e.png", exif=exif)  # its output is turned
    command = ["upscale", source, target, "--checkpoint", files / "q.safetensors", "--skip-existing"]
    assert run(*command) == 0
    assert "5 of 5 pictures done\n" in capsys.readouterr().out
    before = {path.name: (path.read_bytes(), path.stat().st_mtime_ns) for path in target.iterdir()}
    (target / "a.png").unlink()
    assert run(*command) == 0
    assert "1 of 5 pictures done, 4 skipped, since they exist\n" in capsys.readouterr().out
    after = {path.name: (path.read_bytes(), path.stat().st_mtime_ns) for path in target.iterdir()}
    assert {name for name in before if after[name] != before[name]} == {"a.png"} and after["a.png"][0] == before[
        "a.png"
    ][0]
    (target / "c.png").write_bytes(before["c.png"][0][:-40])  # not ours: cut off
    write_image(target / "d.png", smooth(0))  # of another size
    assert run(*command, "--json") == 1
    report = json.loads(capsys.readouterr().out)
    assert [entry["output"] for entry in report["skipped"]] == [
        str(target / name) for name in ("a.png", "b.png", "e.png")
    ]
    assert (
        report["pictures"] == []
        and "exists; add --overwrite" in report["failures"][str(source / "c.png")]
        and len(report["failures"]) == 2
    )
    assert run(*command, "--overwrite") == 0
    assert "2 of 5 pictures done, 3 skipped" in capsys.readouterr().out
    assert (target / "c.png").read_bytes() == before["c.png"][0] and (target / "d.png").read_bytes() == before["d.png"][
        0
    ]


def test_upscale_skips_a_single_picture(files, tmp_path, capsys):
    write_image(tmp_path / "a.png", smooth(0))
    command = ["upscale", tmp_path / "a.png", tmp_path / "b.png", "--checkpoint", files / "q.safetensors"]
    assert run(*command) == 0 and run(*command, "--skip-existing") == 0
    assert "0 of 1 pictures done, 1 skipped" in capsys.readouterr().out
    assert "exists; add --overwrite" in fails(capsys, *command)
    own = [
        "upscale",
        tmp_path / "a.png",
        tmp_path / "a.png",
        "--checkpoint",
        files / "q.safetensors",
        "--skip-existing",
    ]
    assert "is an input" in fails(capsys, *own)


def test_paths_that_no_shell_expanded(files, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    write_image(tmp_path / "a.png", smooth(0))
    assert run("upscale", "~/a.png", "~/b.png", f"--checkpoint={files / 'q.safetensors'}") == 0
    assert (tmp_path / "b.png").exists()


def test_upscale_refuses(files, tmp_path, capsys):
    quantized = ["--checkpoint", files / "q.safetensors"]
    picture = tmp_path / "a.png"
    write_image(picture, np.dstack([smooth(0), smooth(1, channels=None)]))
    write_image(tmp_path / "deep.png", smooth(0).astype(np.uint16))
    assert ".jpg cannot hold an alpha channel" in fails(capsys, "upscale", picture, tmp_path / "o.jpg", *quantized)
    assert ".webp cannot hold 16 bits" in fails(
        capsys, "upscale", tmp_path / "deep.png", tmp_path / "o.webp", *quantized
    )
    assert "unknown picture format" in fails(capsys, "upscale", picture, tmp_path / "o.gif", *quantized)
    assert "contradicts --format" in fails(
        capsys, "upscale", picture, tmp_path / "o.png", *quantized, "--format", "jpg"
    )
    assert "is an input" in fails(capsys, "upscale", picture, picture, *quantized, "--overwrite")
    assert "is a folder" in fails(capsys, "upscale", picture, tmp_path, *quantized)
    assert "folder of the inputs" in fails(capsys, "upscale", tmp_path, tmp_path, *quantized)
    assert "no such file or folder" in fails(capsys, "upscale", tmp_path / "x.png", tmp_path / "o.png", *quantized)
    (tmp_path / "text.png").write_text("hello")
    assert "not a readable picture" in fails(capsys, "upscale", tmp_path / "text.png", tmp_path / "o.png", *quantized)
    assert "holds no quantization state; if it is of full-precision weights" in fails(
        capsys, "upscale", picture, tmp_path / "o.png", "--checkpoint", files / "fp.safetensors"
    )
    (tmp_path / "o.png").write_text("precious")
    assert "exists; add --overwrite" in fails(capsys, "upscale", picture, tmp_path / "o.png", *quantized)
    assert (tmp_path / "o.png").read_text() == "precious"
    Image.fromarray(smooth(0)).save(tmp_path / "pages.tif", save_all=True, append_images=[Image.fromarray(smooth(1))])
    assert "holds 2 pictures" in fails(capsys, "upscale", tmp_path / "pages.tif", tmp_path / "p.png", *quantized)
    twice = tmp_path / "twice"
    write_image(twice / "a.png", smooth(0))
    write_image(twice / "a.jpg", smooth(0))
    assert "would both become" in fails(capsys, "upscale", twice, tmp_path / "out", *quantized)
    if not torch.cuda.is_available():
        assert "no usable CUDA device" in fails(
            capsys, "upscale", picture, tmp_path / "p.png", *quantized, "--device", "cuda"
        )


def test_disk_full_is_one_line(files, tmp_path, capsys, monkeypatch):
    def full(*_args):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("os.replace", full)
    message = fails(capsys, "upscale", files / "LR", tmp_path / "out", "--checkpoint", files / "q.safetensors")
    assert "p0.png: No space left on device" in message
    assert list((tmp_path / "out").iterdir()) == []


def test_paths_that_name_nothing_are_refused(files, tmp_path, capsys):
    picture = next((files / "LR").iterdir())
    for parts in (("", tmp_path / "o"), (picture, ""), (picture, "a\0.png")):
        assert run("upscale", *parts, "--checkpoint", files / "q.safetensors") == 2
        assert "the path is empty" in (err := capsys.readouterr().err) or "zero byte" in err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "arguments",
    [
        ("quantize", "--output", "o.safetensors", "--images", ""),
        ("quantize", "--images", ".", "--output", "o.safetensors", "--network", ""),
        ("evaluate", "q.safetensors", "--hr", ""),
        ("evaluate", "q.safetensors", "--hr", "../HR", "--lr", ""),
        ("evaluate", "", "--hr", "../HR"),
        ("upscale", "p0.png", "o.png", "--checkpoint", ""),
        ("export", "q.safetensors", ""),
        ("info", ""),
        ("verify-results", ""),
    ],
)
def test_an_empty_option_is_not_the_working_folder(files, tmp_path, monkeypatch, capsys, arguments):
    shutil.copytree(files / "LR", tmp_path / "LR")
    shutil.copytree(files / "HR", tmp_path / "HR")
    shutil.copy(files / "q.safetensors", tmp_path / "LR")
    monkeypatch.chdir(tmp_path / "LR")
    before = sorted(tmp_path.rglob("*"))
    assert run(*arguments) == 2
    assert "the path is empty" in capsys.readouterr().err
    assert sorted(tmp_path.rglob("*")) == before


def test_a_folder_that_cannot_be_made_is_told_before_any_work(files, tmp_path, capsys, monkeypatch):
    (tmp_path / "link").symlink_to("link")
    words = ["upscale", files / "LR" / "p0.png", tmp_path / "link" / "o.png", "--checkpoint", files / "q.safetensors"]
    monkeypatch.setattr("adabm.cli.picture.upscale_picture", None)
    assert f"cannot be written, because {tmp_path}/link is a link that leads nowhere" in fails(capsys, *words)
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    assert "the working folder is gone; change to another one" in fails(capsys, *words[:2], "o.png", *words[3:])
