"""Keep the state of a long fine-tuning in a file, so that an interruption loses one round at most."""

import hashlib
import io
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor, nn

from ..errors import KeptFileError, ProgressError, out_of_memory
from ..support.files import read_kept, write_kept

_FORMAT = "adabm-fine-tuning-4"


@dataclass(frozen=True)
class Progress:
    """Where an unfinished fine-tuning is kept, and what it belongs to besides the model and the step's settings.

    Attributes:
        of: by name, such as ``pictures``, a hash or a text.
    """

    path: Path
    of: Mapping[str, str] = field(default_factory=dict)

    def check(self) -> int | None:
        """Return how many fine-tuning steps are kept, or None where nothing is.

        Raises:
            ProgressError: changed since it was written, of an earlier version, or of something else, which is named.
        """
        content = self.read()
        return None if content is None else len(content["state"]["steps"])

    def read(self) -> dict | None:
        """Return the content, or None where there is no file; raises as :meth:`check` does."""
        try:
            content = torch.load(io.BytesIO(read_kept(self.path)), weights_only=True)
        except FileNotFoundError:
            return None
        except KeptFileError as error:
            raise ProgressError(f"{error}; it is not a readable fine-tuning state of this version") from None
        except Exception as error:  # something else was kept there; torch raises many kinds on it
            if out_of_memory(error):
                raise
            raise ProgressError(f"{self.path}: is no fine-tuning state ({type(error).__name__})") from None
        if not isinstance(content, dict) or content.get("format") != _FORMAT:
            raise ProgressError(f"{self.path}: is no fine-tuning state of this version")
        kept = content["of"]
        others = [name for name in (*self.of, *(kept.keys() - self.of.keys())) if kept.get(name) != self.of.get(name)]
        if others:
            raise ProgressError(f"{self.path}: belongs to other {', '.join(others)}")
        return content


class ProgressFile:
    """The state file of one fine-tuning, bound to the model that it started from, to its recipe and to its batches."""

    def __init__(self, progress: str | Path | Progress, model: nn.Module, settings: Mapping[str, object]) -> None:
        self.progress = progress if isinstance(progress, Progress) else Progress(Path(progress))
        self._identity = _identity(model, settings)
        self._seen = hashlib.sha256()
        self._expected: str | None = None

    @property
    def path(self) -> Path:
        """The file."""
        return self.progress.path

    def load(self) -> dict | None:
        """Return the last state, or None where there is none yet.

        Raises:
            ProgressError: changed since it was written, of an earlier version, or of another model or recipe.
        """
        content = self.progress.read()
        if content is None:
            return None
        if content["identity"] != self._identity:
            raise ProgressError(f"{self.path}: belongs to another model or fine-tuning recipe")
        self._expected = content["batches"]
        return content["state"]

    def watched(self, batches: Iterable[Tensor]) -> Iterator[Tensor]:
        """Yield batches, noting what they hold: a state belongs to all that were taken before it was kept."""
        for batch in batches:
            self._seen.update(batch.detach().cpu().float().contiguous().numpy().tobytes())
            yield batch

    def check_batches(self) -> None:
        """Refuse to go on from a state that was kept after other batches than those taken since it was loaded.

        Raises:
            ProgressError: other pictures, patches, order or seed.
        """
        if self._seen.hexdigest() != self._expected:
            raise ProgressError(
                f"{self.path}: belongs to other fine-tuning batches: pictures, their order, patches or seed differ; "
                "delete the file, or give what it was begun with"
            )

    def save(self, state: dict) -> None:
        """Replace the file by this state, atomically."""
        buffer = io.BytesIO()
        content = {"format": _FORMAT, "of": dict(self.progress.of), "identity": self._identity}
        content |= {"batches": self._seen.hexdigest(), "state": state}
        torch.save(content, buffer)
        write_kept(self.path, buffer.getvalue())


def _identity(model: nn.Module, settings: Mapping[str, object]) -> str:
    """Hash of the model's parameters before its first step, and of the recipe."""
    digest = hashlib.sha256(f"{_FORMAT} {json.dumps(dict(settings), sort_keys=True)}".encode())
    for name, value in model.state_dict().items():
        digest.update(name.encode())
        digest.update(value.detach().cpu().float().contiguous().numpy().tobytes())
    return digest.hexdigest()
