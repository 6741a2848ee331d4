"""The study as the stage `collect` gathers it: merged tables, Markdown, LaTeX, main numbers."""

import json
import re
import sys

import pandas as pd
import pytest

from adabm.study import write_provenance, write_table
from adabm.study.answers import questions
from adabm.study.origin.fingerprint import code_hash
from adabm.study.origin.provenance import COLLECTING_CODE
from adabm.study.tables.presentation import latex_text, readable
from adabm.study.tables.schema import read_study_table, study_table
from adabm.study.tables.study_summary import summarize_study
from helpers.pages import ROOT
from helpers.study_tables import not_run, row, write_results
from pipelines.stages import collect as stage
from pipelines.stages.numbers import main_numbers
from pipelines.stages.sums import write_sums


def collect(monkeypatch, results) -> int:
    monkeypatch.chdir(results.parents[1])
    monkeypatch.setattr(sys, "argv", ["collect", "--results", str(results), "--title", "A study"])
    return stage.main()


def test_merged_table_is_its_parts_in_the_order_of_the_questions(tmp_path, monkeypatch, capsys):
    results = write_results(tmp_path, "timing", "set_size")
    assert collect(monkeypatch, results) == 0
    parts = [read_study_table(results / q / f"{q}.csv") for q in ("set_size", "timing")]
    pd.testing.assert_frame_equal(
        read_study_table(results / "report" / "study.csv"), pd.concat(parts, ignore_index=True)
    )
    summary = pd.read_csv(results / "report" / "study_summary.csv")
    assert list(zip(summary["question"], summary["level"])) == [
        (q, level) for q in ("set_size", "timing") for level in (5, 20, 100)
    ]
    assert "not run: evaluation, sampling, components, fine_tuning" in capsys.readouterr().out
    for name in ("study", "study_summary"):
        record = json.loads((results / "report" / f"{name}.provenance.json").read_text())
        assert set(record["inputs_sha256"]) == {f"results/test/{q}/{q}.csv" for q in ("set_size", "timing")}


def test_markdown_has_a_table_a_question_and_names_what_was_not_run(tmp_path, monkeypatch):
    results = write_results(tmp_path, "set_size")
    assert collect(monkeypatch, results) == 0
    text = (results / "report" / "study.md").read_text()
    lines = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in text.splitlines()
        if line.startswith("| adabm")
    ]
    assert lines[0] == ["adabm", "5", "measured", "30.00 ± 0.00", "0.9000", "1.55", "3.90 ± 0.00", "0.040", "2"]
    assert lines[2][:3] == ["adabm", "100", "not run"]
    others = ", ".join(question.id for question in questions()[1:])
    assert "net\\_x4, Set5, W4A4 FQ." in text and f"Not run: {others}." in text


def test_latex_is_escaped_and_balanced(tmp_path, monkeypatch):
    results = write_results(tmp_path, "set_size", "sampling")
    odd = r"50% of #1 & {a_b} $x^2$ ~ \cmd <p> ± 1"
    write_table(
        study_table(
            [row(question="sampling", series=odd, variable="the_level"), row(question="sampling", level="r|s")]
        ),
        results / "sampling" / "sampling.csv",
    )
    write_provenance(results / "sampling" / "sampling.csv", tmp_path, {}, [], 0)
    assert collect(monkeypatch, results) == 0
    text = (results / "report" / "study.tex").read_text()
    assert text.count(r"\begin{longtable}") == text.count(r"\end{longtable}") == 2 and text.count(r"\bottomrule") >= 2
    assert r"\label{tab:set_size}" in text and r"\label{tab:sampling}" in text and r"net\_x4" in text
    assert (
        r"50\% of \#1 \& \{a\_b\} \$x\textasciicircum{}2\$ \textasciitilde{} \textbackslash{}cmd \textless{}p\textgreater{} $\pm$ 1"
        in text
    )
    body = re.sub(r"\\label\{[^}]*\}", "", text.split("\n", 1)[1])
    assert not re.search(r"(?<!\\)[_#^~%]", body), "an unescaped special character"
    blocks = re.findall(r"\\begin\{longtable\}\{(\w+)\}\n(.*?)\\end\{longtable\}", body, re.DOTALL)
    assert len(blocks) == 2
    for block in blocks:
        rows = [
            line
            for line in block[1].splitlines()
            if line.endswith(r"\\") and not line.startswith((r"\caption", r"\multicolumn"))
        ]
        assert {len(re.findall(r"(?<!\\)&", line)) + 1 for line in rows} == {len(block[0])}


