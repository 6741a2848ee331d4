"""The commands of the pipeline's stages, as they are written: those that nobody ran since would fail where somebody does."""

from collections import Counter
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]
FILES = sorted({path.resolve() for path in [ROOT / "dvc.yaml", *ROOT.glob("profiles/**/dvc.yaml")]})


def commands(path):
    for name, stage in yaml.safe_load(path.read_text())["stages"].items():
        yield name, stage.get("do", stage)["cmd"].split()


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_stages_run_modules_that_there_are_and_give_options_once(path):
    for name, words in commands(path):
        assert words[:2] == ["python", "-m"] and (ROOT / f"{words[2].replace('.', '/')}.py").is_file(), name
        twice = [word for word, count in Counter(w for w in words if w.startswith("--")).items() if count > 1]
        assert not twice, f"{name}: {twice}"


def test_all_profiles_are_looked_at():
    assert len(FILES) == 4 and all(list(commands(path)) for path in FILES)
