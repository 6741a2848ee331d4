"""Keep the state of a long fine-tuning in a file, so that an interruption loses one round at most."""

import hashlib
import io
import json
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import nn

from ..errors import KeptFileError, ProgressError
from ..files import read_kept, write_kept

_FORMAT = "adabm-fine-tuning-3"


class ProgressFile:
    """The state file of one fine-tuning, bound to the model that it started from and to its recipe."""

    def __init__(self, path: str | Path, model: nn.Module, settings: Mapping[str, object]) -> None:
        self.path = Path(path)
        self._identity = _identity(model, settings)

    def load(self) -> dict | None:
        """Return the last state, or None where there is none yet.

        Raises:
            ProgressError: changed since it was written, of an earlier version, or of another model or recipe.
        """
        try:
            content = torch.load(io.BytesIO(read_kept(self.path)), weights_only=True)
        except FileNotFoundError:
            return None
        except KeptFileError as error:
            raise ProgressError(f"{error}; it is not a readable fine-tuning state of this version") from None
        if not isinstance(content, dict) or content.get("identity") != self._identity:
            raise ProgressError(f"{self.path}: belongs to another model or fine-tuning recipe")
        return content["state"]

    def save(self, state: dict) -> None:
        """Replace the file by this state, atomically."""
        buffer = io.BytesIO()
        torch.save({"identity": self._identity, "state": state}, buffer)
        write_kept(self.path, buffer.getvalue())


def _identity(model: nn.Module, settings: Mapping[str, object]) -> str:
    """Hash of the model's parameters before its first step, and of the recipe."""
    digest = hashlib.sha256(f"{_FORMAT} {json.dumps(dict(settings), sort_keys=True)}".encode())
    for name, value in model.state_dict().items():
        digest.update(name.encode())
        digest.update(value.detach().cpu().float().contiguous().numpy().tobytes())
    return digest.hexdigest()
