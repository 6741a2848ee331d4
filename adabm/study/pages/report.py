"""The report: one self-contained HTML page with every question, its conclusion, figures and table.

Identical results give identical bytes: nothing of the page depends on when, where or by whom it was made.
Jinja2 and markdown-it-py come with the extra ``study``.
"""

import base64
import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import jinja2
import pandas as pd
from markdown_it import MarkdownIt
from markupsafe import Markup

from ... import __version__
from ...errors import TableError
from ...files import write_atomically
from ...full_precision import FULL_PRECISION_SETTING
from ..origin.provenance import provenance_path, table_id
from ..running.runs import MEASURED
from ..tables.leaderboard import readable_board, verdict
from ..tables.presentation import ReadableTable, readable
from ..tables.question import Question
from ..tables.summary import main_tables

REPORT = "report"  # the folder of what is collected from all questions
_MADE_WITH = {"adabm": "adabm_version", "Python": "python", "processor": "cpu", "device": "device"}


@dataclass(frozen=True)
class Section:
    """What the page shows of one question; ``table`` is None where the question was not run."""

    question: Question
    table: ReadableTable | None
    conclusion: Markup
    figures: tuple[tuple[str, str], ...]  # (data address, alternative text)
    links: tuple[tuple[str, str], ...]  # (text, path relative to the page)
    version: str | None


def write_report(
    results: Path, study: pd.DataFrame, summary: pd.DataFrame, title: str, questions: Sequence[Question]
) -> None:
    """Write ``report/report.html`` into a folder of results.

    Args:
        results: of a profile, with a folder a question.
        study, summary: the tables of all questions that were run, and what ``summarize_study`` makes of them.
        questions: all that there are, in the order of the page.

    Raises:
        TableError: a conclusion, or the table of the main results, cannot be read.
    """
    evaluated = results / "evaluation" / "evaluation_summary.csv"
    main = _read(evaluated, "question@evaluation")
    board = _read(results / REPORT / "leaderboard.csv", "collect")
    page = (
        _environment()
        .get_template("report.html.j2")
        .render(
            title=title,
            profile=results.resolve().name,
            studied=studied(study),
            package_version=__version__,
            board=readable_board(board) if board is not None else None,
            verdict=verdict(board) if board is not None else "",
            board_figures=_board_figures(results),
            board_links=_links(results, ("all networks, sets and settings", results / REPORT / "leaderboard.csv")),
            main={
                name: ReadableTable(table, name, 2)
                for name, table in (main_tables(main) if main is not None else {}).items()
            },
            main_links=_links(
                results,
                ("all main results", results / REPORT / "evaluation.md"),
                ("csv", evaluated),
                ("provenance", provenance_path(evaluated)),
            ),
            sections=[_section(results, question, summary) for question in questions],
            study_links=_links(
                results,
                ("all rows", results / REPORT / "study.csv"),
                ("summary", results / REPORT / "study_summary.csv"),
                ("Markdown", results / REPORT / "study.md"),
                ("LaTeX", results / REPORT / "study.tex"),
                ("numbers", results / "metrics.json"),
            ),
            provenance=_made_with(results, [evaluated, *(question.table(results) for question in questions)]),
        )
    )
    write_atomically(results / REPORT / "report.html", page.encode())


def studied(study: pd.DataFrame) -> str:
    """Return two sentences: which networks, settings, sets and seeds the tables hold."""
    rows = study[study["status"] == MEASURED]
    rows = rows[rows["psnr_y_db"].notna()] if rows["psnr_y_db"].notna().any() else rows  # times belong to no set
    if rows.empty:
        return "Nothing was measured yet. The tables below list what is planned."
    names = {name: list(dict.fromkeys(rows[name])) for name in ("backbone", "setting", "dataset")}
    settings = sorted((s for s in names["setting"] if s != FULL_PRECISION_SETTING), key=_by_bits) or names["setting"]
    seeds = sorted(set(rows["seed"]))
    return (
        f"AdaBM quantizes {_listed(names['backbone'])} at {_listed(settings)}, measured on {_listed(names['dataset'])} "
        f"with {'seed' if len(seeds) == 1 else 'seeds'} {_listed(seeds)}. "
        "Bits (FAB) are simulated, BitOPs are theoretical counts, and times are measured; they stand in columns of their own."
    )


