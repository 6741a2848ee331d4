"""The command line, run in this process on a tiny network and tiny pictures."""

import csv
import errno
import json
import os
import subprocess
import sys

import cv2
import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from adabm.checkpoint import load_quantized
from adabm.cli import main
from adabm.cli.picture import upscale_picture
from adabm.config import PRESETS, preset
from adabm.images import read_raw, write_image
from adabm.model import QuantizedSR
from adabm.networks import build_network
from adabm.orientation import upright
from adabm.tiling import upscale

SCALE = 2
TINY = ["--patch-size", "16", "--rounds", "3", "--steps-per-round", "2", "--set", "fine_tuning.batch_size=1"]


def smooth(seed: int, height: int = 24, width: int = 28, channels: int | None = 3) -> np.ndarray:
    """Smooth noise, uint8."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (5, 6, channels or 1)).astype(np.uint8)
    image = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    return image.reshape((height, width) if channels is None else (height, width, channels))


def save_network(path, options: dict, spoil: bool = False) -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = build_network("EDSR", **options)
    if spoil:
        network.conv_last.weight.data[0, 0, 0, 0] = float("nan")
    save_file(network.state_dict(), path, {"network": "EDSR", "options": json.dumps(options)})


OPTIONS = dict(num_in_ch=3, num_out_ch=3, num_feat=8, num_block=2, upscale=SCALE, img_range=255.0)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A folder with a network, LR pictures, HR pictures and a quantized checkpoint."""
    root = tmp_path_factory.mktemp("cli")
    save_network(root / "fp.safetensors", OPTIONS)
    for index in range(3):
        high = smooth(index, 48, 56)
        write_image(root / "HR" / f"p{index}.png", high)
        write_image(root / "LR" / f"p{index}.png", cv2.resize(high, (28, 24), interpolation=cv2.INTER_AREA))
    assert quantize(root, root / "q.safetensors") == 0
    return root


def quantize(root, output, *more: str) -> int:
    command = [
        "quantize", "--images", root / "LR", "--network", root / "fp.safetensors", "--output", output, *TINY, *more
    ]
    return main([str(part) for part in command])


def run(*parts: object) -> int:
    return main([str(part) for part in parts])


def fails(capsys, *parts: object, status: int = 2) -> str:
    """Run a command that must fail; return its only line on standard error."""
    capsys.readouterr()
    assert run(*parts) == status
    err = capsys.readouterr().err
    lines = [line for line in err.splitlines() if line]
    assert len(lines) == 1 and "Traceback" not in err, err
    assert lines[0].startswith("adabm: error: ")
    return lines[0]


# --- the whole ---------------------------------------------------------------------------------


def test_help_is_fast_and_module_runs():
    code = "import sys; from adabm.cli import main; s = main(['quantize', '--help']); print('torch' in sys.modules, s, file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stderr.strip() == "False 0"
    assert "--set NAME=VALUE" in done.stdout
    done = subprocess.run([sys.executable, "-m", "adabm", "--version"], capture_output=True, text=True)
    assert done.stdout.startswith("adabm ") and done.returncode == 0


@pytest.mark.parametrize("argv", [[], ["quantise"], ["info"], ["info", "x", "--js"], ["upscale", "a", "b", "--checkpoint", "c", "--tile", "5"]])
def test_usage_errors(argv, capsys):
    assert main(argv) == 2
    assert "error:" in capsys.readouterr().err


