"""The study: runs of methods on data sets, their tables, figures and provenance."""

from .figures import save_figure, study_style
from .provenance import write_provenance
from .runs import Run, RunResult, StudySettings, find_root, run_all
from .tables import METHOD_LABELS, evaluation_tables, layer_table, write_table

__all__ = [
    "METHOD_LABELS", "Run", "RunResult", "StudySettings", "evaluation_tables", "find_root", "layer_table", "run_all", "save_figure",
    "study_style", "write_provenance", "write_table",
]
