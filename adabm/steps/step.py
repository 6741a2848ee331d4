"""A step: one thing that a recipe does to a model, with its settings; and the steps by name."""

import dataclasses
import importlib
import pkgutil
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, TypeVar

from torch import Tensor

from ..errors import ConfigError
from ..quantization.layers import QuantizedLayer
from ..quantization.model import QuantizedSR
from ..suggestions import suggestion
from ..validation import Checked, annotations, check, shown
from .workspace import CalibrationRecord, Workspace

RANGES = "ranges"  # what most steps need and `calibrate` provides
LAYER_FACTORS = "layer factors"
CLIPPING = "clipped ranges"  # for the bits that a layer has by then
SEARCHED = "searched ranges"  # likewise
DECISIONS = "decided weights"  # whose codes and biases fit the ranges and bits that there are
TRAINING = "trained parameters"
_WORDS = ("needs", "provides", "precedes")


class Step(Checked):
    """Subclasses are frozen dataclasses whose fields are the settings, checked against their annotations on construction
    (:mod:`adabm.validation`), and which are registered by :func:`step`. A step overrides what it needs of:

    * :meth:`check`, :meth:`check_model`: refuse bits or a model that it cannot work with, before anything is computed;
    * :meth:`install`: put modules into a freshly wrapped model, also when a checkpoint is read;
    * :meth:`watch`: look at the full-precision network during a pass over the calibration patches;
    * :meth:`apply`: change the model.

    Attributes:
        name: what recipes call it.
        needs: what an earlier step of the recipe must have provided, such as ``RANGES``.
        provides: what the model has after it.
        precedes: what no earlier step may have provided, since this one would make it wrong or throw it away: ranges of values
            that it maps elsewhere, weights decided for ranges that it sets anew.
        changes_network: what :meth:`watch` leads to changes what the full-precision network computes on the way, so that
            the steps behind it need a pass of their own. Other steps in a row that watch share one pass.
        at_layer_bits: :meth:`watch` goes by the bits that each layer has, so that behind a step which watches to find these it
            needs a pass of its own.
    """

    name: ClassVar[str] = ""
    needs: ClassVar[frozenset[str]] = frozenset()
    provides: ClassVar[frozenset[str]] = frozenset()
    precedes: ClassVar[frozenset[str]] = frozenset()
    changes_network: ClassVar[bool] = False
    at_layer_bits: ClassVar[bool] = False

    def check(self, config: Any) -> None:
        """Raise :class:`ConfigError` if the step cannot work at the bits of ``config``."""

    def install(self, model: QuantizedSR) -> None:
        """Put modules into ``model``, whose parameters this or a later step sets."""

    def check_model(self, model: QuantizedSR) -> None:
        """Raise :class:`ConfigError` if the step cannot work on a model in which all steps are installed."""

    def watch(self, model: QuantizedSR) -> "Watcher | None":
        """Return what looks on during a pass over the calibration patches, or None to be applied without a pass."""
        return None

    def apply(self, model: QuantizedSR, workspace: Workspace) -> None:
        """Change the model; called after the pass, if there was one."""

    @property
    def settings(self) -> dict[str, object]:
        """The settings by name, JSON-ready."""
        return {name: list(v) if isinstance(v, tuple) else v for name, v in dataclasses.asdict(self).items()}


class Watcher:
    """Looks on during a pass of the full-precision network over the calibration patches.

    It looks at a layer's input of a whole batch: it overrides :meth:`layer`. Or it looks at one image after the other, whose
    inputs stay in the processor's cache: it is ``apart`` and overrides :meth:`image` and :meth:`images`.

    Attributes:
        patches: how many of them it looks at, the first ones; None: all.
        apart: whether what it finds in a batch follows from what it finds in each of its images.
    """

    patches: int | None = None
    apart: bool = False

    def batch(self, images: Tensor, complexities: Tensor) -> None:
        """See a batch (N, C, H, W) and the (N,) complexities of its images before it runs."""

    def layer(self, layer: QuantizedLayer, x: Tensor) -> None:
        """See the full-precision input of a quantized layer before it computes: (N, C, H, W), or (N, ..., C) of a linear
        layer or an operand of a product."""
        self.images(layer, [self.image(layer, one) for one in (x.split(1) if self.apart else [x])])

    def image(self, layer: QuantizedLayer, x: Tensor) -> object:
        """Return what :meth:`images` needs of the input of one image, as :meth:`layer` sees it of a batch."""

    def images(self, layer: QuantizedLayer, found: list) -> None:
        """Take what was found in all images of a batch."""

    def finish(self, record: CalibrationRecord) -> None:
        """Set what was found in the model, and note in ``record`` what is worth telling."""


