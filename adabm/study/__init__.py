"""The study: methods measured on networks and data sets, their tables, figures and provenance."""

from .origin.provenance import write_provenance
from .plan.cells import Run, plan_inputs, read_plan
from .plan.effort import Effort
from .plan.root import find_root
from .running.bench import Bench, Trial
from .running.cache import ResultCache
from .running.runs import CellResult, run_plan
from .running.tasks import ModelTask
from .tables.schema import read_study_table, study_table
from .tables.study_summary import summarize_study
from .tables.summary import comparison_markdown, evaluation_markdown, summarize, with_published
from .tables.writing import evaluation_tables, layer_table, write_table

__all__ = [
    "Bench",
    "CellResult",
    "Effort",
    "ModelTask",
    "ResultCache",
    "Run",
    "Trial",
    "comparison_markdown",
    "evaluation_markdown",
    "evaluation_tables",
    "find_root",
    "layer_table",
    "plan_inputs",
    "publish",
    "read_plan",
    "read_study_table",
    "run_plan",
    "save_figure",
    "study_style",
    "study_table",
    "summarize",
    "summarize_study",
    "with_published",
    "write_provenance",
    "write_table",
]
_DRAWING = {
    "figures": "pages",
    "publish": "pages.publishing",
    "question_figures": "pages",
    "save_figure": "pages.figures",
    "study_style": "pages.figures",
}


def __getattr__(name: str):
    """Import what draws on first use: processes that only compute start in two thirds of the time."""
    if name in _DRAWING:
        from importlib import import_module

        return getattr(import_module(f".{_DRAWING[name]}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
