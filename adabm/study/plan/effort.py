"""How much calibration and fine-tuning the models of a study get."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass

from ...errors import ConfigError
from ...recipes.recipe import Changes
from ...validation import Checked, Count, Whole, check


@dataclass(frozen=True)
class Effort(Checked):
    """Calibration patches and fine-tuning steps that all quantized models of a study share.

    Attributes:
        patch_size, patches: calibration patches, in LR pixels, and how many (None: one a picture).
        rounds, steps_per_round: of fine-tuning; its patches have ``patch_size`` too.
    """

    patch_size: Count = 96
    patches: Count | None = None
    rounds: Whole = 10
    steps_per_round: Count = 50

    def of_part(self, part: Mapping) -> "Effort":
        """Return the effort of a part of a plan, which may have some of the attributes of its own."""
        return dataclasses.replace(self, **{name: part[name] for name in EFFORT if name in part})

    @classmethod
    def from_parameters(cls, block: Mapping) -> "Effort":
        """Build from a block of parameters that has an entry for each attribute.

        Raises:
            ConfigError: naming the entry that is missing.
        """
        for name in EFFORT:
            if name not in check("effort", block, Changes):
                raise ConfigError(f"{name!r} is missing; the effort of a study has {', '.join(EFFORT)}")
        return cls(**{name: block[name] for name in EFFORT})

    @property
    def changes(self) -> dict[str, int]:
        """What it changes in a recipe that fine-tunes."""
        return {
            "tune.patch_size": self.patch_size,
            "tune.rounds": self.rounds,
            "tune.steps_per_round": self.steps_per_round,
        }


EFFORT = tuple(field.name for field in dataclasses.fields(Effort))
