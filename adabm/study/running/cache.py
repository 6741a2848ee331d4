"""Results that are kept, so that nothing is computed twice and an interruption loses little."""

import json
import os
from dataclasses import dataclass
from pathlib import Path

from ...files import write_atomically
from ...quantization.checkpoint import load_quantized, save_quantized
from ...quantization.model import QuantizedSR
from ...steps.fine_tuning import Step
from ..origin.fingerprint import key


@dataclass(frozen=True)
class ResultCache:
    """A folder of quantized models and measured pictures, each under the hash of all it depends on.

    It may be deleted at any time: what is missing or damaged is computed again. Several processes may
    share it, since files appear complete or not at all.
    """

    folder: Path

    @classmethod
    def default(cls, root: Path) -> "ResultCache":
        """The folder that ``ADABM_CACHE`` names, else ``data/cache`` below ``root``."""
        return cls(Path(os.environ.get("ADABM_CACHE") or root / "data" / "cache"))

    def progress(self, model_key: str) -> Path:
        """File for the state of an unfinished fine-tuning."""
        path = self.folder / "models" / f"{model_key}.partial"
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def load_model(self, model_key: str) -> tuple[QuantizedSR, list[Step]] | None:
        """Return a kept model and its fine-tuning steps, or None where they are missing or damaged."""
        path = self._model(model_key)
        try:
            steps = [Step(*values) for values in json.loads(path.with_suffix(".json").read_text())]
            return load_quantized(path), steps
        except Exception:  # damaged metadata can raise anything
            return None

    def keep_model(self, model_key: str, model: QuantizedSR, steps: list[Step], seed: int) -> None:
        """Keep a model that :func:`adabm.load_quantized` reads too."""
        path = self._model(model_key)
        write_atomically(path.with_suffix(".json"), json.dumps([list(vars(step).values()) for step in steps]).encode())
        save_quantized(model, path, seed=seed)

    def _model(self, model_key: str) -> Path:
        return self.folder / "models" / f"{model_key}.safetensors"

    def load_record(self, record_key: str) -> dict | None:
        """Return a kept measurement (of a picture, say), or None."""
        try:
            content = json.loads(self._record(record_key).read_text())
            return content["result"] if content["sha256"] == key(result=content["result"]) else None
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def keep_record(self, record_key: str, result: dict) -> None:
        """Keep a JSON-ready measurement."""
        content = json.dumps({"result": result, "sha256": key(result=result)})
        write_atomically(self._record(record_key), content.encode())

    def _record(self, record_key: str) -> Path:
        return self.folder / "pictures" / record_key[:2] / f"{record_key}.json"
