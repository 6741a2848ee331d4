"""Stage ``collect``: from the tables of all questions make what people read: Markdown, LaTeX, figures, numbers, the report."""

import json
import sys
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from adabm.errors import AdabmError, TableError
from adabm.study import comparison_markdown, evaluation_markdown, find_root
from adabm.study.answers import questions
from adabm.study.origin.manifest import read_sums
from adabm.study.origin.provenance import table_id
from adabm.study.origin.reading import check_unchanged
from adabm.study.pages import evaluation_figures
from adabm.study.pages.board_notes import TIMING, amounts_note, evaluated_steps, seconds_note, timed_pictures
from adabm.study.pages.collected import Collected
from adabm.study.pages.leaderboard import plot_loss_bits, plot_loss_seconds
from adabm.study.pages.report import write_report
from adabm.study.running.runs import MEASURED
from adabm.study.tables.conclusion import is_table, paragraphs
from adabm.study.tables.leaderboard import leaderboard, readable_board
from adabm.study.tables.network_board import network_board
from adabm.study.tables.presentation import readable
from adabm.study.tables.question import CONCLUSION, Question
from adabm.study.tables.reference import reference_table
from adabm.study.tables.schema import read_study_table, study_table
from adabm.study.tables.study_summary import summarize_study
from adabm.study.tables.summary import read_summary
from adabm.study.tables.verdict import verdict
from adabm.support.arguments import Parser
from adabm.support.files import file_sha256, write_atomically
from adabm.support.process import as_command, plain

from .numbers import evaluation_numbers, main_numbers

_REFERENCE_DIGITS = 2  # of the references
_TEX_HEAD = "% Needs \\usepackage{booktabs, longtable}. Written by the stage collect.\n"


def collect_evaluation(results: Path, references: Path | None, collected: Collected) -> dict[str, dict]:
    """Write what the evaluation's summary shows: Markdown, overview figures, and where there are any, comparisons.

    Returns:
        Its main numbers; none where it was not run.

    Raises:
        TableError: the summary is damaged, or not the one that was measured for this profile.
    """
    source = results / "evaluation" / "evaluation_summary.csv"
    if not source.is_file():
        return {}
    summary = read_summary(source)
    _check_origin(source, "evaluation")
    collected.text("evaluation.md", evaluation_markdown(summary))
    first = summary[summary["backbone"] == summary["backbone"].iloc[0]]
    collected.figure("loss", evaluation_figures.plot_losses(first))
    one_set = first[(first["dataset"] == first["dataset"].iloc[0]) & (first["tile"] == first["tile"].iloc[0])]
    measured = one_set[one_set["status"] == MEASURED]
    collected.figure("psnr_versus_bitops", evaluation_figures.plot_psnr_bitops(measured))
    collect_leaderboard(results, summary, collected)
    comparison = comparison_markdown(summary)
    if comparison:
        collected.text("comparison.md", comparison)
    if references is not None:
        table = reference_table(summary, pd.read_csv(references, dtype={"network": str, "dataset": str}))
        if len(table):
            collected.table("reference", table, [source, references], [])
            digits = ("", "", "", "", ".3f", f".{_REFERENCE_DIGITS}f", "+.3f", "")
            collected.text("reference.md", f"{table.to_markdown(index=False, floatfmt=digits)}\n")
    return {"evaluation": evaluation_numbers(first)}


def collect_leaderboard(results: Path, summary: pd.DataFrame, collected: Collected) -> None:
    """Write the leaderboard with its figures: all rows as CSV, the first network's as Markdown under a sentence."""
    sources = [results / "evaluation" / "evaluation_summary.csv"]
    timed = next(q for q in questions() if q.id == TIMING).table(results)
    if timed.is_file():
        sources.append(timed)
    board = leaderboard(summary, read_study_table(timed) if timed.is_file() else None, evaluated_steps(results))
    if board.empty:
        return
    collected.table("leaderboard", board, sources, [])
    shown = readable_board(board, seconds_note(results), timed_pictures(results))
    collected.text("leaderboard.md", f"{verdict(board)}\n\n{shown.markdown()}")
    networks = network_board(board)
    if networks is not None:
        collected.text("networks.md", networks.markdown())
    for name, figure in (("seconds", plot_loss_seconds(board, amounts_note(results))), ("bits", plot_loss_bits(board))):
        if figure is not None:
            collected.figure(f"leaderboard_{name}", figure)


def collect_study(
    results: Path,
    title: str,
    tables: dict[Question, pd.DataFrame],
    numbers: dict[str, dict],
    collected: Collected,
    pictures: str = "",
) -> dict[str, dict]:
    """Merge the tables of questions and write them as CSV, Markdown and LaTeX, their conclusions, all main numbers, and the
    report, which links to what is there and therefore comes last.

    Args:
        numbers: main numbers of the evaluation.
        collected: what was written of the evaluation.
        pictures: a sentence on those that models are calibrated on, for the report.

    Returns:
        The main numbers.

    Raises:
        TableError: a question has a table and no conclusion.
    """
    study = pd.concat(tables.values(), ignore_index=True) if tables else study_table([])
    summary, exact = summarize_study(study), summarize_study(study, rounded=False)
    if tables:
        parts = [question.table(results) for question in tables]
        seeds = sorted({int(seed) for seed in study["seed"]})
        for name, table in (("study", study), ("study_summary", summary)):
            collected.table(name, table, parts, seeds)
        shown = {q: readable(q, exact[exact["question"] == q.id]) for q in tables}
        left_out = ", ".join(q.id for q in questions() if q not in tables)
        text = "\n".join(f"## {q.id}\n\n{table.markdown()}" for q, table in shown.items())
        collected.text("study.md", text + (f"\nNot run: {left_out}.\n" if left_out else ""))
        latex = "\n".join(table.latex(f"tab:{q.id}") for q, table in shown.items())
        collected.text("study.tex", _TEX_HEAD + latex)
        collected.text("answers.md", answers(results, list(tables)))
        numbers = numbers | main_numbers(summary)
    write_atomically(results / "metrics.json", (json.dumps(numbers, indent=2) + "\n").encode())
    write_report(results, study, exact, title, questions(), pictures, collected.earlier())
    return numbers


