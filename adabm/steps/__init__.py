"""Steps: what changes a quantized network, one a file; recipes list them.

A step of your own is a dataclass in a file of your own, see docs/extending.md.
"""

from ..validation import require
from .progress import Progress
from .step import (
    CLIPPING,
    DECISIONS,
    LAYER_FACTORS,
    RANGES,
    SEARCHED,
    TRAINING,
    Step,
    Watcher,
    find_step,
    make_step,
    step,
    step_names,
)
from .workspace import CalibrationRecord, TuningStep, Workspace

__all__ = [
    "CLIPPING",
    "DECISIONS",
    "LAYER_FACTORS",
    "RANGES",
    "SEARCHED",
    "TRAINING",
    "CalibrationRecord",
    "Progress",
    "Step",
    "TuningStep",
    "Watcher",
    "Workspace",
    "find_step",
    "make_step",
    "require",
    "step",
    "step_names",
]
