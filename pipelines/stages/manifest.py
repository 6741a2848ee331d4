"""Stage ``manifest``: write down the sha256 of every published file of a profile, and the code that they were made with.

``python -m pipelines.stages.manifest results/demo results/paper`` does it by hand. ``adabm verify-results`` compares with it, so
that no table, page or figure can be changed together with its own provenance unnoticed.
"""

import sys
from pathlib import Path

from adabm.errors import AdabmError
from adabm.study.origin.manifest import write_manifest
from adabm.support.arguments import Parser
from adabm.support.process import as_command, plain


def main() -> int:
    parser = Parser(description=__doc__.split("\n")[0], allow_abbrev=False)
    parser.add_argument("results", type=Path, nargs="+", metavar="FOLDER", help="folder of a profile's results")
    args = parser.parse_args()
    for results in args.results:
        try:
            written = write_manifest(results)
        except (AdabmError, OSError) as error:
            print(f"manifest: {plain(error)}", file=sys.stderr)
            return 1
        print(written)
    return 0


if __name__ == "__main__":
    sys.exit(as_command("manifest", main))
