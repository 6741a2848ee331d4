"""Fine-tune what a model's modules declare tunable against the full-precision network (method section 6)."""

import dataclasses
import itertools
import math
import warnings
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Annotated

import torch
from torch import Tensor, nn

from ..errors import ConfigError, FineTuningError
from ..quantization.model import IsModel, QuantizedSR
from ..quantization.tunable import GROUPS, Tunable, tunables
from ..suggestions import suggestion
from ..validation import check_all
from .calibration_pass import checked_batches
from .clip import clip_ranges
from .losses import Losses, distillation_losses
from .progress import Progress, ProgressFile
from .teacher import Teacher
from .tuning_settings import COMPUTING, TuningSettings
from .workspace import TuningStep

_IsSettings = Annotated[TuningSettings | None, "settings such as adabm.FineTuningConfig(), or null"]
_IsProgress = Annotated[str | Path | Progress | None, "the path of a file, or null"]
_WINDOW = 10  # steps over which a loss is averaged before it is called diverging
_WORSE = 2  # times the loss before the first step: what is told at the end


class FineTuner:
    """Run fine-tuning steps on a calibrated model; :func:`fine_tune` runs the whole recipe.

    What can be trained is found in the model (:class:`adabm.quantization.tunable.Tunable`). Each parameter group (the
    released ones are ``weight``: s, ``activation``: l and u, ``mapping``: m_k, c_l and c_u) has its own Adam state
    and learning rates.
    """

    def __init__(self, model: QuantizedSR, config: TuningSettings) -> None:
        self.model, self.config = model, config
        self._teacher = Teacher(model, blocks=config.structure_weight > 0, keep=config.pool is not None)
        self._found: dict[str, Tunable] = {
            f"{index} {name}": found for index, (name, found) in enumerate(tunables(model))
        }
        self._widths = {key: found.width for key, found in self._found.items()}
        check_groups(model, config.groups)
        self._optimizers: dict[str, torch.optim.Adam] = {}
        for group in config.groups:
            if settings := self._settings(group):
                self._optimizers[group] = torch.optim.Adam(settings, betas=(0.9, 0.999), eps=1e-8)
        if not self._optimizers:
            raise ConfigError(f"nothing to fine-tune: this model has no parameters of {', '.join(config.groups)}")

    @property
    def groups(self) -> tuple[str, ...]:
        """The recipe's groups that have parameters, in their rotation: no ``mapping`` without mapping modules."""
        return tuple(self._optimizers)

    def _settings(self, group: str) -> list[dict]:
        return [
            dict(params=list(found.parameters), lr=self.config.rate(found))
            for found in self._found.values()
            if found.group == group
        ]

    def losses(self, images: Tensor) -> tuple[Losses, float]:
        """Return the loss terms on a batch, with gradients, and its mean FAB."""
        teacher = self._teacher(images)
        with self.model.computing(COMPUTING[self.config.convolutions]):
            student = self.model.infer(images, blocks=self._teacher.blocks)
        target = self.config.target_bits
        losses = distillation_losses(
            student,
            teacher,
            self.model.descriptor,
            self.model.config.activation_bits if target is None else target,
            self.config.structure_weight,
            self.config.bit_weight,
        )
        return losses, float(student.feature_average_bits.detach().mean())

    def step(self, group: str, images: Tensor, round: int = 0) -> TuningStep:
        """Take one optimization step of one group on a batch (N, C, H, W) in the network's value range.

        Gradients stay in the parameters' ``grad`` until the next step.

        Raises:
            FineTuningError: the loss or a gradient is NaN or infinite; no parameter was changed.
        """
        if group not in self._optimizers:
            raise ConfigError(f"parameter group {group!r} is empty or unknown; this model has {', '.join(self.groups)}")
        optimizer = self._optimizers[group]
        with _only_trainable(self.model, optimizer):
            losses, bits = self.losses(images)
            total = losses.pixel + losses.structure
            if group == "mapping":
                total = total + losses.bit
            if not torch.isfinite(total):
                raise FineTuningError(f"the loss became {total.item()} in a {group} step")
            optimizer.zero_grad()
            total.backward()
            settings = [p for chosen in optimizer.param_groups for p in chosen["params"] if p.grad is not None]
            if not torch.isfinite(torch.stack([p.grad.sum() for p in settings]).sum()):
                raise FineTuningError(f"a gradient became NaN or infinite in a {group} step")
            optimizer.step()
        self._restrain()
        return TuningStep(round, group, losses.pixel.item(), losses.structure.item(), losses.bit.item(), bits)

    def decay(self, group: str) -> None:
        """Lower the group's learning rates after one of its rounds."""
        for settings in self._optimizers[group].param_groups:
            settings["lr"] *= self.config.lr_decay

    def state_dict(self) -> dict:
        """Return what a later tuner of the same model needs to go on: Adam's state, rates, calibrated widths."""
        return {"widths": self._widths, "optimizers": {name: o.state_dict() for name, o in self._optimizers.items()}}

    def load_state_dict(self, state: dict) -> None:
        """Continue where the tuner stood that gave this state."""
        self._widths = state["widths"]
        for name, optimizer in self._optimizers.items():
            optimizer.load_state_dict(state["optimizers"][name])

    @torch.no_grad()
    def _restrain(self) -> None:
        """Keep every parameter where its module can work, whatever the learning rate did."""
        for key, found in self._found.items():
            if found.keep_valid is not None:
                found.keep_valid(self._widths[key])