@pytest.mark.parametrize("text", ["plain text 1.5", "a-b (c)"])
def test_latex_leaves_plain_text(text):
    assert latex_text(text) == text


def test_main_numbers_are_best_and_worst_of_the_first_setting():
    rows = [
        row(setting="FP32", series="full precision", loss_db=0.0, psnr_y_db=31.0),
        row(level="5", loss_db=2.0),
        row(level="20", loss_db=1.0),
        row(setting="W8A6", level="20", loss_db=0.1),
        row(level="20", dataset="Other", loss_db=0.2),
        not_run(level="100"),
    ]
    timing = dict(question="timing", variable="part", psnr_y_db=None, loss_db=None, fab=None, ssim_y=None)
    rows += [
        row(level=part, sample=s, seconds=t + s, **timing)
        for part, t in (("calibrate", 1.0), ("tune", 9.0))
        for s in range(3)
    ]
    numbers = main_numbers(summarize_study(study_table(rows)))
    assert numbers["set_size"] == {
        "levels": 5,
        "measured": 5,
        "full_precision_psnr_y_db": 31.0,
        "least_loss": {"series": "adabm", "pictures": "20", "loss_db": 1.0, "psnr_y_db": 30.0, "fab": 3.9},
        "most_loss": {"series": "adabm", "pictures": "5", "loss_db": 2.0, "psnr_y_db": 30.0, "fab": 3.9},
    }
    assert numbers["timing"]["shortest"] == {"series": "adabm", "part": "calibrate", "seconds_median": 2.0}
    assert numbers["timing"]["longest"] == {"series": "adabm", "part": "tune", "seconds_median": 10.0}


def test_readable_table_drops_what_says_nothing():
    table = readable(questions()[0], summarize_study(study_table([row(), row(level="5", calibration_pictures=5)])))
    assert list(table.cells.columns) == [
        "series",
        "pictures",
        "PSNR-Y (dB)",
        "SSIM-Y",
        "loss (dB)",
        "FAB (simulated bits)",
        "BitOPs of FP32 (theoretical)",
        "seeds",
    ]
    assert table.caption == "How many calibration pictures are needed? net_x4, Set5, W4A4 FQ."
    two = readable(
        questions()[0],
        summarize_study(study_table([row(), row(variable="patches", level="5", setting="FP32", seconds=1.0)])),
    )
    assert (
        list(two.cells.columns)[:4] == ["setting", "series", "pictures", "calibration pictures"]
        and "median time (s, measured)" in two.cells
    )


def test_no_table_and_a_foreign_table_are_errors(tmp_path, monkeypatch, capsys):
    results = write_results(tmp_path, "set_size")
    write_table(study_table([row(question="timing")]), results / "set_size" / "set_size.csv")
    assert collect(monkeypatch, results) == 1 and "set_size.csv: holds rows of timing" in capsys.readouterr().err
    (results / "set_size" / "set_size.csv").unlink()
    assert collect(monkeypatch, results) == 1
    assert "hold none of evaluation_summary.csv, set_size.csv" in capsys.readouterr().err
    assert not (results / "report").exists()


def test_a_missing_conclusion_is_named(tmp_path, monkeypatch, capsys):
    results = write_results(tmp_path, "set_size")
    (results / "set_size" / "conclusion.md").unlink()
    assert collect(monkeypatch, results) == 1
    assert "set_size/conclusion.md: is missing; run the stage question@set_size again" in capsys.readouterr().err


