"""The report: one self-contained HTML file; in front the leaderboard and an answer to each question, then a page a question.

Identical results give identical bytes: nothing of the page depends on when, where or by whom it was made.
Jinja2 and markdown-it-py come with the extra ``study``.
"""

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
from ..tables.conclusion import Told, take_apart
from ..tables.leaderboard import readable_board, shortened
from ..tables.presentation import ReadableTable, readable
from ..tables.question import Question
from ..tables.summary import main_tables
from .embedding import embedded
from .front import advice

REPORT = "report"  # the folder of what is collected from all questions
_MADE_WITH = {"adabm": "adabm_version", "Python": "python", "processor": "cpu", "device": "device"}


# Two notebooks have tables of a schema of their own; the page tells them like questions.
CALIBRATION = Question(
    "calibration",
    1,
    "What does AdaBM see and decide?",
    "One calibration: the complexity of images, the sensitivity of layers, and the bits that follow.",
    "What one calibration saw and decided",
)
EVALUATION = Question(
    "evaluation",
    2,
    "What does each method lose?",
    "Every method quantizes the same network from the same patches and is measured on the same pictures. Means over "
    "pictures and seeds; ± is, here and below, the standard deviation over seeds. PSNR and SSIM on Y of BT.601, 8-bit "
    "rounding first, a border of scale pixels cropped.",
    "Loss of PSNR-Y by method and set",
)


@dataclass(frozen=True)
class Section:
    """A page: what the report shows of one question; ``run`` is False where it was not."""

    question: Question
    run: bool
    told: Told
    figures: tuple[tuple[str, str], ...] = ()  # (data address, alternative text)
    tables: tuple[ReadableTable, ...] = ()
    links: tuple[tuple[str, str], ...] = ()  # (text, path relative to the page)
    version: str | None = None
    measured: str = ""  # on which networks, with how many seeds, on which sets

    @property
    def open_figures(self) -> int:
        """How many figures stand on the page; the others are folded away."""
        return len(self.figures) if self.question.gallery else 1


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
    board = _read(results / REPORT / "leaderboard.csv", "collect")
    evaluated = results / "evaluation" / "evaluation_summary.csv"
    sections = [*_calibration(results), _evaluation(results, evaluated)]
    sections += [_section(results, question, summary, study) for question in questions]
    page = (
        _environment()
        .get_template("report.html.j2")
        .render(
            title=title,
            profile=results.resolve().name,
            studied=studied(study),
            package_version=__version__,
            board=readable_board(board) if board is not None else None,
            short_board=shortened(board) if board is not None else None,
            advice=advice(board, study) if board is not None else [],
            board_figures=_board_figures(results),
            board_links=_links(
                results,
                ("all networks, sets and settings", results / REPORT / "leaderboard.csv"),
                ("how fast engines in 8-bit integers are", results.parent / "speed" / "engines" / "README.md"),
                ("how fast quantizing is", results.parent / "speed" / "quantizing" / "README.md"),
            ),
            sections=sections,
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


def measured_on(rows: pd.DataFrame) -> str:
    """Return how much a question's rows measured: networks with seeds and pictures, and the sets; empty where nothing was.

    Full precision is left out: it has no seeds. A picture may be a patch.
    """
    rows = rows[(rows["status"] == MEASURED) & (rows["setting"] != FULL_PRECISION_SETTING)]
    if rows.empty:
        return ""
    networks = [f"{name} ({_extent(here)})" for name, here in rows.groupby("backbone", sort=False)]
    pictured = rows[rows["psnr_y_db"].notna()]["dataset"].drop_duplicates()
    return f"Measured on {_listed(networks)}" + (f"; {_listed(list(pictured))}." if len(pictured) else ".")


def _extent(rows: pd.DataFrame) -> str:
    """Seeds and pictures of one network's rows; of each set the pictures of the row that has most."""
    seeds, pictures = rows["seed"].nunique(), int(rows.groupby("dataset")["pictures"].max().sum())
    told = f"{seeds} {'seed' if seeds == 1 else 'seeds'}"
    return told + (f", {pictures} {'picture' if pictures == 1 else 'pictures or patches'}" if pictures else "")


def _by_bits(setting: str) -> tuple[list[int], str]:
    return [int(bits) for bits in re.findall(r"\d+", setting)], setting


def _section(results: Path, question: Question, summary: pd.DataFrame, study: pd.DataFrame) -> Section:
    rows = summary[summary["question"] == question.id]
    if rows.empty:
        return Section(question, False, Told(""))
    return Section(
        question,
        True,
        _told(question.conclusion(results)),
        _figures(question, question.figures(results)),
        (readable(question, rows),),
        _links(
            results,
            ("notebook", question.folder(results) / question.notebook),
            ("csv", question.table(results)),
            ("provenance", question.provenance(results)),
        ),
        _provenance(question.table(results)).get("version"),
        measured_on(study[study["question"] == question.id]),
    )


def _calibration(results: Path) -> list[Section]:
    """The page of notebook 1, where its figures may be shown."""
    told = _told(CALIBRATION.conclusion(results))
    if not told.answer:
        return []
    layers = results / CALIBRATION.id / "calibration_layers.csv"
    links = _links(
        results,
        ("notebook", CALIBRATION.folder(results) / CALIBRATION.notebook),
        ("csv", layers),
        ("provenance", provenance_path(layers)),
    )
    return [Section(CALIBRATION, True, told, _figures(CALIBRATION, CALIBRATION.figures(results)), (), links)]


def _evaluation(results: Path, evaluated: Path) -> Section:
    summary = _read(evaluated, "question@evaluation")
    if summary is None:
        return Section(EVALUATION, False, Told(""))
    loss = results / REPORT / "loss.png"
    return Section(
        EVALUATION,
        True,
        _told(EVALUATION.conclusion(results)),
        _figures(EVALUATION, [loss] * loss.is_file()),
        tuple(ReadableTable(table, name, 2) for name, table in main_tables(summary).items()),
        _links(
            results,
            ("all main results", results / REPORT / "evaluation.md"),
            ("notebook", EVALUATION.folder(results) / EVALUATION.notebook),
            ("csv", evaluated),
            ("provenance", provenance_path(evaluated)),
        ),
        _provenance(evaluated).get("version"),
    )


def _told(path: Path) -> Told:
    """What a file tells; nothing where there is none."""
    if not path.is_file():
        return Told("")
    try:
        return take_apart(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise TableError(f"{path}: cannot be read as text ({error}); run the stage that writes it again") from None


def _html(markdown: str) -> Markup:
    """Markdown to HTML, without HTML of its own and without pictures, which would be outside the page."""
    return Markup(_parser().render(markdown))


def _sentence(markdown: str) -> Markup:
    """The same within a line."""
    return Markup(_parser().renderInline(markdown))


def _parser() -> MarkdownIt:
    return MarkdownIt("commonmark", {"html": False}).enable("table").disable("image")


def _figures(question: Question, paths: Sequence[Path]) -> tuple[tuple[str, str], ...]:
    figures = []
    for path in paths:
        part = path.stem.removeprefix(question.id).strip("_").replace("_", " ") if question.id in path.stem else ""
        figures.append((embedded(path), question.figure + (f": {part}" if part else "")))
    return tuple(figures)


def _board_figures(results: Path) -> tuple[tuple[str, str], ...]:
    told = {"seconds": "Loss against the time that quantizing takes", "bits": "Loss against bits"}
    paths = {text: results / REPORT / f"leaderboard_{name}.png" for name, text in told.items()}
    return tuple((embedded(path), text) for text, path in paths.items() if path.is_file())


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
