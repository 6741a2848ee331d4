"""One thread a test process: the suite runs several processes at once."""

import torch

torch.set_num_threads(1)
