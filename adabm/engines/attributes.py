"""What an engine tells of itself, checked where it is opened or taken."""

from typing import Annotated

from ..errors import ConfigError, EngineError
from ..networks.reach import Reach
from ..quantization.model import QuantizedSR
from ..validation import Count, Whole, check, check_all, shown
from .protocol import Engine
from .simulated import as_engine

_Reach = Annotated[Reach | None, "an adabm.networks.reach.Reach, or None"]


def sound_engine(model: QuantizedSR | Engine) -> Engine:
    """Return an engine as it is, a model in the simulated engine; see :func:`adabm.engines.simulated.as_engine`.

    Raises:
        EngineError: neither of them; or an engine that tells of itself what tiling and padding cannot go by, naming the
            attribute, its value and what is allowed.
    """
    engine = as_engine(model)
    try:
        check_all(
            name=(engine.name, str),
            scale=(engine.scale, Count),
            channels=(engine.channels, Count),
            size_multiple=(engine.size_multiple, Count),
            minimum_size=(getattr(engine, "minimum_size", 1), Count),
        )
        reach: Reach | None = check("reach", getattr(engine, "reach", None), _Reach)
        if reach is not None:
            check_all(**{"reach.pixels": (reach.pixels, Whole | None), "reach.alignment": (reach.alignment, Count)})
    except ConfigError as error:
        raise EngineError(f"engine {shown(engine.name)}: {error}") from None
    return engine
