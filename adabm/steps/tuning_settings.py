"""Settings of fine-tuning, validated on construction (method section 6)."""

from dataclasses import dataclass

from ..quantization.tunable import GROUPS, Tunable
from .step import require

RATES = ("weight", "activation", "layer", "image")  # of the settings lr_...


@dataclass(frozen=True)
class TuningSettings:
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
    """

    rounds: int = 10
    steps_per_round: int = 50
    batch_size: int = 2
    patch_size: int | None = None
    lr_weight: float = 0.01
    lr_activation: float = 0.01
    lr_layer: float = 0.01
    lr_image: float = 0.1
    relative_lr: bool = False
    lr_decay: float = 0.9
    structure_weight: float = 10.0
    bit_weight: float = 50.0
    target_bits: float | None = None
    groups: tuple[str, ...] = GROUPS
    divergence_factor: float = 20.0

    def __post_init__(self) -> None:
        several = not isinstance(self.groups, str)  # a list where it comes from YAML
        object.__setattr__(self, "groups", tuple(self.groups) if several else (self.groups,))
        for name in ("steps_per_round", "batch_size", "patch_size"):
            value = getattr(self, name)
            fits = (isinstance(value, int) and value >= 1) or (name == "patch_size" and value is None)
            require(fits, name, value, "a whole number >= 1")
        require(isinstance(self.rounds, int) and self.rounds >= 0, "rounds", self.rounds, "a whole number >= 0")
        for name in (*(f"lr_{rate}" for rate in RATES), "structure_weight", "bit_weight"):
            require(getattr(self, name) >= 0, name, getattr(self, name), ">= 0")
        require(
            several and 0 < len(self.groups) == len(set(self.groups)),
            "groups",
            list(self.groups),
            "some of " + ", ".join(GROUPS) + ", each once",
        )
        require(
            self.target_bits is None or self.target_bits > 0,
            "target_bits",
            self.target_bits,
            "> 0, or None for the base bits",
        )
        require(0 < self.lr_decay <= 1, "lr_decay", self.lr_decay, "in (0, 1]")
        require(self.divergence_factor > 1, "divergence_factor", self.divergence_factor, "> 1")

    @property
    def total_steps(self) -> int:
        """Steps of all rounds."""
        return self.rounds * self.steps_per_round

    def rate(self, tunable: Tunable) -> float:
        """Return the learning rate of what a module declares."""
        base = getattr(self, f"lr_{tunable.rate}") if tunable.rate in RATES else tunable.lr
        require(base is not None, f"lr of {tunable.group}/{tunable.rate}", base, "declared by its module")
        return base * tunable.width if self.relative_lr and tunable.relative else base