def check_groups(model: QuantizedSR, groups: Iterable[str]) -> None:
    """Refuse the name of a group that neither the released recipe nor any module of the model has.

    Raises:
        ConfigError: with a close match.
    """
    known = dict.fromkeys((*GROUPS, *(found.group for _, found in tunables(model))))
    for group in groups:
        if group not in known:
            raise ConfigError(f"groups: unknown parameter group {group!r}; {suggestion(group, known)}")


def fine_tune(
    model: QuantizedSR,
    batches: Iterable[Tensor],
    config: TuningSettings | None = None,
    on_step: Callable[[TuningStep], None] | None = None,
    progress: str | Path | Progress | None = None,
) -> list[TuningStep]:
    """Run the whole recipe: clip ranges on the first batch, then rounds that rotate through the groups.

    Args:
        model: calibrated.
        batches: at least ``rounds * steps_per_round`` batches (N, C, H, W) in the network's value
            range, such as :func:`adabm.pictures.patches.random_batches` gives.
        config: by default the model's.
        on_step: called after each step, e.g. to show progress.
        progress: file that keeps the state after each round. Where it exists already, an interrupted
            run with the same model, recipe and batches continues behind its last round, to the same
            result. It stays when the run ends.

    Returns:
        A :class:`TuningStep` per step taken, those of an earlier part of the run included.

    Raises:
        FineTuningError: the loss diverged or became NaN; the model is back at the state after the last
            good round (or after clipping), which the message names.
        ConfigError: fewer batches than steps, ``progress`` belongs to another model, recipe or other batches, or an argument of
            another type.
        DataError: what is no batch, or outside of the network's value range.
    """
    check_all(
        model=(model, IsModel),
        config=(config, _IsSettings),
        on_step=(on_step, Callable | None),
        progress=(progress, _IsProgress),
    )
    config = config if config is not None else model.config.step("tune")
    if config is None:
        raise ConfigError("the model's recipe has no step 'tune'; pass one")
    stream = checked_batches(batches, model.descriptor)
    kept = ProgressFile(progress, model, config.settings) if progress is not None else None
    state = kept.load() if kept is not None else None
    stream = kept.watched(stream) if kept is not None else stream
    steps: list[TuningStep] = []
    begin = 0
    if state is not None:
        begin, steps = state["round"], [TuningStep(*values) for values in state["steps"]]
        first = _next(stream)
        for _ in steps[1:]:
            _next(stream)
        kept.check_batches()
        model.load_state_dict(state["model"])
        model.clipped = True
    else:
        first = _next(stream)
        stream = itertools.chain([first], stream)
        if not model.clipped:
            clip_ranges(model, first, model.config.step("clip").share)
    tuner, guard = FineTuner(model, config), _DivergenceGuard(config.divergence_factor)
    if state is not None:
        tuner.load_state_dict(state["tuner"])
        for step in steps:
            guard.check(step)
    good, good_name = _snapshot(model), f"after round {begin}" if begin else "before fine-tuning"
    for index in range(begin, config.rounds):
        group = tuner.groups[index % len(tuner.groups)]
        try:
            for _ in range(config.steps_per_round):
                step = tuner.step(group, _next(stream), index)
                guard.check(step)
                steps.append(step)
                if on_step is not None:
                    on_step(step)
        except FineTuningError as error:
            model.load_state_dict(good)
            raise FineTuningError(
                f"{error} (round {index + 1} of {config.rounds}, step {len(steps) + 1}); the model is back at its state "
                f"{good_name}. Lower lr_{group if group != 'mapping' else 'layer'} or use the recipe 'adabm-relative'."
            ) from None
        tuner.decay(group)
        good, good_name = _snapshot(model), f"after round {index + 1}"
        if kept is not None:
            kept.save(
                dict(
                    round=index + 1, model=good, tuner=tuner.state_dict(), steps=[dataclasses.astuple(s) for s in steps]
                )
            )
    if steps:
        _tell_worse(tuner, first, steps[0])
    for parameter in model.parameters():
        parameter.grad = None
    return steps


