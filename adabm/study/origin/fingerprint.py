"""What a number depends on: the code that computes it, files, settings; each as a sha256."""

import functools
import hashlib
import inspect
import json
import os
import sys
import textwrap
from collections.abc import Callable, Collection, Iterator
from functools import cache
from pathlib import Path

import torch

from ...errors import ConfigError
from ...support.plugins import is_users, unedited
from .cell_functions import values_told
from .dependencies import CodeTree
from .file_hashes import file_hash
from .source import Source

# Where the code begins that computes something; what it depends on is found from its imports.
# A quantized model, from the pictures that are read for it; of the steps, those of a recipe, or all of them.
QUANTIZING = ("api", "pictures.reading")
STEPS = ("steps",)
NETWORKS = ("networks.architectures",)  # likewise of the networks
MEASURING = ("engines.evaluation", "pictures.pairs")  # what is measured on a picture with a given model
SAMPLING = ("sampling", "pictures.reading")  # which calibration pictures a strategy chooses
INTERVENING = ("steps.deal_factors",)  # what a rule of the study changes in a calibrated model
# Which models a question compares, and what of them stands in its table.
STUDYING = ("study.running.bench", "study.running.timing", "study.running.traces")

# What the code above imports, or what that imports in turn, and no number depends on. Whoever adds one vouches for that.
NEUTRAL = (
    "_compat",  # makes BasicSR and spandrel importable; the provenance names their versions
    "checkpoints.checkpoint",  # writes and reads models, each compared with its recorded sha256
    "checkpoints.restoring",  # makes models of files again, whose content is compared with its sha256
    "checkpoints.soundness",  # refuses models that are to be written or were read
    "checkpoints.trying_out",  # refuses models that do not come back as they were
    "errors",  # kinds of errors
    "networks.backbones",  # finds weight files, whose content enters the keys
    "networks.community",  # has spandrel recognize networks, whose version enters the keys
    "networks.conversion",  # turns weights of others into networks, whose tensors enter the keys
    "networks.importing",
    "networks.limits",  # refuses networks that do not fit their file, or memory
    "networks.usable",  # refuses networks
    "pictures.header",  # refuses pictures; what is read of others does not depend on it
    "recipes.config",  # bits and settings and their limits: their values enter the keys
    "recipes.earlier",
    "recipes.idle_at_bits",  # refuses, before anything is computed
    "recipes.idle_groups",
    "recipes.idle_ranges",
    "recipes.idle_settings",
    "recipes.names",
    "recipes.recipe",  # what a recipe's file says enters the keys
    "steps.progress",  # goes on where a fine-tuning was interrupted, which ends with the same numbers
    "study.origin",  # these keys, and the provenance
    "study.pages",  # figures and the report
    "study.plan",  # names runs, whose settings enter the keys, and the files that they read
    "study.running.at_once",  # where calls are made
    "study.running.cache",  # keeps what was computed, compared with its sha256
    "study.running.calls",  # a call whose function's code enters the keys
    "study.running.executors",  # where tasks run, on one thread each
    "study.running.graph",  # in which order tasks run
    "study.running.scheduling",
    "study.running.working",
    "study.tables.conclusion",  # how a conclusion is told
    "study.tables.leaderboard",  # in which order methods are told
    "study.tables.methods",  # how methods are called
    "study.tables.networks",  # how networks are called
    "study.tables.question",  # how a question is told
    "study.tables.verdict",  # which method is advised
    "study.variables",  # names of environment variables
    "suggestions",  # the nearest known name in the text of an error
    "support.files",  # reads and writes bytes
    "support.metadata",  # what the header of a file may say, and its sha256
    "support.plugins",  # loads a user's file, whose content enters the keys
    "support.registry",  # finds a function by its name, which enters the keys with the function's file
    "support.serialization",  # the order of a file's metadata
    "support.surroundings",  # the switches of torch that the study leaves as they are
    "support.yaml_files",  # what files of recipes and parameters say enters the keys
    "validation",  # refuses settings and arguments, whose values enter the keys
)


def code_hash(*roots: str, torch_version: str | None = None) -> str:
    """Hash what roots compute, with all that they depend on, and torch's version (default: that of this process).

    Of this package the set of definitions counts, each as its syntax tree; where they stand and imports do not, so that
    moving code leaves measured results valid. Of users' files the whole syntax trees count, and by which paths they reach
    each other. Comments, docstrings and formatting count nowhere. Versions of other libraries, what is imported by a
    computed name, and other files that code reads are not seen.

    Args:
        roots: dotted names of modules or packages in adabm, and paths of users' Python files.

    Raises:
        ConfigError: a root that does not exist, a file that is no Python, or one that was edited since this process
            loaded it.
    """
    code, files = _code(roots, torch_version)
    for file in files:
        unedited(file)
    return code


