"""The pipeline on a tiny configuration, in a copy of the project: it runs, repeats itself, then does nothing."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import yaml

from adabm.study.answers import questions
from adabm.study.variables import EXECUTOR_VARIABLE
from helpers.copied_project import environment_in, stages
from helpers.own_executor import NAME, THREADS

ROOT = Path(__file__).parents[1]
COPIED = (
    "adabm",
    "pipelines",
    "notebooks",
    "data/demo_photos.yaml",
    "data/published.csv",
    "data/reference_psnr.csv",
    "dvc.yaml",
    "profiles/demo",
    ".dvcignore",
    ".dvc/config",
)
BENCHMARK = ("question@calibration", "question@evaluation")  # what the fast tests run; the study's questions are slow
OF_QUESTIONS = {question.id for question in questions()}
# what makes each block of a question tiny; the number of models stays far below that of the real study
TINY_STUDY = {
    "timing": dict(sizes=[1, 2], steps=[1, 3], repeats=2),
    "set_size": dict(sizes=[1, 3]),
    "sampling": dict(strategies=["random", "diverse", "adaptive"], count=2, counts={"adaptive": 4}),
    "components": dict(
        pictures=2, combinations=["image+layer", "layer+clipping", "image+layer+clipping", "layer+clipping+tuning", "image+layer+clipping+tuning"],
        frontier=dict(bits=[3, 6], weight_bits=4, series=["AdaBM, not fine-tuned", "uniform bits, not fine-tuned"], tuned=dict(bits=[4], series=["AdaBM"])),
        bit_weights=[5, 50], seeds=[0, 1],
    ),
    "fine_tuning": dict(pictures=2, steps=[1, 3]),
    "complexity": dict(pictures=2, side=16),
    "thresholds": dict(percentiles=[45], starts=["random", "constant 15 to 50"], count=2),
    "sensitivity": dict(pictures=2, side=16, directions=1, draws=2),
    "separability": dict(pictures=2, side=16),
    "clipping": dict(pictures=2, side=16, bits=[2, 8], owed=[[8, 2]]),
    "bit_loss": dict(pictures=4, side=16, weights=[0, 50], steps=3),
    "gradient": dict(pictures=4, side=12, compared=dict(size=2, batches=1), tuned=dict(size=2, steps=2, lr=0.03)),
    "dynamic": dict(pictures=2, side=16, repeats=1),
    "stopping": dict(pictures=2, held_out=2, side=16, count=2),
    "pool": dict(number=4, side=16),
    "pictures": dict(count=2),
}  # fmt: skip
FEW = dict(patches=4, seeds=[0, 1])  # of a network, where a question has patches


@pytest.fixture(scope="module")
def project(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("project")
    for name in COPIED:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        if (ROOT / name).is_dir():
            shutil.copytree(
                ROOT / name, root / name, ignore=shutil.ignore_patterns("__pycache__", ".ipynb_checkpoints")
            )
        else:
            shutil.copy(ROOT / name, root / name)
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    tiny = dict(patch_size=16, patches=4, steps_per_round=1, rounds=3)
    params["calibration"].update(tiny, evaluated="demo-photos-crops")
    params["evaluation"].update(tiny)
    part = params["evaluation"]["plan"][0] | dict(
        sets=["demo-photos-crops"], methods=["minmax", "adabm"], settings=["W4A4 FQ"], seeds=[0, 1]
    )
    params["evaluation"].update(plan=[part], workers=1)
    params["prepare"].update(tile=16, tiles=2, crop=32)  # a crop is at least as large as what a figure shows
    for question, changes in TINY_STUDY.items():
        block = params[question]
        rounds = dict(rounds=3, steps_per_round=1) if "rounds" in block else {}
        block.update(changes, patch_size=12, **rounds)
        methods = block.get("methods", {})
        for method in methods.values() if isinstance(methods, dict) else ():
            if isinstance(method, dict):
                method["seeds"] = [0, 1]
        for network in (block.get("backbones") or block.get("networks") or {}).values():
            network.update({name: value for name, value in FEW.items() if name in network})
    (root / "params.yaml").write_text(yaml.safe_dump(params))
    subprocess.run(["git", "init", "-q"], cwd=root, check=True)
    return root


def dvc(root: Path, *arguments: str, **variables: str) -> str:
    command, environment = [sys.executable, "-m", "dvc", *arguments], environment_in(root) | variables
    done = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    return done.stdout


@pytest.fixture(scope="module")
def reproduced(project) -> Path:
    """With both questions answered; tasks ran beside the cells of a notebook, not in processes that import all once more."""
    (project / "threads.py").write_text(THREADS)
    dvc(project, "repro", *BENCHMARK, **{EXECUTOR_VARIABLE: f"{project / 'threads.py'}:{NAME}"})
    return project


WRITTEN = {  # beside each other in the folder of a question
    "calibration": ["adabm.safetensors", "01_calibration.ipynb", "conclusion.md", "calibration_crops.svg", "calibration_steps.csv"],
    "evaluation": ["02_evaluation.ipynb", "conclusion.md", "evaluation.csv", "evaluation_summary.csv"],
    "timing": ["07_timing.ipynb", "conclusion.md", "timing.csv", "timing.png", "timing_steps.svg"],
    "set_size": ["03_set_size.ipynb", "conclusion.md", "set_size.csv", "set_size.png", "set_size_time.svg"],
    "sampling": ["04_sampling.ipynb", "conclusion.md", "sampling.csv", "sampling.png"],
    "components": ["05_components.ipynb", "conclusion.md", "components.csv", "components_frontier.png"],
    "fine_tuning": ["06_fine_tuning.ipynb", "conclusion.md", "fine_tuning.csv", "fine_tuning.png"],
    "report": ["report.html", "evaluation.md", "study.csv", "study_summary.csv", "study.md", "study.tex", "answers.md", "loss.png"],
}  # fmt: skip


def assert_outputs_are_there(root: Path, *folders: str) -> None:
    for folder in folders:
        here = {path.name for path in (root / "results" / "demo" / folder).iterdir()}
        assert set(WRITTEN[folder]) <= here, folder
        if folder != "report":
            sums = (root / "results" / "demo" / "sums" / f"{folder}.sha256").read_text().splitlines()
            assert {line.split("  ")[1] for line in sums} == {f"{folder}/{name}" for name in here}


def assert_nothing_is_done(root: Path, *stages: str) -> None:
    before = {p: p.stat().st_mtime_ns for p in (root / "results").rglob("*") if p.is_file()}
    assert "Data and pipelines are up to date." in dvc(root, "repro", *stages)
    assert {p: p.stat().st_mtime_ns for p in (root / "results").rglob("*") if p.is_file()} == before


def assert_tables_tell_their_origin(results: Path) -> set[str]:
    """Seeds and inputs of the provenance beside each table; return the names of the tables."""
    tables = {table.stem: table for table in results.rglob("*.csv")}
    of_study = sorted(f"results/demo/{name}/{name}.csv" for name in tables.keys() & OF_QUESTIONS)
    for name, table in tables.items():
        record = json.loads(table.with_suffix(".provenance.json").read_text())
        assert record["table"] == f"demo/{name}"
        inputs = record["inputs_sha256"]
        if name in OF_QUESTIONS:
            assert record["seed"] == sorted(int(seed) for seed in pd.read_csv(table)["seed"].unique()), name
            assert (
                record["params_file"] == "params.yaml"
                and record["block"] == name
                and record["notebook"].endswith(f"_{name}.ipynb")
            )
        elif name in ("study", "study_summary"):
            assert sorted(inputs) == of_study, "merged from the tables of the questions, and from nothing else"
            assert record["seed"] == sorted(
                int(seed) for seed in pd.read_csv(table.with_name("study.csv"))["seed"].unique()
            )
            continue
        elif name == "leaderboard":
            sources = [f"results/demo/{source}.csv" for source in ("evaluation/evaluation_summary", "timing/timing")]
            assert sorted(inputs) == sources, "drawn from these tables, which tell their seeds"
            continue
        else:
            assert record["seed"] in (0, [0, 1]), name
        assert "adabm/weights/edsr_f32b8_x4.safetensors" in inputs, name
    return set(tables)


@pytest.mark.slow
def test_every_output_is_there(reproduced):
    assert_outputs_are_there(reproduced, "calibration", "evaluation")


@pytest.mark.slow
def test_second_run_does_nothing(reproduced):
    assert_nothing_is_done(reproduced, *BENCHMARK)


@pytest.mark.slow  # test_run_notebook shows it of one notebook in a second
def test_forced_run_gives_the_same_bytes(reproduced):
    """And so do tasks in processes."""
    shutil.rmtree(reproduced / "data" / "cache")  # else nothing would be computed
    folder = reproduced / "results" / "demo"
    files = [p for p in folder.rglob("*") if p.is_file()]
    dated = (".provenance.json", ".sha256")  # a date, and the sum of it
    kept = {p: p.read_bytes() for p in files if not p.name.endswith(dated)}
    assert {p.suffix for p in kept} >= {".ipynb", ".safetensors", ".csv"}
    dvc(reproduced, "repro", "--force", *BENCHMARK)
    changed = [p.name for p, data in kept.items() if p.read_bytes() != data]
    assert changed == []


@pytest.mark.slow
def test_tables_are_complete(reproduced):
    tables = reproduced / "results" / "demo" / "evaluation"
    means = pd.read_csv(tables / "evaluation.csv")
    assert list(zip(means["method"], means["seed"])) == [
        ("fp32", 0),
        ("minmax", 0),
        ("minmax", 1),
        ("adabm", 0),
        ("adabm", 1),
    ]
    assert means.notna().all().all() and (means["status"] == "measured").all()
    pictures = pd.read_csv(tables / "evaluation_pictures.csv")
    for keys, rows in pictures.groupby(["method", "seed"]):
        assert rows["psnr_y_db"].mean() == pytest.approx(
            means.set_index(["method", "seed"]).loc[keys, "psnr_y_db"], abs=2e-3
        )
    summary = pd.read_csv(tables / "evaluation_summary.csv").set_index("method")
    assert summary["seeds"].to_dict() == {"fp32": 1, "minmax": 2, "adabm": 2}
    assert {"evaluation", "evaluation_pictures", "evaluation_summary"} <= assert_tables_tell_their_origin(tables.parent)


@pytest.mark.long
def test_the_study_runs_whole_and_once(reproduced):
    dvc(reproduced, "repro")
    assert json.loads(dvc(reproduced, "status", "--json")) == {}
    assert_outputs_are_there(reproduced, *WRITTEN)
    assert assert_tables_tell_their_origin(reproduced / "results" / "demo") >= {
        *OF_QUESTIONS,
        "study",
        "study_summary",
    }
    study = pd.read_csv(reproduced / "results" / "demo" / "report" / "study.csv")
    assert set(study["question"]) == OF_QUESTIONS and set(study["status"]) == {"measured"}
    assert_nothing_is_done(reproduced)


@pytest.mark.slow
def test_profiles_have_the_same_stages_and_notebooks():
    """One text; the paper profile differs in its data and networks alone."""
    assert (ROOT / "profiles" / "paper" / "dvc.yaml").read_bytes() == (ROOT / "dvc.yaml").read_bytes()
    found = stages(ROOT)
    blocks = [yaml.safe_load((ROOT / p / "params.yaml").read_text()) for p in (".", "profiles/paper")]
    assert blocks[0]["questions"].keys() == blocks[1]["questions"].keys()
    for key in blocks[0]["questions"]:
        demo, paper = found[f"question@{key}"], found[f"profiles/paper/dvc.yaml:question@{key}"]
        assert demo["outs"] == [f"results/demo/{key}", f"results/demo/sums/{key}.sha256"]
        assert paper["outs"] == [out.replace("/demo/", "/paper/") for out in demo["outs"]]
        assert paper["cmd"] == demo["cmd"].replace("results/demo", "results/paper").replace(
            "--params params.yaml", "--params profiles/paper/params.yaml"
        )
        assert blocks[0][key].keys() == blocks[1][key].keys(), key
    for prefix, profile in (("", "demo"), ("profiles/paper/dvc.yaml:", "paper")):
        assert f"results/{profile}/sums" in found[f"{prefix}collect"]["deps"]
        assert found[f"{prefix}collect"]["outs"] == [f"results/{profile}/report", f"results/{profile}/metrics.json"]
        assert set(found[f"{prefix}collect"]["outs"]) < set(found[f"{prefix}manifest"]["deps"])
        assert found[f"{prefix}manifest"]["outs"] == [f"results/{profile}/manifest.json"]


@pytest.mark.parametrize(
    "marker, name",
    [
        ("results", "results/demo/report/evaluation.md"),
        ("reference", "results/paper/report/reference.md"),
        ("comparison", "results/paper/report/comparison.md"),
        ("networks", "results/paper/report/networks.md"),
        ("answers", "results/paper/report/answers.md"),
    ],
)
def test_the_page_of_results_shows_the_committed_tables(marker, name):
    """Its numbers are those of the committed results, to the letter.

    The working copy's may differ: another processor regenerates other last digits.
    """
    assert shown_table("docs/results.md", marker) == committed_text(name)


def test_the_readme_shows_rows_of_the_committed_table():
    rows = shown_table("README.md", "short").splitlines()
    assert len(rows) > 4 and "| Fast  " in rows[-1]
    committed = committed_text("results/demo/report/evaluation.md").splitlines()
    assert (
        list(dict.fromkeys(row for row in committed if row in rows)) == rows
    )  # each network's table has the same head


def shown_table(page: str, marker: str) -> str:
    return re.search(
        rf"<!-- {marker}:start -->\n(.*?)<!-- {marker}:end -->", (ROOT / page).read_text(), re.DOTALL
    ).group(1)


def committed_text(name: str) -> str:
    committed = subprocess.run(["git", "show", f"HEAD:{name}"], cwd=ROOT, capture_output=True, text=True)
    if committed.returncode:
        pytest.skip(f"no git checkout with a committed {name}")
    return committed.stdout


def test_the_version_cited_as_an_example_is_the_committed_table_s():
    path = "results/demo/set_size/set_size.provenance.json"
    committed = subprocess.run(["git", "show", f"HEAD:{path}"], cwd=ROOT, capture_output=True, text=True)
    if committed.returncode:
        pytest.skip(f"no git checkout with a committed {path}")
    text = (ROOT / "results" / "README.md").read_text()
    assert f"table demo/set_size, version {json.loads(committed.stdout)['version']}." in text
