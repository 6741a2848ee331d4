"""The pages of the report, a section a question: what is told, drawn and linked to."""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd

from ... import __version__
from ...errors import TableError
from ...full_precision import FULL_PRECISION_SETTING
from ..answers import calibration
from ..origin.provenance import provenance_path
from ..running.runs import MEASURED
from ..tables.conclusion import Told, take_apart
from ..tables.networks import network
from ..tables.presentation import ReadableTable, by_bits, readable
from ..tables.question import Question
from ..tables.summary import main_tables, read_summary
from ..tables.wording import several
from .embedding import embedded
from .scope import calibrated_on, measured_on, patches_told, recipes_told

REPORT = "report"  # the folder of what is collected from all questions
_READ = 100  # rows of a table that stands on the page; a longer one is linked to

# Two notebooks have tables of a schema of their own; the page tells them like questions.
CALIBRATION = Question(
    "calibration",
    1,
    "What does AdaBM see and decide?",
    "One calibration: the complexity of images, the sensitivity of layers, and the bits that follow.",
    "What one calibration saw and decided",
    others={
        "bit_map": "Bits of each tile of a picture",
        "complexity": "Complexity of the calibration patches, with the two thresholds of images",
        "crops": "A picture by full precision and by the quantized model",
        "layers": "Sensitivity of each layer, and its bits",
    },
)
LOOKED_AT = (
    "The steps and settings of Fast, with which Best begins, were found in experiments that were looked at on Set5, with these "
    "networks: there, leads below 0.05 dB are no evidence."
)
EVALUATION = Question(
    "evaluation",
    2,
    "What does each method lose?",
    "A comparison is of one network, set and setting. Every method quantizes that network from the same pictures, where it is not said "
    "otherwise below in patches of the same size, and is measured on the same pictures. AdaBM is the released "
    "recipe, fine-tuned where its name does not say otherwise; MinMax rounds between the least and the most value seen. Fast and "
    "Best are this project's: Fast equalizes channels, deals bits to layers and rounds weights without a gradient step, and "
    f"Best trains ranges, steps, codes and biases after that. {LOOKED_AT} Means over pictures and seeds; ± is, here and below, the standard "
    "deviation over seeds. PSNR and SSIM on Y of BT.601, 8-bit rounding first, a border of scale pixels cropped.",
    "Loss of PSNR-Y by method and set, on the first network of the plan alone, which the title names",
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
    measured: str = ""  # on which networks, with how many seeds, on which sets, with which recipes
    networks: str = ""


def studied(study: pd.DataFrame) -> str:
    """Return two sentences: which networks, settings, sets and seeds the tables hold."""
    rows = study[study["status"] == MEASURED]
    rows = rows[rows["psnr_y_db"].notna()] if rows["psnr_y_db"].notna().any() else rows  # times belong to no set
    if rows.empty:
        return "Nothing was measured yet. The tables below list what is planned."
    names = {name: list(dict.fromkeys(rows[name])) for name in ("backbone", "setting", "dataset")}
    settings = sorted((s for s in names["setting"] if s != FULL_PRECISION_SETTING), key=by_bits) or names["setting"]
    seeds = sorted(set(rows["seed"]))
    return (
        f"The questions quantize {several([_told_apart(name) for name in names['backbone']])} at {several(settings)}, measured on {several(names['dataset'])} "
        f"with {'seed' if len(seeds) == 1 else 'seeds'} {several([str(seed) for seed in seeds])}. "
        "Bits (FAB) are simulated, BitOPs are theoretical counts, and times are measured; they stand in columns of their own."
    )


def evaluated(board: pd.DataFrame | None) -> str:
    """Return a sentence: which networks, settings and sets the leaderboard evaluates; empty without one."""
    if board is None or board.empty:
        return ""
    names = {name: list(dict.fromkeys(board[name])) for name in ("backbone", "setting", "dataset")}
    return (
        f"The leaderboard evaluates {several([_told_apart(name) for name in names['backbone']])} "
        f"at {several(sorted(names['setting'], key=by_bits))} on {several(names['dataset'])}."
    )


def _told_apart(name: str) -> str:
    """A network's name with that of its file, where they differ."""
    return name if network(name) == name else f"{network(name)} ({name})"


def question_section(results: Path, question: Question, summary: pd.DataFrame, study: pd.DataFrame) -> Section:
    """The page of a question.

    Args:
        study, summary: the tables of all questions that were run, and what ``summarize_study`` makes of them.
    """
    rows = summary[summary["question"] == question.id]
    if rows.empty:
        return Section(question, False, Told(""))
    own, record = study[study["question"] == question.id], provenance(question.table(results))
    parameters = record.get("parameters")
    return Section(
        question,
        True,
        _told(question.conclusion(results)),
        _figures(question, question.figures(results)),
        (readable(question, rows),) if len(rows) <= _READ else (),
        links(
            results,
            ("notebook", question.folder(results) / question.notebook),
            ("csv", question.table(results)),
            ("provenance", question.provenance(results)),
        ),
        record.get("version"),
        " ".join(filter(None, (measured_on(own, parameters), recipes_told(parameters), _earlier(record)))),
        ", ".join(network(name) for name in dict.fromkeys(own["backbone"])),
    )


def _earlier(record: Mapping) -> str:
    """A sentence where a table was measured by another version of the code than the one that tells it here."""
    by = record.get("adabm_version", __version__)
    if by == __version__:
        return ""
    return (
        f"The table was measured by version {by} of the code, not by {__version__}, whose words and figures these are."
    )


def calibration_sections(results: Path) -> list[Section]:
    """The page of notebook 1, where its figures may be shown."""
    told = _told(CALIBRATION.conclusion(results))
    if not told.answer:
        return []
    layers = results / CALIBRATION.id / "calibration_layers.csv"
    table, record = read_table(layers, "question@calibration"), provenance(layers)
    parameters = record.get("parameters", {})
    if table is not None and not told.practice:
        told = replace(told, practice=calibration.advice(table))
    linked = links(
        results,
        ("notebook", CALIBRATION.folder(results) / CALIBRATION.notebook),
        ("csv", layers),
        ("provenance", provenance_path(layers)),
    )
    return [
        Section(
            CALIBRATION,
            True,
            told,
            _figures(CALIBRATION, CALIBRATION.figures(results)),
            (),
            linked,
            record.get("version"),
            " ".join(filter(None, (calibrated_on(parameters), recipes_told(parameters), _earlier(record)))),
            network(Path(parameters["backbone"]).stem) if "backbone" in parameters else "",
        )
    ]


def evaluation_section(results: Path, evaluated: Path) -> Section:
    """The page of notebook 2, from the table of the main results."""
    if not evaluated.is_file():
        return Section(EVALUATION, False, Told(""))
    summary = read_summary(evaluated)
    cells, record = read_table(results / EVALUATION.id / "evaluation.csv", "question@evaluation"), provenance(evaluated)
    loss = results / REPORT / "loss.png"
    return Section(
        EVALUATION,
        True,
        _told(EVALUATION.conclusion(results)),
        _figures(EVALUATION, [loss] * loss.is_file()),
        tuple(ReadableTable(table, name, 2) for name, table in main_tables(summary).items()),
        links(
            results,
            ("all main results", results / REPORT / "evaluation.md"),
            ("notebook", EVALUATION.folder(results) / EVALUATION.notebook),
            ("csv", evaluated),
            ("provenance", provenance_path(evaluated)),
        ),
        record.get("version"),
        " ".join(
            filter(None, (measured_on(cells) if cells is not None else "", patches_told(record.get("parameters"))))
        ),
        several([network(name) for name in dict.fromkeys(summary["backbone"])]),
    )


def _told(path: Path) -> Told:
    """What a file tells; nothing where there is none."""
    if not path.is_file():
        return Told("")
    try:
        return take_apart(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise TableError(f"{path}: cannot be read as text ({error}); run the stage that writes it again") from None


def _figures(question: Question, paths: Sequence[Path]) -> tuple[tuple[str, str], ...]:
    figures = []
    for path in paths:
        part = path.stem.removeprefix(question.id).strip("_") if question.id in path.stem else ""
        told = question.others.get(part) or question.figure + (f": {part.replace('_', ' ')}" if part else "")
        figures.append((embedded(path), told))
    return tuple(figures)


def links(results: Path, *candidates: tuple[str, Path]) -> tuple[tuple[str, str], ...]:
    """Of files that are there, the text and the path relative to the page."""
    return tuple((text, from_page(results, path)) for text, path in candidates if path.is_file())


def from_page(results: Path, path: Path) -> str:
    return Path(os.path.relpath(path, results / REPORT)).as_posix()


def provenance(table: Path) -> dict:
    """Return what a table's provenance says; empty where it is missing or damaged, which ``adabm verify-results`` tells."""
    try:
        record = json.loads(provenance_path(table).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return record if isinstance(record, dict) else {}


def read_table(path: Path, stage: str) -> pd.DataFrame | None:
    """Read a table that the stage of that name writes; None where there is none."""
    if not path.is_file():
        return None
    try:
        return pd.read_csv(path)
    except ValueError as error:
        raise TableError(f"{path}: is no CSV table ({error}); run the stage {stage} again") from None
