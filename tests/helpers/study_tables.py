"""Rows and folders of the study's schema, for tests."""

from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import pandas as pd
from matplotlib.figure import Figure

from adabm.study import save_figure, write_provenance, write_table
from adabm.study.tables.schema import study_table


def row(**changes) -> dict:
    """A measured row of question ``set_size``; a change to ``...`` removes the key."""
    whole = dict(
        question="set_size",
        backbone="net_x4",
        dataset="Set5",
        setting="W4A4 FQ",
        series="adabm",
        variable="pictures",
        level="20",
        seed=0,
        sample=0,
        status="measured",
        calibration_pictures=20,
        pictures=5,
        psnr_y_db=30.0,
        ssim_y=0.9,
        loss_db=1.0,
        fab=3.9,
        relative_bitops=0.04,
    )
    return {key: value for key, value in {**whole, **changes}.items() if value is not ...}


def not_run(**changes) -> dict:
    return row(status="not run", psnr_y_db=None, ssim_y=None, loss_db=None, fab=None, **changes)


def diverged(table: pd.DataFrame, at: pd.Series) -> pd.DataFrame:
    """The table with what it tells of the rows ``at`` lost, since their fine-tuning diverged."""
    values = ["psnr_y_db", "ssim_y", "loss_db", "fab", "relative_bitops"]
    return table.assign(status=table["status"].mask(at, "diverged"), **{name: table[name].mask(at) for name in values})


def write_results(root: Path, *questions: str) -> Path:
    """Write ``results/test`` of a repository with tables, provenance, a figure and a conclusion for each question.

    They are made once, and then copied.
    """
    for name, content in _made(questions).items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content)
    return root / "results" / "test"


@cache
def _made(questions: tuple[str, ...]) -> dict[str, bytes]:
    """By name, the files of a repository with results of ``questions``."""
    with TemporaryDirectory() as folder:
        root = Path(folder)
        _make(root, questions)
        return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def _make(root: Path, questions: tuple[str, ...]) -> None:
    (root / "dvc.yaml").touch()
    (root / "input.txt").write_text("input")
    (root / "params.yaml").write_text("".join(f"{q}:\n  seeds: [0, 1]\n  pictures: 20\n" for q in questions))
    results = root / "results" / "test"
    for question in questions:
        path = results / question / f"{question}.csv"
        notebook = root / "notebooks" / f"{question}.ipynb"
        notebook.parent.mkdir(exist_ok=True)
        notebook.write_text('{"cells": [{"cell_type": "code", "metadata": {}, "source": ["1 + 1"]}]}')
        levels = {"5": 1.5, "20": 1.0}
        rows = [
            row(question=question, level=level, calibration_pictures=int(level), seed=seed, loss_db=loss + seed / 10)
            for level, loss in levels.items()
            for seed in (0, 1)
        ]
        write_table(study_table([*rows, not_run(question=question, level="100", calibration_pictures=100)]), path)
        write_provenance(
            path,
            root,
            dict(seeds=[0, 1]),
            [root / "input.txt"],
            [0, 1],
            params_file="params.yaml",
            block=question,
            notebook=notebook,
        )
        figure = Figure(figsize=(2, 1))
        figure.subplots().set_title(question)
        save_figure(figure, results / question / question)
        (results / question / "conclusion.md").write_text(f"With **20** pictures, {question} loses 1.05 dB.\n")
