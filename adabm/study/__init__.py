"""The study: methods measured on networks and data sets, their tables, figures and provenance."""

from .cache import ResultCache
from .plan import Recipe, Run, plan_inputs, read_plan
from .provenance import write_provenance
from .runs import CellResult, find_root, run_plan
from .summary import comparison_markdown, evaluation_markdown, summarize, with_published
from .tables import METHOD_LABELS, evaluation_tables, layer_table, write_table
from .tasks import ModelTask

__all__ = [
    "METHOD_LABELS", "CellResult", "Recipe", "ResultCache", "Run", "comparison_markdown", "evaluation_markdown", "evaluation_tables", "find_root",
    "layer_table", "ModelTask", "plan_inputs", "read_plan", "run_plan", "save_figure", "study_style", "summarize", "with_published", "write_provenance", "write_table",
]


def __getattr__(name: str):
    """Import what draws on first use: processes that only compute start in two thirds of the time."""
    if name in ("save_figure", "study_style"):
        from . import figures

        return getattr(figures, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
