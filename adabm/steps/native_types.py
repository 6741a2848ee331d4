"""Which types of numbers a processor has instructions for."""

from functools import cache
from pathlib import Path

import torch

# Linux tells there what a processor has, such as avx512_bf16, amx_bf16 or, on ARM, bf16.
_PROCESSOR = Path("/proc/cpuinfo")


@cache
def has_bfloat16(device: torch.device) -> bool:
    """Whether a device multiplies numbers in bfloat16; one that does not takes about ten times as long as in float32."""
    if device.type != "cpu":
        return True
    try:
        return "bf16" in _PROCESSOR.read_text()
    except OSError:
        return False
