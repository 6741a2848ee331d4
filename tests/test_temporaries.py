"""What a killed process leaves behind is recognized, and nothing else is deleted."""

import hashlib
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from adabm.pictures.reading import list_images
from adabm.support.files import file_sha256, remove_stale_temporaries, write_atomically
from helpers.study_files import EFFORT, compute_here, forget, part, write_study
from pipelines.stages import measure

# Dies between writing and renaming.
DYING = """
import os, sys
from adabm.support.files import write_atomically
os.replace = lambda *_: os._exit(9)
write_atomically(sys.argv[1], b"all of it")
"""


def leave(path: Path, age_s: float) -> Path:
    """Leave the temporary of a killed process that wrote ``path``, changed so long ago."""
    path.parent.mkdir(parents=True, exist_ok=True)
    before = set(path.parent.iterdir())
    assert subprocess.run([sys.executable, "-c", DYING, path]).returncode == 9
    (left,) = set(path.parent.iterdir()) - before
    os.utime(left, (time.time() - age_s,) * 2)
    return left


def test_only_old_temporaries_are_removed(tmp_path):
    old, deep = leave(tmp_path / "a.png", 90000), leave(tmp_path / "models" / "x" / "b.json", 90000)
    fresh = leave(tmp_path / "c.png", 3600)
    names = ("a.png", ".hidden", ".a.png.abcdefgh", "b.adabm-tmp", ".bashrc.settings", "models/.partial", "adabm-tmp")
    others = [tmp_path / name for name in names]
    for path in others:
        path.write_text("mine")
    (tmp_path / ".folder.adabm-tmp").mkdir()
    (tmp_path / ".link.adabm-tmp").symlink_to(others[0])
    for path in (*others, tmp_path / ".folder.adabm-tmp"):
        os.utime(path, (0, 0))
    before = set(tmp_path.rglob("*"))
    assert [path.name for path in list_images(tmp_path)] == ["a.png"]
    assert remove_stale_temporaries(tmp_path) == 2
    assert before - set(tmp_path.rglob("*")) == {old, deep}
    assert remove_stale_temporaries(tmp_path, older_than_s=1800) == 1 and not fresh.exists()
    assert remove_stale_temporaries(tmp_path, 0) == 0


def test_no_folder_holds_none(tmp_path):
    assert remove_stale_temporaries(tmp_path / "nowhere") == 0


def test_the_longest_names_can_be_written(tmp_path):
    path = tmp_path / ("é" * 125 + ".json")  # 255 bytes, all that file systems take
    write_atomically(path, b"x")
    assert path.read_bytes() == b"x"


def test_hash_of_a_file(tmp_path):
    content = b"0123456789" * 300_000
    (tmp_path / "x").write_bytes(content)
    assert file_sha256(tmp_path / "x") == file_sha256(str(tmp_path / "x")) == hashlib.sha256(content).hexdigest()


@pytest.mark.parametrize("age_s, kept", [(90000, False), (0, True)])
def test_measuring_tidies_the_cache(tmp_path, monkeypatch, capsys, age_s, kept):
    root = write_study(tmp_path)
    left = leave(root / "cache" / "pictures" / "ab" / "abc.json", age_s)
    block = dict(vars(EFFORT), plan=[part(methods=[], settings=[])], device="cpu", workers=1)
    (root / "params.yaml").write_text(yaml.safe_dump({"evaluation": block}))
    monkeypatch.chdir(root)
    monkeypatch.setenv("ADABM_CACHE", str(root / "cache"))
    monkeypatch.setattr(sys, "argv", ["measure", "--params", "params.yaml"])
    compute_here(monkeypatch)
    forget()
    assert measure.main() == 0
    assert "1 of 1 cells measured" in capsys.readouterr().out
    assert left.exists() is kept
