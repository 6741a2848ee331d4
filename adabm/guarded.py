"""Public functions as they are to be called from anywhere, on any network: they compute alike whatever of torch the caller has switched.

The study calls them where they stand.
"""

import functools
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Concatenate, ParamSpec, TypeVar

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import DataDependentOutputException, DynamicOutputShapeException
from torch.utils.checkpoint import CheckpointError

from .api import quantize as _quantize
from .checkpoints.telling_bits import bits_untold, tell_bits
from .errors import DataError, ImageError, NetworkError
from .networks import load_network as _load_network
from .networks.likeness import check_value_range
from .networks.steadiness import check_steady
from .networks.usable import check_finite_weights, check_network
from .pictures.contrast import check_contrast
from .pictures.folders import read_pictures as _read_pictures
from .pictures.picture import Picture
from .quantization.complexity import image_complexity as _image_complexity
from .quantization.model import QuantizedSR
from .recipes import QuantizationConfig, preset
from .recipes import calibrate as _calibrate
from .steps import Progress
from .steps.clip import clip_ranges as _clip_ranges
from .steps.tuner import fine_tune as _fine_tune
from .support.surroundings import as_usual
from .validation import Count, File, Positive, check_all
from .wrapping import called_as_functions, check_wrapping

P = ParamSpec("P")
R = TypeVar("R")


def _public(function: Callable[P, R]) -> Callable[P, R]:
    """The function in its usual surroundings, found again where it stands here, by pickle too."""
    made = as_usual(function)
    made.__module__ = __name__
    return made


def _changing(function: Callable[Concatenate[QuantizedSR, P], R]) -> Callable[Concatenate[QuantizedSR, P], R]:
    """The same of one that changes the tensors of its model.

    Raises:
        NetworkError: they were made in inference mode, outside of which torch does not change them.
    """
    inside = _public(function)

    @functools.wraps(inside)
    def changing(model: QuantizedSR, *args: P.args, **kwargs: P.kwargs) -> R:
        if isinstance(model, nn.Module) and any(tensor.is_inference() for tensor in model.state_dict().values()):
            raise NetworkError(
                "the model was made inside torch.inference_mode(), whose tensors cannot be changed; make it outside, or take "
                "torch.no_grad()"
            )
        if not isinstance(model, QuantizedSR):
            return inside(model, *args, **kwargs)  # which refuses it
        if args:
            args = (_of_the_model(model, args[0]), *args[1:])
        else:
            kwargs |= {name: _of_the_model(model, kwargs[name]) for name in ("batches", "images") if name in kwargs}
        with bits_untold(model):
            return inside(model, *args, **kwargs)

    return changing


def _of_the_model(model: QuantizedSR, batches: object) -> object:
    """A batch or several, one after the other as they are asked for, each refused where the model cannot compute with it."""
    if isinstance(batches, Tensor):
        _check_kind(model, batches)
    elif isinstance(batches, Iterable) and not isinstance(batches, (type, str, Mapping)):
        return _each_of_the_model(model, batches)
    return batches


def _each_of_the_model(model: QuantizedSR, batches: Iterable[object]) -> Iterator[object]:
    try:
        one_by_one = iter(batches)
    except TypeError:  # an array without axes
        raise DataError(f"the batches are a {type(batches).__name__}; give several tensors (N, C, H, W)") from None
    for batch in one_by_one:
        if isinstance(batch, Tensor):
            _check_kind(model, batch)
        yield batch


def _check_kind(model: QuantizedSR, batch: Tensor) -> None:
    if batch.dtype != model.dtype or batch.device != model.device or batch.layout != torch.strided:
        raise DataError(
            f"a batch is {batch.dtype} ({batch.layout}) on {batch.device}, where the model computes in {model.dtype} on {model.device}; "
            "give a dense one, batch.to(model.device, model.dtype)"
        )
    if not batch.numel():
        raise DataError(f"a batch of shape {tuple(batch.shape)} holds no picture; give one (N, C, H, W) with N >= 1")


