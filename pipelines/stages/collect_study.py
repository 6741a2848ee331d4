"""Stage ``collect_study``: from the tables of the study's questions make one table, Markdown, LaTeX, numbers and the report."""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from adabm.errors import AdabmError, TableError
from adabm.files import write_atomically
from adabm.full_precision import FULL_PRECISION_SETTING
from adabm.study import find_root, write_provenance, write_table
from adabm.study.pages.questions import QUESTIONS, Question
from adabm.study.pages.report import write_report
from adabm.study.running.runs import MEASURED
from adabm.study.tables.presentation import readable
from adabm.study.tables.schema import read_study_table
from adabm.study.tables.study_summary import summarize_study

_TEX_HEAD = "% Needs \\usepackage{booktabs, longtable}. Written by the stage collect_study.\n"


def read_tables(tables: Path) -> dict[str, pd.DataFrame]:
    """Return the table of each question that was run.

    Raises:
        TableError: there is none, or one does not fit the schema or holds another question.
    """
    found = {q.id: read_study_table(tables / f"{q.id}.csv") for q in QUESTIONS if (tables / f"{q.id}.csv").is_file()}
    for question, table in found.items():
        others = sorted(set(table["question"]) - {question})
        if others:
            raise TableError(
                f"{tables / question}.csv: holds rows of {', '.join(others)}; run the stage of {question} again"
            )
    if not any(len(table) for table in found.values()):
        names = ", ".join(f"{q.id}.csv" for q in QUESTIONS)
        raise TableError(f"{tables}: holds none of {names}; run the stage of a question first")
    return {question: table for question, table in found.items() if len(table)}


def main_numbers(summary: pd.DataFrame) -> dict[str, dict]:
    """Return, for each question, the least and the most loss and time on its first network, set and low-bit setting."""
    numbers: dict[str, dict] = {}
    for question, rows in summary.groupby("question", sort=False):
        numbers[question] = {
            "levels": int((rows["setting"] != FULL_PRECISION_SETTING).sum()),
            "measured": int((rows["status"] == MEASURED).sum()),
        }
        rows = rows[rows["status"] == MEASURED]
        low = rows[rows["setting"] != FULL_PRECISION_SETTING]
        if low.empty:
            continue
        first = low.iloc[0]
        here = rows[(rows["backbone"] == first["backbone"]) & (rows["dataset"] == first["dataset"])]
        full = here[here["setting"] == FULL_PRECISION_SETTING]["psnr_y_db"].dropna()
        if len(full):
            numbers[question]["full_precision_psnr_y_db"] = float(full.iloc[0])
        here = here[here["setting"] == first["setting"]]
        for column, least, most in (("loss_db", "least_loss", "most_loss"), ("seconds_median", "shortest", "longest")):
            values = here[column].dropna()
            for name, index in ((least, values.idxmin()), (most, values.idxmax())) if len(values) else ():
                row = here.loc[index]
                numbers[question][name] = {"series": row["series"], row["variable"]: row["level"]} | _present(
                    row, column, "psnr_y_db", "fab"
                )
    return numbers


def answers(results: Path, questions: Sequence[Question]) -> str:
    """Return the conclusions of questions as a list in Markdown.

    Raises:
        TableError: a question has a table and no conclusion.
    """
    items = []
    for question in questions:
        path = results / "conclusions" / f"{question.id}.md"
        if not path.is_file():
            raise TableError(f"{path}: is missing; run the stage of {question.id} again")
        sentences = path.read_text(encoding="utf-8").strip().split("\n\n")
        items.append(
            "\n".join([f"* **{question.heading}**", *(f"  * {' '.join(sentence.split())}" for sentence in sentences)])
            + "\n"
        )
    return "".join(items)


def _present(row: pd.Series, *names: str) -> dict[str, float]:
    return {name: float(row[name]) for name in names if pd.notna(row[name])}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("--results", type=Path, required=True, help="folder with tables/<question>.csv")
    parser.add_argument("--title", required=True, help="title of the report")
    args = parser.parse_args()
    tables = args.results / "tables"
    try:
        found = read_tables(tables)
        study = pd.concat(found.values(), ignore_index=True)
        summary, exact = summarize_study(study), summarize_study(study, rounded=False)
        parts = [tables / f"{question}.csv" for question in found]
        for name, table in (("study", study), ("study_summary", summary)):
            write_table(table, tables / f"{name}.csv")
            write_provenance(
                tables / f"{name}.csv", find_root(), {}, parts, sorted({int(seed) for seed in study["seed"]})
            )
        shown = {q: readable(q, exact[exact["question"] == q.id]) for q in QUESTIONS if q.id in found}
        left_out = ", ".join(q.id for q in QUESTIONS if q.id not in found)
        text = "\n".join(f"## {q.id}\n\n{table.markdown()}" for q, table in shown.items()) + (
            f"\nNot run: {left_out}.\n" if left_out else ""
        )
        write_atomically(tables / "study.md", text.encode())
        write_atomically(
            tables / "study.tex",
            (_TEX_HEAD + "\n".join(table.latex(f"tab:{q.id}") for q, table in shown.items())).encode(),
        )
        write_atomically(tables / "answers.md", answers(args.results, list(shown)).encode())
        write_atomically(
            args.results / "study_metrics.json", (json.dumps(main_numbers(summary), indent=2) + "\n").encode()
        )
        write_report(args.results, study, exact, args.title)
    except (AdabmError, OSError) as error:
        print(f"collect_study: {error}", file=sys.stderr)
        return 1
    print(f"collected {', '.join(found)}" + (f"; not run: {left_out}" if left_out else ""))
    return 0


if __name__ == "__main__":
    sys.exit(main())
