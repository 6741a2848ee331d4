"""What a function of a notebook's cell computes with besides its source: values and functions of other cells."""

import dataclasses
import dis
import functools
import hashlib
import inspect
import json
import sys
import textwrap
from collections.abc import Callable, Collection, Iterator
from numbers import Number
from pathlib import Path, PurePath
from types import CodeType, FunctionType, MethodType, ModuleType

import numpy as np
import pandas as pd
import torch

from ...errors import ConfigError
from ...support.plugins import is_users
from .source import Source

_MOST = 10_000  # values that are told of one function
_PLAIN = (type(None), Number, str, bytes, range, slice, PurePath, np.generic, torch.dtype)
_NAMES = ("LOAD_GLOBAL", "LOAD_NAME", "LOAD_FROM_DICT_OR_GLOBALS")

InFile = Callable[[Callable], str | None]


def values_told(value: object, in_file: InFile) -> object:
    """Tell, JSON-ready, a value: that of a function is its code, its defaults, and the values of the names that it uses.

    Numbers, texts, arrays and tables count by their content, lists, tuples, sets and dictionaries by what they hold, functions
    and classes of cells by their code and the values that this uses in turn, objects of such classes and dataclasses by their
    attributes. Of other objects the kind alone counts, and nothing beyond the first 10,000 of all these.

    Args:
        in_file: tells a function or class that stands in a file, and returns None for one that does not.
    """
    return _Teller(in_file).told(value)


class _Teller:
    def __init__(self, in_file: InFile) -> None:
        self._in_file = in_file
        self._seen: dict[int, tuple[int, object]] = {}  # by id, with the object, which so keeps its id

    def told(self, value: object) -> object:
        if isinstance(value, _PLAIN):
            return repr(value)
        if id(value) in self._seen:
            return ["again", self._seen[id(value)][0]]
        if len(self._seen) >= _MOST:
            return ["more"]
        self._seen[id(value)] = len(self._seen), value
        return [_kind(value), *self._parts(value)]

    def _parts(self, value: object) -> Iterator[object]:
        if (
            isinstance(value, torch.Tensor)
            and value.layout is torch.strided
            and not (value.is_meta or value.is_quantized)
        ):
            flat = value.detach().cpu().resolve_conj().resolve_neg().contiguous().view(-1)
            yield [str(value.dtype), list(value.shape), _sha256(flat.view(torch.uint8).numpy().tobytes())]
        elif isinstance(value, np.ndarray):
            content = self._all(value.ravel()) if value.dtype.hasobject else _sha256(value.tobytes())
            yield [str(value.dtype), list(value.shape), content]
        elif isinstance(value, (pd.DataFrame, pd.Series)):
            yield self.told(pd.DataFrame(value).to_dict("split"))
        elif isinstance(value, dict):
            yield from ([self.told(key), self.told(inner)] for key, inner in value.items())
        elif isinstance(value, (set, frozenset)):
            yield sorted(json.dumps(self.told(inner)) for inner in value)
        elif isinstance(value, (list, tuple)):
            yield self._all(value)
        elif isinstance(value, functools.partial):
            yield self._all((value.func, value.args, value.keywords))
        elif isinstance(value, MethodType):
            yield self._all((value.__func__, value.__self__))
        elif isinstance(value, FunctionType):
            yield from self._function(value)
        elif isinstance(value, type):
            yield from self._class(value)
        elif isinstance(value, (staticmethod, classmethod)) or hasattr(value, "__wrapped__"):
            yield self.told(value.__wrapped__)
        elif isinstance(value, property):
            yield self._all((value.fget, value.fset))
        elif dataclasses.is_dataclass(value):
            yield self.told(type(value))
            yield self._all([getattr(value, field.name, None) for field in dataclasses.fields(value)])
        elif _is_users(type(value)):
            yield self._all((type(value), getattr(value, "__dict__", None)))
        else:
            yield [getattr(value, "__module__", None), getattr(value, "__name__", None)]

    def _all(self, values: Collection) -> list[object]:
        return [self.told(value) for value in values]

    def _function(self, function: FunctionType) -> Iterator[object]:
        if (told := self._in_file(function)) is not None:
            yield told
            return
        source = _source(function.__code__)
        yield source.whole if source is not None else None
        if source is None or function.__name__ == "<lambda>":  # whose line may hold another, too
            yield self._compiled(function.__code__)
        yield self._all((function.__defaults__, function.__kwdefaults__))
        chains = source.chains if source is not None else {}
        for name in sorted(_global_names(function.__code__) & function.__globals__.keys()):
            value = function.__globals__[name]
            is_module = isinstance(value, ModuleType)
            yield name, self._of_module(value, chains.get(name, [])) if is_module else self.told(value)
        for name, cell in zip(function.__code__.co_freevars, function.__closure__ or ()):
            try:
                yield name, self.told(cell.cell_contents)
            except ValueError:  # not yet set
                yield name, None

    def _compiled(self, code: CodeType) -> list[object]:
        constants = [self._compiled(c) if isinstance(c, CodeType) else self.told(c) for c in code.co_consts]
        return [code.co_code.hex(), list(code.co_names), constants]

    def _of_module(self, module: ModuleType, chains: list[tuple[str, ...]]) -> list[object]:
        """What is asked of a module, such as ``np.linalg.norm``."""
        found: list[object] = [module.__name__]
        for chain in sorted(chains):
            value: object = module
            for name in chain:
                value = getattr(value, name, None) if isinstance(value, ModuleType) else value
            found.append([chain, value.__name__ if isinstance(value, ModuleType) else self.told(value)])
        return found

    def _class(self, cls: type) -> Iterator[object]:
        if not _is_users(cls):
            yield f"{cls.__module__}.{cls.__qualname__}"
        elif cls.__module__ != "__main__" and (told := self._in_file(cls)) is not None:
            yield told
        else:
            yield self._all(cls.__bases__)
            for name, value in sorted(vars(cls).items()):
                if name not in ("__dict__", "__weakref__", "__doc__", "__module__", "__firstlineno__"):
                    yield name, self.told(value)


def _is_users(cls: type) -> bool:
    """Whether a class is of a cell or of a user's file."""
    file = getattr(sys.modules.get(cls.__module__), "__file__", None)
    return cls.__module__ == "__main__" or (file is not None and is_users(Path(file).resolve()))


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _kind(value: object) -> str:
    return f"{type(value).__module__}.{type(value).__qualname__}"


def _source(code: CodeType) -> Source | None:
    try:
        return Source(textwrap.dedent(inspect.getsource(code)), code.co_name)
    except (OSError, TypeError, ConfigError):  # none, or a lambda inside brackets, say
        return None


def _global_names(code: CodeType) -> set[str]:
    inner = [constant for constant in code.co_consts if isinstance(constant, CodeType)]
    own = {instruction.argval for instruction in dis.get_instructions(code) if instruction.opname in _NAMES}
    return own.union(*map(_global_names, inner))