def _quantizing(function: Callable[Concatenate[nn.Module, P], R]) -> Callable[Concatenate[nn.Module, P], R]:
    """The same of one that takes a network of any kind.

    Raises:
        NetworkError: it gives another picture each time for the same one, takes pictures of 0 to 255 where 0 to 1 is guessed,
            computes past its quantized layers, keeps no graph of what it computes where gradients are asked for, or cannot be
            counted where its multiplications are.
        DataError: the calibration pictures show nothing.
    """

    @functools.wraps(function)
    def checked(network: nn.Module, *args: P.args, **kwargs: P.kwargs) -> R:
        if isinstance(network, nn.Module):  # before it is run, which a compiled one takes minutes for
            check_network(network)
            check_finite_weights(network)
        check_steady(network)
        descriptor = kwargs.get("descriptor", args[2] if len(args) > 2 else None)
        check_wrapping(network, descriptor)
        check_value_range(network, descriptor)
        check_contrast(kwargs.get("images", args[0] if args else None))
        if isinstance(kwargs.get("progress"), (str, Path, Progress)):
            _tell_of_no_progress(kwargs.get("config", args[1] if len(args) > 1 else None))
        try:
            made = function(network, *args, **kwargs)
        except NetworkError as error:
            if "nothing can be quantized" in str(error) and (told := called_as_functions(network)) is not None:
                raise NetworkError(f"{error}; {told}") from None
            raise
        except RuntimeError as error:
            if isinstance(error, (DataDependentOutputException, DynamicOutputShapeException)):
                raise NetworkError(
                    f"{type(network).__name__}: its forward reads a number of the picture in Python (.item(), float(), an if on a tensor), so "
                    "that its multiplications, which this recipe asks for, cannot be counted; take a recipe without, such as minmax"
                ) from error
            if "autograd.grad" in str(error):
                raise NetworkError(
                    f"{type(network).__name__}: its forward asks for gradients itself (torch.autograd.grad), which this recipe cannot go "
                    "through; take a recipe without gradients, such as minmax"
                ) from error
            if "inplace operation" in str(error) or "in-place operation" in str(error):
                raise NetworkError(
                    f"{type(network).__name__}: its forward overwrites features that gradients need (such as x.mul_, +=, zero_()), which this "
                    "recipe asks for; write x = x * 2 in place of x.mul_(2), or take a recipe without gradients, such as minmax"
                ) from error
            if not (isinstance(error, CheckpointError) or "does not require grad" in str(error)):
                raise
            raise NetworkError(
                f"{type(network).__name__}: no gradients come from its output to its layers, which this recipe asks for; switch "
                "torch.utils.checkpoint (use_checkpoint), no_grad and detach in its forward off, or take a recipe without, such as minmax"
            ) from error
        if isinstance(made, tuple) and isinstance(made[0], QuantizedSR):
            tell_bits(made[0])
        return made

    return _public(checked)


def _tell_of_no_progress(config: object) -> None:
    """Warn whoever asked for it that nothing is kept of an interrupted run."""
    if config is None or isinstance(config, (str, Path)):
        config = preset(config if config is not None else "fast")
    if isinstance(config, QuantizationConfig) and (told := config.recipe.nothing_kept) is not None:
        warnings.warn(f"progress: {told}; leave it out", stacklevel=4)


def read_pictures(high_folder: str | Path, scale: int, low_folder: str | Path | None = None) -> list[Picture]:
    """Read the pictures of a folder with ground truth, for :func:`adabm.evaluate`; see :func:`adabm.pictures.folders.read_pictures`.

    Raises:
        ConfigError: folders that are no paths, or a scale that is no whole number >= 1.
        ImageError: a picture without partner, of another scale, or unreadable.
        DataError: two pictures of one name.
    """
    check_all(high_folder=(high_folder, File), scale=(scale, Count), low_folder=(low_folder, File | None))
    return _read_pictures(Path(high_folder), None if low_folder is None else Path(low_folder), scale)


def image_complexity(images: Tensor, value_range: float = 255.0) -> Tensor:
    """See :func:`adabm.quantization.complexity.image_complexity`.

    Raises:
        ImageError: no such images, empty ones, or NaN and infinite values in them.
        ConfigError: a value range that is no positive number.
    """
    check_all(value_range=(value_range, Positive))
    if isinstance(images, Tensor) and images.ndim == 4:
        if 0 in images.shape[2:]:
            raise ImageError(f"the images are empty, of shape {tuple(images.shape)}")
        if not images.isfinite().all():
            raise ImageError("the images hold NaN or infinite values")
    return _image_complexity(images, value_range)


quantize = _quantizing(_quantize)
load_network = _public(_load_network)
calibrate = _changing(_calibrate)
clip_ranges = _changing(_clip_ranges)
fine_tune = _changing(_fine_tune)
