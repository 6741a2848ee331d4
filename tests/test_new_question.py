"""A question that a stranger adds: a notebook, an answer and a block in each profile; nothing else knows of it."""

import json
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
import yaml
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from adabm.errors import ConfigError
from adabm.study.variables import EXECUTOR_VARIABLE
from helpers.copied_project import environment_in, stages
from helpers.forked import Forked
from helpers.own_executor import NAME, THREADS
from helpers.study_files import write_pool, write_study
from pipelines.stages import run_notebook
from pipelines.stages.notebook_parameters import check_parameters, declared_parameters, read_block

ROOT = Path(__file__).parents[1]
COPIED = ("adabm", "pipelines", "notebooks", "profiles", "dvc.yaml", "params.yaml", ".dvcignore", ".dvc/config")
DATA = ("data/reference_psnr.csv", "data/demo_photos.yaml", "data/sources.yaml")

ANSWER = '''"""Do seeds matter?"""

from ..pages import question_figures
from ..plan.cells import Run
from ..running.bench import Trial
from ..tables.conclusion import answer, practice
from ..tables.question import Question

QUESTION = Question("seeds", 30, "Do seeds matter?", "The same model with other patches.", "Quality by seed")


def trials(bench, setting, method, seeds):
    runs = [Run.at(method, setting, seed) for seed in seeds]
    return [Trial(method, "count", "3", run, bench.choose("random", 3, run)) for run in runs]


def figures(table):
    return {"": question_figures.plot_levels(table[table["variable"] == "count"], "psnr_y_db", "PSNR-Y (dB)")}


def conclusion(table):
    low = table[table["variable"] == "count"]["psnr_y_db"]
    told = answer(f"{len(low)} seeds spread over {low.max() - low.min():.2f} dB.")
    return [told, practice("measure more than one seed.")]
'''
PARAMETERS = """backbone: str = "edsr_f32b8_x4"
data: str = "data/prepared/demo"
pool: str = "data/prepared/demo/pool"
sets: list = ["demo-photos-crops"]
setting: str = "W4A4 FQ"
method: str = "minmax"
seeds: list[int] = [0, 1]
results: str = "results/interactive\""""
CODE = """%matplotlib inline
from IPython.display import Markdown

from adabm.study import Bench, Effort, find_root, publish
from adabm.study.answers import seeds as answer

root = find_root()
bench = Bench.open(backbone, data, sets, pool, Effort(12, None, 3, 1), workers=1)
table = bench.measure("seeds", answer.trials(bench, setting, method, seeds))
figures, conclusion = answer.figures(table), answer.conclusion(table)
Markdown(publish(root / results, "seeds", table, figures, conclusion, root, dict(seeds=seeds), bench.inputs))"""


# Both in one process, which imports the copy once.
VERIFIED_AND_COLLECTED = """import sys
from adabm.cli import main
from pipelines.stages.collect import main as collect
sys.argv[1:] = ["--results", "results/demo", "--title", "A study"]
sys.exit(main(["verify-results"]) or collect())
"""


def block(profile: str) -> dict:
    return dict(
        backbone="net.safetensors",
        data="data",
        pool="data/pool",
        sets=["First"],
        setting="W4A4 FQ",
        method="minmax",
        seeds=[0, 1],
        results=f"results/{profile}",
    )


def add_question(root: Path) -> list[Path]:
    """Add the question ``seeds``; return the files that were written."""
    answer, notebook = root / "adabm/study/answers/seeds.py", root / "notebooks/30_seeds.ipynb"
    answer.write_text(ANSWER)
    parameters = new_code_cell(PARAMETERS, metadata={"tags": ["parameters"]})
    measuring = new_code_cell(CODE, metadata={"tags": ["table:table=seeds"]})
    nbformat.write(new_notebook(cells=[new_markdown_cell("# Do seeds matter?"), parameters, measuring]), notebook)
    files = {"demo": root / "params.yaml", "paper": root / "profiles/paper/params.yaml"}
    for profile, path in files.items():
        blocks = yaml.safe_load(path.read_text())
        reads = ["data/First", "data/pool", "net.safetensors", "adabm/weights"]
        blocks["questions"]["seeds"] = dict(notebook="30_seeds", reads=reads)
        blocks["seeds"] = block(profile)
        path.write_text(yaml.safe_dump(blocks, sort_keys=False))
    return [answer, notebook, *files.values()]


def contents(root: Path) -> dict[Path, bytes]:
    files = (path for name in COPIED for path in [root / name, *(root / name).rglob("*")] if path.is_file())
    return {path: path.read_bytes() for path in files if "__pycache__" not in path.parts}


@pytest.fixture(scope="module")
def project(tmp_path_factory) -> Path:
    root = write_study(tmp_path_factory.mktemp("project"))
    write_pool(root / "data" / "pool")
    for name in (*COPIED, *DATA):
        source, copy = ROOT / name, root / name
        copy.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, copy, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, copy)
    (root / "threads.py").write_text(THREADS)
    (root / "verified_and_collected.py").write_text(VERIFIED_AND_COLLECTED)
    subprocess.run(["git", "init", "-q"], cwd=root, check=True)
    before = contents(root)
    written = add_question(root)
    after = contents(root)
    assert {path for path in after if after[path] != before.get(path)} == set(written) and len(written) == 4
    return root


