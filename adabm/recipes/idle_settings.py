"""Settings and steps that somebody asked for and that nothing would come of, given the others."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import fields

from ..errors import ConfigError
from ..own_functions import is_own
from ..steps import Step
from .idle_at_bits import idle_at_bits
from .idle_ranges import OBSERVERS, idle_calibration, idle_searches

# What is told of a setting, where it is a part of it that is idle.
_PARTS = {"tune.groups": "mapping in tune.groups"}


def asked_for(changes: Mapping[str, object]) -> Iterator[str]:
    """Yield the steps and the settings, as ``step.setting``, that changes of a recipe ask for; a whole step has several."""
    for name, value in changes.items():
        yield name
        if isinstance(value, Mapping):
            yield from (f"{name}.{setting}" for setting in value)


def idle_settings(
    steps: Sequence[Step],
    given: Iterable[str],
    *,
    written_out: bool = False,
    bits: Mapping[str, object] | None = None,
) -> list[str]:
    """Return a sentence for each setting and step without any effect: its name, and what makes it idle.

    Recipes with a step of the user's own have none, since what that does is not known.

    Args:
        steps: of the recipe as it is to be carried out.
        given: the steps and settings that were asked for, as ``step`` and ``step.setting``.
        written_out: they stand in a recipe's file, which may say how training would be that takes no steps, and
            by which observers and at which bits ranges are searched where it does not matter.
        bits: of the configuration, where they are known; those of a recipe's file are not.
    """
    if any(is_own(type(step)) for step in steps):
        return []
    by_name = {step.name: step for step in steps}
    idle = dict(_idle(by_name)) | ({} if written_out else dict(_of_no_use(by_name)))
    if bits is not None:
        idle |= dict(idle_at_bits(by_name, bits))
    told = [name for name in given if name in idle]
    told = [
        name for name in told if name.partition(".")[0] not in {*told} - {name}
    ]  # of an idle step not each setting, too
    return [f"{_PARTS.get(name, name)} has no effect, since {idle[name]}; leave it out" for name in told]


def idle_bits(fully_quantized: bool, given: Iterable[str]) -> list[str]:
    """Return a sentence for each of the bit-widths that were asked for and that no layer has."""
    if fully_quantized or "fixed_bits" not in given:
        return []
    return ["fixed_bits has no effect, since fully_quantized is false: no layer is at fixed bits; leave it out"]


def check_idle_settings(
    steps: Sequence[Step],
    given: Iterable[str],
    *,
    written_out: bool = False,
    bits: Mapping[str, object] | None = None,
) -> None:
    """Refuse settings and steps without any effect, see :func:`idle_settings`.

    Raises:
        ConfigError: names the setting or step, and what makes it idle.
    """
    for told in idle_settings(steps, given, written_out=written_out, bits=bits):
        raise ConfigError(told)


def _idle(steps: Mapping[str, Step]) -> Iterator[tuple[str, str]]:
    """Yield each setting and step that is idle, and why."""
    calibrate, mapping, tune, rounding = map(steps.get, ("calibrate", "map_bits", "tune", "round_weights"))
    if calibrate is not None and {calibrate.activation, calibrate.weight} <= {*OBSERVERS}:
        yield "calibrate.percentile", "neither calibrate.activation nor calibrate.weight is percentile"
    if rounding is not None and rounding.ridge == 0 and rounding.repair:
        yield "round_weights.repair", "round_weights.ridge is 0: no least squares"
    yield from idle_searches(steps)
    yield from _of_refining(steps)
    parts = {"image": ("image_percentile", "ema"), "layer": ("layer_percentile", "allocation")}
    for part, settings in parts.items():
        if mapping is not None and getattr(mapping, part) is None:
            yield from ((f"map_bits.{setting}", f"map_bits.{part} is null") for setting in settings)
    if tune is not None:
        rates = {"weight": ("weight", None), "activation": ("activation", None)}
        rates |= {part: ("mapping", part) for part in parts}
        for rate, (group, part) in rates.items():
            if group not in tune.groups:
                yield f"tune.lr_{rate}", f"tune.groups has no {group}"
            elif part is not None and (mapping is None or getattr(mapping, part) is None):
                yield f"tune.lr_{rate}", "the recipe maps no bits" if mapping is None else f"map_bits.{part} is null"
        told = _no_bit_loss(mapping, tune)
        yield from ((f"tune.{setting}", told) for setting in ("target_bits", "bit_weight") if told is not None)
        if tune.bit_weight == 0:
            yield "tune.target_bits", "tune.bit_weight is 0"
        if told is not None and "mapping" in tune.groups:
            yield "tune.groups", told
        if {*tune.groups} == {"mapping"}:
            yield "tune.relative_lr", "tune.groups has mapping alone, whose learning rates are relative to nothing"


def _of_refining(steps: Mapping[str, Step]) -> Iterator[tuple[str, str]]:
    """A number of steps between two measurements that is never reached, nor would the usual one be."""
    refine = steps.get("refine")
    if refine is not None and refine.steps > 0:
        usual = next(each.default for each in fields(refine) if each.name == "every")
        if refine.every > refine.steps and usual >= refine.steps:
            yield "refine.every", f"refine.steps is {refine.steps}, at whose end alone is measured"


def _of_no_use(steps: Mapping[str, Step]) -> Iterator[tuple[str, str]]:
    """Yield settings of training that takes no step; and of a search of ranges that is the same with any, or replaced later."""
    for name, count in (("tune", "rounds"), ("refine", "steps")):
        if name in steps and getattr(steps[name], count) == 0:
            others = (setting for setting in steps[name].settings if setting != count)
            yield from ((f"{name}.{setting}", f"{name}.{count} is 0") for setting in others)
    yield from idle_calibration(steps)


def _no_bit_loss(mapping: Step | None, tune: Step) -> str | None:
    """Say why nothing is trained that the bit loss moves, which are the thresholds and factors of the mappings; None if something is."""
    if "mapping" not in tune.groups:
        return "tune.groups has no mapping"
    if mapping is None:
        return "the recipe maps no bits"
    return "map_bits.image and map_bits.layer are null" if mapping.image is mapping.layer is None else None
