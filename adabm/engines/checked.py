"""The public :func:`adabm.evaluate`, which refuses what would give other numbers without a word, and :func:`adabm.open_engine`."""

from collections.abc import Callable, Sequence
from functools import wraps

from ..errors import ImageError
from ..pictures.picture import Picture
from ..quantization.model import QuantizedSR
from ..support.surroundings import as_usual
from ..validation import Count, check_all
from . import evaluation
from .attributes import sound_engine
from .protocol import Engine
from .registry import open_engine as _open_engine
from .seamless import check_picture
from .turns import TakingTurns


@as_usual
def evaluate(
    model: QuantizedSR | Engine,
    pictures: Sequence[Picture],
    tile: int | None = None,
    on_picture: Callable[[str], None] | None = None,
) -> evaluation.Evaluation:
    """Upscale each picture and compare its 8-bit result with the ground truth on Y.

    Args:
        model: an engine; or a calibrated model, or one inside ``model.full_precision()``.
        pictures: of values 0 to 255.
        tile: None for whole pictures; 96 for the literature's large-input protocol.
        on_picture: called with the name after each picture, e.g. to show progress.

    Raises:
        ConfigError: a tile that is no whole number, or less than 8.
        EngineError: no engine, or one that tells of itself what none can.
        ImageError: what is no :class:`adabm.Picture`; one whose scale is not the model's; one whose arrays have other axes
            or channels, another type than uint8 and floating point, or values that are not 0 to 255.
    """
    check_all(tile=(tile, Count | None), on_picture=(on_picture, Callable | None))
    engine = sound_engine(model)
    try:
        if isinstance(pictures, (str, type, Picture)):
            raise TypeError
        pictures = list(pictures)
    except TypeError:
        raise ImageError(f"pictures is a {type(pictures).__name__}; give a list of adabm.Picture") from None
    for number, picture in enumerate(pictures, 1):
        if not isinstance(picture, Picture):
            raise ImageError(f"picture {number} is a {type(picture).__name__}; give adabm.Picture(name, high, low)")
        for what, array in (("input", picture.low), ("ground truth", picture.high)):
            try:
                check_picture(array, engine.channels if what == "input" else 3)  # PSNR and SSIM are on Y of RGB
            except ImageError as error:
                raise ImageError(f"{picture.name}, {what}: {error}") from None
    return evaluation.evaluate(TakingTurns(engine), pictures, tile, on_picture)


@as_usual
@wraps(_open_engine)
def open_engine(*args: object, **kwargs: object) -> Engine:
    return sound_engine(_open_engine(*args, **kwargs))


open_engine.__module__ = __name__
