"""What verification finds."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

PROBLEM, WARNING, NOTE = "problem", "warning", "note"
AGAIN = "run the pipeline again"
Hashed = Callable[[Path], str]  # sha256 of a file or folder


@dataclass(frozen=True)
class Finding:
    """One thing that does not fit, or is good to know, and what to do about it."""

    kind: str  # provenance, table, code, notebook, parameters, input, version, uncommitted; manifest, file or page
    severity: str  # PROBLEM, WARNING or NOTE
    what: str
    remedy: str = ""
