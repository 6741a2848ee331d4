"""YAML is read in one place, which loses nothing without a word and cannot be made to swell."""

import os
import re
from pathlib import Path

import pytest

from adabm.errors import ConfigError, DataError, TableError
from adabm.pictures.bundled import read_manifest
from adabm.recipes import read_recipe
from adabm.study.origin.provenance import read_block_values
from adabm.support.yaml_files import LARGEST, parse_yaml, read_yaml
from pipelines.downloads.sources import MANIFEST, read_sources
from pipelines.stages.notebook_parameters import parse_overrides, read_block

ROOT = Path(__file__).parents[1]
LAUGHS = "a0: &a0 [lol, lol]\n" + "".join(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, 12))
READERS = {  # every kind of YAML file that there is
    "recipe": (read_recipe, ConfigError),
    "parameters": (lambda path: read_block(path, "x"), ConfigError),
    "provenance": (lambda path: read_block_values(path, "x"), TableError),
    "pictures": (read_manifest, DataError),
    "sources": (read_sources, DataError),
}
BAD = {
    "x: \0": "is no YAML .unacceptable character #x0000",
    "x: {a: 1,\n  b: 2,\n  a: 3}": "'a' is there twice, in lines 1 and 3; keep one",
    "x:\n  1: a\n  0x1: b": "'0x1' is there twice, in lines 2 and 3; keep one",
    "a: &a {k: 1}\nb: &b {k: 2}\nx:\n  <<: *a\n  <<: *b": "'<<' is there twice, in lines 4 and 5; merge a list",
    LAUGHS: r"line \d+: is more than 4,000,000 characters when its aliases",
    f"a: &a {'x' * 100_000}\nx: [{', '.join(['*a'] * 100)}]": "line 2: is more than 4,000,000 characters",
    "x: &a [*a]": "line 1: holds itself",
    "x: &a {b: *a}": "line 1: holds itself",
    f"x: {'[' * 800}": "is nested too deeply",
    "x: [1": "is no YAML",
    "x: 2026-13-01": "is no YAML",
    "x: !!python/object:os.system {}": "is no YAML",
    "x: 1\n---\nx: 2": "is no YAML",
    "? [a]\n: b": "line 1: a key must be text",
    "x:\n  a: 010": "line 2: 010 would be read as 8; write the number that is meant",
    "x: 1:30": "line 1: 1:30 would be read as 90",
    "x: 1_0": "line 1: 1_0 would be read as 10",
    "x: [0.0_5]": "line 1: 0.0_5 would be read as 0.05",
    "x: [-0_17]": "line 1: -0_17 would be read as -15",
}


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("text, message", BAD.items(), ids=range(len(BAD)))
def test_what_is_refused_is_refused_of_every_file(tmp_path, reader, text, message):
    read, error = READERS[reader]
    path = tmp_path / "x.yaml"
    path.write_text(text)
    with pytest.raises(error, match=f"^{re.escape(str(path))}: {message}") as caught:
        read(path)
    assert len(str(caught.value)) < 500


@pytest.mark.parametrize("reader", READERS)
def test_files_that_cannot_be_read(tmp_path, reader):
    read, error = READERS[reader]
    (tmp_path / "binary.yaml").write_bytes(b"x: \xff\xfe")
    (tmp_path / "huge.yaml").write_bytes(b"#" * (LARGEST + 1))
    (tmp_path / "folder.yaml").mkdir()
    os.mkfifo(tmp_path / "pipe.yaml")
    for name, message in (
        ("binary", "is no YAML"),
        ("huge", r"cannot be read \(1,000,001 bytes are more than 1,000,000\)"),
        ("folder", r"cannot be read \(Is a directory\)"),
        ("pipe", r"cannot be read \(a pipe, device or socket; name a regular file\)"),
        ("absent", r"cannot be read \(No such file or directory\)"),
    ):
        with pytest.raises(error, match=f"{name}.yaml: {message}"):
            read(tmp_path / f"{name}.yaml")


def test_anchors_and_merges_work():
    text = "a: &a {k: 1, l: [1, 2]}\nb: &b {k: 2, m: 3}\nc: {<<: *a, k: 4}\nd: {k: 5, <<: [*a, *b]}\ne: [*a, *a]\n"
    a = {"k": 1, "l": [1, 2]}
    assert parse_yaml(text) == {
        "a": a,
        "b": {"k": 2, "m": 3},
        "c": {**a, "k": 4},
        "d": {**a, "k": 5, "m": 3},
        "e": [a, a],
    }
    assert parse_yaml("") is None and parse_yaml("3") == 3


def test_the_files_of_this_project_are_read():
    for path in (*ROOT.glob("*.yaml"), *ROOT.glob("profiles/**/*.yaml"), *ROOT.glob("data/*.yaml"), MANIFEST):
        assert read_yaml(path)
        assert path.stat().st_size < LARGEST / 20


def test_values_of_the_command_line():
    assert parse_overrides([["a", "[1, 2]"], ["b", "x"]]) == {"a": [1, 2], "b": "x"}
    with pytest.raises(ConfigError, match=r"-p a: '\{k: 1, k: 2\}' 'k' is there twice, in lines 1 and 1"):
        parse_overrides([["a", "{k: 1, k: 2}"]])


def test_nothing_else_reads_yaml():
    for path in (*ROOT.glob("adabm/**/*.py"), *ROOT.glob("pipelines/**/*.py")):
        if path.name != "yaml_files.py":
            assert not re.search(r"^\s*(import|from) (ruamel|yaml)\b", path.read_text(), re.MULTILINE), path
