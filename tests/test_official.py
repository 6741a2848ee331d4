"""The official profile: its parts fit, and it runs from the first download to the last page on files that stand in."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import yaml

from helpers.stand_ins import project_copy, stand_in_mirror
from pipelines.downloads.sources import backbones, picture_sets, read_sources
from pipelines.stages.notebook_parameters import check_parameters, declared_parameters, read_block
from pipelines.stages.run_notebook import read_notebook

ROOT = Path(__file__).parents[1]
PROFILE = ROOT / "profiles" / "official"
PARAMETERS = yaml.safe_load((PROFILE / "params.yaml").read_text())
COPIED = ("adabm", "pipelines", "notebooks", "profiles", "data/sources.yaml", "data/checksums", "data/published.csv",
          "data/reference_psnr.csv", "dvc.yaml", "params.yaml", ".dvcignore", ".dvc/config")  # fmt: skip


def test_it_has_the_stages_of_the_others():
    assert (PROFILE / "dvc.yaml").is_symlink() and (PROFILE / "dvc.yaml").samefile(ROOT / "dvc.yaml")


@pytest.mark.parametrize("question", PARAMETERS["questions"])
def test_a_notebook_takes_its_parameters(question):
    notebook = ROOT / "notebooks" / f"{PARAMETERS['questions'][question]['notebook']}.ipynb"
    declared = declared_parameters(read_notebook(notebook), notebook.name)
    check_parameters(declared, read_block(PROFILE / "params.yaml", question), question)
    assert PARAMETERS[question]["results"] == "results/official"


def test_what_is_measured_is_what_is_fetched_and_prepared():
    sources, fetched = read_sources(), PARAMETERS["fetch"]["sources"].split()
    options = PARAMETERS["prepare_x4"]["options"]
    sets = re.search(r"--sets ([\w ]+) --", options).group(1).split()
    calibrated = re.search(r"--calibration (\w+)", options).group(1)
    evaluation, calibration = (picture_sets(sources, use, 4) for use in ("evaluation", "calibration"))
    needed = [*(evaluation[name].id for name in sets), calibration[calibrated].id]
    names = PARAMETERS["weights"]["names"].split()
    assert sorted(fetched) == sorted([*needed, *(backbones(sources)[name].id for name in names)])
    for part in PARAMETERS["evaluation"]["plan"]:
        assert set(part["sets"]) <= set(sets) and Path(part["backbone"]).stem in names


def test_it_asks_for_the_released_effort_and_three_seeds():
    block = PARAMETERS["evaluation"]
    assert (block["patch_size"], block["patches"], block["rounds"] * block["steps_per_round"]) == (96, 100, 500)
    assert {tuple(part["seeds"]) for part in block["plan"]} == {(0, 1, 2)}


@pytest.mark.long
def test_it_runs_on_stand_ins(tmp_path):
    """Every stage, with files of the official names and layout, a network of four features and one step of each kind."""
    root = project_copy(ROOT, COPIED, tmp_path / "project")
    subprocess.run(["git", "init", "-q"], cwd=root, check=True)
    mirror = tmp_path / "mirror"
    stand_in_mirror(root, PARAMETERS["fetch"]["sources"].split(), mirror)
    small = yaml.safe_load((PROFILE / "params.yaml").read_text())
    tiny = dict(patch_size=12, patches=4, rounds=3, steps_per_round=1)
    small["calibration"].update(tiny)
    small["evaluation"].update(tiny, plan=[small["evaluation"]["plan"][0] | {"sets": ["Set5", "Set14"]}])
    (root / "profiles" / "official" / "params.yaml").write_text(yaml.safe_dump(small, sort_keys=False))
    _repro(root, mirror)
    results = root / "results" / "official"
    summary = pd.read_csv(results / "evaluation" / "evaluation_summary.csv")
    assert set(summary["method"]) == {"fp32", "minmax", "adabm", "fast"} and set(summary["status"]) == {"measured"}
    assert (summary.loc[summary["method"] != "fp32", "seeds"] == 3).all()
    assert summary["published_psnr_y_db"].notna().any(), "the published tables stand beside"
    assert (results / "report" / "report.html").is_file() and (results / "manifest.json").is_file()
    assert "Data and pipelines are up to date." in _repro(root, mirror)


def _repro(root: Path, mirror: Path) -> str:
    environment = os.environ | {"PYTHONPATH": str(root), "DVC_NO_ANALYTICS": "1", "ADABM_MIRROR": str(mirror)}
    environment |= {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    environment.pop("ADABM_CACHE", None)
    words = [sys.executable, "-m", "dvc", "repro", "profiles/official/dvc.yaml"]
    done = subprocess.run(words, cwd=root, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    return done.stdout
