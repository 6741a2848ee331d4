"""Write what a question's notebook found: table, provenance, figures, conclusion."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from ...errors import DataError
from ...files import write_atomically
from ..origin.provenance import STUDY_CODE, write_provenance
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
    """Write ``tables/<question>.csv`` with provenance, ``figures/<question>[_<suffix>]`` and ``conclusions/<question>.md``.

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
    path = results / "tables" / f"{question}.csv"
    write_table(table, path)
    write_provenance(
        path,
        root,
        dict(parameters),
        inputs,
        sorted(int(s) for s in table["seed"].unique()),
        device=device,
        code=STUDY_CODE,
    )
    for suffix, figure in figures.items():
        save_figure(figure, results / "figures" / (f"{question}_{suffix}" if suffix else question))
    text = "\n\n".join(conclusion)
    write_atomically(results / "conclusions" / f"{question}.md", (text + "\n").encode())
    return text
