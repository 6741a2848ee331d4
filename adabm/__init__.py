"""AdaBM: adaptive low-bit quantization of image super-resolution networks.

>>> import adabm
>>> network = adabm.load_network(adabm.default_backbone())
>>> model, record, steps = adabm.quantize(network, low_resolution_images)  # doctest: +SKIP
>>> adabm.save_quantized(model, "quantized.safetensors")  # doctest: +SKIP
"""

__version__ = "0.2.0"

_EXPORTS = {
    "AdabmError": "errors",
    "CalibrationRecord": "calibration",
    "FineTuningConfig": "config",
    "NetworkDescriptor": "networks",
    "PRESETS": "config",
    "Picture": "evaluation",
    "QuantizationConfig": "config",
    "QuantizedSR": "model",
    "Role": "networks",
    "build_network": "networks",
    "calibrate": "calibration",
    "clip_ranges": "clipping",
    "default_backbone": "backbones",
    "describe": "networks",
    "evaluate": "evaluation",
    "fine_tune": "fine_tuning",
    "image_complexity": "complexity",
    "import_weights": "networks",
    "load_network": "networks",
    "load_quantized": "checkpoint",
    "preset": "config",
    "quantize": "api",
    "round_to_uint8": "tiling",
    "save_network": "networks",
    "save_quantized": "checkpoint",
    "upscale": "tiling",
}
__all__ = ["__version__", *sorted(_EXPORTS)]


def __getattr__(name: str):
    """Import a public name on first use, so that ``import adabm`` and ``adabm --help`` stay quick."""
    if name in _EXPORTS:
        from importlib import import_module

        return getattr(import_module(f".{_EXPORTS[name]}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_EXPORTS})