S = TypeVar("S", bound=type[Step])
_STEPS: dict[str, type[Step]] = {}


def step(name: str) -> Callable[[S], S]:
    """Register the decorated class as the step ``name``; a file that is executed again replaces its own.

    Raises:
        ConfigError: another step has the name, or the class is no frozen dataclass derived from :class:`Step`, or ``needs``,
            ``provides`` or ``precedes`` is no set of words.

    >>> @step("nothing")
    ... @dataclasses.dataclass(frozen=True)
    ... class Nothing(Step):
    ...     strength: float = 1.0
    >>> find_step("nothing")(strength=0.5).settings
    {'strength': 0.5}
    """

    def add(cls: S) -> S:
        if not (issubclass(cls, Step) and dataclasses.is_dataclass(cls)):
            raise ConfigError(f"step {name!r}: {cls.__name__} must be a dataclass derived from adabm.steps.Step")
        other = _STEPS.get(name)
        if other is not None and (other.__module__, other.__qualname__) != (cls.__module__, cls.__qualname__):
            raise ConfigError(f"a step {name!r} exists already ({other.__module__}); choose another name")
        for words in _WORDS:
            setattr(cls, words, _words(name, words, getattr(cls, words)))
        cls.name = name
        _STEPS[name] = cls
        return cls

    return add


def _words(step: str, name: str, given: object) -> frozenset[str]:
    if not isinstance(given, (frozenset, set, tuple, list)) or not all(isinstance(word, str) for word in given):
        raise ConfigError(
            f"step {step!r}: {name} = {shown(given)}: must be a set of words, such as frozenset({{RANGES}})"
        )
    return frozenset(given)


def step_names() -> list[str]:
    """Return the names of all steps: those of this package and those that imported files registered."""
    from .. import steps as package

    for module in pkgutil.iter_modules(package.__path__):
        importlib.import_module(f"{package.__name__}.{module.name}")
    return list(_STEPS)


def find_step(name: str) -> type[Step]:
    """Return the class of a step; an unknown name raises :class:`ConfigError` with a close match."""
    known = _STEPS if name in _STEPS else step_names()
    if name not in known:
        raise ConfigError(f"unknown step {name!r}; {suggestion(name, known)}")
    return _STEPS[name]


def make_step(name: str, settings: Mapping[str, object] | None) -> Step:
    """Return the step with these settings, defaults for the rest.

    Raises:
        ConfigError: an unknown step or setting (with a close match), or an impossible value.
    """
    cls = find_step(name)
    settings = {} if settings is None else settings
    if not isinstance(settings, Mapping):
        raise ConfigError(
            f"{name} = {shown(settings)}: must be settings by name, such as {{{_example(cls)}}}, or nothing"
        )
    kinds = annotations(cls)
    for setting in settings:
        if setting not in kinds:
            told = suggestion(setting, kinds) if kinds else "it has none"
            raise ConfigError(f"{name}: unknown setting {shown(setting)}; {told}")
    try:
        # checked here too: a class of a user's need not call what its base does on construction
        return cls(**{setting: check(setting, value, kinds[setting]) for setting, value in settings.items()})
    except ConfigError as error:
        of_setting = str(error).partition(" ")[0] in kinds
        raise ConfigError(f"{name}.{error}" if of_setting else f"{name}: {error}") from None


def _example(cls: type[Step]) -> str:
    return ", ".join(f"{name}: ..." for name in list(annotations(cls))[:2])
