"""The questions of the study, in the order of the report.

A new question costs an entry here, a notebook, and in each profile a block of parameters, a stage, and its files among the
dependencies of the stage ``collect_study``; tests/test_notebooks.py names what is lacking.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Question:
    """One question and how to tell it.

    ``id`` names its files: ``tables/<id>.csv``, ``figures/<id>.png`` and ``figures/<id>_<suffix>.png``, ``conclusions/<id>.md``,
    and the block of parameters. ``figure`` says what the figure shows, for those who cannot see it.
    """

    id: str
    number: int
    heading: str
    explanation: str
    figure: str

    @property
    def notebook(self) -> str:
        """File name of the notebook that answers it."""
        return f"{self.number:02d}_{self.id}.ipynb"


QUESTIONS = (
    Question(
        "set_size",
        3,
        "How many calibration pictures are needed?",
        "Calibration and fine-tuning see fewer or more low-resolution pictures; everything else stays the same.",
        "Quality against the number of calibration pictures",
    ),
    Question(
        "sampling",
        4,
        "Which pictures?",
        "The same number of calibration pictures, chosen from the same pool by different strategies.",
        "Quality for each strategy of choosing calibration pictures",
    ),
    Question(
        "components",
        5,
        "Which parts of AdaBM earn their bits?",
        "The parts of AdaBM are switched off, and its settings moved, one at a time.",
        "Quality and average bits with parts of AdaBM switched off or moved",
    ),
    Question(
        "fine_tuning",
        6,
        "How much fine-tuning, and at which learning rate?",
        "The model is measured along fine-tuning, at several learning rates.",
        "Quality along fine-tuning, by learning rate",
    ),
    Question(
        "timing",
        7,
        "How long does it take?",
        "Measured time and memory of the parts of quantizing a network, on the machine that the provenance names; low-bit inference itself is only simulated.",
        "Measured time of the parts of quantization",
    ),
)
