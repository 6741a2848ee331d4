"""What verification finds."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

PROBLEM, WARNING, NOTE = "problem", "warning", "note"
AGAIN = "run the pipeline again"
Hashed = Callable[[Path], str | None]  # sha256 of a file or folder, None where it cannot be read


@dataclass(frozen=True)
class Finding:
    """One thing that does not fit, or is good to know, and what to do about it."""

    kind: str  # provenance, table, code, notebook, parameters, recipe, input, version, uncommitted, runs; manifest, file or page
    severity: str  # PROBLEM, WARNING or NOTE
    what: str
    remedy: str = ""


class Judged:
    """A dataclass with ``findings`` about a table, files or a page; it is verified unless one of them is a problem."""

    findings: tuple[Finding, ...]

    @property
    def verified(self) -> bool:
        return not any(finding.severity == PROBLEM for finding in self.findings)

    def to_dict(self) -> dict:
        """JSON-ready: what was judged, the verdict, and why."""
        judged = {name: str(v) if isinstance(v, Path) else v for name, v in vars(self).items() if name != "findings"}
        return judged | {"verified": self.verified, "findings": [asdict(finding) for finding in self.findings]}
