"""Names of settings as they were before there were recipes, and what they are called now."""

NEW_NAMES = {
    "activation_observer": "calibrate.activation",
    "weight_observer": "calibrate.weight",
    "percentile": "calibrate.percentile",
    "ema": "calibrate.ema",
    "image_mapping": "map_bits.image",
    "layer_mapping": "map_bits.layer",
    "image_percentile": "map_bits.image_percentile",
    "layer_percentile": "map_bits.layer_percentile",
    "clipping": "clip",
    "clipping_share": "clip.share",
    "fine_tuning": "tune",
}


def new_name(name: str) -> str | None:
    """Return what a setting is called now, if it had another name: ``tune.rounds`` for ``fine_tuning.rounds``."""
    first, dot, rest = name.partition(".")
    return NEW_NAMES[first] + dot + rest if first in NEW_NAMES else None
