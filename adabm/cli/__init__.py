"""The command line: ``adabm quantize | evaluate | upscale | import | info | recipes | verify-results``.

Each command is one module with ``add_parser`` and ``run``. Nothing here imports torch before a
command runs, so that ``adabm --help`` answers at once.
"""

import sys

from ..support.process import leave_imports

if sys.argv[0].endswith(("/adabm", "/adabm/__main__.py")):  # the command itself, whose imports take a moment
    leave_imports()

from .entry import main

__all__ = ["main"]
