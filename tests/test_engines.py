"""Engines: the simulated one, and one that a user's file adds without touching the package."""

import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import adabm
from adabm.engines import ENGINES, EngineOutput, engine, open_engine
from adabm.engines.simulated import SimulatedEngine
from adabm.errors import CheckpointError, ConfigError, EngineError
from adabm.networks.placing import placed
from adabm.pictures.folders import read_pictures
from adabm.pictures.reading import read_raw
from helpers.cli_files import SCALE, fails, run, smooth, write_files

# Repeats each pixel; says that it took 5 bits, or 6 in the second of two engines.
NEAREST = '''
"""Nearest-neighbour enlargement."""
import numpy as np
import adabm
from adabm.engines import EngineOutput, engine


class Nearest:
    channels, size_multiple = 3, {multiple}

    def __init__(self, name, scale, bits):
        self.name, self.scale, self.bits = name, scale, bits

    def upscale(self, pictures):
        assert not any(side % self.size_multiple for side in pictures.shape[1:3])
        images = pictures.astype(np.float32).repeat(self.scale, 1).repeat(self.scale, 2)
        bits = np.full(len(pictures), self.bits)
        return EngineOutput(images, bits, {{"all": bits}})


@engine("{name}", description="repeats pixels")
def open_nearest(model, device):
    model = model if isinstance(model, adabm.QuantizedSR) else adabm.load_quantized(model)
    return Nearest("{name}", model.descriptor.scale, 5.0)
'''
SECOND = """

@engine("{name}-six", description="repeats pixels, of more bits")
def open_six(model, device):
    engine = open_nearest(model, device)
    engine.name, engine.bits = "{name}-six", 6.0
    return engine
"""


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return write_files(tmp_path_factory.mktemp("cli"))


@pytest.fixture(autouse=True)
def forget_added_engines():
    before = dict(ENGINES)
    yield
    ENGINES.clear()
    ENGINES.update(before)


@pytest.fixture
def nearest(tmp_path) -> Path:
    path = tmp_path / "nearest.py"
    path.write_text(NEAREST.format(name="nearest", multiple=1))
    return path


def repeated(picture: np.ndarray) -> np.ndarray:
    return picture.repeat(SCALE, 0).repeat(SCALE, 1)


# -- an engine from outside the package --------------------------------------------------------------


def test_a_users_engine_in_python(files, nearest):
    opened = open_engine(nearest, files / "q.safetensors")
    pictures = read_pictures(files / "HR", files / "LR", SCALE)
    evaluation = adabm.evaluate(opened, pictures, tile=8)
    expected = [adabm.engines.metrics.psnr_y(repeated(p.low), p.high, SCALE) for p in pictures]
    assert evaluation.pictures["psnr_y_db"].tolist() == expected
    assert evaluation.pictures["fab"].tolist() == [5.0] * 3 and evaluation.layer_bits == {"all": 5.0}
    result = adabm.upscale(opened, pictures[0].low, 8, 4)
    assert np.array_equal(result.image, repeated(pictures[0].low)) and result.image.dtype == np.float32
    model = adabm.load_quantized(files / "q.safetensors")
    assert open_engine(str(nearest), model).scale == SCALE  # a model in memory, too


class Repeating:
    """An engine of pixels repeated, which then overwrites its argument."""

    name, scale, channels, size_multiple = "repeating", SCALE, 3, 1

    def __init__(self, **told: object) -> None:
        self.told = told

    def upscale(self, pictures: np.ndarray) -> EngineOutput:
        images = np.stack([repeated(picture) for picture in pictures]).astype(np.float32)
        pictures[:] = 0
        output = EngineOutput(images, np.full(len(pictures), 5.0), {"all": np.full(len(pictures), 5.0)})
        return replace(output, **self.told)


def test_an_engine_may_overwrite_its_argument(files):
    pictures = read_pictures(files / "HR", files / "LR", SCALE)
    low, expected = pictures[0].low.copy(), repeated(pictures[0].low)
    for tile, overlap in ((None, 0), (8, 4)):  # tiles share the pixels around them
        assert np.array_equal(adabm.upscale(Repeating(), pictures[0].low, tile, overlap).image, expected)
    first = adabm.evaluate(Repeating(), pictures).pictures
    assert adabm.evaluate(Repeating(), pictures, tile=8).pictures["psnr_y_db"].equals(first["psnr_y_db"])
    assert np.array_equal(pictures[0].low, low)


