"""``python -m pipelines.downloads`` is ``python -m pipelines.downloads.fetch``."""

import sys

from .fetch import command

sys.exit(command())
