"""The commands that the stages of ``dvc.yaml`` run."""

import sys

from adabm.support.process import leave_imports

if sys.argv[:1] == ["-m"]:  # `python -m pipelines...`: what comes next is the module that runs, and seconds of imports
    leave_imports()
