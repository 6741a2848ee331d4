"""Settings as they were called before there were recipes: checkpoints of that time hold them, and users type them."""

from collections.abc import Mapping

from ..errors import CheckpointError
from .config import BITS, QuantizationConfig
from .names import NEW_NAMES
from .recipe import Recipe, shipped

_OWN = "omse_own_bits"  # an observer then; now omse_absmax, searched at a layer's own bits


def configuration(settings: Mapping, name: str = "custom") -> QuantizationConfig:
    """Return the configuration of settings under their earlier names, all of them or some.

    Args:
        name: the preset that was recorded with them.

    Raises:
        CheckpointError: a setting that never was.
    """
    given = dict(settings)
    bits = {key: given.pop(key) for key in BITS if key in given}
    tuning = given.pop("fine_tuning", {})
    image, layer, clipping = (given.pop(key, True) for key in ("image_mapping", "layer_mapping", "clipping"))
    moved: dict[str, dict] = {"calibrate": {}, "map_bits": {}, "clip": {}}
    for key, value in given.items():
        if key not in NEW_NAMES:
            raise CheckpointError(f"unknown setting {key!r}")
        step, _, setting = NEW_NAMES[key].partition(".")
        moved[step][setting] = value
    if moved["calibrate"].get("weight") == _OWN:
        moved["calibrate"] |= {"weight": "omse_absmax", "weight_search": "own"}
    moved["map_bits"] |= {
        "image": "gradient" if image else None,
        "layer": "deviation" if layer else None,
        "ema": moved["calibrate"].get("ema", 0.9),
    }
    steps: dict[str, dict] = {"calibrate": moved["calibrate"]}
    if image or layer:
        steps["map_bits"] = moved["map_bits"]
    if clipping:
        steps["clip"] = moved["clip"]
    if tuning is not None:
        steps["tune"] = dict(tuning)
    known = shipped().get(name)
    described = {key: getattr(known, key) for key in ("label", "family", "paper", "sentence", "order")} if known else {}
    return QuantizationConfig(**bits, recipe=Recipe.from_dict(name, steps, **described))
