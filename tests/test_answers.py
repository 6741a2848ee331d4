"""The answers as a whole: found by themselves, and the committed conclusions come from the committed tables."""

import sys

import pandas as pd
import pytest

from adabm.errors import ConfigError
from adabm.study import answers
from adabm.study.answers import evaluation, questions
from helpers.committed import PARAMETERS, Committed
from helpers.slow import slow_among

MODULE = """from adabm.study.tables.question import Question

QUESTION = Question({id!r}, {number}, "Does it?", "It may.", "What it does")
"""


@pytest.fixture
def add(tmp_path, monkeypatch):
    """Adds a module to the answers, from a folder outside the package, for one test."""
    monkeypatch.setattr(answers, "__path__", [*answers.__path__, str(tmp_path)])
    added = []

    def write(name: str, text: str) -> None:
        (tmp_path / f"{name}.py").write_text(text)
        added.append(f"{answers.__name__}.{name}")
        questions.cache_clear()

    yield write
    for name in added:
        sys.modules.pop(name, None)
        vars(answers).pop(name.rpartition(".")[2], None)
    questions.cache_clear()


def test_questions_come_in_the_order_of_their_numbers():
    assert [q.id for q in questions()] == [
        "set_size",
        "sampling",
        "components",
        "fine_tuning",
        "timing",
        "complexity",
        "thresholds",
        "sensitivity",
        "separability",
        "clipping",
        "bit_loss",
        "gradient",
        "dynamic",
        "stopping",
        "pool",
        "pictures",
    ]
    assert [q.notebook for q in questions()][:2] == ["03_set_size.ipynb", "04_sampling.ipynb"]


def test_a_module_with_a_question_is_found(add):
    add("rounding", MODULE.format(id="rounding", number=30))
    add("helper", "HELP = 1\n")
    assert [q.id for q in questions()][-2:] == ["pictures", "rounding"] and questions()[-1].heading == "Does it?"


@pytest.mark.parametrize(
    "name, number, message",
    [
        ("another", 30, "the question 'rounding' stands in another.py; name the file rounding.py"),
        ("rounding", 4, "the questions sampling and rounding both have number 4"),
    ],
)
def test_a_question_that_does_not_fit_is_refused(add, name, number, message):
    add(name, MODULE.format(id="rounding", number=number))
    with pytest.raises(ConfigError, match=message):
        questions()


@pytest.fixture(scope="module", params=PARAMETERS)
def committed(request) -> Committed:
    return Committed(request.param)


@pytest.mark.parametrize(
    "question",
    slow_among(
        [q.id for q in questions()], ("complexity", "sensitivity", "bit_loss", "dynamic", "gradient", "clipping")
    ),
)
def test_the_committed_conclusion_is_that_of_the_committed_table(committed, question):
    assert "\n\n".join(committed.conclusion(question)) + "\n" == committed.told(question)


@pytest.mark.parametrize("question", ["set_size", "sampling", "components"])
def test_the_committed_table_holds_the_planned_trials_in_their_order(committed, question):
    rows = committed.tables[question]
    rows = rows[(rows["setting"] != "FP32") & (rows["dataset"] == rows["dataset"].iloc[0])]
    planned = [(t.series, t.variable, t.level, t.run.setting, t.run.seed) for t in committed.trials(question)]
    columns = ["series", "variable", "level", "setting", "seed"]
    assert list(rows[columns].itertuples(index=False, name=None)) == planned
    assert list(rows["status"] != "not run") == [t.wanted for t in committed.trials(question)]


def test_the_committed_conclusion_of_the_evaluation_is_that_of_its_table(committed):
    summary = pd.read_csv(committed.results / "evaluation" / "evaluation_summary.csv")
    assert "\n\n".join(evaluation.conclusion(summary)) + "\n" == committed.told("evaluation")
