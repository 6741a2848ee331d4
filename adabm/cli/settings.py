"""Build a configuration from a recipe's name, dedicated options and ``--set step.setting=value``."""

import argparse
import difflib
from collections.abc import Iterable
from types import NoneType

from ..errors import ConfigError
from ..recipes import QuantizationConfig, read_recipe, shipped
from ..recipes.config import BITS
from ..recipes.idle_settings import asked_for, check_idle_settings, idle_bits
from ..recipes.names import new_name
from ..steps.step import find_step, step_names
from ..suggestions import suggestion
from ..validation import alternatives, annotations, origin
from .options import number

_BOOLEANS = {"true": True, "yes": True, "on": True, "1": True, "false": False, "no": False, "off": False, "0": False}
_NONE = ("none", "null")


def configuration(args: argparse.Namespace) -> tuple[QuantizationConfig, str]:
    """Return the configuration that the options of ``adabm quantize`` ask for, and its name.

    The name is the recipe's, marked if more than bit-widths and ``--body-only`` differs from it.

    Raises:
        ConfigError: an unknown recipe, step or setting, a bad value, or a setting given twice.
    """
    recipe = read_recipe(args.recipe)
    bits = {"weight_bits": args.weight_bits, "activation_bits": args.activation_bits}
    if args.body_only:
        bits["fully_quantized"] = False
    bits = {name: value for name, value in bits.items() if value is not None}
    changes: dict[str, object] = {}
    for name, value in (("tune.rounds", args.rounds), ("tune.steps_per_round", args.steps_per_round)):
        if value is not None:
            changes[name] = value
    for name, value in assignments(args.set):
        target = bits if name in BITS else changes
        if name in target:
            raise ConfigError(f"{name} is set twice; give it once")
        target[name] = value
    tuned = recipe.step("tune") is not None and "tune" not in changes
    for name, value in changes.items():
        if value is None and "." not in name and recipe.step(name) is None:
            raise ConfigError(f"{name}=none has no effect: {args.recipe!r} has no step {name!r}; leave it out")
        if name.startswith("tune.") and not tuned:
            raise ConfigError(
                f"{name} has no effect: {args.recipe!r} as asked for does not fine-tune; "
                f"recipes that do: {', '.join(r.name for r in shipped().values() if r.step('tune') is not None)}"
            )
    config = QuantizationConfig(**bits, recipe=recipe.with_changes(changes))
    for told in idle_bits(config.fully_quantized, bits):
        raise ConfigError(told)
    check_idle_settings(config.recipe.steps, asked_for(changes), bits=config.bits)
    return config, config.recipe.title


def assignments(items: Iterable[str]) -> Iterable[tuple[str, object]]:
    """Parse ``name=value`` texts; values take the type of the setting.

    Names are ``step.setting``, ``step`` (whose only value is ``none``) or bit-widths.

    Raises:
        ConfigError: not of this form, an unknown name, or a value of the wrong type.
    """
    for item in items:
        name, equals, text = item.partition("=")
        if not equals or not name:
            raise ConfigError(f"--set {item}: expected step.setting=value, e.g. --set calibrate.ema=0.8")
        step, dot, setting = name.partition(".")
        if name in BITS:
            yield name, _value(name, text, bool if name == "fully_quantized" else int)
            continue
        if (renamed := new_name(name)) is not None and step != "percentile":
            raise ConfigError(f"--set {name}: is called {renamed} now")
        types = _settings_of(name, step)
        if not dot:
            if text.lower() not in _NONE:
                raise ConfigError(
                    f"--set {name}={text}: only none, to leave it out; set its parts as {name}.setting=..."
                )
            yield name, None
        elif setting not in types:
            raise ConfigError(f"--set {name}: unknown setting {setting!r}; {suggestion(setting, types)}")
        else:
            yield name, _value(name, text, types[setting])


def _settings_of(name: str, step: str) -> dict[str, object]:
    known = step_names()
    if step in known:
        return dict(annotations(find_step(step)))
    full: dict[str, list[str]] = {}  # by the last part alone, which is what people type first
    for one in known:
        for setting in annotations(find_step(one)):
            full.setdefault(setting, []).append(f"{one}.{setting}")
    if close := difflib.get_close_matches(name, full, 1):
        raise ConfigError(f"--set {name}: unknown setting; did you mean {' or '.join(map(repr, full[close[0]]))}?")
    raise ConfigError(f"--set {name}: unknown step {step!r}; {suggestion(step, [*known, *BITS])}")


def _value(name: str, text: str, allowed: object) -> object:
    kinds = list(map(origin, alternatives(allowed)))
    if NoneType in kinds and text.lower() in _NONE:
        return None
    if bool in kinds:
        if text.lower() not in _BOOLEANS:
            raise ConfigError(f"--set {name}={text}: must be true or false")
        return _BOOLEANS[text.lower()]
    for kind, what in ((int, "a whole number"), (float, "a number")):
        if kind in kinds:
            try:
                return number(text, kind)
            except ValueError:
                raise ConfigError(f"--set {name}={text}: must be {what}") from None
    return [part.strip() for part in text.split(",")] if {list, tuple} & set(kinds) else text
