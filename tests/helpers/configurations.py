"""Configurations for tests, by the switches that most tests are about."""

from adabm.recipes import QuantizationConfig, preset
from adabm.recipes.config import BITS
from adabm.recipes.earlier import configuration
from adabm.recipes.names import NEW_NAMES


def configured(**settings: object) -> QuantizationConfig:
    """Return the released recipe with other settings, such as ``image_mapping=False`` or ``fine_tuning=None``.

    The names are those of :data:`adabm.recipes.earlier.NEW_NAMES` and of the bits; ``fine_tuning`` may be a ``Tune``.
    """
    tuning = settings.get("fine_tuning")
    if hasattr(tuning, "settings"):
        settings["fine_tuning"] = tuning.settings
    return configuration(settings, "adabm")


def asked(name: str, **settings: object) -> QuantizationConfig:
    """Return a shipped recipe with bits and settings under the names that :func:`configured` takes."""
    bits = {key: settings.pop(key) for key in BITS if key in settings}
    changes: dict[str, object] = {}
    for key, value in settings.items():
        new = NEW_NAMES[key]
        if key == "fine_tuning" and value is not None:
            values = value.settings if hasattr(value, "settings") else value
            changes |= {f"{new}.{setting}": one for setting, one in values.items()}
        elif key in ("image_mapping", "layer_mapping"):
            changes[new] = {"image_mapping": "gradient", "layer_mapping": "deviation"}[key] if value else None
        else:
            changes[new] = None if value in (None, False) else value
    return preset(name, changes, **bits)
