"""The analysis of each question of the study: which models it compares, its figures, its conclusion computed from the table.

A module that has a ``QUESTION`` answers it. A new question costs such a module, a notebook, and in the parameters of each
profile an entry of ``questions`` and a block; the pipeline, the collected tables and the report find it by these.
"""

import importlib
import pkgutil
from functools import cache

from ...errors import ConfigError
from ..tables.question import Question


@cache
def questions() -> tuple[Question, ...]:
    """Return the ``QUESTION`` of every module of this package that has one, in the order of their numbers.

    Raises:
        ConfigError: a question's module has another name than its ``id``, or two have one number.
    """
    found: dict[int, Question] = {}
    for module in pkgutil.iter_modules(__path__):
        question = getattr(importlib.import_module(f"{__name__}.{module.name}"), "QUESTION", None)
        if question is None:
            continue
        if question.id != module.name:
            raise ConfigError(
                f"the question {question.id!r} stands in {module.name}.py; name the file {question.id}.py"
            )
        other = found.setdefault(question.number, question)
        if other is not question:
            raise ConfigError(f"the questions {other.id} and {question.id} both have number {question.number}")
    return tuple(found[number] for number in sorted(found))
