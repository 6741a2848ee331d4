"""The study: methods measured on networks and data sets, their tables, figures and provenance."""

_EXPORTS = {
    "Bench": "running.bench",
    "CellResult": "running.runs",
    "Effort": "plan.effort",
    "ModelTask": "running.tasks",
    "ResultCache": "running.cache",
    "Run": "plan.cells",
    "Trial": "running.bench",
    "comparison_markdown": "tables.summary",
    "evaluation_markdown": "tables.summary",
    "evaluation_tables": "tables.writing",
    "figures": "pages",
    "find_root": "plan.root",
    "layer_table": "tables.writing",
    "plan_inputs": "plan.cells",
    "publish": "pages.publishing",
    "question_figures": "pages",
    "read_plan": "plan.cells",
    "read_study_table": "tables.schema",
    "run_plan": "running.runs",
    "save_figure": "pages.figures",
    "study_style": "pages.figures",
    "study_table": "tables.schema",
    "summarize": "tables.summary",
    "summarize_study": "tables.study_summary",
    "with_published": "tables.summary",
    "write_provenance": "origin.provenance",
    "write_table": "tables.writing",
}
__all__ = [*sorted(_EXPORTS)]


def __getattr__(name: str):
    """Import a name on first use: what runs a notebook needs no torch, and what computes draws nothing."""
    if name in _EXPORTS:
        from importlib import import_module

        module = import_module(f".{_EXPORTS[name]}", __name__)
        return getattr(module, name) if hasattr(module, name) else import_module(f".{name}", module.__name__)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_EXPORTS})
