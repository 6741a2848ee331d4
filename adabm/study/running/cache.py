"""Results that are kept, so that nothing is computed twice and an interruption loses little."""

import json
import math
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock

from ...checkpoints.checkpoint import load_quantized, save_quantized
from ...errors import CheckpointError, DataError, KeptFileError
from ...quantization.model import QuantizedSR
from ...steps import TuningStep
from ...support.files import file_sha256, open_regular_file, read_kept, write_atomically, write_kept
from ..origin.file_hashes import file_hash

_MOST_RECORD = 2**26  # bytes of a kept measurement, which has some thousand
_LONGEST_SECONDS = 100  # bytes of a kept duration


@dataclass(frozen=True)
class ResultCache:
    """A folder of quantized models and measured pictures, each under the hash of all it depends on and with its own.

    It may be deleted at any time: what is missing or, with a warning, damaged is computed again. Several processes may
    share it, since files appear complete or not at all. Nothing is kept where a file of the study was replaced meanwhile.
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

    @contextmanager
    def claimed(self, result_key: str) -> Iterator[None]:
        """Alone among all processes that share the folder inside; whoever else wants the same result waits.

        A process that dies, or whose machine does, claims nothing any more. On a file system without locks nothing is
        claimed: two studies may then compute the same result twice. (A mere file as a lock would outlive its owner.)
        """
        self.progress(result_key)  # makes the folder, or tells why it cannot be made
        path = self.folder / "models" / f"{result_key}.lock"
        lock = FileLock(path, fallback_to_soft=False)
        with suppress(NotImplementedError, OSError):
            lock.acquire()
        try:
            yield
        finally:
            if lock.is_locked:
                path.unlink(missing_ok=True)  # while it is ours; who waits for it finds it gone, and makes another
                lock.release()

    def keep_seconds(self, result_key: str, seconds: float) -> None:
        """Keep how long a model or picture took, for estimates; where that cannot be kept, nothing is lost."""
        with suppress(OSError):
            write_atomically(self._seconds(result_key), f"{seconds:.3f}\n".encode())

    def load_seconds(self, result_key: str) -> float | None:
        """Return how long a result took, or None where that is not known."""
        try:
            with open_regular_file(self._seconds(result_key), _LONGEST_SECONDS) as file:
                seconds = float(file.read())
        except (OSError, ValueError):
            return None
        return seconds if 0 <= seconds < math.inf else None

    def _seconds(self, result_key: str) -> Path:
        return self.folder / "seconds" / result_key[:2] / result_key

    def load_model(self, model_key: str) -> tuple[QuantizedSR, list[TuningStep]] | None:
        """Return a kept model and its fine-tuning steps, or None where they are missing or damaged."""
        path = self._model(model_key)
        log = self._kept(path.with_suffix(".json"), model_key)
        if log is None or not path.is_file():
            return None
        try:
            if file_sha256(path) != log["model_sha256"]:
                raise CheckpointError(f"{path}: its content does not match its sha256")
            return load_quantized(path), [TuningStep(*values) for values in log["steps"]]
        except FileNotFoundError:
            return None
        except CheckpointError as error:
            return _unusable(path, error)
        except OSError as error:
            raise _unreadable(path, error) from error

    def keep_model(self, model_key: str, model: QuantizedSR, steps: list[TuningStep], seed: int) -> None:
        """Keep a model that :func:`adabm.load_quantized` reads too.

        Raises:
            DataError: a file that was hashed for a key was replaced since.
        """
        try:
            file_hash.check_unchanged()
        except DataError:
            self.progress(model_key).unlink(missing_ok=True)  # of the same pictures
            raise
        path = self._model(model_key)
        save_quantized(model, path, seed=seed)
        log = {"steps": [list(vars(step).values()) for step in steps], "model_sha256": file_sha256(path)}
        self._keep(path.with_suffix(".json"), model_key, log | {"weight_bits": weight_bits(model)})

    def load_weight_bits(self, model_key: str) -> dict[str, int | None] | None:
        """Return :func:`weight_bits` of a kept model, or None where they are missing or damaged."""
        log = self._kept(self._model(model_key).with_suffix(".json"), model_key)
        if log is None or "weight_bits" in log:
            return log and log["weight_bits"]
        kept = self.load_model(model_key)  # of an earlier version
        return kept and weight_bits(kept[0])

    def _model(self, model_key: str) -> Path:
        return self.folder / "models" / f"{model_key}.safetensors"

    def load_record(self, record_key: str) -> dict | None:
        """Return a kept measurement (of a picture, say), or None where it is missing or damaged."""
        return self._kept(self._record(record_key), record_key)

    def keep_record(self, record_key: str, result: dict) -> None:
        """Keep a JSON-ready measurement.

        Raises:
            DataError: a file that was hashed for a key was replaced since.
        """
        file_hash.check_unchanged()
        self._keep(self._record(record_key), record_key, result)

    def _record(self, record_key: str) -> Path:
        return self.folder / "pictures" / record_key[:2] / f"{record_key}.json"

    @staticmethod
    def _keep(path: Path, of: str, result: dict) -> None:
        write_kept(path, json.dumps({"of": of, "result": result}).encode())

    @staticmethod
    def _kept(path: Path, of: str) -> dict | None:
        try:
            content = json.loads(read_kept(path, _MOST_RECORD))
            if content["of"] != of:
                raise KeptFileError(f"{path}: is that of another key")
        except FileNotFoundError:
            return None
        except KeptFileError as error:
            return _unusable(path, error)
        except OSError as error:
            raise _unreadable(path, error) from error
        return content["result"]


def weight_bits(model: QuantizedSR) -> dict[str, int | None]:
    """Return the weight bits of each quantized layer, which steps may have changed; None of what has no weights."""
    return {name: layer.weight_bits for name, layer in model.layers.items()}


def _unusable(path: Path, error: Exception) -> None:
    reason = " ".join(str(error).removeprefix(f"{path}: ").split())
    warnings.warn(f"{path}: is damaged and computed again ({reason})", stacklevel=3)


def _unreadable(path: Path, error: OSError) -> DataError:
    """What is there and cannot be read is not damage, which a run could mend."""
    return DataError(
        f"{path}: cannot be read ({error.strerror or error}); delete it, or name another folder by ADABM_CACHE"
    )
