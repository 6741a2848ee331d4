"""``python -m pipelines.downloads`` is ``python -m pipelines.downloads.fetch``."""

import sys

from .fetch import handle_termination, main

handle_termination()
sys.exit(main())