def environment(root: Path) -> dict[str, str]:
    """In which tasks run beside the notebook's cells, not in processes that would import the libraries once more."""
    variables = environment_in(root) | {EXECUTOR_VARIABLE: f"{root / 'threads.py'}:{NAME}"}
    return {name: value for name, value in variables.items() if name != "ADABM_CACHE"}


def run(root: Path, *words: str, fails: bool = False) -> str:
    command = [sys.executable, "-m", *words]
    done = subprocess.run(command, cwd=root, env=environment(root), capture_output=True, text=True)
    assert bool(done.returncode) is fails, done.stdout[-2000:] + done.stderr[-4000:]
    return done.stdout


@pytest.fixture(scope="module")
def stage(project) -> dict:
    """Its stage of the demo."""
    found = stages(project)
    assert "profiles/paper/dvc.yaml:question@seeds" in found
    return found["question@seeds"]


@pytest.mark.slow
def test_both_pipelines_have_its_stage(project, stage):
    assert stage["outs"] == ["results/demo/seeds", "results/demo/sums/seeds.sha256"]
    assert {"data/First", "data/pool", "net.safetensors"} < set(stage["deps"])
    assert all((project / name).exists() for name in stage["deps"])


def test_its_parameters_are_checked(project):
    notebook = project / "notebooks" / "30_seeds.ipynb"
    declared = declared_parameters(run_notebook.read_notebook(notebook), notebook.name)
    given = read_block(project / "params.yaml", "seeds")
    assert check_parameters(declared, given, notebook.name).keys() == declared.keys()
    with pytest.raises(ConfigError, match="no parameter 'seed' "):
        check_parameters(declared, given | {"seed": 0}, notebook.name)


@pytest.mark.slow
def test_it_is_answered_collected_and_reported(project, stage, monkeypatch):
    """By the command of its stage, and then by those that collect and verify."""
    for name, value in environment(project).items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("ADABM_CACHE", raising=False)
    monkeypatch.setattr(run_notebook, "ROOT", project)
    monkeypatch.chdir(project)
    words = shlex.split(stage["cmd"])
    assert words[:3] == ["python", "-m", "pipelines.stages.run_notebook"] and run_notebook.main(words[3:]) == 0
    assert all((project / name).exists() for name in stage["outs"])
    folder = project / "results" / "demo" / "seeds"
    assert {path.name for path in folder.iterdir()} == {
        "30_seeds.ipynb", "conclusion.md", "seeds.csv", "seeds.provenance.json", "seeds.png", "seeds.svg"
    }  # fmt: skip
    record = json.loads((folder / "seeds.provenance.json").read_text())
    assert (record["table"], record["block"], record["notebook"]) == ("demo/seeds", "seeds", "notebooks/30_seeds.ipynb")
    assert "answer" in record["code_sha256"]
    collecting = Forked(project, "verified_and_collected")
    told, errors = collecting.communicate()
    assert collecting.returncode == 0 and "1 of 1 tables verified" in told, errors[-3000:]
    report = project / "results" / "demo" / "report"
    assert (report / "answers.md").read_text().startswith("* **Do seeds matter?**\n  * **2 seeds spread over ")
    page = (report / "report.html").read_text()
    assert "The same model with other patches." in page and 'href="../seeds/30_seeds.ipynb"' in page
    assert "seeds" in json.loads((report.parent / "metrics.json").read_text())


@pytest.mark.slow
def test_it_is_told_anew_without_measuring(project):
    """With other words, and without pictures, network and cache: tables and provenance stay, and are verified."""
    run(project, "dvc", "repro", "--single-item", "question@seeds")
    folder, answer = project / "results" / "demo" / "seeds", project / "adabm/study/answers/seeds.py"
    answer.write_text(ANSWER.replace("seeds spread over", "seeds differ by"))
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    words = ["--params", "params.yaml", "--block", "seeds", "--sums", "results/demo/sums/seeds.sha256", "--from-tables"]
    hidden = [
        (project / name).rename(project / f"hidden-{number}") for number, name in enumerate(("data", "net.safetensors"))
    ]
    run(project, "pipelines.stages.run_notebook", "notebooks/30_seeds.ipynb", str(folder / "30_seeds.ipynb"), *words)
    for path, name in zip(hidden, ("data", "net.safetensors")):
        path.rename(project / name)
    after = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert {name for name in after if after[name] != before[name]} == {"30_seeds.ipynb", "conclusion.md"}
    assert after["conclusion.md"] == before["conclusion.md"].replace(b"seeds spread over", b"seeds differ by")
    assert b"nothing was measured when this notebook was executed" in after["30_seeds.ipynb"]
    assert "the code of answer changed since" in run(project, "adabm", "verify-results", fails=True)
