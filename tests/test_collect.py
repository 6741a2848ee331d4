"""What is collected for people: references, published numbers, metrics."""

import json
import sys

import pandas as pd
import pytest
from test_summary import PUBLISHED, SAME_AS, row, summary

from adabm.study import comparison_markdown, with_published, write_provenance
from adabm.study.tables.reference import reference_table
from pipelines.stages import collect


def test_reference_table_compares_full_precision_on_whole_pictures():
    measured = summary(
        row("fp32", psnr=32.105),
        row("minmax", psnr=30.0),
        row("fp32", psnr=31.0, tile=96),
        row("fp32", psnr=1.0, dataset="other"),
    )
    references = pd.DataFrame([dict(network="net", scale=4, dataset="Set5", psnr_y_db=32.10, source="a paper")])
    (found,) = reference_table(measured, references).to_dict("records")
    assert found == dict(
        network="net",
        scale=4,
        dataset="Set5",
        pictures=5,
        measured_db=32.105,
        difference_db=0.005,
        reference_db=32.10,
        source="a paper",
    )


def test_comparison_holds_what_was_measured_and_published():
    table = with_published(
        summary(row("fp32", psnr=32.0), row("adabm", psnr=31.5), row("omse", psnr=30.0), row("minmax")),
        PUBLISHED,
        SAME_AS,
    )
    _, _, full, adabm = comparison_markdown(table).splitlines()
    assert "Full precision" in full
    assert [c.strip() for c in adabm.strip("|").split("|")] == [
        "net",
        "W4A4 FQ",
        "AdaBM",
        "Set5",
        "31.50",
        "0.50",
        "31.02",
        "1.08",
    ]
    assert comparison_markdown(with_published(summary(row("fp32", psnr=32.0)), PUBLISHED, {})) == ""


def write_evaluation(results, table: pd.DataFrame) -> None:
    path = results / "evaluation" / "evaluation_summary.csv"
    path.parent.mkdir()
    table.to_csv(path, index=False)
    write_provenance(path, results, {}, [], 0)


def collect_into(monkeypatch, results, references) -> int:
    arguments = ["--results", str(results), "--title", "A study", "--references", str(references)]
    monkeypatch.setattr(sys, "argv", ["collect", *arguments])
    return collect.main()


@pytest.mark.slow
def test_collect_writes_tables_figures_and_metrics(tmp_path, monkeypatch):
    table = with_published(
        summary(row("fp32", psnr=32.0), row("adabm", psnr=31.5), row("minmax", psnr=30.0), row("omse")),
        PUBLISHED,
        SAME_AS,
    )
    write_evaluation(tmp_path, table)
    (tmp_path / "references.csv").write_text("network,scale,dataset,psnr_y_db,source\nnet,4,Set5,32.10,a paper\n")
    assert collect_into(monkeypatch, tmp_path, tmp_path / "references.csv") == 0
    assert json.loads((tmp_path / "metrics.json").read_text()) == {
        "evaluation": {
            "Set5": {
                "FP32": {"psnr_y_db": 32.0, "fab": 32.0},
                "W4A4 FQ adabm": {"psnr_y_db": 31.5, "fab": 4.0},
                "W4A4 FQ minmax": {"psnr_y_db": 30.0, "fab": 4.0},
            }
        }
    }
    report = tmp_path / "report"
    assert json.loads((report / "reference.provenance.json").read_text())["table"] == f"{tmp_path.name}/reference"
    assert "-0.100" in (report / "reference.md").read_text() and "AdaBM" in (report / "comparison.md").read_text()
    for figure in ("loss", "psnr_versus_bitops"):
        assert all((report / f"{figure}.{kind}").stat().st_size > 1000 for kind in ("png", "svg"))
    assert "net on Set5" in (report / "report.html").read_text() and not (report / "study.csv").exists()
    table.assign(psnr_y_db=40.0).to_csv(tmp_path / "evaluation" / "evaluation_summary.csv", index=False)
    assert collect_into(monkeypatch, tmp_path, tmp_path / "references.csv") == 1


@pytest.mark.slow
def test_without_reference_or_published_number_nothing_is_compared(tmp_path, monkeypatch):
    write_evaluation(tmp_path, with_published(summary(row("fp32", psnr=32.0), row("adabm", psnr=31.5)), PUBLISHED, {}))
    (tmp_path / "references.csv").write_text("network,scale,dataset,psnr_y_db,source\nother,4,Set5,32.10,a paper\n")
    assert collect_into(monkeypatch, tmp_path, tmp_path / "references.csv") == 0
    written = {path.name for path in (tmp_path / "report").iterdir()}
    assert "evaluation.md" in written and not {"reference.csv", "reference.md", "comparison.md"} & written


def test_missing_tables_are_named(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["collect", "--results", str(tmp_path), "--title", "A study"])
    assert collect.main() == 1
    assert "hold none of evaluation_summary.csv, set_size.csv" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