def test_presets(capsys):
    assert main(["presets"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[2:]] == list(PRESETS)
    assert all(len(line.split()) > 3 for line in lines[2:])
    assert main(["presets", "--json"]) == 0
    assert list(json.loads(capsys.readouterr().out)) == list(PRESETS)


def test_interrupt_and_broken_pipe_and_defect(files, monkeypatch, capsys):
    def raising(error):
        def load(*_args):
            raise error

        return load

    monkeypatch.setattr("adabm.checkpoint.load_quantized", raising(KeyboardInterrupt()))
    assert run("info", files / "q.safetensors") == 130
    monkeypatch.setattr("adabm.checkpoint.load_quantized", raising(BrokenPipeError()))
    assert run("info", files / "q.safetensors") == 141
    monkeypatch.setattr("adabm.checkpoint.load_quantized", raising(RuntimeError("odd")))
    assert "unexpected RuntimeError: odd" in fails(capsys, "info", files / "q.safetensors")
    assert run("info", files / "q.safetensors", "--debug") == 2
    assert "Traceback" in capsys.readouterr().err
    monkeypatch.setattr("adabm.checkpoint.load_quantized", raising(torch.OutOfMemoryError("CUDA out of memory")))
    assert "out of memory" in fails(capsys, "info", files / "q.safetensors")


def test_closed_pipe(files):
    """The reader has gone before the first line."""
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run([sys.executable, "-m", "adabm", "presets"], stdout=write, stderr=subprocess.PIPE, text=True)
    os.close(write)
    assert done.stderr == "" and done.returncode == 141


# --- quantize ----------------------------------------------------------------------------------


def test_quantize_is_reproducible_and_reports(files, tmp_path, capsys):
    assert quantize(files, tmp_path / "again.safetensors") == 0
    shown = capsys.readouterr()
    assert "EDSR: x2" in shown.out and "thresholds:" in shown.out and "mapping" in shown.out and "theoretical size" in shown.out
    assert (tmp_path / "again.safetensors").read_bytes() == (files / "q.safetensors").read_bytes()
    assert quantize(files, tmp_path / "other.safetensors", "--seed", "1", "--quiet") == 0
    assert capsys.readouterr().out == ""
    assert (tmp_path / "other.safetensors").read_bytes() != (files / "q.safetensors").read_bytes()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["again.safetensors", "other.safetensors"]


def test_quantize_json_and_settings(files, tmp_path, capsys):
    more = ["--json", "--preset", "omse", "--weight-bits", "6", "--activation-bits", "5", "--body-only", "--set", "ema=0.5", "--patches", "7"]
    command = ["quantize", "--images", files / "HR", "--hr", "--network", files / "fp.safetensors", "--output", tmp_path / "q.safetensors"]
    assert run(*command, "--patch-size", "16", "--threads", "1", *more) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["config"]["weight_bits"] == 6 and report["config"]["ema"] == 0.5 and not report["config"]["fully_quantized"]
    assert report["feature_average_bits"] == 5 and report["patches"] == 7 and report["fine_tuning"] == []
    assert report["preset"] == "omse (changed)"
    assert load_quantized(tmp_path / "q.safetensors").config.activation_observer == "omse"


def test_reported_bits_are_the_models(files):
    from adabm.cli.bits import feature_average_bits

    model = load_quantized(files / "q.safetensors")
    images = torch.stack([torch.from_numpy(smooth(s)).permute(2, 0, 1).float() / 255 for s in range(6)])
    expected = model.infer(images).feature_average_bits
    assert feature_average_bits(model, model.complexity(images)) == pytest.approx(expected.tolist(), abs=1e-5)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--preset", "adabn"], "unknown preset 'adabn'"),
        (["--set", "emma=0.5"], "did you mean 'ema'"),
        (["--set", "fine_tuning.lr_wait=1"], "did you mean 'lr_weight'"),
        (["--set", "ema"], "expected name=value"),
        (["--set", "ema=much"], "must be a number"),
        (["--set", "fixed_bits=8.5"], "must be a whole number"),
        (["--set", "clipping=maybe"], "must be true or false"),
        (["--set", "ema=2"], "ema = 2.0"),
        (["--set", "weight_bits=3", "--weight-bits", "3"], "set twice"),
        (["--set", "fine_tuning=some"], "only none"),
        (["--preset", "minmax"], "does not fine-tune"),
        (["--weight-bits", "20"], "weight_bits = 20"),
        (["--patch-size", "500"], "p0.png: 28x24"),
        (["--images", "nowhere"], "nowhere is not a folder"),
        (["--network", "nowhere.safetensors"], "no such file"),
        (["--output", "q.pt"], "must end in .safetensors"),
    ],
)
def test_quantize_refuses(files, tmp_path, capsys, more, message):
    command = ["quantize", "--images", files / "LR", "--network", files / "fp.safetensors", "--output", tmp_path / "q.safetensors"]
    assert message in fails(capsys, *command, *TINY, *more)
    assert list(tmp_path.iterdir()) == []


