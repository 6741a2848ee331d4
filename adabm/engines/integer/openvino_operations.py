"""What graphs of OpenVINO are made of."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .libraries import library

if TYPE_CHECKING:
    import openvino

KERNEL_CHANNELS = 16  # of the output, that a kernel computes at once
CODES = 256  # levels of the quantization that OpenVINO turns into bytes


def weight(codes: np.ndarray, scale: np.ndarray) -> openvino.Node:
    op = operations()
    return op.multiply(op.convert(op.constant(codes), "f32"), constant(scale.reshape(-1, 1, 1, 1)))


def constant(values: float | np.ndarray) -> openvino.Node:
    return operations().constant(np.asarray(values, np.float32))


def per_channel(values: np.ndarray) -> openvino.Node:
    return constant(values.reshape(1, -1, 1, 1))


def operations():
    return library("openvino.opset13")
