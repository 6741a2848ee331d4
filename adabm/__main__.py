"""``python -m adabm`` is the same as the command ``adabm``."""

import sys

from .cli import main

if __name__ == "__main__":
    sys.exit(main())
