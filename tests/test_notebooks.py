"""The notebooks of the repository fit the parameters of both profiles, and the questions of the study fit the notebooks."""

import ast
import re
from functools import cache
from pathlib import Path

import nbformat
import pytest
from nbformat import NotebookNode

from adabm.errors import ConfigError
from adabm.study.answers import questions
from adabm.support.yaml_files import read_yaml
from pipelines.stages.notebook_parameters import check_parameters, declared_parameters, optional_collections
from pipelines.stages.run_notebook import read_notebook

ROOT = Path(__file__).parents[1]
NOTEBOOKS = sorted(path.name for path in (ROOT / "notebooks").glob("*.ipynb"))
OF_QUESTIONS = {question.notebook: question for question in questions()}
PROFILES = {".": "results/demo", "profiles/paper": "results/paper"}
MOST_LINES = 60  # of code in a notebook: it shows and explains, the analysis stands in adabm.study.answers


def block_of(name: str) -> str:
    """``03_set_size.ipynb`` gets the block ``set_size``."""
    return re.fullmatch(r"\d\d_(\w+)\.ipynb", name).group(1)


@cache
def parameters_of(profile: str) -> dict:
    return read_yaml(ROOT / profile / "params.yaml")


@cache
def notebook_of(name: str) -> NotebookNode:
    return read_notebook(ROOT / "notebooks" / name)


def defaults_of(name: str) -> dict:
    """The parameters cell of a notebook, as a run by hand has it."""
    cells = notebook_of(name).cells
    (cell,) = [cell for cell in cells if "parameters" in cell.metadata.get("tags", [])]
    defaults: dict = {}
    exec(cell.source, defaults)
    del defaults["__builtins__"]
    defaults.pop("__annotations__", None)
    return defaults


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_a_notebook_declares_its_parameters_in_one_cell(name):
    cells = notebook_of(name).cells
    tagged = [index for index, cell in enumerate(cells) if "parameters" in cell.metadata.get("tags", [])]
    assert len(tagged) == 1 and cells[0].cell_type == "markdown" and cells[0].source.startswith("# ")
    assert all(cell.cell_type == "markdown" for cell in cells[: tagged[0]]), "derived values come after the parameters"
    assert not any(cell.get("outputs") or cell.get("execution_count") for cell in cells), "the source holds no results"


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("name", NOTEBOOKS)
def test_both_profiles_give_a_notebook_exactly_its_parameters(profile, name):
    declared = declared_parameters(notebook_of(name), name)
    given = parameters_of(profile)[block_of(name)]
    assert check_parameters(declared, given, name).keys() == declared.keys() > {"results"}
    assert given["results"] == PROFILES[profile]


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_the_defaults_of_a_notebook_fit_their_types(name):
    notebook = notebook_of(name)
    check_parameters(declared_parameters(notebook, name), defaults_of(name), name)


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_a_notebook_run_by_hand_leaves_the_profiles_alone(name):
    assert defaults_of(name)["results"] == "results/interactive"


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_a_notebook_shows_and_explains(name):
    cells = notebook_of(name).cells
    code = [c.source for c in cells if c.cell_type == "code" and "parameters" not in c.metadata.get("tags", [])]
    lines = [
        line for source in code for line in source.splitlines() if line.strip() and not line.strip().startswith("#")
    ]
    assert len(lines) < MOST_LINES


def test_the_paper_profile_draws_no_benchmark_pictures():
    """Executed notebooks are passed on with the repository, the pictures of the benchmarks may not be."""
    assert parameters_of("profiles/paper")["calibration"]["draw_pictures"] is False
    cells = notebook_of("01_calibration.ipynb").cells
    drawing = [c.source for c in cells if re.search(r"plot_bit_map|before_and_after\(outputs", c.source)]
    assert len(drawing) == 2 and all(re.search(r"^if draw_pictures:$", s, re.MULTILINE) for s in drawing)


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_a_notebook_is_one_of_the_study_or_of_a_question(name):
    if name in ("01_calibration.ipynb", "02_evaluation.ipynb"):
        return
    assert name in OF_QUESTIONS, f"no module of adabm/study/answers has the notebook {name}"
    source = "".join(cell.source for cell in notebook_of(name).cells if cell.cell_type == "code")
    assert re.search(r"\bpublish\(\s*root / results, \"(\w+)\"", source).group(1) == OF_QUESTIONS[name].id, (
        "it publishes under its question"
    )


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_a_notebook_writes_its_conclusion_behind_its_tables(name):
    """Else a run that is interrupted between them leaves a conclusion beside tables that it was not computed from."""
    source = "\n".join(cell.source for cell in notebook_of(name).cells if cell.cell_type == "code")
    written = re.findall(r"\b(write_tables|write_conclusion|publish)\(", source)
    assert written[-1] != "write_tables" and set(written[:-1]) <= {"write_tables"}


@pytest.mark.parametrize("name", ["08_complexity.ipynb", "10_sensitivity.ipynb"])
def test_a_share_that_cannot_be_moved_is_refused_before_anything_is_measured(name):
    source = "\n".join(cell.source for cell in notebook_of(name).cells if cell.cell_type == "code")
    assert source.index("check_share(share)") < source.index("open_networks(")


