"""Errors that name the offending thing and the remedy.

Every error that a user can cause derives from :class:`AdabmError`; the command line turns it
into one line on standard error and exit status 2, without a traceback.
"""

import errno

_LONGEST = 1000  # characters of a message; a path alone may have 4096
_NO_MEMORY = (
    "out of memory",
    "can't allocate memory",
    "Cannot allocate memory",
    "can't alloc",
    "bad_alloc",
    "bad allocation",
)
# all that oneDNN says of it; what it does not support is a "primitive descriptor"
_NO_PRIMITIVE = "could not create a primitive"


def one_line(text: str) -> str:
    """Return a message in one line of limited length: cut in the middle, what a terminal does not print shown as its code.

    >>> one_line("a" + chr(10) + "b: no such file")
    'a\\\\nb: no such file'
    """
    text = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
    half = (_LONGEST - 5) // 2
    return text if len(text) <= _LONGEST else f"{text[:half]} ... {text[-half:]}"


def out_of_memory(error: BaseException) -> bool:
    """Whether memory was lacking, whatever a library calls that: it tells nothing of a network or a file."""
    if isinstance(error, OSError):
        return error.errno == errno.ENOMEM
    text = str(error)
    if isinstance(error, ImportError):
        return "failed to map segment" in text
    return isinstance(error, MemoryError) or (
        isinstance(error, RuntimeError)  # torch raises it and subclasses that depend on its version
        and (any(words in text for words in _NO_MEMORY) or text.strip() == _NO_PRIMITIVE)
    )


class AdabmError(Exception):
    """Base of all errors raised on purpose by this package; its text is one line, whatever a name in it holds."""

    def __str__(self) -> str:
        return one_line(super().__str__())


class ConfigError(AdabmError, ValueError):
    """A setting has an impossible value or an unknown name."""


class ProgressError(ConfigError):
    """The state file of an unfinished fine-tuning is damaged, or belongs to another one."""


class KeptFileError(AdabmError, ValueError):
    """A file that was kept for a later run was changed since, or is of another format."""


class NetworkError(AdabmError, ValueError):
    """A network cannot be built, described or quantized."""


class EngineError(AdabmError, ValueError):
    """An engine is none, or gives something else than it must."""


class CheckpointError(AdabmError, ValueError):
    """A checkpoint is missing, damaged, of another kind or for another network."""


class ImageError(AdabmError, ValueError):
    """A picture cannot be read, has an unsupported layout or the wrong size."""


class DataError(AdabmError, ValueError):
    """A data set or weight file is missing, incomplete or fails its checksum."""


class TableError(AdabmError, ValueError):
    """A result table is missing, damaged or does not fit its schema."""


class StudyError(AdabmError, RuntimeError):
    """A task of a study failed; what was completed is kept."""


class FineTuningError(AdabmError, RuntimeError):
    """Fine-tuning diverged; the model was put back to its last good state."""
