"""Tell a question anew from its published tables: read them, and write figures and conclusion, but no table."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import pandas as pd
from matplotlib.figure import Figure

from ...errors import DataError, TableError
from ...support.files import read_bytes
from ..origin.reading import check_unchanged
from ..tables.schema import STUDY_COLUMNS, read_study_table
from ..tables.writing import write_table
from .publishing import save_figures, withdraw_conclusion, write_conclusion


def read_table(path: str | Path) -> pd.DataFrame:
    """Read a published table after comparing it with its provenance.

    Raises:
        TableError: it or its provenance is missing or damaged, or it is not the table that was measured.
    """
    path = Path(path)
    if not path.is_file():
        raise TableError(f"{path}: is missing, and nothing is measured here; run the notebook without --from-tables")
    check_unchanged(path, "restore it (git checkout)")
    table = pd.read_csv(path, keep_default_na=False, na_values=[""])
    return read_study_table(path) if list(table) == list(STUDY_COLUMNS) else table


def read_tables(folder: str | Path, beginning: str) -> dict[str, pd.DataFrame]:
    """Read all tables of a folder whose names begin so, by the rest of their names.

    Raises:
        TableError: none does, or as :func:`read_table`.
    """
    paths = sorted(Path(folder).glob(f"{beginning}*.csv"))
    if not paths:
        raise TableError(f"{folder}: has no table {beginning}*.csv; run the notebook without --from-tables")
    return {path.stem.removeprefix(beginning): read_table(path) for path in paths}


def check_tables(folder: str | Path, tables: Mapping[str, pd.DataFrame]) -> None:
    """Compare tables by name with those published in a folder.

    Raises:
        TableError: one would not be the same to the byte.
    """
    with TemporaryDirectory() as scratch:
        for name, table in tables.items():
            path, told = Path(folder, f"{name}.csv"), Path(scratch, f"{name}.csv")
            write_table(table, told)
            if not path.is_file() or read_bytes(path) != read_bytes(told):
                raise TableError(
                    f"{path}: told from the published tables it would be another one, and no table changes without measuring; "
                    "undo the change of what it is derived by, or run the notebook without --from-tables"
                )


def tell_anew(
    results: Path,
    question: str,
    table: pd.DataFrame,
    figures: Mapping[str, Figure] | None,
    conclusion: Sequence[str],
) -> str:
    """Write figures and conclusion of a question as :func:`.publishing.publish` does, and neither table nor provenance.

    Args:
        table: compared with the published one.
        figures: None leaves the published ones as they are.

    Returns:
        The conclusion as Markdown, a paragraph a sentence.

    Raises:
        DataError: no figure, or no conclusion.
        TableError: the table is not the published one.
    """
    if (figures is not None and not figures) or not conclusion:
        raise DataError(f"{question}: a question needs a figure and a conclusion")
    check_tables(results / question, {question: table})
    withdraw_conclusion(results, question)
    if figures is not None:
        save_figures(results, question, figures)
    return write_conclusion(results, question, conclusion)
