"""Carry a recipe out: step after step, steps in a row that watch sharing one pass over the calibration patches."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace

from torch import Tensor

from ..errors import ConfigError
from ..own_functions import told
from ..quantization.model import IsModel, QuantizedSR
from ..steps import LAYER_FACTORS, CalibrationRecord, Step, Watcher, Workspace
from ..steps.calibration_pass import watch
from ..validation import check
from .kept_layers import check_layers_kept

_ALONE = ("clip", "tune")  # clip_ranges, fine_tune


def carry_out(
    model: QuantizedSR, workspace: Workspace, after_calibration: Callable[[QuantizedSR], None] | None = None
) -> None:
    """Apply the steps of the model's recipe to it.

    Args:
        after_calibration: called once, behind the last step that watches the full-precision network.

    Raises:
        ConfigError: a step removes or replaces a layer, replaces the configuration, or gives something else than a watcher.
    """
    layers, config = model.layers, model.config
    model.carried_out = False
    groups = list(_groups(model.config.recipe.steps))
    last = max((index for index, (_, watching) in enumerate(groups) if watching), default=-1)
    for index, (steps, watching) in enumerate(groups):
        # made when their turn comes: the steps before may have changed the model
        if watching and (watchers := _watchers(model, steps)):
            workspace.record = _joined(workspace.record, watch(model, watchers, workspace.calibration()))
        for step in steps:
            step.apply(model, workspace)
            check_layers_kept(model, layers, step)
            if model.config is not config:
                raise ConfigError(
                    f"step {step.name!r}: puts another configuration into the model, which is carried out by this one"
                )
        if model.config.step("clip") is None:
            model.clipped = True  # nothing is left to be clipped
        if index == last and after_calibration is not None:
            after_calibration(model)
    if workspace.record is None:  # ranges that need no look at the network
        workspace.record = watch(model, [], workspace.calibration())
    model.carried_out = True


def calibrate(model: QuantizedSR, batches: Iterable[Tensor]) -> CalibrationRecord:
    """Carry out the steps of the model's recipe that watch the full-precision network: ranges, thresholds, factors.

    Others are left out: :func:`clip_ranges` and :func:`fine_tune` carry out ``clip`` and ``tune``, :func:`adabm.quantize` all.

    Args:
        model: freshly wrapped or calibrated before; earlier ranges are overwritten.
        batches: (N, C, H, W) tensors in the network's value range. The first batch sets each
            activation range, later ones update it by an exponential moving average.

    Raises:
        DataError: no batch, or a batch with NaN or infinite values or outside the value range.
        NetworkError: the network itself produces NaN or infinite activations.
        ConfigError: the recipe changes the network between its passes, so that ``adabm.quantize`` carries it out as a whole; or
            steps that are left out here were carried out on the model, which other ranges would make wrong.
    """
    check("model", model, IsModel)
    groups = [steps for steps, watching in _groups(model.config.recipe.steps) if watching]
    if len(groups) != 1:
        raise ConfigError(
            f"recipe {model.config.recipe.name}: takes {len(groups)} passes over the patches; use adabm.quantize"
        )
    others = beyond_calibration(model.config.recipe.steps)
    if others and model.carried_out:
        raise ConfigError(
            f"the model was quantized: calibrating it again would undo the step {others[0]!r} of its recipe, or leave it for ranges that "
            "are no longer there; wrap the network anew, or use adabm.quantize"
        )
    record = watch(model, _watchers(model, groups[0]), batches)
    model.clipped = model.config.step("clip") is None
    model.carried_out = not others
    return record


def beyond_calibration(steps: Sequence[Step]) -> list[str]:
    """Return the names of the steps that :func:`calibrate` leaves out and that no function of their own carries out."""
    return [step.name for step in steps if not _watches(step) and step.name not in _ALONE]


def _groups(steps: Sequence[Step]) -> Iterator[tuple[list[Step], bool]]:
    """Yield steps that go together, and whether they watch: several that share a pass, or one that does not watch."""
    together: list[Step] = []
    for step in steps:
        if together and (not _watches(step) or together[-1].changes_network or _needs_own_pass(step, together)):
            yield together, True
            together = []
        if _watches(step):
            together.append(step)
        else:
            yield [step], False
    if together:
        yield together, True


def _joined(before: CalibrationRecord | None, found: CalibrationRecord) -> CalibrationRecord:
    """Return what a pass saw, with what one before it found out of layers."""
    if before is None:
        return found
    return replace(
        found,
        sensitivities=before.sensitivities | found.sensitivities,
        layer_factors=before.layer_factors | found.layer_factors,
    )


def _needs_own_pass(step: Step, before: Sequence[Step]) -> bool:
    """Whether bits that it goes by are found in the pass of the steps ``before`` it, at whose end alone they are known."""
    return step.at_layer_bits and any(LAYER_FACTORS in early.provides for early in before)


def _watchers(model: QuantizedSR, steps: Sequence[Step]) -> list[Watcher]:
    """Return what looks on for the steps; some may need no pass with the settings that they have."""
    found = [(step, step.watch(model)) for step in steps]
    for step, watcher in found:
        if not isinstance(watcher, Watcher | None):
            raise ConfigError(
                f"step {step.name!r}: its watch returns {told(watcher)}; let it return an adabm.steps.Watcher, or None"
            )
    return [watcher for _, watcher in found if watcher is not None]


def _watches(step: Step) -> bool:
    return type(step).watch is not Step.watch
