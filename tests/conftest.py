"""One thread a test process: the suite runs several processes at once. Ctrl-C reaches what tests interrupt."""

import signal

import torch

torch.set_num_threads(1)

# A script's background job starts with SIGINT ignored, and hands that on to its processes, which then could not be interrupted.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
