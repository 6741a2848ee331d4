"""Settings of a step that somebody asked for and that nothing would be done with, given the others."""

from collections.abc import Iterable, Iterator, Mapping, Sequence

from ..errors import ConfigError
from ..own_functions import is_own
from ..steps import Step

_OBSERVERS = ("minmax", "omse", "omse_absmax", "mse")  # those of this package that take no percentile


def check_idle_settings(steps: Sequence[Step], given: Iterable[str]) -> None:
    """Refuse settings without any effect. Recipes with a step of the user's own pass, since what that does is not known.

    Args:
        steps: of the recipe as it is to be carried out.
        given: the settings that were asked for, as ``step.setting``.

    Raises:
        ConfigError: names the setting, and what makes it idle.
    """
    if any(is_own(type(step)) for step in steps):
        return
    idle = dict(_idle({step.name: step for step in steps}))
    for name in given:
        if (why := idle.get(name)) is not None:
            raise ConfigError(f"{name} has no effect, since {why}; leave it out")


def _idle(steps: Mapping[str, Step]) -> Iterator[tuple[str, str]]:
    """Yield each setting that is idle, and why."""
    calibrate, mapping, tune, rounding = map(steps.get, ("calibrate", "map_bits", "tune", "round_weights"))
    if calibrate is not None and {calibrate.activation, calibrate.weight} <= {*_OBSERVERS}:
        yield "calibrate.percentile", "neither calibrate.activation nor calibrate.weight is percentile"
    if rounding is not None and rounding.ridge == 0 and rounding.repair:
        yield "round_weights.repair", "round_weights.ridge is 0: no least squares"
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


def _no_bit_loss(mapping: Step | None, tune: Step) -> str | None:
    """Say why nothing is trained that the bit loss moves, which are the thresholds and factors of the mappings; None if something is."""
    if "mapping" not in tune.groups:
        return "tune.groups has no mapping"
    if mapping is None:
        return "the recipe maps no bits"
    return "map_bits.image and map_bits.layer are null" if mapping.image is mapping.layer is None else None
