"""The pipeline on a tiny configuration, in a copy of the project: it runs, repeats itself, then does nothing."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import yaml

from adabm.study.pages.questions import QUESTIONS

ROOT = Path(__file__).parents[1]
COPIED = (
    "adabm",
    "pipelines",
    "notebooks",
    "data/demo_photos.yaml",
    "data/published.csv",
    "dvc.yaml",
    ".dvcignore",
    ".dvc/config",
)
BENCHMARK = ("calibrate", "collect")  # the last stages of what the fast tests run; the study's questions are slow
OF_QUESTIONS = {question.id for question in QUESTIONS}
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
    "fine_tuning": dict(pictures=2, steps=[1, 3], seeds=[0, 1]),
}  # fmt: skip


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
    params["calibration"].update(tiny)
    params["evaluation"].update(tiny)
    params["evaluation"]["plan"][0].update(methods=["minmax", "adabm"], settings=["W4A4 FQ"], seeds=[0, 1])
    params["prepare"].update(tile=16, tiles=2, crop=16)
    for question, changes in TINY_STUDY.items():
        params[question].update(changes, patch_size=12, rounds=3, steps_per_round=1)
        for method in params[question].get("methods", {}).values():
            method["seeds"] = [0, 1]
    (root / "params.yaml").write_text(yaml.safe_dump(params))
    subprocess.run(["git", "init", "-q"], cwd=root, check=True)
    return root


def dvc(root: Path, *arguments: str) -> str:
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(root),
        "DVC_NO_ANALYTICS": "1",
    }
    done = subprocess.run(
        [sys.executable, "-m", "dvc", *arguments], cwd=root, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    return done.stdout


@pytest.fixture(scope="module")
def reproduced(project) -> Path:
    dvc(project, "repro", *BENCHMARK)
    return project


def assert_outputs_are_there(root: Path, of_study: bool) -> None:
    stages = yaml.safe_load((root / "dvc.yaml").read_text())["stages"]
    chosen = [stage for name, stage in stages.items() if (name in {*OF_QUESTIONS, "collect_study"}) == of_study]
    assert chosen
    for stage in chosen:
        for out in stage.get("outs", []) + stage.get("metrics", []):
            path = root / (out if isinstance(out, str) else next(iter(out)))
            assert path.exists(), path


def assert_nothing_is_done(root: Path, *stages: str) -> None:
    before = {p: p.stat().st_mtime_ns for p in (root / "results").rglob("*") if p.is_file()}
    assert "Data and pipelines are up to date." in dvc(root, "repro", *stages)
    assert {p: p.stat().st_mtime_ns for p in (root / "results").rglob("*") if p.is_file()} == before
    assert json.loads(dvc(root, "status", "--json", *stages)) == {}


def assert_tables_tell_their_origin(tables: Path) -> set[str]:
    """Seeds and inputs of the provenance beside each table; return the names of the tables."""
    names = {table.stem for table in tables.glob("*.csv")}
    of_study = sorted(f"results/demo/tables/{name}.csv" for name in names & OF_QUESTIONS)
    for name in names:
        record = json.loads((tables / f"{name}.provenance.json").read_text())
        inputs = record["inputs_sha256"]
        if name in OF_QUESTIONS:
            assert record["seed"] == sorted(
                int(seed) for seed in pd.read_csv(tables / f"{name}.csv")["seed"].unique()
            ), name
            assert (
                record["params_file"] == "params.yaml"
                and record["block"] == name
                and record["notebook"].endswith(f"_{name}.ipynb")
            )
        elif name in ("study", "study_summary"):
            assert sorted(inputs) == of_study, "merged from the tables of the questions, and from nothing else"
            assert record["seed"] == sorted(int(seed) for seed in pd.read_csv(tables / "study.csv")["seed"].unique())
            continue
        else:
            assert record["seed"] in (0, [0, 1]), name
        assert "adabm/weights/edsr_f32b8_x4.safetensors" in inputs, name
    return names


def test_every_output_is_there(reproduced):
    assert_outputs_are_there(reproduced, of_study=False)


def test_second_run_does_nothing(reproduced):
    assert_nothing_is_done(reproduced, *BENCHMARK)


def test_forced_run_gives_the_same_bytes(reproduced):
    shutil.rmtree(reproduced / "data" / "cache")  # else nothing would be computed
    folder = reproduced / "results" / "demo"
    kept = {p: p.read_bytes() for p in folder.rglob("*") if p.is_file() and not p.name.endswith(".provenance.json")}
    assert any(p.suffix == ".ipynb" for p in kept)
    dvc(reproduced, "repro", "--force", "evaluate", "collect")
    changed = [p.name for p, data in kept.items() if p.read_bytes() != data]
    assert changed == []


def test_tables_are_complete(reproduced):
    tables = reproduced / "results" / "demo" / "tables"
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
    assert {"evaluation", "evaluation_pictures", "evaluation_summary"} <= assert_tables_tell_their_origin(tables)


@pytest.mark.slow
def test_the_study_runs_whole_and_once(reproduced):
    dvc(reproduced, "repro")
    assert_outputs_are_there(reproduced, of_study=True)
    assert assert_tables_tell_their_origin(reproduced / "results" / "demo" / "tables") >= {
        *OF_QUESTIONS,
        "study",
        "study_summary",
    }
    study = pd.read_csv(reproduced / "results" / "demo" / "tables" / "study.csv")
    assert set(study["question"]) == OF_QUESTIONS and set(study["status"]) == {"measured"}
    assert_nothing_is_done(reproduced)


def test_profiles_have_the_same_stages_and_notebooks():
    """The paper profile differs in its data and networks alone."""
    demo, paper = (yaml.safe_load((ROOT / p / "dvc.yaml").read_text())["stages"] for p in (".", "profiles/paper"))
    for stage in ("calibrate", "evaluate", *OF_QUESTIONS):
        expected = (
            demo[stage]["cmd"]
            .replace("results/demo", "results/paper")
            .replace(" --block", " --params profiles/paper/params.yaml --block")
        )
        assert paper[stage]["cmd"] == expected
    blocks = [yaml.safe_load((ROOT / p / "params.yaml").read_text()) for p in (".", "profiles/paper")]
    for block in ("evaluation", "calibration", *OF_QUESTIONS):
        assert blocks[0][block].keys() == blocks[1][block].keys(), block


@pytest.mark.parametrize(
    "marker, name",
    [
        ("results", "results/demo/tables/evaluation.md"),
        ("reference", "results/paper/tables/reference.md"),
        ("comparison", "results/paper/tables/comparison.md"),
        ("answers", "results/paper/tables/answers.md"),
    ],
)
def test_readme_shows_the_committed_tables(marker, name):
    """The README's numbers are those of the committed results, to the letter.

    The working copy's may differ: another processor regenerates other last digits.
    """
    committed = subprocess.run(["git", "show", f"HEAD:{name}"], cwd=ROOT, capture_output=True, text=True)
    if committed.returncode:
        pytest.skip(f"no git checkout with a committed {name}")
    text = (ROOT / "README.md").read_text()
    shown = re.search(rf"<!-- {marker}:start -->\n(.*?)<!-- {marker}:end -->", text, re.DOTALL).group(1)
    assert shown == committed.stdout


def test_the_version_cited_as_an_example_is_the_committed_table_s():
    path = "results/demo/tables/set_size.provenance.json"
    committed = subprocess.run(["git", "show", f"HEAD:{path}"], cwd=ROOT, capture_output=True, text=True)
    if committed.returncode:
        pytest.skip(f"no git checkout with a committed {path}")
    text = (ROOT / "results" / "README.md").read_text()
    assert f"table demo/set_size, version {json.loads(committed.stdout)['version']}." in text
