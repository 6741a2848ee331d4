"""The command line as a whole, run in this process; ``recipes`` and ``info``."""

import importlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from adabm.cli import main
from adabm.recipes import PRESETS
from helpers.cli_files import fails, run, write_files


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return write_files(tmp_path_factory.mktemp("cli"))


def test_help_is_fast_and_module_runs():
    code = "import sys; from adabm.cli import main; s = main(['quantize', '--help']); print('torch' in sys.modules, s, file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stderr.strip() == "False 0"
    assert "--set NAME=VALUE" in done.stdout
    done = subprocess.run([sys.executable, "-m", "adabm", "--version"], capture_output=True, text=True)
    assert done.stdout.startswith("adabm ") and done.returncode == 0


@pytest.mark.parametrize(
    "argv",
    [
        *([], ["quantise"], ["info"], ["info", "x", "--js"]),
        *(["upscale", "a", "b", "--checkpoint", "c", f"--tile{value}"] for value in ("=5", "=--")),
        *(["quantize", "--images", "a", "--output", "b.safetensors", f"--{name}=--"] for name in ("images", "set")),
    ],
)
def test_usage_errors(argv, capsys):
    assert main(argv) == 2
    assert "error:" in capsys.readouterr().err


@pytest.mark.parametrize(
    "twice, named",
    [
        (["--seed", "1", "--seed=2"], "--seed"),
        (["--recipe", "fast", "--preset", "adabm"], "--recipe and --preset"),
        (["--network", "a", "--network", "a"], "--network"),
        (["--device", "cpu", "--device", "cuda"], "--device"),
    ],
)
def test_an_option_of_one_value_is_not_given_twice(twice, named, capsys):
    assert main(["quantize", "--images", "a", "--output", "b.safetensors", *twice]) == 2
    assert f"argument {named}: is given twice; give it once" in capsys.readouterr().err


@pytest.mark.parametrize(
    "module, given, named",
    [
        ("downloads.fetch", ["--jobs", "1", "--jobs", "2"], "--jobs"),
        ("prepare.demo", ["--tile", "1", "--tile=2"], "--tile"),
        ("stages.run_notebook", ["a", "b", "--block", "x", "--block", "y"], "--block"),
        ("stages.run_notebook", ["a", "b", "-p", "x", "1", "-p", "x", "2"], "-p x"),
    ],
)
def test_nor_of_the_pipelines(module, given, named, capsys):
    command = importlib.import_module(f"pipelines.{module}").main
    try:
        status = command(given)
    except SystemExit as stop:
        status = stop.code
    assert status == 2 and f"{named}: is given twice; give it once" in capsys.readouterr().err


def test_all_commands_have_that_parser():
    root = Path(__file__).parents[1]
    files = [file for folder in ("adabm", "pipelines", "benchmarks") for file in (root / folder).rglob("*.py")]
    others = {file.name for file in files if "ArgumentParser(" in file.read_text()}
    assert len(files) > 100 and others == {
        "quantizing.py"
    }  # its sha256 stands in what it measured: change it with that


def test_recipes(capsys):
    assert main(["recipes"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[2:]] == list(PRESETS)
    assert all(len(line.split()) > 3 for line in lines[2:])
    assert main(["recipes", "--json"]) == 0
    assert list(json.loads(capsys.readouterr().out)) == list(PRESETS)


def test_interrupt_and_broken_pipe_and_defect(files, monkeypatch, capsys):
    def raising(error):
        def load(*_args):
            raise error

        return load

    monkeypatch.setattr("adabm.checkpoints.checkpoint.load_quantized", raising(KeyboardInterrupt()))
    assert run("info", files / "q.safetensors") == 130
    monkeypatch.setattr("adabm.checkpoints.checkpoint.load_quantized", raising(BrokenPipeError()))
    assert run("info", files / "q.safetensors") == 141
    monkeypatch.setattr("adabm.checkpoints.checkpoint.load_quantized", raising(RuntimeError("odd")))
    assert "unexpected RuntimeError: odd" in fails(capsys, "info", files / "q.safetensors")
    assert run("info", files / "q.safetensors", "--debug") == 2
    assert "Traceback" in capsys.readouterr().err
    monkeypatch.setattr(
        "adabm.checkpoints.checkpoint.load_quantized", raising(torch.OutOfMemoryError("CUDA out of memory"))
    )
    assert "out of memory" in fails(capsys, "info", files / "q.safetensors")


@pytest.mark.slow
def test_closed_pipe(files):
    """The reader has gone before the first line."""
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run([sys.executable, "-m", "adabm", "recipes"], stdout=write, stderr=subprocess.PIPE, text=True)
    os.close(write)
    assert done.stderr == "" and done.returncode == 141


def test_info(files, capsys):
    assert run("info", files / "q.safetensors") == 0
    out = capsys.readouterr().out
    assert "W4A4 FQ; recipe adabm (changed), seed 0" in out and "body.0.conv1" in out and "tune.rounds = 3" in out
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
    assert "is not 'adabm-quantized-3'" in fails(capsys, "info", tmp_path / "odd.safetensors")


@pytest.mark.parametrize(
    "path, shown",
    [
        ("a\nb.png", r"a\nb.png: no such"),
        ("\x1b[31mred.png", r"\x1b[31mred.png: "),
        ("é.png", "é.png: "),
        ("x" * 4000, ": "),
    ],
)
def test_an_error_is_one_short_line_whatever_the_path_holds(path, shown, tmp_path, capsys):
    assert main(["upscale", path, str(tmp_path / "y.png"), "--network", "edsr_f32b8_x4"]) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1 and shown in err and len(err) < 1100 and err.rstrip("\n").isprintable()


@pytest.mark.parametrize(
    "argv", [["info", "a", "X"], ["info", "a", "--device", "X"], ["quantize", "--rounds", "X"], ["X"]]
)
def test_an_error_of_usage_is_one_short_line(argv, capsys):
    assert main([word.replace("X", "x\n" * 3000) for word in argv]) == 2
    last = capsys.readouterr().err.splitlines()[-1]
    assert "error: " in last and len(last) < 1100
