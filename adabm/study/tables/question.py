"""A question of the study: how to tell it, and where its files are."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ..origin.provenance import provenance_path

CONCLUSION = "conclusion.md"


@dataclass(frozen=True)
class Question:
    """One question and how to tell it.

    ``id`` names its folder in the results of a profile, its table and figures there (``<id>.csv``, ``<id>.png``,
    ``<id>_<suffix>.png``), its block of parameters and its module in :mod:`adabm.study.answers`. ``number`` orders the
    report. ``figure`` says what the figure shows, for those who cannot see it, and ``others`` what those with a suffix show, by
    suffix. The report shows the first figure, the others folded away; those of a ``gallery``, which are pictures, as wide as the
    page.
    """

    id: str
    number: int
    heading: str
    explanation: str
    figure: str
    gallery: bool = False
    others: Mapping[str, str] = field(default_factory=dict, hash=False)

    @property
    def notebook(self) -> str:
        """File name of the notebook that answers it, of its source and of the executed copy."""
        return f"{self.number:02d}_{self.id}.ipynb"

    def folder(self, results: Path) -> Path:
        """The folder of everything that its notebook writes; ``results`` is a profile's, such as ``results/demo``."""
        return results / self.id

    def table(self, results: Path) -> Path:
        return self.folder(results) / f"{self.id}.csv"

    def provenance(self, results: Path) -> Path:
        return provenance_path(self.table(results))

    def conclusion(self, results: Path) -> Path:
        return self.folder(results) / CONCLUSION

    def figures(self, results: Path) -> list[Path]:
        """Its figures as PNG: the main one first, then those with a suffix by name."""
        own = self.folder(results) / f"{self.id}.png"
        return [own] * own.is_file() + sorted(self.folder(results).glob(f"{self.id}_*.png"))
