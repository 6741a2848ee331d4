"""The study: methods measured on networks and data sets, their tables, figures and provenance."""

from .bench import Bench, Trial
from .cache import ResultCache
from .plan import Recipe, Run, plan_inputs, read_plan
from .provenance import write_provenance
from .runs import CellResult, find_root, run_plan
from .schema import read_study_table, study_table
from .study_summary import summarize_study
from .summary import comparison_markdown, evaluation_markdown, summarize, with_published
from .tables import METHOD_LABELS, evaluation_tables, layer_table, write_table
from .tasks import ModelTask

__all__ = [
    "METHOD_LABELS", "Bench", "CellResult", "ModelTask", "Recipe", "ResultCache", "Run", "Trial", "comparison_markdown", "evaluation_markdown",
    "evaluation_tables", "find_root", "layer_table", "plan_inputs", "publish", "read_plan", "read_study_table", "run_plan", "save_figure", "study_style",
    "study_table", "summarize", "summarize_study", "with_published", "write_provenance", "write_table",
]
_DRAWING = {"publish": "publishing", "save_figure": "figures", "study_style": "figures"}


def __getattr__(name: str):
    """Import what draws on first use: processes that only compute start in two thirds of the time."""
    if name in _DRAWING:
        from importlib import import_module

        return getattr(import_module(f".{_DRAWING[name]}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
