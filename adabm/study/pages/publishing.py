"""Write what a question's notebook found: table, provenance, figures, conclusion, all into the question's folder."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from ...errors import DataError
from ...support.files import write_atomically
from ..origin.provenance import study_code, write_provenance
from ..tables.question import CONCLUSION
from ..tables.writing import write_table
from .figures import save_figure


def publish(
    results: Path,
    question: str,
    table: pd.DataFrame,
    figures: Mapping[str, Figure],
    conclusion: Sequence[str],
    root: Path,
    parameters: Mapping,
    inputs: Sequence[Path],
    device: str = "cpu",
) -> str:
    """Write ``<question>/<question>.csv`` with provenance, ``<question>[_<suffix>].png`` and ``.svg``, and ``conclusion.md``.

    The conclusion comes last, and that of before goes first: what was interrupted has none, and is not collected.

    Args:
        results: folder of the profile, such as ``results/demo``.
        figures: by suffix; the empty suffix is the main figure.
        conclusion: sentences computed from the table.

    Returns:
        The conclusion as Markdown, a paragraph a sentence.

    Raises:
        DataError: no figure, or no conclusion.
    """
    if not figures or not conclusion:
        raise DataError(f"{question}: a question needs a figure and a conclusion")
    path = results / question / f"{question}.csv"
    withdraw_conclusion(results, question)
    write_table(table, path)
    write_provenance(
        path,
        root,
        dict(parameters),
        inputs,
        sorted(int(s) for s in table["seed"].unique()),
        device=device,
        code=study_code(question),
    )
    save_figures(results, question, figures)
    return write_conclusion(results, question, conclusion)


def write_tables(
    folder: Path,
    tables: Mapping[str, pd.DataFrame],
    root: Path,
    parameters: Mapping,
    inputs: Sequence[Path],
    seed: int | list[int],
) -> None:
    """Write tables by name into the folder of a question such as ``results/demo/evaluation``, each with its provenance.

    The conclusion of before goes first: none stands beside tables that it was not computed from.
    """
    withdraw_conclusion(folder.parent, folder.name)
    code = study_code(folder.name)
    for name, table in tables.items():
        write_table(table, folder / f"{name}.csv")
        write_provenance(folder / f"{name}.csv", root, parameters, inputs, seed, code=code)


def save_figures(results: Path, question: str, figures: Mapping[str, Figure]) -> None:
    """Write figures by suffix into the question's folder, as PNG and SVG; figures of other suffixes there are of an earlier run, and go."""
    names = {suffix: f"{question}_{suffix}" if suffix else question for suffix in figures}
    for path in (path for kind in ("png", "svg") for path in (results / question).glob(f"{question}_*.{kind}")):
        if path.stem not in names.values():
            path.unlink()
    for suffix, figure in figures.items():
        save_figure(figure, results / question / names[suffix])


def withdraw_conclusion(results: Path, question: str) -> None:
    """Delete ``conclusion.md`` of a question's folder, if it is there, before what it tells of is written anew."""
    (results / question / CONCLUSION).unlink(missing_ok=True)


def write_conclusion(results: Path, question: str, conclusion: Sequence[str]) -> str:
    """Write ``conclusion.md`` into the question's folder, a paragraph a sentence, and return its text."""
    text = "\n\n".join(conclusion)
    write_atomically(results / question / CONCLUSION, (text + "\n").encode())
    return text
