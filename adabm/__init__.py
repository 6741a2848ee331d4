"""AdaBM: adaptive low-bit quantization of image super-resolution networks.

>>> import adabm
>>> network = adabm.load_network(adabm.default_backbone())
>>> model, record, steps = adabm.quantize(network, low_resolution_images)  # doctest: +SKIP
>>> adabm.save_quantized(model, "quantized.safetensors")  # doctest: +SKIP
"""

__version__ = "0.3.0"

_EXPORTS = {
    "AdabmError": "errors",
    "CalibrationRecord": "steps",
    "Engine": "engines",
    "EngineOutput": "engines",
    "FineTuningConfig": "steps.tune",
    "NetworkDescriptor": "networks",
    "PRESETS": "recipes",
    "Picture": "pictures.picture",
    "QuantizationConfig": "recipes",
    "QuantizedSR": "quantization.model",
    "Recipe": "recipes",
    "Role": "networks",
    "build_network": "networks",
    "calibrate": "guarded",
    "clip_ranges": "guarded",
    "default_backbone": "networks.backbones",
    "describe": "networks",
    "evaluate": "engines.checked",
    "fine_tune": "guarded",
    "image_complexity": "guarded",
    "import_weights": "networks",
    "load_file": "support.plugins",
    "load_network": "guarded",
    "load_quantized": "checkpoints.checkpoint",
    "open_engine": "engines.checked",
    "preset": "recipes",
    "quantize": "guarded",
    "read_pictures": "guarded",
    "read_recipe": "recipes",
    "round_to_uint8": "engines.tiles",
    "save_network": "networks",
    "save_quantized": "checkpoints.checkpoint",
    "upscale": "engines.seamless",
}
_CALLED = {"FineTuningConfig": "Tune"}  # public names whose things are called otherwise where they stand
__all__ = ["__version__", *sorted(_EXPORTS)]


def __getattr__(name: str):
    """Import a public name on first use, so that ``import adabm`` and ``adabm --help`` stay quick."""
    if name in _EXPORTS:
        from importlib import import_module

        return getattr(import_module(f".{_EXPORTS[name]}", __name__), _CALLED.get(name, name))
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_EXPORTS})
