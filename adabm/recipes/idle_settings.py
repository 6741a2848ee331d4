"""Settings of a step that somebody asked for and that nothing would be done with, given the others."""

from collections.abc import Iterable, Iterator, Mapping, Sequence

from ..errors import ConfigError
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
    own = __package__.partition(".")[0]
    if not all(type(step).__module__.startswith(f"{own}.") for step in steps):
        return
    idle = dict(_idle({step.name: step for step in steps}))
    for name in given:
        if (why := idle.get(name)) is not None:
            raise ConfigError(f"{name} has no effect, since {why}; leave it out")


def _idle(steps: Mapping[str, Step]) -> Iterator[tuple[str, str]]:
    """Yield each setting that is idle, and why."""
    calibrate, mapping, tune = map(steps.get, ("calibrate", "map_bits", "tune"))
    if calibrate is not None and {calibrate.activation, calibrate.weight} <= {*_OBSERVERS}:
        yield "calibrate.percentile", "neither calibrate.activation nor calibrate.weight is percentile"
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
