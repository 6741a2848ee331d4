"""The notebooks of the repository fit the parameters of both profiles, and the questions of the study fit the notebooks."""

import re
from pathlib import Path

import pytest
import yaml

from adabm.study.pages.questions import QUESTIONS
from pipelines.stages.notebook_parameters import check_parameters, declared_parameters, read_block
from pipelines.stages.run_notebook import read_notebook

ROOT = Path(__file__).parents[1]
NOTEBOOKS = sorted(path.name for path in (ROOT / "notebooks").glob("*.ipynb"))
OF_QUESTIONS = {question.notebook: question for question in QUESTIONS}
PROFILES = {".": "results/demo", "profiles/paper": "results/paper"}


def block_of(name: str) -> str:
    """``03_set_size.ipynb`` gets the block ``set_size``."""
    return re.fullmatch(r"\d\d_(\w+)\.ipynb", name).group(1)


def stage_of(profile: str, name: str) -> dict:
    """The one stage of a profile that runs a notebook."""
    stages = yaml.safe_load((ROOT / profile / "dvc.yaml").read_text())["stages"]
    (found,) = [stage for stage in stages.values() if f"run_notebook notebooks/{name} " in stage["cmd"]]
    return found


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_a_notebook_declares_its_parameters_in_one_cell(name):
    cells = read_notebook(ROOT / "notebooks" / name).cells
    tagged = [index for index, cell in enumerate(cells) if "parameters" in cell.metadata.get("tags", [])]
    assert len(tagged) == 1 and cells[0].cell_type == "markdown" and cells[0].source.startswith("# ")
    assert all(cell.cell_type == "markdown" for cell in cells[: tagged[0]]), "derived values come after the parameters"
    assert not any(cell.get("outputs") or cell.get("execution_count") for cell in cells), "the source holds no results"


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("name", NOTEBOOKS)
def test_both_profiles_give_a_notebook_exactly_its_parameters(profile, name):
    declared = declared_parameters(read_notebook(ROOT / "notebooks" / name), name)
    given = read_block(ROOT / profile / "params.yaml", block_of(name))
    assert check_parameters(declared, given, name).keys() == declared.keys() > {"results"}
    assert given["results"] == PROFILES[profile]


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_the_defaults_of_a_notebook_fit_their_types(name):
    notebook = read_notebook(ROOT / "notebooks" / name)
    (cell,) = [cell for cell in notebook.cells if "parameters" in cell.metadata.get("tags", [])]
    defaults: dict = {}
    exec(cell.source, defaults)
    del defaults["__builtins__"]
    defaults.pop("__annotations__", None)
    check_parameters(declared_parameters(notebook, name), defaults, name)


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_a_notebook_is_one_of_the_study_or_of_a_question(name):
    if name in ("01_calibration.ipynb", "02_evaluation.ipynb"):
        return
    assert name in OF_QUESTIONS, f"no question of adabm/study/pages/questions.py has the notebook {name}"
    source = "".join(cell.source for cell in read_notebook(ROOT / "notebooks" / name).cells if cell.cell_type == "code")
    assert re.search(r"\bpublish\(\s*root / results, \"(\w+)\"", source).group(1) == OF_QUESTIONS[name].id, (
        "it publishes under its question"
    )


def test_the_numbers_of_notebooks_follow_each_other():
    assert [int(name[:2]) for name in NOTEBOOKS] == list(range(1, len(NOTEBOOKS) + 1))
    assert [question.number for question in QUESTIONS] == list(range(3, 3 + len(QUESTIONS)))
    assert len({question.id for question in QUESTIONS}) == len(QUESTIONS)


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("question", QUESTIONS, ids=[question.id for question in QUESTIONS])
def test_a_question_has_parameters_and_what_its_stage_runs(profile, question):
    assert read_block(ROOT / profile / "params.yaml", question.id)["results"] == PROFILES[profile]
    assert question.notebook in NOTEBOOKS and f"--block {question.id}" in stage_of(profile, question.notebook)["cmd"]


@pytest.mark.parametrize("profile", PROFILES)
def test_every_notebook_has_a_stage(profile):
    run = re.findall(
        r"run_notebook notebooks/(\S+)",
        " ".join(str(s["cmd"]) for s in yaml.safe_load((ROOT / profile / "dvc.yaml").read_text())["stages"].values()),
    )
    assert sorted(run) == NOTEBOOKS
    for name in run:
        stage = stage_of(profile, name)
        assert f"notebooks/{name}" in stage["deps"] and f"--block {block_of(name)}" in stage["cmd"]
        if profile != ".":
            assert f"--params {profile}/params.yaml" in stage["cmd"]
