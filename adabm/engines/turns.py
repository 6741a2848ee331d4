"""Engines that compute one picture at a time, whichever thread asks."""

import numpy as np

from ..turns import turn
from .protocol import Engine, EngineOutput
from .watched import upscaled


class TakingTurns:
    """An engine that upscales in its turn."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def __getattr__(self, name: str) -> object:
        return getattr(self._engine, name)

    def upscale(self, pictures: np.ndarray) -> EngineOutput:
        """See :class:`adabm.engines.protocol.Engine`."""
        with turn(self._engine):
            return upscaled(self._engine, pictures)
