"""Engines that run files of their own: what writes them."""

from ..support.registry import Registry

# f(model) -> the content of a file that the engine of the same name opens; model: a calibrated QuantizedSR
EXPORTERS = Registry("engine that exports")
