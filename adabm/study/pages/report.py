"""The report: one self-contained HTML file; in front the leaderboard and an answer to each question, then a page a question.

Identical results give identical bytes: nothing of the page depends on when, where or by whom it was made.
Jinja2 and markdown-it-py come with the extra ``study``.
"""

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

import jinja2
import pandas as pd
from markdown_it import MarkdownIt
from markupsafe import Markup

from ... import __version__
from ...support.files import write_atomically
from ..answers import set_size
from ..origin.provenance import provenance_path, table_id
from ..tables.leaderboard import readable_board, shortened
from ..tables.network_board import network_board
from ..tables.presentation import ReadableTable
from ..tables.question import Question
from .board_notes import amounts_note, evaluated_steps, looked_at_note, own_bits_note, seconds_note, timed_pictures
from .embedding import embedded
from .front import advice
from .one_picture import one_picture_note
from .recurring import recurring
from .sections import (
    REPORT,
    Section,
    calibration_sections,
    evaluated,
    evaluation_section,
    from_page,
    links,
    provenance,
    question_section,
    read_table,
    studied,
)

_PARTS = {  # of AdaBM, and the page that advises on each
    "Bits of images": "complexity",
    "Bits of layers": "sensitivity",
    "Ranges": "clipping",
    "Fine-tuning": "fine_tuning",
    "State of fine-tuning to keep": "stopping",
    "Calibration pictures": "set_size",
}
_MADE_WITH = {"adabm": "adabm_version", "Python": "python", "processor": "cpu", "device": "device"}


def write_report(
    results: Path,
    study: pd.DataFrame,
    summary: pd.DataFrame,
    title: str,
    questions: Sequence[Question],
    pictures: str = "",
    earlier: Collection[Path] = (),
) -> None:
    """Write ``report/report.html`` into a folder of results.

    Args:
        results: of a profile, with a folder a question.
        study, summary: the tables of all questions that were run, and what ``summarize_study`` makes of them.
        questions: all that there are, in the order of the page.
        pictures: a sentence on those that models are calibrated on.
        earlier: files of the folder ``report`` that are of an earlier collection; nothing of them is shown.

    Raises:
        TableError: a conclusion, or the table of the main results, cannot be read.
    """
    leaderboard = results / REPORT / "leaderboard.csv"
    board = read_table(leaderboard, "collect") if leaderboard not in earlier else None
    linked = lambda *candidates: links(results, *((text, path) for text, path in candidates if path not in earlier))
    summary_file = results / "evaluation" / "evaluation_summary.csv"
    sections = [*calibration_sections(results), evaluation_section(results, summary_file)]
    sections += [question_section(results, question, summary, study) for question in questions]
    page = (
        _environment()
        .get_template("report.html.j2")
        .render(
            title=title,
            profile=results.resolve().name,
            studied=[text for text in (evaluated(board), studied(study), pictures) if text],
            package_version=__version__,
            board=readable_board(board, pictures=timed_pictures(results)) if board is not None else None,
            short_board=_short_board(board, results) if board is not None else None,
            own_bits=own_bits_note(board, study, results) if board is not None else "",
            own_bits_page=set_size.QUESTION,
            networks=network_board(board) if board is not None else None,
            recurring=recurring(results, study),
            advice=advice(board, study, evaluated_steps(results), amounts_note(results)) if board is not None else [],
            board_figures=_board_figures(results, earlier),
            board_links=linked(
                ("all networks, sets and settings", leaderboard),
                ("how fast engines in 8-bit integers are", results.parent / "speed" / "engines" / "README.md"),
                ("how fast quantizing is", results.parent / "speed" / "quantizing" / "README.md"),
            ),
            together=_together(sections),
            sections=sections,
            study_links=linked(
                ("all rows", results / REPORT / "study.csv"),
                ("summary", results / REPORT / "study_summary.csv"),
                ("Markdown", results / REPORT / "study.md"),
                ("LaTeX", results / REPORT / "study.tex"),
                ("numbers", results / "metrics.json"),
            ),
            provenance=_made_with(results, [summary_file, *(question.table(results) for question in questions)]),
        )
    )
    write_atomically(results / REPORT / "report.html", page.encode())


def _html(markdown: str) -> Markup:
    """Markdown to HTML, without HTML of its own and without pictures, which would be outside the page."""
    return Markup(_parser().render(markdown))


def _sentence(markdown: str) -> Markup:
    """The same within a line."""
    return Markup(_parser().renderInline(markdown))


def _parser() -> MarkdownIt:
    return MarkdownIt("commonmark", {"html": False}).enable("table").disable("image")


def _short_board(board: pd.DataFrame, results: Path) -> ReadableTable:
    """The first board's best recipes; below them whence their seconds are, and on which pictures losses rest and recipes were found."""
    notes = (seconds_note(results), one_picture_note(board, results), looked_at_note(board))
    return shortened(board, " ".join(note for note in notes if note), timed_pictures(results))


def _together(sections: Sequence[Section]) -> list[tuple[str, Section]]:
    """What pages advise on the parts of AdaBM, by part; nothing where fewer than two say something."""
    pages = {section.question.id: section for section in sections if section.run and section.told.practice}
    found = [(part, pages[page]) for part, page in _PARTS.items() if page in pages]
    return found if len(found) > 1 else []


def _board_figures(results: Path, earlier: Collection[Path]) -> tuple[tuple[str, str], ...]:
    told = {"seconds": "Loss against the time that quantizing takes", "bits": "Loss against bits"}
    paths = {text: results / REPORT / f"leaderboard_{name}.png" for name, text in told.items()}
    return tuple((embedded(path), text) for text, path in paths.items() if path.is_file() and path not in earlier)


def _made_with(results: Path, tables: Sequence[Path]) -> list[dict[str, str]]:
    """One row a table: its identity, and the software and processor that its provenance names; no date and no commit."""
    rows = []
    for table in tables:
        record = provenance(table)
        if not table.is_file() or not record:
            continue
        packages = record.get("packages")
        rows.append(
            {
                "table": table_id(table),
                "version": str(record.get("version", "not recorded")),
                **{heading: str(record.get(key, "")) for heading, key in _MADE_WITH.items()},
                "torch": str(packages.get("torch", "")) if isinstance(packages, Mapping) else "",
                "file": from_page(results, provenance_path(table)),
            }
        )
    return rows


def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("adabm.study.pages"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {"html": _html, "sentence": _sentence}
    return environment
