"""docs/extending.md shows one of each kind of new thing: its files are written, its commands and its Python are run."""

import importlib
import os
import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import test_new_question
import yaml

from adabm.cli import main
from adabm.networks import architecture
from adabm.pictures.reading import read_rgb
from adabm.pictures.writing import write_image
from adabm.sampling import STRATEGIES
from adabm.study import Effort, read_plan
from helpers.pages import ROOT, Block, blocks, enter, sections
from helpers.registries import forgetting
from helpers.slow import slow_among

OWN_MODULES = ("adabm_user_", "adabm_architectures_")
EXTENDING = (ROOT / "docs" / "extending.md").read_text()


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    enter(tmp_path, monkeypatch)
    return tmp_path


@contextmanager
def new_process() -> Iterator[None]:
    """What is registered and imported inside is forgotten, as if a process had ended."""
    before, known, strategies = set(sys.modules), dict(architecture.known_architectures()), dict(STRATEGIES)
    try:
        with forgetting():
            yield
    finally:
        for name in set(sys.modules) - before:
            if name.startswith(OWN_MODULES):
                del sys.modules[name]
        for table, entries in ((architecture._KNOWN, known), (STRATEGIES, strategies)):
            table.clear()
            table.update(entries)


def run(command: str) -> None:
    """Run a command in this process, as a new one would."""
    words = shlex.split(command)
    if words[0] == "export":
        name, _, value = words[1].partition("=")
        os.environ[name] = value
        return
    with new_process():
        if words[0] == "adabm":
            status = main(words[1:])
        else:
            assert words[:2] == ["python", "-m"], command
            manifest = [] if "--manifest" in words else ["--manifest", "data/sources.yaml"]
            status = importlib.import_module(words[2]).main([*words[3:], *manifest])
    assert status == 0, command


def carry_out(found: list[Block]) -> None:
    """Write files, run commands, execute Python without a file's name, read parts of plans; in their order."""
    shown: dict = {}
    for block in found:
        if block.name == "a part of evaluation.plan":
            with new_process():
                cells = read_plan([yaml.safe_load(block.text)], Path.cwd(), Effort(48, 2, 1, 1))
            assert {cell.run.method for cell in cells} > {"fp32"}
        elif block.name:
            Path(block.name).parent.mkdir(parents=True, exist_ok=True)
            Path(block.name).write_text(block.text)
        elif block.language == "bash":
            for command in block.text.replace("\\\n", " ").splitlines():
                run(command)
        elif block.language == "python":
            exec(block.text, shown)
        else:
            assert block.language == "text", block


ADDED = [name for name in sections(EXTENDING) if not name.startswith("A question")]


def write_mirror(folder: Path, photos: Path) -> None:
    """What the section on data sets calls ``mirror``, and what is no picture of a set."""
    sources = sorted((photos / "HR").iterdir())
    for number in range(4):
        picture = read_rgb(sources[number % 2])[number * 32 :][:200, :200]
        write_image(folder / "Streets" / f"street-{number}.png", picture)
        write_image(folder / "Doors_v1" / f"{number}_of_4.png", picture.transpose(1, 0, 2).copy())
    write_image(folder / "Streets" / "map.png", picture)


SLOW = (
    "A recipe from existing steps",
    "A step",
    "Channel shift and equalization",
    "Image complexity, layer sensitivity, bit allocation, observer",
    "Per-channel weights",
)


@pytest.mark.parametrize("name", slow_among(ADDED, SLOW))
def test_what_extending_adds_works(name, folder, capsys):
    found = blocks(sections(EXTENDING)[name])
    assert found
    if name == "A data set":
        write_mirror(folder / "mirror", folder / "photos")
    if name == "A backbone":
        with new_process():
            carry_out([b for b in blocks(sections(EXTENDING)["An architecture"]) if b.language != "bash"])
    with new_process():  # what Python without a file registers
        carry_out(found)
    if name == "A data set":
        assert len(list((folder / "data/prepared/x4/Doors/HR").iterdir())) == 4
        assert len(list((folder / "data/prepared/x4/calibration/LR").iterdir())) == 3


def test_the_question_of_the_page_is_the_one_that_a_test_adds():
    """``test_new_question`` runs it in a copy of the project; here, that the page shows the same."""
    found = {block.name: block for block in blocks(sections(EXTENDING)["A question of the study"])}
    answer, parameters, code, block = (text.partition("\n")[2].strip() for text in (b.text for b in found.values()))
    assert list(found) == [
        "adabm/study/answers/seeds.py", "notebooks/30_seeds.ipynb, parameters", "notebooks/30_seeds.ipynb", "params.yaml"
    ]  # fmt: skip
    assert answer == test_new_question.ANSWER.strip()
    assert parameters == test_new_question.PARAMETERS.strip() and code == test_new_question.CODE.strip()
    given = yaml.safe_load(block)
    assert (
        given["seeds"].keys() == test_new_question.block("demo").keys()
        and len(given["questions"]["seeds"]["reads"]) == 4
    )


def test_a_checkpoint_of_ones_own_steps_needs_their_file(folder, capsys):
    """As the page says: a checkpoint runs no code of a user by itself."""
    found = {block.name: block for block in blocks(sections(EXTENDING)["A step"])}
    for name in ("widen.py", "widened.yaml"):
        Path(name).write_text(found[name].text)
    run("adabm quantize --images photos/LR --recipe widened.yaml --output widened.safetensors")
    with new_process():
        assert main(["info", "widened.safetensors"]) == 2
    told = capsys.readouterr().err
    assert "unknown step 'widen'" in told and "--import FILE" in told
    with new_process():
        assert main(["info", "widened.safetensors", "--import", "widen.py"]) == 0
