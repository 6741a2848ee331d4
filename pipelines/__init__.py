"""The commands that the stages of ``dvc.yaml`` run."""

import signal
import sys

# `python -m pipelines...`: what comes next is the module that runs, and seconds of imports, which Ctrl-C ends without a traceback
if sys.argv[:1] == ["-m"] and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, signal.SIG_DFL)
