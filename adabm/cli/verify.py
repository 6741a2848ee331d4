"""``adabm verify-results``: do result tables fit their provenance and the repository?"""

import argparse
from pathlib import Path

from .console import Console
from .options import new_parser

_DETAILS = """\
Compares every table with the .provenance.json beside it: the table itself, the code that its numbers depend on, its
parameters, notebook and inputs. Exit status 0: all fit; 1: some do not, and each is named with the remedy.
"""


def add_parser(commands: argparse._SubParsersAction) -> None:
    """Add the command ``verify-results``."""
    parser = new_parser(commands, "verify-results", "verify result tables against their provenance", _DETAILS)
    parser.add_argument(
        "folders",
        type=Path,
        nargs="*",
        metavar="FOLDER",
        help="folders of results (default: results/ of the repository)",
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace, console: Console) -> int:
    """Print a line a table, and under it what does not fit."""
    from ..study.origin.verification import verify_results

    verdicts = verify_results(args.folders)
    for verdict in verdicts:
        name = _shown(verdict.table)
        if verdict.verified:
            console.say(f"ok        {name}  {verdict.version}")
        else:
            console.result(f"not ok    {name}")
        for finding in verdict.findings:
            say = console.say if verdict.verified else console.result
            say(
                f"            {finding.severity} ({finding.kind}): {finding.what}"
                + (f"; {finding.remedy}" if finding.remedy else "")
            )
    failed = sum(not verdict.verified for verdict in verdicts)
    console.result(f"{len(verdicts) - failed} of {len(verdicts)} tables verified")
    console.document({"verified": not failed, "tables": [verdict.to_dict() for verdict in verdicts]})
    return 1 if failed else 0


def _shown(path: Path) -> str:
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)