@pytest.mark.parametrize("returned", [None, "pictures", np.zeros((1, 24 * SCALE, 24 * SCALE, 3), np.float32), ()])
def test_an_engine_that_returns_something_else_is_told(files, monkeypatch, returned):
    picture = read_pictures(files / "HR", files / "LR", SCALE)[:1]
    monkeypatch.setattr(Repeating, "upscale", lambda self, pictures: returned)
    message = (
        f"repeating: returns a {type(returned).__name__} without images, .*let it return adabm.engines.EngineOutput"
    )
    for call in (lambda: adabm.evaluate(Repeating(), picture), lambda: adabm.upscale(Repeating(), picture[0].low)):
        with pytest.raises(EngineError, match=message):
            call()


@pytest.mark.parametrize(
    "told, message",
    [
        (dict(feature_average_bits=np.array([np.nan])), r"feature average bits of \[nan\]"),
        (dict(feature_average_bits=np.array([5.0, 5.0])), "one number a picture, of which there are 1"),
        (dict(feature_average_bits=5.0), "feature average bits of 5.0"),
        (dict(layer_bits={"all": np.array([33.0])}), "bits of 'all' of .33.0.*above 0 and at most 32"),
        (dict(layer_bits={"all": np.array([-1.0])}), "bits of 'all'"),
        (dict(feature_average_bits=["four"]), "feature average bits of .*four.*one number a picture"),
        (dict(feature_average_bits=None), "feature average bits of None"),
        (dict(feature_average_bits=[[4.0], [4.0, 5.0]]), "feature average bits of"),
        (dict(layer_bits={"all": np.array(["four"])}), "bits of 'all' of .'four'"),
        (dict(layer_bits=[4.0]), "an? EngineOutput whose layer_bits are no mapping of names"),
        (dict(images=None), "makes pictures that are no array of numbers"),
        (dict(images=np.full((1, 24 * SCALE, 24 * SCALE, 3), "x")), "makes pictures that are no array of numbers"),
        (dict(images=np.zeros((2, 16, 16, 3), np.float32)), "makes pictures of shape"),
        (dict(images=np.zeros((1, 24 * SCALE, 24 * SCALE, 1), np.float32)), "makes pictures of shape"),
    ],
)
def test_what_an_engine_tells_is_of_its_pictures(files, told, message):
    pictures = read_pictures(files / "HR", files / "LR", SCALE)[:1]
    for call in (
        lambda: adabm.evaluate(Repeating(**told), pictures),
        lambda: adabm.upscale(Repeating(**told), pictures[0].low),
    ):
        with pytest.raises(EngineError, match=f"repeating: .*{message}"):
            call()


def test_a_users_engine_upscales(files, nearest, tmp_path, capsys):
    command = ["--checkpoint", files / "q.safetensors", "--engine", nearest, "--tile", "8"]
    assert run("upscale", files / "LR" / "p0.png", tmp_path / "o.png", *command, "--json") == 0
    assert json.loads(capsys.readouterr().out)["engine"] == "nearest"
    assert np.array_equal(read_raw(tmp_path / "o.png"), repeated(read_raw(files / "LR" / "p0.png")))


def test_a_users_engine_is_evaluated(files, nearest, tmp_path, capsys):
    command = ["evaluate", files / "q.safetensors", "--hr", files / "HR", "--lr", files / "LR", "--engine", nearest]
    assert run(*command, "--csv", tmp_path / "r.csv") == 0
    out = capsys.readouterr().out
    assert "q.safetensors: engine nearest x2\n" in out and "theoretical" not in out  # it shows no network
    rows = list(csv.DictReader((tmp_path / "r.csv").open()))
    assert [row["engine"] for row in rows] == ["nearest"] * 4 and rows[3]["fab"] == "5.0"
    assert rows[3]["theoretical_bitops_g"] == "" and rows[3]["network"] == ""
    high, low = (read_raw(files / kind / "p1.png") for kind in ("HR", "LR"))
    assert float(rows[1]["psnr_y_db"]) == adabm.engines.metrics.psnr_y(repeated(low), high, SCALE)


