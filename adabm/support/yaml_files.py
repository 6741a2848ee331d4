"""Read YAML so that nothing is lost without a word: a key stands once, and aliases cannot grow without bounds."""

import re
from pathlib import Path

import yaml

from ..errors import AdabmError, ConfigError
from .files import open_regular_file

LARGEST = 1_000_000  # bytes of a file; the largest of this project has 20,000
LARGEST_EXPANDED = 4_000_000  # characters, with each alias written out; it also bounds what an error may have to show
_NUMBERS = ("tag:yaml.org,2002:int", "tag:yaml.org,2002:float")
_MERGE = "tag:yaml.org,2002:merge"


def read_yaml(path: str | Path, error: type[AdabmError] = ConfigError) -> object:
    """Return what a YAML file holds, None if it is empty.

    Anchors, aliases and merges (``<<: *name``) work; a key beside a merge replaces the merged one.

    Args:
        error: class of the error to raise.

    Raises:
        AdabmError: of class ``error``, naming the file: unreadable, no regular file, too large, no YAML, a key that is
            there twice (with both lines), or aliases that expand to too much.
    """
    try:
        with open_regular_file(path, LARGEST) as file:
            text = file.read().decode("utf-8")
    except OSError as fault:
        raise error(f"{path}: cannot be read ({fault.strerror or fault})") from None
    except UnicodeDecodeError as fault:
        raise error(f"{path}: is no YAML ({fault})") from None
    try:
        return parse_yaml(text)
    except ConfigError as fault:
        raise error(f"{path}: {fault}") from None


def parse_yaml(text: str) -> object:
    """Return what a text in YAML holds.

    Raises:
        ConfigError: what is wrong, as :func:`read_yaml` says.
    """
    loader = None
    try:
        loader = yaml.SafeLoader(text)  # which refuses control characters
        node = loader.get_single_node()
        if node is None:
            return None
        _Check(loader).size(node)
        return loader.construct_document(node)
    except yaml.YAMLError as fault:
        raise ConfigError(f"is no YAML ({' '.join(str(fault).split())})") from None
    except RecursionError:
        raise ConfigError("is nested too deeply") from None
    except ValueError as fault:  # such as a date of the month 13
        raise fault if isinstance(fault, ConfigError) else ConfigError(f"is no YAML ({fault})") from None
    finally:
        if loader is not None:
            loader.dispose()


class _Check:
    """Walks through parsed YAML before any of it is built; an anchored part is looked at once, however often it is named."""

    def __init__(self, loader: yaml.SafeLoader) -> None:
        self._loader = loader
        self._sizes: dict[int, int | None] = {}  # None: not yet told, being within that part

    def size(self, node: yaml.Node) -> int:
        """Return the characters of a part with all aliases written out, one more for each part of it."""
        if (known := self._sizes.get(id(node), -1)) is None:
            raise ConfigError(f"line {_line(node)}: holds itself, by an alias inside of what it names")
        if known >= 0:
            return known
        self._sizes[id(node)] = None
        if isinstance(node, yaml.ScalarNode):
            _check_number(node)
            size = 1 + len(node.value)
        elif isinstance(node, yaml.MappingNode):
            self._check_keys(node)
            size = 1 + sum(self.size(key) + self.size(value) for key, value in node.value)
        else:
            size = 1 + sum(self.size(item) for item in node.value)
        if size > LARGEST_EXPANDED:
            raise ConfigError(
                f"line {_line(node)}: is more than {LARGEST_EXPANDED:,} characters when its aliases (*name) are written out; "
                "use fewer"
            )
        self._sizes[id(node)] = size
        return size

    def _check_keys(self, node: yaml.MappingNode) -> None:
        lines: dict[object, int] = {}
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise ConfigError(f"line {_line(key)}: a key must be text")
            merge = key.tag == _MERGE
            name = (_MERGE,) if merge else self._loader.construct_object(key)  # 1, 0x1 and true are one key
            if name in lines:
                remedy = "merge a list: `<<: [*a, *b]`" if merge else "keep one"
                raise ConfigError(f"{key.value!r} is there twice, in lines {lines[name]} and {_line(key)}; {remedy}")
            lines[name] = _line(key)


def _check_number(node: yaml.ScalarNode) -> None:
    """Refuse numbers that mean something else in YAML 1.1 than to a reader: 010 is 8 there, 1:30 is 90, and 1_0 is 10."""
    if node.tag not in _NUMBERS:
        return
    digits = re.fullmatch(r"[-+]?0[0-7]+", node.value)
    read = yaml.safe_load(node.value)
    if ":" in node.value or "_" in node.value or (digits and int(node.value) != read):
        raise ConfigError(
            f'line {_line(node)}: {node.value} would be read as {read}; write the number that is meant, or "{node.value}" for text'
        )


def _line(node: yaml.Node) -> int:
    return node.start_mark.line + 1
