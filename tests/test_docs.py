"""The pages for people: their length, their links, and the code and commands that they show, all of which are run."""

import importlib
import importlib.util
import itertools
import os
import re
import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest
import test_new_question
import yaml
from markdown_it import MarkdownIt

from adabm.cli import main
from adabm.cli.entry import build_parser
from adabm.cli.settings import assignments
from adabm.networks import architecture
from adabm.pictures.bundled import bundled_path, read_manifest
from adabm.pictures.reading import read_rgb
from adabm.pictures.resize import downscale
from adabm.pictures.writing import write_image
from adabm.recipes import read_recipe, shipped
from adabm.sampling import STRATEGIES
from adabm.study import Effort, read_plan
from adabm.study.plan import part
from helpers.registries import forgetting

ROOT = Path(__file__).parents[1]
PAGES = ["README.md", "CHANGELOG.md", "results/README.md", *(f"docs/{p.name}" for p in (ROOT / "docs").glob("*.md"))]
OWN_MODULES = ("adabm_user_", "adabm_architectures_")
EXTENDING = (ROOT / "docs" / "extending.md").read_text()
LONGEST = 12 * 1024  # bytes of the README


class Block(NamedTuple):
    """Fenced code: its language, the name in its first line (``# name``) or "", its text."""

    language: str
    name: str
    text: str


def blocks(text: str) -> list[Block]:
    found = []
    for token in MarkdownIt().parse(text):
        if token.type == "fence":
            first = re.match(r"# (.+)\n", token.content)
            named = first is not None and token.info in ("python", "yaml")
            found.append(Block(token.info, first[1] if named else "", token.content))
    return found


def sections(text: str) -> dict[str, str]:
    """The text of each heading of the second level."""
    parts = re.split(r"^## (.+)$", text, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2]))


def anchors(text: str) -> set[str]:
    """The names by which headings are linked to, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_the_readme_is_short():
    text = (ROOT / "README.md").read_text()
    assert len(text.encode()) <= LONGEST
    first_screen = text.splitlines()[:40]
    assert "make repro   # creates" in "\n".join(first_screen)
    assert all(f"docs/{page.name}" in text for page in (ROOT / "docs").glob("*.md"))


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page):
    path = ROOT / page
    text = path.read_text()
    links = re.findall(r"\]\(([^)\s]+)\)", text)
    for link in links:
        if re.match(r"https?:", link):
            continue
        target, _, anchor = link.partition("#")
        file = (path.parent / target).resolve() if target else path
        made_later = file.suffix == ".ipynb" and "results" in file.parts
        assert file.exists() or made_later, link
        if anchor:
            assert anchor in anchors(file.read_text()), link


# -- docs/extending.md -----------------------------------------------------------------------------


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


@pytest.fixture(scope="module")
def photos(tmp_path_factory) -> Path:
    """Two photographs in HR and LR, 384x384 and 96x96."""
    folder = tmp_path_factory.mktemp("photographs")
    for entry in read_manifest(ROOT / "data" / "demo_photos.yaml")["calibration"][:2]:
        picture = read_rgb(bundled_path(entry))[:384, :384]
        write_image(folder / "HR" / f"{entry['name']}.png", picture)
        write_image(folder / "LR" / f"{entry['name']}.png", downscale(picture, 4))
    return folder


@pytest.fixture
def folder(tmp_path, photos, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos").symlink_to(photos)
    (tmp_path / "dvc.yaml").touch()  # the root, which paths of a plan are relative to
    for name in ("ADABM_ARCHITECTURES", "ADABM_MIRROR", "ADABM_CACHE"):
        monkeypatch.setenv(name, "")  # whatever a page exports is taken back
    return tmp_path


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


@pytest.mark.parametrize("name", ADDED)
def test_what_extending_adds_works(name, folder, photos, capsys):
    found = blocks(sections(EXTENDING)[name])
    assert found
    if name == "A data set":
        write_mirror(folder / "mirror", photos)
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
        "adabm/study/answers/seeds.py", "notebooks/08_seeds.ipynb, parameters", "notebooks/08_seeds.ipynb", "params.yaml"
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
    assert "unknown step 'widen'" in capsys.readouterr().err


# -- the other pages -------------------------------------------------------------------------------


@pytest.mark.parametrize("page", ["README.md", "docs/use.md", "docs/results.md", "docs/study.md"])
def test_commands_have_the_options_that_they_are_shown_with(page):
    """Parsed, not run: they take minutes and files of the reader's."""
    commands = [
        line
        for block in blocks((ROOT / page).read_text())
        if block.language == "bash"
        for line in block.text.splitlines()
    ]
    assert commands
    for command in commands:
        words = shlex.split(command, comments=True)
        if words[:1] == ["adabm"]:
            build_parser().parse_args(words[1:])
            changed = [after for word, after in itertools.pairwise(words) if word == "--set" and words[1] == "quantize"]
            assert len(list(assignments(changed))) == len(changed)
        elif words[:2] == ["python", "-m"]:
            assert importlib.util.find_spec(words[2]) is not None
        elif words[:1] == ["make"]:
            assert words[1] in re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
        else:
            assert words in ([], ["source", ".venv/bin/activate"]), command


def test_the_recipe_of_the_readme_can_be_carried_out(folder):
    (block,) = (b for b in blocks((ROOT / "README.md").read_text()) if b.language == "yaml")
    Path("frugal.yaml").write_text(block.text)
    assert read_recipe("frugal.yaml").label == "Frugal"


def test_the_python_of_the_readme_works(folder, monkeypatch):
    """With a recipe that does not fine-tune in place of the released one, which takes minutes."""
    (block,) = (b for b in blocks((ROOT / "README.md").read_text()) if b.language == "python")
    (folder / "data/prepared/demo/calibration").mkdir(parents=True)
    (folder / "data/prepared/demo/calibration/LR").symlink_to(folder / "photos" / "LR")
    assert 'preset("adabm"' in block.text
    shown: dict = {}
    exec(block.text.replace('preset("adabm"', 'preset("adabm-notune"'), shown)
    assert shown["result"].image.shape == (384, 384, 3) and Path("edsr_w4a4_again.safetensors").is_file()


def test_the_plan_and_the_keys_of_the_page_on_the_study():
    """Every key that a part may have is told, and no other."""
    text = (ROOT / "docs" / "study.md").read_text()
    keys = re.findall(r"^\| `(\w+)`", sections(text)["Plans"], re.MULTILINE)
    assert sorted(keys) == sorted(part._KEYS)
    (block,) = (b for b in blocks(text) if b.name == "a part of evaluation.plan")
    part.check_part(yaml.safe_load(block.text))


def test_every_command_and_recipe_is_told():
    text = (ROOT / "docs" / "use.md").read_text()
    (commands,) = (
        action.choices for action in build_parser()._actions if hasattr(action, "choices") and action.dest == "command"
    )
    assert all(f"| `{name}` |" in text for name in commands if name != "presets")
    assert all(f"`{name}`" in text or name.endswith("-tuned") for name in shipped())
