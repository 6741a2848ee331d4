"""The commands that the stages of ``dvc.yaml`` run."""

import sys

from adabm.process import leave_imports

if sys.argv[:1] == ["-m"]:  # python -m pipelines...: the module that runs, and what it imports, come next
    leave_imports()