def test_quantize_refuses_bad_files(files, tmp_path, capsys):
    command = ["quantize", "--images", files / "LR", "--output", tmp_path / "q.safetensors", *TINY, "--network"]
    save_network(tmp_path / "nan.safetensors", OPTIONS, spoil=True)
    assert "conv_last.weight holds NaN" in fails(capsys, *command, tmp_path / "nan.safetensors")
    assert "is quantized already" in fails(capsys, *command, files / "q.safetensors")
    (tmp_path / "text.safetensors").write_text("not a network")
    assert "not a readable safetensors" in fails(capsys, *command, tmp_path / "text.safetensors")
    save_file({"a": torch.zeros(1)}, tmp_path / "bare.safetensors")
    assert "its metadata lacks network" in fails(capsys, *command, tmp_path / "bare.safetensors")
    images = tmp_path / "images"
    images.mkdir()
    assert "holds no picture" in fails(capsys, *command, files / "fp.safetensors", "--images", images)
    (images / "a.png").write_text("hello")
    assert "a.png: not a readable picture" in fails(capsys, *command, files / "fp.safetensors", "--images", images)


def test_existing_outputs_are_kept(files, tmp_path, capsys):
    output = tmp_path / "q.safetensors"
    output.write_text("precious")
    command = ["quantize", "--images", files / "LR", *TINY, "--quiet"]
    assert "exists; add --overwrite" in fails(capsys, *command, "--network", files / "fp.safetensors", "--output", output)
    assert output.read_text() == "precious"
    network = tmp_path / "fp.safetensors"
    network.write_bytes((files / "fp.safetensors").read_bytes())
    assert "is an input" in fails(capsys, *command, "--network", network, "--output", network, "--overwrite")
    assert run(*command, "--network", network, "--output", output, "--overwrite") == 0
    assert output.read_bytes() == (files / "q.safetensors").read_bytes()


def test_disk_full_is_one_line(files, tmp_path, capsys, monkeypatch):
    def full(*_args):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("os.replace", full)
    message = fails(capsys, "upscale", files / "LR", tmp_path / "out", "--checkpoint", files / "q.safetensors")
    assert "p0.png: No space left on device" in message
    assert list((tmp_path / "out").iterdir()) == []


# --- evaluate ----------------------------------------------------------------------------------


def test_evaluate_table_json_and_csv(files, tmp_path, capsys):
    command = [
        "evaluate", files / "fp.safetensors", files / "q.safetensors", "--hr", files / "HR", "--lr", files / "LR"
    ]
    assert run(*command, "--csv", tmp_path / "r.csv") == 0
    out = capsys.readouterr().out
    assert "FP32" in out and "W4A4 FQ" in out and out.count("theoretical BitOPs") == 2 and "simulated bits" in out
    rows = list(csv.DictReader((tmp_path / "r.csv").open()))
    assert [row["picture"] for row in rows] == ["p0", "p1", "p2", "mean"] * 2
    assert rows[3]["fab"] == "32.0" and 2 <= float(rows[7]["fab"]) <= 6
    assert float(rows[3]["theoretical_relative_bitops"]) == 1 and float(rows[7]["theoretical_relative_bitops"]) < 0.2
    assert "exists; add --overwrite" in fails(capsys, *command, "--csv", tmp_path / "r.csv")
    assert run(*command, "--json", "--tile", "16") == 0
    report = json.loads(capsys.readouterr().out)
    assert report["failures"] == {} and report["results"][1]["tile"] == 16
    assert report["results"][0]["mean"]["psnr_y_db"] == pytest.approx(float(rows[3]["psnr_y_db"]), abs=1)