@cache
def _code(roots: tuple[str, ...], torch_version: str | None) -> tuple[str, tuple[Path, ...]]:
    """The hash of what roots compute, and the users' files among it."""
    tree = package()
    digests = {*tree.definitions(tree.reached(roots, NEUTRAL))}
    users = tree.users_files(roots, NEUTRAL)
    for root, files in users.items():
        paths = {"" if file == root else os.path.relpath(file, Path(root).parent): files[file] for file in files}
        digests.add(key(files=paths))
    if len(users) > 1:
        digests.add(key(order=[files[root] for root, files in users.items()]))  # in which they are loaded
    return definitions_hash(digests, torch_version), tuple({Path(file) for files in users.values() for file in files})


def definitions_hash(digests: Collection[str], torch_version: str | None = None) -> str:
    """Hash a set of definitions, given by the hashes of their syntax trees, and torch's version."""
    return hashlib.sha256("\n".join([torch_version or torch.__version__, *sorted(digests)]).encode()).hexdigest()


@cache
def package() -> CodeTree:
    """The code of this package, parsed once a process."""
    return CodeTree.of_folder(Path(__file__).parents[2])


def definition_root(defined: Callable) -> str:
    """Return the root for :func:`code_hash` of a function or class: its module inside adabm, or the path of its file.

    Raises:
        ConfigError: it stands in no file, such as one from a cell of a notebook.
    """
    name, _, inside = str(getattr(defined, "__module__", None)).partition(".")
    if name == package().package:
        return inside
    try:
        file = Path(inspect.getsourcefile(inspect.unwrap(defined)) or "")
    except (OSError, TypeError):
        file = Path()
    if not file.is_file():
        raise ConfigError(f"{defined!r}: stands in no file; define a function or class in one")
    return str(file.resolve())


def definition_hash(defined: Callable) -> str:
    """Hash a function or class with all that its file depends on; one from a cell of a notebook has no file.

    Of such a function the values count that its names have, and of any the arguments that :func:`functools.partial` adds, see
    :func:`.cell_functions.values_told`.

    Raises:
        ConfigError: the source cannot be read, or a file of the user's was edited since it was loaded.
    """
    if isinstance(defined, functools.partial):
        args = defined.args, sorted(defined.keywords.items())
        return key(of=definition_hash(defined.func), args=repr(args), values=values_told(args, _in_file))
    try:
        text = textwrap.dedent(inspect.getsource(defined))
    except (OSError, TypeError):
        raise ConfigError(
            f"the source of {defined!r} cannot be read; define a function in a file or in a notebook"
        ) from None
    try:
        own = sorted(Source(text, repr(defined)).digests)
    except ConfigError:  # a lambda inside brackets, say
        own = [text]
    try:
        root = definition_root(defined)
    except ConfigError:
        return key(own=own, names=values_told(defined, _in_file))
    code = code_hash(root, *(file for file in _users_files(defined) if file != root))
    in_files = all(_in_file(function) is not None for function in _wrapped(defined))
    return key(own=own, file=code, **({} if in_files else {"names": values_told(defined, _in_file)}))


def _wrapped(defined: Callable) -> Iterator[Callable]:
    """A function or class, and what it wraps by :func:`functools.wraps`."""
    while defined is not None:
        yield defined
        defined = getattr(defined, "__wrapped__", None)


def _users_files(defined: Callable) -> list[str]:
    """The user's files of a function, of what it wraps, and of the modules that these name as theirs."""
    files = []
    for function in _wrapped(defined):
        files += [getattr(sys.modules.get(getattr(function, "__module__", None)), "__file__", None), _file(function)]
    paths = [Path(file).resolve() for file in files if file is not None]
    return list(dict.fromkeys(str(path) for path in paths if path.is_file() and is_users(path)))


def _file(function: Callable) -> str | None:
    return getattr(getattr(function, "__code__", None), "co_filename", None)


def _in_file(defined: Callable) -> str | None:
    """What tells a function or class that stands in a file: of this package or the user's its code, else its name; None in a cell."""
    file = _file(defined)
    name = f"{defined.__module__}.{defined.__qualname__}"
    if file is not None and file.startswith("<frozen"):  # of Python
        return name
    try:
        root = definition_root(defined)
    except ConfigError:
        return None
    if file is not None and not Path(file).is_file():  # a wrapper from a cell around what stands in a file
        return None
    return f"{name} {code_hash(root)}" if not root.endswith(".py") or is_users(Path(root)) else name


def key(**parts: object) -> str:
    """Hash named JSON-ready parts, whatever their order."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def folder_hash(paths: list[Path]) -> str:
    """Hash names and contents of pictures in their order, which calibration depends on."""
    return key(files=[(path.name, file_hash(path)) for path in paths])