@torch.no_grad()
def _tell_worse(tuner: FineTuner, first: Tensor, before: TuningStep) -> None:
    """Warn where the loss on the first batch is far greater than before the first step: no round of a group shows that alone."""
    losses, _ = tuner.losses(first)
    found, was = float(losses.pixel + losses.structure), before.pixel + before.structure
    if not found <= _WORSE * was:
        warnings.warn(
            f"fine-tuning led the model away from the full-precision network: the loss on its first batch is {found:.4g}, before it was "
            f"{was:.4g}. Use 'adabm-relative', lower learning rates (tune.lr_weight, tune.lr_activation), or leave the step 'tune' out",
            stacklevel=4,
        )


class _DivergenceGuard:
    """Compare the mean loss of the last steps with the least such mean seen in the same group."""

    def __init__(self, factor: float) -> None:
        self.factor = factor
        self._recent: dict[str, list[float]] = {}
        self._least: dict[str, float] = {}

    def check(self, step: TuningStep) -> None:
        recent = self._recent.setdefault(step.group, [])
        recent.append(step.pixel + step.structure)
        del recent[:-_WINDOW]
        if len(recent) < _WINDOW:
            return
        mean = sum(recent) / _WINDOW
        least = self._least.get(step.group, math.inf)
        if mean > self.factor * least:
            raise FineTuningError(f"fine-tuning diverges: mean loss {mean:.4g} after {least:.4g}")
        self._least[step.group] = min(least, mean)


def _next(stream: Iterator[Tensor]) -> Tensor:
    try:
        return next(stream)
    except StopIteration:
        raise ConfigError("fewer fine-tuning batches than rounds * steps_per_round") from None


def _snapshot(model: nn.Module) -> dict[str, Tensor]:
    return {name: value.detach().clone() for name, value in model.state_dict().items()}


class _only_trainable:
    """Require gradients for one optimizer's parameters alone: the others' are not even computed."""

    def __init__(self, model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
        self._chosen = {id(p) for settings in optimizer.param_groups for p in settings["params"]}
        self._before = [(p, p.requires_grad) for p in model.parameters()]

    def __enter__(self) -> None:
        for parameter, _ in self._before:
            parameter.requires_grad_(id(parameter) in self._chosen)

    def __exit__(self, *_: object) -> None:
        for parameter, required in self._before:
            parameter.requires_grad_(required)