def test_evaluate_pairs_by_name(files, tmp_path, capsys):
    high, low = read_raw(files / "HR" / "p0.png"), read_raw(files / "LR" / "p0.png")
    both = tmp_path / "both"
    write_image(both / "img_001_SRF_2_HR.png", high)
    write_image(both / "img_001_SRF_2_LR.png", low)
    write_image(both / "img_001_SRF_4_HR.png", high)
    write_image(tmp_path / "h" / "max2.png", np.pad(high, ((0, 1), (0, 1), (0, 0))))
    write_image(tmp_path / "l" / "max2X2.png", low)
    write_image(tmp_path / "l" / "other_x2.png", low)
    values = []
    for folders in ((both, both), (tmp_path / "h", tmp_path / "l")):
        assert run("evaluate", files / "q.safetensors", "--hr", folders[0], "--lr", folders[1], "--json") == 0
        (row,) = json.loads(capsys.readouterr().out)["results"][0]["pictures"]
        values.append(row["psnr_y_db"])
    assert values[0] == values[1]
    assert run("evaluate", files / "q.safetensors", "--hr", both, "--json") == 0
    assert len(json.loads(capsys.readouterr().out)["results"][0]["pictures"]) == 1


def test_evaluate_refuses(files, tmp_path, capsys):
    command = ["evaluate", files / "q.safetensors", "--hr", files / "HR"]
    write_image(tmp_path / "lr" / "p0.png", smooth(0))
    assert "no x2 low-resolution picture for p1.png, p2.png" in fails(capsys, *command, "--lr", tmp_path / "lr")
    for index in range(3):
        write_image(tmp_path / "wrong" / f"p{index}.png", smooth(index, 12, 14))
    assert "p0.png: 14x12 pixels; a x2 input of p0.png (56x48, cropped) has 28x24" in fails(capsys, *command, "--lr", tmp_path / "wrong")
    assert "is a x2 network, not x4" in fails(capsys, *command, "--scale", "4")
    write_image(tmp_path / "small" / "p.png", smooth(0, 12, 12))
    assert "p: a picture of 12x12 pixels is too small" in fails(capsys, "evaluate", files / "q.safetensors", "--hr", tmp_path / "small")
    data = (files / "q.safetensors").read_bytes()
    (tmp_path / "cut.safetensors").write_bytes(data[:-100])
    assert "cut.safetensors: not a readable" in fails(capsys, "evaluate", tmp_path / "cut.safetensors", "--hr", files / "HR")
    message = fails(capsys, "evaluate", tmp_path / "cut.safetensors", files / "q.safetensors", "--hr", files / "HR", status=1)
    assert "cut.safetensors" in message
    assert run("evaluate", tmp_path / "cut.safetensors", "x.safetensors", "--hr", files / "HR") == 2


# --- upscale -----------------------------------------------------------------------------------


@pytest.fixture
def enlarge(files, tmp_path, capsys):
    """Write a picture, upscale it, and return the result."""

    def call(picture: np.ndarray, source: str = "in.png", target: str = "out.png", *more: str) -> np.ndarray:
        write_image(tmp_path / source, picture)
        assert run("upscale", tmp_path / source, tmp_path / target, "--checkpoint", files / "q.safetensors", "--overwrite", *more) == 0
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


@pytest.mark.parametrize(("height", "width"), [(1, 1), (3, 5), (1, 40)])
def test_upscale_tiny_pictures(enlarge, height, width):
    assert enlarge(smooth(0, height, width)).shape == (height * SCALE, width * SCALE, 3)


@pytest.mark.parametrize("scale", [1, 2])
def test_networks_that_unshuffle_take_odd_sizes(scale):
    network = build_network("RRDBNet", num_feat=8, num_block=1, num_grow_ch=4, scale=scale)
    model = QuantizedSR(network, preset("minmax"))
    with model.full_precision():
        picture, bits = upscale_picture(model, smooth(0, 13, 7), 8, 3)
    assert picture.shape == (13 * scale, 7 * scale, 3) and bits == 32


