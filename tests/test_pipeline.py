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

ROOT = Path(__file__).parents[1]
COPIED = ("adabm", "pipelines", "notebooks", "data/demo_photos.yaml", "data/published.csv", "dvc.yaml", ".dvcignore", ".dvc/config")


@pytest.fixture(scope="module")
def project(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("project")
    for name in COPIED:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, root / name, ignore=shutil.ignore_patterns("__pycache__", ".ipynb_checkpoints"))
        else:
            shutil.copy(ROOT / name, root / name)
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    tiny = dict(patch_size=16, patches=4, steps_per_round=1, rounds=3)
    params["calibration"].update(tiny)
    params["evaluation"].update(tiny)
    params["evaluation"]["plan"][0].update(methods=["minmax", "adabm"], settings=["W4A4 FQ"], seeds=[0, 1])
    (root / "params.yaml").write_text(yaml.safe_dump(params))
    subprocess.run(["git", "init", "-q"], cwd=root, check=True)
    return root


def dvc(root: Path, *arguments: str) -> str:
    environment = {
        **os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(root), "DVC_NO_ANALYTICS": "1",
    }
    done = subprocess.run([sys.executable, "-m", "dvc", *arguments], cwd=root, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    return done.stdout


@pytest.fixture(scope="module")
def reproduced(project) -> Path:
    dvc(project, "repro")
    return project


def test_every_output_is_there(reproduced):
    stages = yaml.safe_load((reproduced / "dvc.yaml").read_text())["stages"]
    for stage in stages.values():
        for out in stage.get("outs", []) + stage.get("metrics", []):
            path = reproduced / (out if isinstance(out, str) else next(iter(out)))
            assert path.exists(), path


def test_second_run_does_nothing(reproduced):
    before = {p: p.stat().st_mtime_ns for p in (reproduced / "results").rglob("*") if p.is_file()}
    assert "Data and pipelines are up to date." in dvc(reproduced, "repro")
    assert {p: p.stat().st_mtime_ns for p in (reproduced / "results").rglob("*") if p.is_file()} == before
    assert json.loads(dvc(reproduced, "status", "--json")) == {}


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
    assert list(zip(means["method"], means["seed"])) == [("fp32", 0), ("minmax", 0), ("minmax", 1), ("adabm", 0), ("adabm", 1)]
    assert means.notna().all().all() and (means["status"] == "measured").all()
    pictures = pd.read_csv(tables / "evaluation_pictures.csv")
    for keys, rows in pictures.groupby(["method", "seed"]):
        assert rows["psnr_y_db"].mean() == pytest.approx(means.set_index(["method", "seed"]).loc[keys, "psnr_y_db"], abs=2e-3)
    summary = pd.read_csv(tables / "evaluation_summary.csv").set_index("method")
    assert summary["seeds"].to_dict() == {"fp32": 1, "minmax": 2, "adabm": 2}
    for table in tables.glob("*.csv"):
        record = json.loads(table.with_suffix(".provenance.json").read_text())
        assert record["seed"] in (0, [0, 1]) and "adabm/weights/edsr_f32b8_x4.safetensors" in record["inputs_sha256"]


def test_profiles_have_the_same_stages_and_notebooks():
    """The paper profile differs in its data and networks alone."""
    demo, paper = (yaml.safe_load((ROOT / p / "dvc.yaml").read_text())["stages"] for p in (".", "profiles/paper"))
    for stage in ("calibrate", "evaluate"):
        expected = demo[stage]["cmd"].replace("results/demo", "results/paper").replace(" --block", " --params profiles/paper/params.yaml --block")
        assert paper[stage]["cmd"] == expected
    blocks = [yaml.safe_load((ROOT / p / "params.yaml").read_text()) for p in (".", "profiles/paper")]
    assert blocks[0]["evaluation"].keys() == blocks[1]["evaluation"].keys()
    assert blocks[0]["calibration"].keys() == blocks[1]["calibration"].keys()


@pytest.mark.parametrize("marker, name", [
    ("results", "results/demo/tables/evaluation.md"),
    ("reference", "results/paper/tables/reference.md"),
    ("comparison", "results/paper/tables/comparison.md"),
])
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