def test_an_engine_that_shows_its_network(files, nearest, capsys):
    """Theoretical cost is told of the network that an engine shows, and only of one that this package knows."""
    shows = "        self.model = adabm.load_quantized({!r})\n".format(str(files / "q.safetensors"))
    every = "{name: bits for name in self.model.layers}"
    text = nearest.read_text().replace("nearest", "showing").replace('{"all": bits}', every)
    nearest.write_text(text.replace("bits\n\n    def", f"bits\n{shows}\n    def", 1))
    command = ["evaluate", files / "q.safetensors", "--hr", files / "HR", "--json", "--engine"]
    assert run(*command, nearest) == 0
    result = json.loads(capsys.readouterr().out)["results"][0]
    assert (result["network"], result["bits"], result["engine"]) == ("EDSR", "W4A4 FQ", "showing")
    model = adabm.load_quantized(files / "q.safetensors")
    expected = adabm.engines.cost.cost(model, dict.fromkeys(model.layers, 5.0))
    assert result["mean"]["theoretical_bitops_g"] == expected.bitops / 1e9
    other = nearest.with_name("other.py")
    other.write_text(
        nearest.read_text()
        .replace("showing", "other")
        .replace(shows, "        self.model = 'a session'\n")
        .replace(every, "{}")
    )
    assert run(*command, other) == 0
    result = json.loads(capsys.readouterr().out)["results"][0]
    assert result["network"] is None and result["mean"]["theoretical_bitops_g"] is None


def test_several_engines_in_a_file(files, tmp_path, capsys):
    path = tmp_path / "two.py"
    path.write_text((NEAREST + SECOND).format(name="two", multiple=1))
    assert open_engine(f"{path}:two-six", files / "q.safetensors").bits == 6
    with pytest.raises(ConfigError, match="two.py: registers the engines two, two-six; name one, such as .*two.py:two"):
        open_engine(path, files / "q.safetensors")
    with pytest.raises(ConfigError, match="two.py: registers no engine 'two-sic': did you mean 'two-six'"):
        open_engine(f"{path}:two-sic", files / "q.safetensors")


def test_an_engine_that_demands_multiples(files, tmp_path):
    path = tmp_path / "multiples.py"
    path.write_text(NEAREST.format(name="multiples", multiple=4))
    picture = smooth(0, 13, 7)
    assert np.array_equal(adabm.upscale(open_engine(path, files / "q.safetensors"), picture).image, repeated(picture))


def test_an_engine_of_gray_pictures(files, nearest, tmp_path, capsys):
    nearest.write_text(nearest.read_text().replace("= 3, 1", "= 1, 1").replace("nearest", "gray"))
    command = ["upscale", files / "LR", tmp_path / "o", "--checkpoint", files / "q.safetensors", "--engine", nearest]
    assert "engine 'gray' takes pictures of 1 channels" in fails(capsys, *command)


# -- what is refused ---------------------------------------------------------------------------------


def test_unknown_engines(files, tmp_path, capsys):
    command = ["upscale", files / "LR", tmp_path / "o", "--checkpoint", files / "q.safetensors", "--engine"]
    assert "unknown engine 'simulatd': did you mean 'simulated'?" in fails(capsys, *command, "simulatd")
    assert f"{tmp_path}/no.py: no such file" in fails(capsys, *command, tmp_path / "no.py")
    (tmp_path / "none.py").write_text("x = 1\n")
    assert "none.py: registers no engine; decorate" in fails(capsys, *command, tmp_path / "none.py")
    (tmp_path / "bad.py").write_text("import adabm\n\nadabm.nothing\n")
    assert "bad.py:3: cannot be imported: AttributeError: module 'adabm'" in fails(
        capsys, *command, f"{tmp_path}/bad.py:any"
    )