def test_a_conclusion_that_its_stage_did_not_write_is_refused(tmp_path, monkeypatch, capsys):
    """It may be of other tables, and the report tells it as theirs."""
    results = write_results(tmp_path, "set_size")
    write_sums(results / "set_size", results / "sums" / "set_size.sha256")
    assert collect(monkeypatch, results) == 0
    (results / "set_size" / "conclusion.md").write_text("**Of other tables.**\n")
    assert collect(monkeypatch, results) == 1
    assert (
        "set_size/conclusion.md: is not the one that sums/set_size.sha256 tells; restore it" in capsys.readouterr().err
    )


def test_answers_list_the_conclusions(tmp_path, monkeypatch):
    results = write_results(tmp_path, "timing", "set_size")
    (results / "set_size" / "conclusion.md").write_text("One\nsentence.\n\nAnother.\n")
    assert collect(monkeypatch, results) == 0
    assert (results / "report" / "answers.md").read_text() == (
        "* **How many calibration pictures are needed?**\n  * One sentence.\n  * Another.\n"
        "* **How long does it take?**\n  * With **20** pictures, timing loses 1.05 dB.\n"
    )


def edited(results):
    path = results / "set_size" / "set_size.csv"
    path.write_text(path.read_text().replace("30.0", "31.0"))
    return results


def of_another_profile(results):
    return results.rename(results.parent / "other")


def without_provenance(results):
    (results / "set_size" / "set_size.provenance.json").unlink()
    return results


@pytest.mark.parametrize(
    "changed, told",
    [
        (edited, "test/set_size/set_size.csv: was changed after it was written"),
        (of_another_profile, "set_size.csv: its provenance is that of test/set_size, not of other/set_size"),
        (without_provenance, "set_size.csv: has no provenance (set_size.provenance.json)"),
    ],
)
def test_a_table_that_is_not_the_measured_one_is_refused(tmp_path, monkeypatch, capsys, changed, told):
    results = changed(write_results(tmp_path, "set_size"))
    assert collect(monkeypatch, results) == 1 and not (results / "report").exists()
    error = capsys.readouterr().err
    assert f"{told}; restore both files (git checkout), or run the stage question@set_size again (dvc repro)" in error


def test_a_recipe_that_was_edited_since_is_not_taken_for_the_measured_one(tmp_path, monkeypatch, capsys):
    """The leaderboard tells its label and how many codes it needs."""
    results, recipe = write_results(tmp_path, "set_size"), tmp_path / "mine.yaml"
    recipe.write_text("label: Mine\nsteps: {calibrate: {}}\n")
    write_provenance(results / "set_size" / "set_size.csv", tmp_path, {}, [recipe], 0)
    assert collect(monkeypatch, results) == 0
    recipe.write_text("label: Another\nsteps: {calibrate: {}}\n")
    assert collect(monkeypatch, results) == 1
    assert "set_size.csv: mine.yaml changed since it was measured; restore that, or run" in capsys.readouterr().err


def test_what_an_earlier_collection_left_goes_and_nothing_else(tmp_path, monkeypatch, capsys):
    results = write_results(tmp_path, "set_size")
    report, earlier = results / "report", ROOT / "results" / "demo" / "report"
    report.mkdir()
    names = ["leaderboard.csv", "leaderboard.provenance.json", "leaderboard_bits.png", "comparison.md", "study.tex"]
    for name in names:
        report.joinpath(name).write_bytes((earlier / name).read_bytes() if (earlier / name).exists() else b"earlier")
    for name in ("notes.md", "loss.txt"):
        report.joinpath(name).write_text("mine")
    assert collect(monkeypatch, results) == 0
    removed = ", ".join(sorted(set(names) - {"study.tex"}))
    assert f"removed what an earlier collection left in {report}: {removed}\n" in capsys.readouterr().out
    written = {"answers.md", "report.html", "study.md", "study.tex"}
    written |= {f"{name}.{kind}" for name in ("study", "study_summary") for kind in ("csv", "provenance.json")}
    assert {path.name for path in report.iterdir()} == written | {"notes.md", "loss.txt"}
    page = (report / "report.html").read_text()
    assert "all networks, sets and settings" not in page and "The leaderboard evaluates" not in page
    record = json.loads((report / "study_summary.provenance.json").read_text())
    assert record["code_sha256"]["collecting"] == code_hash(*COLLECTING_CODE["collecting"])
