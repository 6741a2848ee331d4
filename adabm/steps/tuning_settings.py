"""Settings of fine-tuning, validated on construction (method section 6)."""

from dataclasses import dataclass
from typing import Annotated, Literal

import torch
from annotated_types import Gt, Le, Predicate

from ..quantization.tunable import GROUPS, Tunable
from ..validation import Checked, Count, NotNegative, Positive, Whole, require

RATES = ("weight", "activation", "layer", "image")  # of the settings lr_...
EACH_ONCE = f"some of {', '.join(GROUPS)}, each once"
COMPUTING = {"float32": None, "bfloat16": torch.bfloat16}  # what a model is told; None: as its features come
Groups = Annotated[tuple[str, ...], Predicate(lambda names: 0 < len(names) == len(set(names))), EACH_ONCE]


@dataclass(frozen=True)
class TuningSettings(Checked):
    """How ranges and mappings are trained against the full-precision network; defaults are the released values.

    Attributes:
        rounds, steps_per_round, batch_size, patch_size: 10 rounds of 50 batches of 2 LR patches; ``patch_size`` None:
            as in calibration.
        lr_weight, lr_activation, lr_layer, lr_image: Adam's learning rates of s, (l, u), m_k and
            (c_l, c_u), in the parameters' own units.
        relative_lr: multiply the rates of s and (l, u) by each range's calibrated width instead,
            which makes the recipe independent of the network's value range (not in the paper).
        lr_decay: factor on a group's rate after each of its rounds.
        structure_weight, bit_weight: weights of the structure and bit losses.
        target_bits: feature average above which the bit loss punishes; None: the base bits.
        groups: parameter groups that take turns; leaving one out keeps it as calibrated.
        divergence_factor: stop when the mean loss of 10 steps exceeds this multiple of the least
            such mean seen so far in rounds of the same group.
        pool: so many patches take turns, and the full-precision network's outputs for them are computed once and kept;
            None: fresh patches in each batch, as released.
        convolutions: type in which the student's convolutions but the first and last compute; ``bfloat16`` is faster
            where the processor has instructions for it, and rounds their outputs to 8 significant bits.
    """

    rounds: Whole = 10
    steps_per_round: Count = 50
    batch_size: Count = 2
    patch_size: Count | None = None
    lr_weight: NotNegative = 0.01
    lr_activation: NotNegative = 0.01
    lr_layer: NotNegative = 0.01
    lr_image: NotNegative = 0.1
    relative_lr: bool = False
    lr_decay: Annotated[float, Gt(0), Le(1)] = 0.9
    structure_weight: NotNegative = 10.0
    bit_weight: NotNegative = 50.0
    target_bits: Positive | None = None
    groups: Groups = GROUPS
    divergence_factor: Annotated[float, Gt(1)] = 20.0
    pool: Count | None = None
    convolutions: Literal["float32", "bfloat16"] = "float32"

    @property
    def total_steps(self) -> int:
        """Steps of all rounds."""
        return self.rounds * self.steps_per_round

    def rate(self, tunable: Tunable) -> float:
        """Return the learning rate of what a module declares."""
        base = getattr(self, f"lr_{tunable.rate}") if tunable.rate in RATES else tunable.lr
        require(base is not None, f"lr of {tunable.group}/{tunable.rate}", base, "declared by its module")
        return base * tunable.width if self.relative_lr and tunable.relative else base