def _by_bits(setting: str) -> tuple[list[int], str]:
    return [int(bits) for bits in re.findall(r"\d+", setting)], setting


def _section(results: Path, question: Question, summary: pd.DataFrame) -> Section:
    rows = summary[summary["question"] == question.id]
    record = _provenance(question.table(results))
    return Section(
        question,
        readable(question, rows) if len(rows) else None,
        _conclusion(question.conclusion(results)) if len(rows) else Markup(),
        tuple(_figures(results, question)) if len(rows) else (),
        _links(
            results,
            ("notebook", question.folder(results) / question.notebook),
            ("csv", question.table(results)),
            ("provenance", question.provenance(results)),
        )
        if len(rows)
        else (),
        record.get("version"),
    )


def _conclusion(path: Path) -> Markup:
    """Markdown to HTML, without HTML of its own and without pictures, which would be outside the page."""
    if not path.is_file():
        return Markup()
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise TableError(f"{path}: cannot be read as text ({error}); run the stage that writes it again") from None
    return Markup(MarkdownIt("commonmark", {"html": False}).enable("table").disable("image").render(text))


def _figures(results: Path, question: Question) -> list[tuple[str, str]]:
    figures = []
    for path in question.figures(results):
        part = path.stem.removeprefix(question.id).strip("_").replace("_", " ")
        figures.append((_embedded(path), question.figure + (f": {part}" if part else "")))
    return figures


def _board_figures(results: Path) -> tuple[tuple[str, str], ...]:
    told = {"seconds": "Loss against the time that quantizing takes", "bits": "Loss against bits"}
    paths = {text: results / REPORT / f"leaderboard_{name}.png" for name, text in told.items()}
    return tuple((_embedded(path), text) for text, path in paths.items() if path.is_file())


def _embedded(path: Path) -> str:
    return f"data:image/png;base64,{base64.b64encode(path.read_bytes()).decode()}"


def _links(results: Path, *candidates: tuple[str, Path]) -> tuple[tuple[str, str], ...]:
    """Of files that are there, the text and the path relative to the page."""
    return tuple((text, _from_page(results, path)) for text, path in candidates if path.is_file())


def _from_page(results: Path, path: Path) -> str:
    return Path(os.path.relpath(path, results / REPORT)).as_posix()


def _made_with(results: Path, tables: Sequence[Path]) -> list[dict[str, str]]:
    """One row a table: its identity, and the software and processor that its provenance names; no date and no commit."""
    rows = []
    for table in tables:
        record = _provenance(table)
        if not table.is_file() or not record:
            continue
        packages = record.get("packages")
        rows.append(
            {
                "table": table_id(table),
                "version": str(record.get("version", "not recorded")),
                **{heading: str(record.get(key, "")) for heading, key in _MADE_WITH.items()},
                "torch": str(packages.get("torch", "")) if isinstance(packages, Mapping) else "",
                "file": _from_page(results, provenance_path(table)),
            }
        )
    return rows


def _provenance(table: Path) -> dict:
    """What a table's provenance says; empty where it is missing or damaged, which ``adabm verify-results`` tells."""
    try:
        record = json.loads(provenance_path(table).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return record if isinstance(record, dict) else {}


def _read(path: Path, stage: str) -> pd.DataFrame | None:
    """Read a table that the stage of that name writes; None where there is none."""
    if not path.is_file():
        return None
    try:
        return pd.read_csv(path)
    except ValueError as error:
        raise TableError(f"{path}: is no CSV table ({error}); run the stage {stage} again") from None


def _listed(items: Sequence[object]) -> str:
    *first, last = map(str, items)
    return f"{', '.join(first)} and {last}" if first else last


def _environment() -> jinja2.Environment:
    loader = jinja2.PackageLoader("adabm.study.pages")
    return jinja2.Environment(
        loader=loader,
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