def read_tables(results: Path) -> dict[Question, pd.DataFrame]:
    """Return the table of each question that was run, in the order of the questions.

    Raises:
        TableError: one does not fit the schema, holds another question, or is not the one that was measured for this profile.
    """
    found = {q: read_study_table(q.table(results)) for q in questions() if q.table(results).is_file()}
    for question, table in found.items():
        others = sorted(set(table["question"]) - {question.id})
        if others:
            path = question.table(results)
            raise TableError(f"{path}: holds rows of {', '.join(others)}; run the stage question@{question.id} again")
        _check_origin(question.table(results), question.id)
    return {question: table for question, table in found.items() if len(table)}


def answers(results: Path, of: Sequence[Question]) -> str:
    """Return the conclusions of questions, without their tables, as a list in Markdown.

    Raises:
        TableError: one is missing.
    """
    items = []
    for question in of:
        path = question.conclusion(results)
        if not path.is_file():
            raise TableError(f"{path}: is missing; run the stage question@{question.id} again")
        prose = [part for part in paragraphs(path.read_text(encoding="utf-8")) if not is_table(part)]
        lines = [f"* **{question.heading}**", *(f"  * {' '.join(part.split())}" for part in prose)]
        items.append("\n".join(lines) + "\n")
    return "".join(items)


def _check_origin(table: Path, question: str) -> None:
    """Refuse a table that was changed since it was written, that was written for another profile, or whose recipes are others by now.

    What people read of a method, such as its label and how many codes it needs, is told by its recipe's file.
    """
    remedy = f"restore both files (git checkout), or run the stage question@{question} again (dvc repro)"
    record = check_unchanged(table, remedy)
    if record.get("table") != table_id(table):
        raise TableError(
            f"{table}: its provenance is that of {record.get('table')}, not of {table_id(table)}; {remedy}"
        )
    for name, digest in record["inputs_sha256"].items():
        path = find_root() / name
        if path.suffix in (".yaml", ".yml") and path.is_file() and file_sha256(path) != digest:
            raise TableError(
                f"{table}: {name} changed since it was measured; restore that, or run the stage question@{question} again"
            )


def check_conclusions(results: Path) -> None:
    """Refuse a conclusion that is not the one which its stage wrote: of other tables, or edited.

    Raises:
        TableError: naming it.
    """
    for name, digest in read_sums(results).items():
        path, folder = results / name, name.partition("/")[0]
        if name == f"{folder}/{CONCLUSION}" and path.is_file() and file_sha256(path) != digest:
            raise TableError(
                f"{path}: is not the one that sums/{folder}.sha256 tells; restore it (git checkout), or run the stage "
                f"question@{folder} again (dvc repro; by hand with --sums)"
            )


def main() -> int:
    parser = Parser(description=__doc__, allow_abbrev=False)
    parser.add_argument("--results", type=Path, required=True, help="folder of a profile, with a folder a question")
    parser.add_argument("--title", required=True, help="title of the report")
    parser.add_argument("--pictures", default="", help="a sentence on what models are calibrated on, for the report")
    parser.add_argument(
        "--references", type=Path, help="table of reference PSNR; writes reference.{csv,md} where it has a network"
    )
    args = parser.parse_args()
    try:
        check_conclusions(args.results)
        tables, collected = read_tables(args.results), Collected(args.results)
        numbers = collect_evaluation(args.results, args.references, collected)
        if not tables and not numbers:
            names = ", ".join(f"{name}.csv" for name in ("evaluation_summary", *(q.id for q in questions())))
            raise TableError(f"{args.results}: its folders hold none of {names}; run the stage of a question first")
        numbers = collect_study(args.results, args.title, tables, numbers, collected, args.pictures)
        for path in (earlier := collected.earlier()):  # last, so that a run that fails takes nothing away
            path.unlink()
    except (AdabmError, OSError) as error:
        print(f"collect: {plain(error)}", file=sys.stderr)
        return 1
    found = [*(["evaluation"] if "evaluation" in numbers else []), *(q.id for q in tables)]
    left_out = [name for name in ("evaluation", *(q.id for q in questions())) if name not in found]
    print(f"collected {', '.join(found)}" + (f"; not run: {', '.join(left_out)}" if left_out else ""))
    if earlier:
        print(f"removed what an earlier collection left in {collected.folder}: {', '.join(p.name for p in earlier)}")
    return 0


if __name__ == "__main__":
    sys.exit(as_command("collect", main))
