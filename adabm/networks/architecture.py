"""The architectures that are known by name: those of this package, and those that a user's file registers."""

import os
import pkgutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import TypeVar

from torch import nn

from .._compat import basicsr_module
from ..errors import ConfigError, NetworkError
from ..support.plugins import load_file
from .conversion import Conversion, State
from .layout import Layout

FILES = "ADABM_ARCHITECTURES"  # environment variable: Python files that register architectures, separated like PATH
_SHIPPED = f"{__package__}.architectures"
_KNOWN: dict[str, "Architecture"] = {}
Network = TypeVar("Network", bound=type[nn.Module])


@dataclass(frozen=True)
class Reader:
    """A source of weights for an architecture.

    Attributes:
        kind: its name, as ``adabm import --kind`` takes it.
        convert: maps the source's tensors to options and tensors of a network that can be built by name. It computes
            nothing but exact renaming, reordering and folding, so that the outputs are the source's up to rounding.
        signature: names of tensors that this source alone has all of, by which its kind is guessed.
        origin: what has such weights, in a few words.
    """

    kind: str
    convert: Callable[[State], Conversion]
    signature: tuple[str, ...]
    origin: str


@dataclass(frozen=True)
class Architecture:
    """How a network is built by name, where it has what, and which weights of others become one.

    Attributes:
        name: of its class.
        module: dotted name of the module that registers it; what numbers depend on beside the weights.
        layout: None where :func:`describe` shall find out by running the network once.
        readers: of weights of other implementations.
        own_class: the class, or None if it is BasicSR's.
        basicsr: the module below ``basicsr`` that has the class, imported when it is asked for.
    """

    name: str
    module: str
    layout: Layout | None = None
    readers: tuple[Reader, ...] = ()
    own_class: type[nn.Module] | None = None
    basicsr: str = ""

    @property
    def network_class(self) -> type[nn.Module]:
        """The class, whose constructor's arguments are the options of a weight file."""
        return self.own_class or getattr(basicsr_module(self.basicsr), self.name)

    @property
    def file(self) -> Path | None:
        """The file that registers it, if it is outside of this package."""
        path = getattr(sys.modules.get(self.module), "__file__", None)
        return None if path is None or self.module.startswith(f"{_SHIPPED}.") else Path(path)

    def is_of(self, cls: type[nn.Module]) -> bool:
        """Whether exactly this class is meant, told without importing BasicSR."""
        if self.own_class is not None:
            return cls is self.own_class
        return (cls.__module__, cls.__name__) == (f"basicsr.{self.basicsr}", self.name)


def register_architecture(
    layout: Layout | Network | None = None, readers: tuple[Reader, ...] = ()
) -> Callable[[Network], Network] | Network:
    """Decorate a class of networks, so that it can be built, loaded, saved and described by its name.

    The network tells its upsampling factor by an attribute ``upscale`` or ``scale``, or enlarges by ``nn.PixelShuffle``
    alone; its constructor's arguments are numbers, texts, booleans or lists of these, which a weight file can hold. One of
    them is called ``upscale`` or ``scale``, so that a plan can tell the factor from the file. Without a layout, and then
    without parentheses too, :func:`describe` finds out by running the network once.

    Raises:
        NetworkError: another class has that name, or a reader's kind is taken.

    >>> @register_architecture(Layout(((r"body\\..+", Role.BODY),)))  # doctest: +SKIP
    ... class MyNetwork(nn.Module):
    ...     pass
    """

    if isinstance(layout, type):  # without parentheses: the class itself
        return register_architecture()(layout)

    def register(cls: Network) -> Network:
        _register(Architecture(cls.__name__, cls.__module__, layout, tuple(readers), own_class=cls))
        return cls

    return register


def register_basicsr(name: str, basicsr: str, module: str, layout: Layout, readers: tuple[Reader, ...] = ()) -> None:
    """Register the class ``name`` of ``basicsr.<basicsr>``; ``module`` is the ``__name__`` of the caller."""
    _register(Architecture(name, module, layout, readers, basicsr=basicsr))


def known_architectures() -> dict[str, Architecture]:
    """Return all architectures by name, in alphabetical order of theirs, after finding them.

    They are those of the files in ``adabm/networks/architectures``, of the files that the environment variable
    ADABM_ARCHITECTURES names (separated like those of PATH; processes that are started inherit it), and of what the
    program imported itself.

    Raises:
        NetworkError: a file of ADABM_ARCHITECTURES cannot be imported or registers nothing.
    """
    _find_shipped()
    for path in os.environ.get(FILES, "").split(os.pathsep):
        if path:
            load_architectures(path)
    return dict(sorted(_KNOWN.items()))


def architecture_of(network: nn.Module) -> Architecture | None:
    """Return what is registered for exactly the class of ``network``, or None.

    A class of the same name from elsewhere, or a subclass, is another network.
    """
    found = known_architectures().get(type(network).__name__)
    return found if found is not None and found.is_of(type(network)) else None


def known_readers() -> dict[str, Reader]:
    """Return the readers of all architectures by kind."""
    return {reader.kind: reader for reader in _readers(known_architectures())}


def load_architectures(path: str | Path) -> list[str]:
    """Import a Python file that registers architectures, once however often it is asked for; return their names.

    Raises:
        NetworkError: no such file, it fails, or it registers nothing.
    """
    file = Path(os.path.expanduser(path)).resolve()
    module = next((name for name, m in list(sys.modules.items()) if _is_file(m, file)), None)
    if module is None:
        try:
            module = load_file(file).__name__
        except ConfigError as error:
            for name in [known.name for known in _KNOWN.values() if known.module not in sys.modules]:
                del _KNOWN[name]  # registered before the file failed; its module is gone
            raise NetworkError(str(error)) from None
    names = [known.name for known in _KNOWN.values() if known.module == module]
    if not names:
        raise NetworkError(
            f"{path}: registers no network; decorate its class with adabm.networks.register_architecture"
        )
    return names


def _is_file(module: object, file: Path) -> bool:
    path = getattr(module, "__file__", None)
    return isinstance(path, str) and Path(path).name == file.name and Path(path).resolve() == file


@cache
def _find_shipped() -> None:
    for found in pkgutil.iter_modules(import_module(_SHIPPED).__path__, f"{_SHIPPED}."):
        import_module(found.name)


def _register(new: Architecture) -> None:
    known = _KNOWN.get(new.name)
    if known is not None and known.module != new.module:  # from the same one it is a cell of a notebook that runs again
        raise NetworkError(f"{new.module} cannot register {new.name}: {known.module} did; give the class another name")
    others = {r.kind for r in _readers({name: a for name, a in _KNOWN.items() if name != new.name})}
    taken = next((reader.kind for reader in new.readers if reader.kind in others), None)
    if taken is not None:
        raise NetworkError(f"{new.module} cannot register the weights {taken!r}: there are such; name them otherwise")
    _KNOWN[new.name] = new


def _readers(architectures: dict[str, Architecture]) -> Iterator[Reader]:
    return (reader for architecture in architectures.values() for reader in architecture.readers)
