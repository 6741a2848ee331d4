"""Settings and steps that somebody asked for and that nothing would come of, given the others."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import takewhile

from ..errors import ConfigError
from ..own_functions import is_own
from ..steps import Step

# Of this package's observers: those that take no percentile, and those whose range is the same at all bits.
_OBSERVERS = ("minmax", "omse", "omse_absmax", "mse")
_SAME_AT_ALL_BITS = ("minmax", "percentile")
# Steps that neither use the ranges that are there nor leave anything that depends on them; and those that do nothing but set ranges.
_KEEP_RANGES = ("map_bits", "allocate_bits")
_SET_RANGES = ("search_bounds", "clip_outliers", "clip")
_REPLACED = "round_weights sets all ranges anew (round_weights.ranges)"


def asked_for(changes: Mapping[str, object]) -> Iterator[str]:
    """Yield the steps and the settings, as ``step.setting``, that changes of a recipe ask for; a whole step has several."""
    for name, value in changes.items():
        yield name
        if isinstance(value, Mapping):
            yield from (f"{name}.{setting}" for setting in value)


def idle_settings(steps: Sequence[Step], given: Iterable[str], *, written_out: bool = False) -> list[str]:
    """Return a sentence for each setting and step without any effect: its name, and what makes it idle.

    Recipes with a step of the user's own have none, since what that does is not known.

    Args:
        steps: of the recipe as it is to be carried out.
        given: the steps and settings that were asked for, as ``step`` and ``step.setting``.
        written_out: they stand in a recipe's file, which may say how training would be that takes no steps, and
            at which bits ranges are searched where it does not matter.
    """
    if any(is_own(type(step)) for step in steps):
        return []
    by_name = {step.name: step for step in steps}
    idle = dict(_idle(by_name)) | ({} if written_out else dict(_of_no_use(by_name)))
    told = [name for name in given if name in idle]
    told = [
        name for name in told if name.partition(".")[0] not in {*told} - {name}
    ]  # of an idle step not each setting, too
    return [f"{name} has no effect, since {idle[name]}; leave it out" for name in told]


def idle_bits(fully_quantized: bool, given: Iterable[str]) -> list[str]:
    """Return a sentence for each of the bit-widths that were asked for and that no layer has."""
    if fully_quantized or "fixed_bits" not in given:
        return []
    return ["fixed_bits has no effect, since fully_quantized is false: no layer is at fixed bits; leave it out"]


def check_idle_settings(steps: Sequence[Step], given: Iterable[str], *, written_out: bool = False) -> None:
    """Refuse settings and steps without any effect, see :func:`idle_settings`.

    Raises:
        ConfigError: names the setting or step, and what makes it idle.
    """
    for told in idle_settings(steps, given, written_out=written_out):
        raise ConfigError(told)


def _idle(steps: Mapping[str, Step]) -> Iterator[tuple[str, str]]:
    """Yield each setting and step that is idle, and why."""
    calibrate, mapping, tune, rounding = map(steps.get, ("calibrate", "map_bits", "tune", "round_weights"))
    if calibrate is not None and {calibrate.activation, calibrate.weight} <= {*_OBSERVERS}:
        yield "calibrate.percentile", "neither calibrate.activation nor calibrate.weight is percentile"
    if rounding is not None and rounding.ridge == 0 and rounding.repair:
        yield "round_weights.repair", "round_weights.ridge is 0: no least squares"
    for name in _replaced(steps):
        if name != "calibrate":
            yield from (
                (idle, _REPLACED) for idle in (name, *(f"{name}.{setting}" for setting in steps[name].settings))
            )
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


def _of_no_use(steps: Mapping[str, Step]) -> Iterator[tuple[str, str]]:
    """Yield settings of training that takes no step; and of a search of ranges that is the same with any, or replaced later.

    There ``calibrate.patches`` saves time.
    """
    for name, count in (("tune", "rounds"), ("refine", "steps")):
        if name in steps and getattr(steps[name], count) == 0:
            others = (setting for setting in steps[name].settings if setting != count)
            yield from ((f"{name}.{setting}", f"{name}.{count} is 0") for setting in others)
    calibrate = steps.get("calibrate")
    if calibrate is None:
        return
    if calibrate.granularity == "tensor" and {calibrate.activation, calibrate.weight} <= {*_SAME_AT_ALL_BITS}:
        yield "calibrate.weight_search", "ranges of calibrate.activation and calibrate.weight are the same at all bits"
    if "calibrate" in _replaced(steps):
        yield from ((f"calibrate.{setting}", _REPLACED) for setting in ("ema", "weight_search"))


def _replaced(steps: Mapping[str, Step]) -> list[str]:
    """Return the steps whose ranges ``round_weights`` replaces before any step has used them, ``calibrate`` among them."""
    rounding, names = steps.get("round_weights"), list(steps)
    if rounding is None or not rounding.ranges:
        return []
    before = names[names.index("calibrate") : names.index("round_weights")]
    unused = takewhile(lambda name: name in ("calibrate", *_KEEP_RANGES, *_SET_RANGES), reversed(before))
    return [name for name in unused if name not in _KEEP_RANGES]


def _no_bit_loss(mapping: Step | None, tune: Step) -> str | None:
    """Say why nothing is trained that the bit loss moves, which are the thresholds and factors of the mappings; None if something is."""
    if "mapping" not in tune.groups:
        return "tune.groups has no mapping"
    if mapping is None:
        return "the recipe maps no bits"
    return "map_bits.image and map_bits.layer are null" if mapping.image is mapping.layer is None else None
