"""Step ``tune``: fine-tuning without ground truth (method section 6)."""

from dataclasses import dataclass

from ..quantization.model import QuantizedSR
from ..quantization.tunable import GROUPS, ROUNDING
from ..validation import require
from .step import RANGES, TRAINING, Step, step
from .tuner import check_groups, fine_tune
from .tuning_settings import EACH_ONCE, TuningSettings
from .workspace import Workspace


@step("tune")
@dataclass(frozen=True)
class Tune(TuningSettings, Step):
    """Train ranges and mappings against the full-precision network; the settings are those of :class:`TuningSettings`."""

    needs = frozenset({RANGES})
    provides = frozenset({TRAINING})

    def check(self, config) -> None:
        """Refuse unknown groups at once where no file of the user's could declare them."""
        if not config.recipe.files:
            for group in self.groups:
                require(group in (*GROUPS, ROUNDING), "groups", list(self.groups), EACH_ONCE)

    def check_model(self, model: QuantizedSR) -> None:
        """Refuse groups that the model does not have."""
        check_groups(model, self.groups)

    def apply(self, model: QuantizedSR, workspace: Workspace) -> None:
        """Run all rounds, from where an interrupted run stopped."""
        batches = workspace.random(self.batch_size, self.patch_size, self.pool)
        workspace.tuning = fine_tune(model, batches, self, workspace.on_step, workspace.progress)
