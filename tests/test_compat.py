"""BasicSR, spandrel and torchvision can be imported beside the installed torch, by adabm and in a repaired environment."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from adabm.repair_environment import MODULE, START, main

ROOT = Path(__file__).parents[1]


def python(script: str, *options: str) -> str:
    environment = {
        **os.environ,
        "TORCH_COMPILE_DISABLE": "1",
    }  # its compiler is imported; what it compiles is not the point
    done = subprocess.run(
        [sys.executable, *options, "-c", script], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout


@pytest.mark.slow
def test_basicsr_in_a_fresh_interpreter():
    """It comes when a network asks for it, not with the package or its networks; nor do the libraries of engines."""
    script = """
import sys
import adabm, adabm._compat, adabm.engines, adabm.networks
early = {"basicsr", "torchvision", "spandrel", "openvino", "onnx", "onnxruntime"} & {name.split(".")[0] for name in sys.modules}
assert not early, f"{early} imported too early"
edsr = adabm._compat.basicsr_module("archs.edsr_arch").EDSR
network = edsr(3, 3, num_feat=64, num_block=16, upscale=4)
adabm._compat.basicsr_module("archs.rcan_arch")  # a second call finds everything in place
print(sum(p.numel() for p in network.parameters()), len(adabm._compat.spandrel().MAIN_REGISTRY) > 30)
import torch, torchvision
print("torch._dynamo" in sys.modules)  # torch's compiler, which takes half of the time of all imports
torch.use_deterministic_algorithms(True)
print(torchvision.ops.roi_align(torch.ones(1, 1, 4, 4), torch.tensor([[0, 0, 0, 2.0, 2.0]]), 1).item())  # asks it
print(sys.modules["torch._dynamo.utils"].__file__.endswith(".py"))
"""
    assert python(script).split() == ["1517571", "True", "False", "1.0", "True"]


@pytest.fixture
def packages(tmp_path, capsys):
    main(["--folder", str(tmp_path)])
    main(["--folder", str(tmp_path)])  # a second time changes nothing
    return tmp_path


@pytest.mark.slow
def test_a_repaired_environment(packages):
    """Isolated and without adabm: what another program of this interpreter sees."""
    assert sorted(path.name for path in packages.iterdir()) == sorted([MODULE, START])
    script = f"""
import site, sys
sys.meta_path[:] = [f for f in sys.meta_path if not hasattr(f, "adabm_repairs_torchvision")]  # of this environment
sys.modules.pop("_adabm_torchvision", None)
before = set(sys.modules)
site.addsitedir({str(packages)!r})
print(len(set(sys.modules) - before), sum(hasattr(f, "adabm_repairs_torchvision") for f in sys.meta_path))
import torchvision, torchvision.ops, torch
from torchvision.transforms.functional_tensor import rgb_to_grayscale
print(tuple(rgb_to_grayscale(torch.ones(3, 2, 2)).shape), "adabm" in sys.modules)
import warnings
warnings.simplefilter("ignore")
from basicsr.archs.edsr_arch import EDSR
print(EDSR.__name__, torchvision.__spec__.name)
"""
    assert python(script, "-I").splitlines() == ["1 1", "(1, 2, 2) False", "EDSR torchvision"]


def test_it_is_removed(packages):
    main(["--remove", "--folder", str(packages)])
    main(["--remove", "--folder", str(packages)])
    assert not list(packages.iterdir())


def test_other_failures_of_torchvision_are_not_hidden(tmp_path):
    (tmp_path / "torchvision").mkdir()
    for text, error in (
        ("raise RuntimeError('odd')", "RuntimeError('odd')"),
        ("x = 1", "None"),
        ("import nowhere", "Mo"),
    ):
        (tmp_path / "torchvision" / "__init__.py").write_text(text)
        script = f"""
import sys
sys.dont_write_bytecode = True
sys.path.insert(0, {str(tmp_path)!r})
from adabm._torchvision import install
install()
try:
    import torchvision
    print(None, "torch" in sys.modules)
except Exception as error:
    print(repr(error), "torch" in sys.modules)
"""
        shown = python(script)
        assert shown.startswith(error) and shown.split()[-1] == "False"
