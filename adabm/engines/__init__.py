"""Run a model on pictures, whole or in tiles, and measure the result: PSNR, SSIM, bits, cost.

>>> from adabm.engines import open_engine
>>> running = open_engine("simulated", "w4a4.safetensors")  # doctest: +SKIP
>>> evaluation = adabm.evaluate(running, pictures)  # doctest: +SKIP
"""

from . import simulated  # noqa: F401 (it registers the engine)
from .integer import onnx, openvino, torch_int8  # noqa: F401 (likewise)
from .protocol import Engine, EngineOutput
from .registry import ENGINES, EngineKind, engine, open_engine

__all__ = ["ENGINES", "Engine", "EngineKind", "EngineOutput", "engine", "open_engine"]