@pytest.mark.parametrize(("source", "target"), [("a.png", "b.png"), ("a.jpg", "b.jpeg"), ("a.tiff", "b.tif"), ("a.bmp", "b.bmp"), ("a.webp", "b.webp")])
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
        assert run("upscale", tmp_path / name, tmp_path / "t.png", "--checkpoint", files / "q.safetensors", "--overwrite") == 0
        assert np.array_equal(read_raw(tmp_path / "t.png"), expected), name
    Image.fromarray(picture).save(tmp_path / "turned.jpg", exif=exif)
    assert run("upscale", tmp_path / "turned.jpg", tmp_path / "t.png", "--checkpoint", files / "q.safetensors", "--overwrite") == 0
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


def test_upscale_refuses(files, tmp_path, capsys):
    quantized = ["--checkpoint", files / "q.safetensors"]
    picture = tmp_path / "a.png"
    write_image(picture, np.dstack([smooth(0), smooth(1, channels=None)]))
    write_image(tmp_path / "deep.png", smooth(0).astype(np.uint16))
    assert ".jpg cannot hold an alpha channel" in fails(capsys, "upscale", picture, tmp_path / "o.jpg", *quantized)
    assert ".webp cannot hold 16 bits" in fails(capsys, "upscale", tmp_path / "deep.png", tmp_path / "o.webp", *quantized)
    assert "unknown picture format" in fails(capsys, "upscale", picture, tmp_path / "o.gif", *quantized)
    assert "contradicts --format" in fails(capsys, "upscale", picture, tmp_path / "o.png", *quantized, "--format", "jpg")
    assert "is an input" in fails(capsys, "upscale", picture, picture, *quantized, "--overwrite")
    assert "is a folder" in fails(capsys, "upscale", picture, tmp_path, *quantized)
    assert "folder of the inputs" in fails(capsys, "upscale", tmp_path, tmp_path, *quantized)
    assert "no such file or folder" in fails(capsys, "upscale", tmp_path / "x.png", tmp_path / "o.png", *quantized)
    (tmp_path / "text.png").write_text("hello")
    assert "not a readable picture" in fails(capsys, "upscale", tmp_path / "text.png", tmp_path / "o.png", *quantized)
    assert "looks like full-precision weights" in fails(capsys, "upscale", picture, tmp_path / "o.png", "--checkpoint", files / "fp.safetensors")
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
        assert "no usable CUDA device" in fails(capsys, "upscale", picture, tmp_path / "p.png", *quantized, "--device", "cuda")


# --- info --------------------------------------------------------------------------------------


def test_info(files, capsys):
    assert run("info", files / "q.safetensors") == 0
    out = capsys.readouterr().out
    assert "W4A4 FQ; preset adabm (changed), seed 0" in out and "body.0.conv1" in out and "fine_tuning.rounds = 3" in out
    assert run("info", files / "q.safetensors", "--json") == 0
    report = json.loads(capsys.readouterr().out)
    layers = {layer["name"]: layer for layer in report["layers"]}
    body = layers["body.0.conv1"]
    assert body["policy"] == "adaptive" and body["activation_bits"] == 4 and body["lower"] < body["upper"]
    assert body["activation_bits_over_images"] == [3 + body["layer_factor"], 5 + body["layer_factor"]]
    assert layers["conv_first"]["activation_bits_over_images"] == [8, 8]
    assert report["complexity_thresholds"]["lower"] < report["complexity_thresholds"]["upper"]
    assert run("info", files / "fp.safetensors", "--json") == 0
    plain = json.loads(capsys.readouterr().out)
    assert plain["kind"] == "full precision" and plain["network"]["sha256"] == report["network"]["sha256"]
    assert run("info", files / "fp.safetensors") == 0
    assert "not quantized" in capsys.readouterr().out


def test_info_refuses(files, tmp_path, capsys):
    assert "no such file" in fails(capsys, "info", tmp_path / "x.safetensors")
    save_file({"a": torch.zeros(1)}, tmp_path / "odd.safetensors", {"adabm": "{not json"})
    assert "metadata is damaged" in fails(capsys, "info", tmp_path / "odd.safetensors")
    save_file({"a": torch.zeros(1)}, tmp_path / "odd.safetensors", {"adabm": "[]"})
    assert "is not 'adabm-quantized-1'" in fails(capsys, "info", tmp_path / "odd.safetensors")
