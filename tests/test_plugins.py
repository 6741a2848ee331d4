"""A user's Python file is imported once, and what is wrong with it is told in one line."""

import os
import py_compile
import sys

import pytest

from adabm.errors import ConfigError, NetworkError
from adabm.networks import known_networks
from adabm.pictures.writing import write_image
from adabm.support.plugins import load_file, loaded_by
from helpers.cli_files import OPTIONS, fails, save_network, smooth


def test_a_file_is_imported_once(tmp_path, monkeypatch):
    (tmp_path / "mine.py").write_text("from dataclasses import dataclass\n\n@dataclass\nclass A:\n    x: 'int' = 1\n")
    module = load_file(tmp_path / "mine.py")
    assert module.A().x == 1 and sys.modules[module.__name__] is module
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert load_file("mine.py") is module and load_file("~/mine.py") is module
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "mine.py").write_text("x = 2\n")
    assert load_file("other/mine.py").x == 2


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x = 1\n1 / 0\n", r"mine.py:2: cannot be imported: ZeroDivisionError: division by zero"),
        ("def f(:\n", r"mine.py:1: cannot be imported: SyntaxError: \S+"),
        ("\nimport no_such_module\n", r"mine.py:2: cannot be imported: ModuleNotFoundError: No module named"),
        ("raise ValueError('two\\nlines')\n", r"mine.py:1: cannot be imported: ValueError: two lines"),
        ("raise SystemExit(3)\n", r"mine.py:1: cannot be imported: SystemExit: 3"),
    ],
)
def test_a_file_that_fails(tmp_path, text, message):
    path = tmp_path / "mine.py"
    path.write_text(text)
    for _ in range(2):
        with pytest.raises(ConfigError, match=message) as error:
            load_file(path)
        assert "\n" not in str(error.value) and str(error.value).startswith(f"{path}:")
    path.write_text("x = 'mended'\n")
    assert load_file(path).x == "mended"


def test_a_file_is_read_itself(tmp_path):
    """Not the bytecode of what it held, which Python takes where time and size are the same."""
    path = tmp_path / "mine.py"
    for value in (1, 2):
        path.write_text(f"x = {value}\n")
        os.utime(path, (1e9, 1e9))
        if value == 1:
            py_compile.compile(str(path))
    assert load_file(path).x == 2


def test_what_a_file_loads(tmp_path):
    """Where it is loaded already too, and not what a file loaded that failed then."""
    a, b, c = (tmp_path / f"{name}.py" for name in "abc")
    c.write_text("x = 1\n")
    load = "from adabm import load_file\n\ndef load(path):\n    return load_file(path)\n\nload({!r})\n"
    a.write_text(load.format(str(c)))
    b.write_text(load.format(str(c)) + "1 / 0\n")
    load_file(c), load_file(a)
    with pytest.raises(ConfigError):
        load_file(b)
    assert (loaded_by(a), loaded_by(b), loaded_by(c)) == ({c}, set(), set())


def test_no_file(tmp_path):
    with pytest.raises(ConfigError, match=f"{tmp_path / 'no.py'}: no such file"):
        load_file(tmp_path / "no.py")


STEP = """
import sys
from dataclasses import dataclass
from adabm.steps import Step, step

@step("{name}")
@dataclass(frozen=True)
class Mine(Step):
    def apply(self, model, workspace):
        {body}
"""


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ("raise ValueError('no such thing')", "{file}:10: ValueError: no such thing (--debug shows the traceback)"),
        ("len(None)", "{file}:10: TypeError: object of type 'NoneType' has no len() (--debug shows the traceback)"),
        ("sys.exit(0)", "{file}:10: ends the process; let it raise an error instead"),
        (
            "[setattr(layer, 'weight_bits', 0) for layer in model.layers.values()]",
            "step '{name}': weight_bits of the layer 'conv_first' are 0 after it; let it set a whole number from 1 to 16, or 32",
        ),
        (
            "model.context.quantizing = False",
            "step '{name}': leaves the model in full precision, watched, or computing in another type; let it do so inside `with "
            "model.full_precision():`, `model.visiting(...)` or `model.computing(...)` alone",
        ),
    ],
)
def test_a_step_of_ones_own_that_goes_wrong(tmp_path, capsys, body, told):
    """Neither a success without a file, nor a file that cannot be loaded, nor taken for a defect of this package."""
    name = f"mine{abs(hash(body)) % 10**8}"
    file, output = tmp_path / "mine.py", tmp_path / "q.safetensors"
    file.write_text(STEP.format(name=name, body=body))
    (tmp_path / "mine.yaml").write_text(f"imports: [mine.py]\nsteps: {{calibrate: {{}}, {name}: {{}}}}\n")
    save_network(tmp_path / "fp.safetensors", OPTIONS)
    write_image(tmp_path / "LR" / "a.png", smooth(0))
    words = ["quantize", "--images", tmp_path / "LR", "--network", tmp_path / "fp.safetensors", "--patch-size", "8"]
    words += ["--recipe", tmp_path / "mine.yaml", "--output", output, "--quiet"]
    assert fails(capsys, *words) == "adabm: error: " + told.format(file=file, name=name)
    assert not output.exists()


@pytest.mark.parametrize("what", ["folder", "device"])
def test_what_is_no_file_is_told_by_its_kind(tmp_path, monkeypatch, what):
    path = tmp_path if what == "folder" else "/dev/null"
    with pytest.raises(ConfigError, match=f"{path}: is a .*{what}.*; name a Python file"):
        load_file(path)
    monkeypatch.setenv("ADABM_ARCHITECTURES", str(path))
    with pytest.raises(NetworkError, match=f"{path}: is a .*{what}.*; name a Python file"):
        known_networks()
