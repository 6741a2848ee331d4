"""The files that the stage ``collect`` writes into the report's folder of a profile, and what an earlier one left there."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from ...support.files import write_atomically
from ..origin.provenance import CODE, COLLECTING_CODE, provenance_path, write_provenance
from ..plan.root import find_root
from ..tables.writing import write_table
from .figures import save_figure
from .sections import REPORT

_TEXTS = (
    *("answers.md", "comparison.md", "evaluation.md", "leaderboard.md", "networks.md", "reference.md"),
    *("study.md", "study.tex"),
)
_TABLES = ("leaderboard", "reference", "study", "study_summary")
_FIGURES = ("leaderboard_bits", "leaderboard_seconds", "loss", "psnr_versus_bitops")


class Collected:
    """What one collection writes; each kind of file has its names, and no others are ever removed.

    Args:
        results: of a profile, with a folder a question.
    """

    def __init__(self, results: Path) -> None:
        self.folder = results / REPORT
        self._written: set[Path] = set()

    def text(self, name: str, text: str) -> None:
        """Write a text."""
        path = self._claim(name, _TEXTS, name)
        write_atomically(path, text.encode())

    def table(self, name: str, table: pd.DataFrame, inputs: Sequence[Path], seeds: list[int]) -> None:
        """Write a table with its provenance.

        Args:
            inputs: the tables that it is made of.
        """
        path = self._claim(name, _TABLES, f"{name}.csv")
        self._written.add(provenance_path(path))
        write_table(table, path)
        write_provenance(path, find_root(), {}, inputs, seeds, code=CODE | COLLECTING_CODE)

    def figure(self, name: str, figure: Figure) -> None:
        """Write a figure as PNG and SVG."""
        path = self._claim(name, _FIGURES, f"{name}.png")
        self._written.add(path.with_suffix(".svg"))
        save_figure(figure, path)

    def _claim(self, name: str, known: Sequence[str], file: str) -> Path:
        if name not in known:
            raise ValueError(f"{name}: is none of {', '.join(known)}")
        self._written.add(self.folder / file)
        return self.folder / file

    def earlier(self) -> list[Path]:
        """Return the files that this collection may write and did not, and an earlier one left."""
        tables = [self.folder / f"{name}.csv" for name in _TABLES]
        figures = [self.folder / f"{name}{kind}" for name in _FIGURES for kind in (".png", ".svg")]
        texts = [self.folder / name for name in _TEXTS]
        candidates = {*texts, *tables, *map(provenance_path, tables), *figures} - self._written
        return sorted(path for path in candidates if path.is_file())
