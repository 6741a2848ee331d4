"""BasicSR can be imported in a fresh interpreter beside the installed torch and torchvision."""

import subprocess
import sys
from pathlib import Path

SCRIPT = """
import sys
import adabm, adabm._compat
assert not any(name.split(".")[0] in ("basicsr", "torchvision") for name in sys.modules), "imported too early"
edsr = adabm._compat.basicsr_module("archs.edsr_arch").EDSR
network = edsr(3, 3, num_feat=64, num_block=16, upscale=4)
adabm._compat.basicsr_module("archs.rcan_arch")  # a second call finds everything in place
print(sum(p.numel() for p in network.parameters()))
"""


def test_basicsr_in_a_fresh_interpreter():
    root = Path(__file__).parents[1]
    command = [sys.executable, "-c", SCRIPT]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["1517571"]
    assert done.stderr == ""


def test_importing_the_networks_does_not_import_basicsr():
    script = "import sys, adabm.networks; print('basicsr' in sys.modules)"
    root = Path(__file__).parents[1]
    done = subprocess.run([sys.executable, "-c", script], cwd=root, capture_output=True, text=True, timeout=300)
    assert done.stdout.split() == ["False"], done.stderr
