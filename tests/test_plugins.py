"""A user's Python file is imported once, and what is wrong with it is told in one line."""

import sys

import pytest

from adabm.errors import ConfigError
from adabm.plugins import load_file


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


def test_no_file(tmp_path):
    for path in (tmp_path / "no.py", tmp_path):
        with pytest.raises(ConfigError, match=f"{path}: no such file"):
            load_file(path)