def test_a_taken_name(tmp_path, files, nearest):
    (tmp_path / "other.py").write_text(nearest.read_text())
    assert open_engine(nearest, files / "q.safetensors").name == "nearest"
    with pytest.raises(ConfigError, match="an engine 'nearest' exists already, of adabm_user_nearest_"):
        open_engine(tmp_path / "other.py", files / "q.safetensors")
    with pytest.raises(ConfigError, match="an engine needs a name"):
        engine("", description="nothing")


def test_what_is_no_engine(files, tmp_path):
    (tmp_path / "text.py").write_text(
        "from adabm.engines import engine\n\n@engine('text', description='none')\ndef f(model, device):\n    return ''\n"
    )
    with pytest.raises(EngineError, match="engine 'text' opens a str, which lacks name, scale"):
        open_engine(tmp_path / "text.py", files / "q.safetensors")
    with pytest.raises(EngineError, match="a EDSR is neither a QuantizedSR nor an engine"):
        adabm.upscale(adabm.load_network(files / "fp.safetensors"), smooth(0))


def test_an_output_of_another_size(files):
    class Small(SimulatedEngine):
        def upscale(self, pictures):
            out = super().upscale(pictures)
            return EngineOutput(out.images[:, :-1], out.feature_average_bits, out.layer_bits)

    small = Small(adabm.load_quantized(files / "q.safetensors"))
    with pytest.raises(EngineError, match="simulated: makes 56x47 pixels of 28x24, not 2 times as many a side"):
        adabm.upscale(small, smooth(0))


# -- the simulated engine ----------------------------------------------------------------------------


def test_the_simulated_engine_gives_what_the_model_gives(files):
    opened = open_engine("simulated", files / "q.safetensors")
    assert (opened.scale, opened.channels, opened.size_multiple) == (SCALE, 3, 1)
    pictures = np.stack([smooth(1), smooth(2) // 4 + 100])
    out = opened.upscale(pictures)
    with torch.no_grad():
        expected = opened.model.infer(torch.from_numpy(pictures.transpose(0, 3, 1, 2).copy()).float() * (1 / 255))
    assert np.array_equal(out.images, (expected.image * 255).permute(0, 2, 3, 1).numpy())
    assert out.images.dtype == np.float32 and out.images.shape == (2, 48, 56, 3)
    assert out.feature_average_bits.tolist() == expected.feature_average_bits.tolist()
    assert {name: bits.tolist() for name, bits in out.layer_bits.items()} == {
        name: bits.tolist() for name, bits in expected.layer_bits.items()
    }


def test_full_precision_weights_run_in_full_precision(files):
    opened = open_engine("simulated", str(files / "fp.safetensors"), "cpu")
    network = placed(adabm.load_network(files / "fp.safetensors"), "cpu")
    result = adabm.upscale(opened, smooth(3))
    with torch.no_grad():
        expected = network(torch.from_numpy(smooth(3).transpose(2, 0, 1)[None].copy()).float() * (1 / 255))
    assert np.array_equal(result.image, (expected * 255)[0].permute(1, 2, 0).numpy())
    assert result.feature_average_bits == 32 and result.layer_bits == {}
    model = placed(adabm.load_quantized(files / "q.safetensors"), "cpu")
    with model.full_precision():  # around the call, it counts as well
        assert np.array_equal(adabm.upscale(model, smooth(3)).image, result.image)
    assert not np.array_equal(adabm.upscale(model, smooth(3)).image, result.image)
    with pytest.raises(CheckpointError, match="no such file"):
        open_engine("simulated", files / "missing.safetensors")


def test_gray_networks_on_the_command_line(files, tmp_path, capsys):
    with torch.random.fork_rng():
        network = adabm.build_network("SRVGGNetCompact", num_in_ch=1, num_out_ch=1, num_feat=4, num_conv=1, upscale=2)
    adabm.save_network(network, tmp_path / "gray.safetensors")
    command = ["evaluate", tmp_path / "gray.safetensors", "--hr", files / "HR"]
    assert "a network with num_in_ch = 1; the command line needs RGB (3)" in fails(capsys, *command)
    gray = open_engine("simulated", tmp_path / "gray.safetensors")
    assert gray.channels == 1
    assert adabm.upscale(gray, smooth(0, channels=1)).image.shape == (48, 56, 1)
