"""The command line: ``adabm quantize | evaluate | upscale | import | info | recipes | verify-results``.

Each command is one module with ``add_parser`` and ``run``. Nothing here imports torch before a
command runs, so that ``adabm --help`` answers at once.
"""

from .entry import main

__all__ = ["main"]
