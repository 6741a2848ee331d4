"""Engines by name, and opening one, from the package or from a user's file."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import torch

from ..errors import ConfigError, EngineError
from ..quantization.model import IsModel, QuantizedSR
from ..suggestions import suggestion
from ..support.plugins import load_file
from ..validation import File, check_all, shown
from .protocol import Engine, lacking

Open = Callable[[QuantizedSR | Path, torch.device], Engine]
_Name = Annotated[str | Path, "the name of an engine, or the path of a Python file"]
_Device = Annotated[str | torch.device | None, "a device such as 'cpu' or 'cuda', or null"]


@dataclass(frozen=True)
class EngineKind:
    """A way to run networks.

    Attributes:
        name: what :func:`open_engine` calls it.
        description: one sentence for tables and help.
        open: ``f(model, device)`` with a model in memory or the path of a checkpoint; returns the :class:`Engine`.
        module: where it was registered.
    """

    name: str
    description: str
    open: Open
    module: str


ENGINES: dict[str, EngineKind] = {}


def engine(name: str, *, description: str) -> Callable[[Open], Open]:
    """Register the decorated function, which opens an engine, and return it as it is.

    Args:
        name, description: see :class:`EngineKind`. A module may register a name again, e.g. in a notebook cell
            that runs twice.

    Raises:
        ConfigError: the name is empty or taken.

    >>> @engine("mine", description="an engine of my own")
    ... def open_mine(model, device):
    ...     ...
    >>> ENGINES.pop("mine").description
    'an engine of my own'
    """
    if not name:
        raise ConfigError("an engine needs a name")

    def register(opener: Open) -> Open:
        if name in ENGINES and ENGINES[name].module != opener.__module__:
            raise ConfigError(f"an engine {name!r} exists already, of {ENGINES[name].module}; choose another name")
        ENGINES[name] = EngineKind(name, description, opener, opener.__module__)
        return opener

    return register


def find(name_or_file: str | Path) -> EngineKind:
    """Return a kind of engine.

    Args:
        name_or_file: name of a registered one; or a Python file that registers one, which is imported; or
            ``file.py:name`` where the file registers several.

    Raises:
        ConfigError: no such name, or a file that is missing, raises an error or does not register what is asked for.
    """
    match = re.fullmatch(r"(?P<file>.+\.py)(?::(?P<name>.*))?", str(name_or_file))
    if match is None:
        if name_or_file not in ENGINES:
            raise ConfigError(
                f"unknown engine {shown(str(name_or_file))}: {suggestion(name_or_file, ENGINES)}; "
                "your own is named by its file, such as my_engine.py"
            )
        return ENGINES[name_or_file]
    path, name = match["file"], match["name"]
    module = load_file(path).__name__
    own = {kind.name: kind for kind in ENGINES.values() if kind.module == module}
    if not own:
        raise ConfigError(f"{path}: registers no engine; decorate the function that opens it with @engine(name, ...)")
    if name is None and len(own) > 1:
        raise ConfigError(f"{path}: registers the engines {', '.join(own)}; name one, such as {path}:{next(iter(own))}")
    if name is not None and name not in own:
        raise ConfigError(f"{path}: registers no engine {name!r}: {suggestion(name, own)}")
    return own[name] if name is not None else next(iter(own.values()))


def open_engine(
    name_or_file: str | Path, model: QuantizedSR | str | Path, device: str | torch.device | None = None
) -> Engine:
    """Open an engine on a model.

    Args:
        name_or_file: see :func:`find`.
        model: in memory, or the path of a checkpoint.
        device: where to compute; by default where the model is, for a checkpoint the CPU.

    Raises:
        ConfigError: no such engine.
        EngineError: what was opened is no engine.
        AdabmError: the engine does not take the model.
    """
    check_all(name_or_file=(name_or_file, _Name), model=(model, IsModel | File), device=(device, _Device))
    kind = find(name_or_file)
    if device is None:
        device = "cpu" if isinstance(model, (str, Path)) else next(model.parameters()).device
    opened = kind.open(Path(model) if isinstance(model, str) else model, _device(device))
    if missing := lacking(opened):
        raise EngineError(
            f"engine {kind.name!r} opens a {type(opened).__name__}, which lacks {', '.join(missing)} of an engine"
        )
    return opened


def _device(device: str | torch.device) -> torch.device:
    try:
        found = torch.device(device)
        torch.empty(0, device=found)
    except Exception as error:  # of another kind for each backend that is not there
        told = (str(error).splitlines() or [""])[0]
        raise ConfigError(f"device = {shown(str(device))}: cannot be used here ({told[:200]}); take 'cpu'") from None
    return found