def test_each_notebook_has_a_number_of_its_own():
    numbers = [int(name[:2]) for name in NOTEBOOKS]
    assert numbers == sorted(set(numbers)), "there may be gaps"


@pytest.mark.parametrize("profile", PROFILES)
def test_a_profile_asks_every_question_and_gives_it_parameters(profile):
    parameters = parameters_of(profile)
    asked = parameters["questions"]
    assert {f"{entry['notebook']}.ipynb": key for key, entry in asked.items()} == {n: block_of(n) for n in NOTEBOOKS}
    assert set(asked) >= {question.id for question in questions()}
    for key, entry in asked.items():
        assert parameters[key]["results"] == PROFILES[profile]
        assert len(set(entry["reads"])) == 4, "DVC takes neither a list nor one dependency twice"


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_lists_tell_what_they_hold(name):
    declared = declared_parameters(notebook_of(name), name)
    assert [key for key, kind in declared.items() if isinstance(kind, ast.Name) and kind.id == "list"] == []


@pytest.mark.parametrize(
    "kind, right, wrong",
    [
        ("dict[str, int]", {"a": 1}, [{"a": "1"}, {1: 1}, {"a": None}, [1]]),
        ("dict[str, dict]", {"a": {}}, [{"a": 1}, {}.keys()]),
        ("list[int | float]", [1, 2.5], [["1"], [None], [True]]),
    ],
)
def test_what_a_parameter_holds_is_checked(kind, right, wrong):
    declared = {"x": ast.parse(kind, mode="eval").body}
    taken = check_parameters(declared, {"x": right}, "n")["x"]
    assert taken == right and str(taken) == str(right)  # numbers stay as they were given: they enter keys
    for value in wrong:
        with pytest.raises(ConfigError, match="cannot take"):
            check_parameters(declared, {"x": value}, "n")


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_what_may_not_be_empty_is_refused_by_name(name):
    notebook = notebook_of(name)
    declared, optional = declared_parameters(notebook, name), optional_collections(notebook, name)
    given = parameters_of(".")[block_of(name)]
    assert check_parameters(declared, given, name, optional=optional).keys() == declared.keys()
    for key in ("backbones", "sets", "methods", "seeds", "plan", "networks", "sizes", "strategies", "compared"):
        if key in declared:
            for value in ([], {}):
                with pytest.raises(ConfigError, match=f"'{key}' is empty|'{key}: .* cannot take"):
                    check_parameters(declared, given | {key: value}, name, optional=optional)


def test_which_parameters_may_be_empty():
    cell = nbformat.v4.new_code_cell(
        "a: list[int] = []\nb: dict[str, list[int]] = {'x': [1]}\nchanges: dict = {'y': 1}"
    )
    cell.metadata.tags = ["parameters"]
    notebook = nbformat.v4.new_notebook(cells=[cell])
    declared, optional = declared_parameters(notebook, "n"), optional_collections(notebook, "n")
    check_parameters(declared, {"a": [], "b": {"x": [1]}, "changes": {}}, "n", optional=optional)
    for value in ({}, {"x": []}, {"x": [1], "y": []}):
        with pytest.raises(ConfigError, match="n: 'b' is empty .* name at least one"):
            check_parameters(declared, {"a": [], "b": value, "changes": {}}, "n", optional=optional)


def test_what_no_question_can_be_asked_with_is_refused():
    kinds = "setting: str\nshare: float\nside: int\nrate: float\nsets: list[str]\nsteps: list[int]\n"
    kinds += "backbones: dict[str, dict]\nnetworks: dict[str, dict]\nplan: list[dict]\n"
    declared = {line.target.id: line.annotation for line in ast.parse(kinds).body}
    right = dict(
        setting="W4A4 FQ", share=0.1, side=1, rate=0.0, sets=["a"], steps=[1, 2], backbones={"x": {"seeds": [0]}}
    )
    right |= dict(networks={"a": {"backbone": "x", "seeds": [0]}, "b": {"backbone": "x", "sets": ["c"], "seeds": [0]}})
    right |= dict(plan=[{"seeds": [0, 0]}])  # where a cell that is there twice is kept once
    assert check_parameters(declared, right, "n") == right
    nan, inf = float("nan"), float("inf")
    wrong = [("share", value) for value in (0.0, 1.0, nan)] + [("side", value) for value in (0, -1, 10**25)]
    wrong += [("rate", value) for value in (-0.1, nan, inf)] + [
        ("sets", ["a", "b", "a"]),
        ("steps", [0]),
        ("steps", [1, 1]),
    ]
    wrong += [("backbones", {"x": {"seeds": [1, 1]}}), ("backbones", {"x": {"side": 0}})]
    wrong += [("backbones", {"x": {"seeds": [0]}, "weights/x.safetensors": {"seeds": [1]}})]
    wrong += [("networks", {name: {"backbone": "x", "seeds": [seed]} for seed, name in enumerate("ab")})]
    wrong += [("backbones", {"x": {"seeds": seeds}}) for seeds in ([], [0.5], [1.0])]
    wrong += [("setting", ""), ("sets", [""]), ("backbones", {"x": {"setting": ""}})]
    for key, value in wrong:
        with pytest.raises(ConfigError, match=f"n: '{key}.*(cannot be|twice|is empty)"):
            check_parameters(declared, right | {key: value}, "n")
