"""The pages for people: their length, their links, and the commands and code that they show."""

import importlib.util
import itertools
import re
import shlex
from pathlib import Path

import pytest
import yaml

from adabm.cli.entry import build_parser
from adabm.cli.settings import assignments
from adabm.recipes import read_recipe, shipped
from adabm.study.plan import part
from helpers.pages import ROOT, blocks, enter, sections

PAGES = ["README.md", "CHANGELOG.md", "results/README.md", *(f"docs/{p.name}" for p in (ROOT / "docs").glob("*.md"))]
LONGEST = 12 * 1024  # bytes of the README


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    enter(tmp_path, monkeypatch)
    return tmp_path


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


@pytest.mark.parametrize("page", ["README.md", "docs/use.md", "docs/recipes.md", "docs/results.md", "docs/study.md"])
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
    assert sorted(keys) == sorted(part._KINDS)
    (block,) = (b for b in blocks(text) if b.name == "a part of evaluation.plan")
    part.check_part(yaml.safe_load(block.text))


def test_every_command_and_recipe_is_told():
    text = (ROOT / "docs" / "use.md").read_text()
    (commands,) = (
        action.choices for action in build_parser()._actions if hasattr(action, "choices") and action.dest == "command"
    )
    assert all(f"| `{name}` |" in text for name in commands if name != "presets")
    assert all(f"`{name}`" in text or name.endswith("-tuned") for name in shipped())
