"""``adabm verify-results``: do result tables fit their provenance and the repository?"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from .console import Console
from .options import expanded, new_parser

if TYPE_CHECKING:
    from ..study.origin.findings import Finding
    from ..study.origin.verification import Verdict

PROBLEM = "problem"  # written out, because help does not wait for torch
_NAMED = 4  # tables named with a finding

_DETAILS = """\
Compares every table with the .provenance.json beside it (the table itself, the code that its numbers depend on, its
parameters, notebook and inputs), every published file with the manifest.json of its profile, and the marked parts of
pages with the results that they show. A changed cell, definition or line is named where git or the manifest knows the
earlier one. A manifest that differs from the committed one is a problem, unless --regenerated says why.
Exit status 0: all fit; 1: some do not, and each is named with the remedy.
"""


def add_parser(commands: argparse._SubParsersAction) -> None:
    """Add the command ``verify-results``."""
    parser = new_parser(commands, "verify-results", "verify result tables against their provenance", _DETAILS)
    parser.add_argument(
        "folders",
        type=expanded,
        nargs="*",
        metavar="FOLDER",
        help="folders of results (default: results/ of the repository)",
    )
    parser.add_argument("--verbose", action="store_true", help="all findings table by table, those that fit too")
    parser.add_argument(
        "--regenerated",
        action="store_true",
        help="results were made anew and are not committed yet: a manifest that differs from the committed one is a warning",
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace, console: Console) -> int:
    """Print a summary, what does not fit, and what is good to know; table by table if asked to."""
    from ..study.origin.verification import verify_published, verify_results

    verdicts = verify_results(args.folders)
    published = verify_published(args.folders, args.regenerated)
    failed = [verdict for verdict in verdicts if not verdict.verified]
    fits = not failed and all(part.verified for part in published)
    compared = sum(part.compared for part in published)
    console.result(
        f"{len(verdicts) - len(failed)} of {len(verdicts)} tables verified; {compared} published files and parts of pages "
        f"compared, {sum(f.severity == PROBLEM for part in published for f in part.findings)} problems with them"
    )
    if args.verbose:
        _every_table(verdicts, console)
    else:
        for verdict in failed:
            console.result(f"not ok    {_shown(verdict.table)}")
        _grouped(verdicts, console)
    for part in published:
        for finding in part.findings:
            (console.result if finding.severity == PROBLEM else console.say)(_line(finding))
    console.document(
        {
            "verified": fits,
            "tables": [verdict.to_dict() for verdict in verdicts],
            "published": [part.to_dict() for part in published],
        }
    )
    return 0 if fits else 1


def _every_table(verdicts: Sequence[Verdict], console: Console) -> None:
    for verdict in verdicts:
        tell = console.say if verdict.verified else console.result
        tell(
            f"{'ok    ' if verdict.verified else 'not ok'}    {_shown(verdict.table)}  {verdict.version or ''}".rstrip()
        )
        for finding in verdict.findings:
            tell(f"            {_line(finding)}")


def _grouped(verdicts: Sequence[Verdict], console: Console) -> None:
    """Each finding once, with the tables that it concerns, problems first."""
    concerned: dict[Finding, list[str]] = {}
    for verdict in verdicts:
        for finding in verdict.findings:
            concerned.setdefault(finding, []).append(verdict.id)
    for finding, tables in sorted(concerned.items(), key=lambda pair: pair[0].severity != PROBLEM):
        some = ", ".join(tables[:_NAMED]) + (f" and {len(tables) - _NAMED} more" if len(tables) > _NAMED else "")
        (console.result if finding.severity == PROBLEM else console.say)(f"{_line(finding)} [{some}]")


def _line(finding: Finding) -> str:
    return f"{finding.severity} ({finding.kind}): {finding.what}" + (f"; {finding.remedy}" if finding.remedy else "")


def _shown(path: Path) -> str:
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)
