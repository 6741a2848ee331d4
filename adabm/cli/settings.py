"""Build a configuration from a preset's name, dedicated options and ``--set name=value``."""

import argparse
import dataclasses
from collections.abc import Iterable

from ..errors import ConfigError
from ..quantization.config import PRESETS, FineTuningConfig, QuantizationConfig, preset
from ..suggestions import suggestion

_TUNING = "fine_tuning."
_BOOLEANS = {"true": True, "yes": True, "on": True, "1": True, "false": False, "no": False, "off": False, "0": False}


def configuration(args: argparse.Namespace) -> tuple[QuantizationConfig, str]:
    """Return the configuration that the options of ``adabm quantize`` ask for, and its name.

    The name is the preset's, marked if more than bit-widths and ``--body-only`` differs from it.

    Raises:
        ConfigError: an unknown preset or setting, a bad value, or a setting given twice.
    """
    if args.preset not in PRESETS:
        raise ConfigError(f"unknown preset {args.preset!r}; {suggestion(args.preset, PRESETS)}")
    bits = {"weight_bits": args.weight_bits, "activation_bits": args.activation_bits}
    if args.body_only:
        bits["fully_quantized"] = False
    bits = {name: value for name, value in bits.items() if value is not None}
    changes: dict[str, object] = dict(bits)
    tuning = {"rounds": args.rounds, "steps_per_round": args.steps_per_round}
    tuning = {name: value for name, value in tuning.items() if value is not None}
    for name, value in assignments(args.set):
        target, key = (tuning, name.removeprefix(_TUNING)) if name.startswith(_TUNING) else (changes, name)
        if key in target:
            raise ConfigError(f"{name} is set twice; give it once")
        target[key] = value
    off = None in (changes.get("fine_tuning", 0), PRESETS.get(args.preset, {}).get("fine_tuning", 0))
    if off and tuning:
        raise ConfigError(
            f"{_TUNING}{next(iter(tuning))} has no effect: {args.preset!r} as asked for does not fine-tune; "
            f"presets that do: {', '.join(name for name in PRESETS if preset(name).fine_tuning is not None)}"
        )
    if args.patch_size is not None and not off:
        tuning.setdefault("patch_size", args.patch_size)
    config = preset(args.preset, **({"fine_tuning": tuning} | changes))
    return config, args.preset if config == _plain(args.preset, bits) else f"{args.preset} (changed)"


def _plain(name: str, bits: dict[str, object]) -> QuantizationConfig | None:
    try:
        return preset(name, **bits)
    except ConfigError:  # bits that only a changed preset allows
        return None


def assignments(items: Iterable[str]) -> Iterable[tuple[str, object]]:
    """Parse ``name=value`` texts; values take the type of the setting.

    Raises:
        ConfigError: not of this form, or a value of the wrong type. Names are checked later.
    """
    for item in items:
        name, equals, text = item.partition("=")
        if not equals or not name:
            raise ConfigError(f"--set {item}: expected name=value, e.g. --set ema=0.8")
        owner = FineTuningConfig if name.startswith(_TUNING) else QuantizationConfig
        types = {field.name: field.type for field in dataclasses.fields(owner)}
        yield name, _value(name, text, types.get(name.removeprefix(_TUNING), str))


def _value(name: str, text: str, kind: object) -> object:
    if name == "fine_tuning":
        if text.lower() != "none":
            raise ConfigError(f"--set {name}={text}: only none; set its parts as fine_tuning.rounds=... etc.")
        return None
    if kind is bool:
        if text.lower() not in _BOOLEANS:
            raise ConfigError(f"--set {name}={text}: must be true or false")
        return _BOOLEANS[text.lower()]
    if kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            what = "a whole number" if kind is int else "a number"
            raise ConfigError(f"--set {name}={text}: must be {what}") from None
    return text
