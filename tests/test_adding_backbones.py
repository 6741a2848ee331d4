"""A backbone of an unheard-of architecture is added from outside: one Python file, and a line of a plan.

And weights that others publish for it: one entry of a manifest, and a line of a plan.
"""

import os
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

import adabm
from adabm.cli import main
from adabm.errors import CheckpointError, NetworkError
from adabm.networks import Role, architecture, import_weights, known_networks, load_architectures
from adabm.pictures.reading import read_rgb
from adabm.study import Effort, read_plan
from helpers.cli_files import smooth
from helpers.file_server import write_manifest
from helpers.study_files import write_pictures
from pipelines.downloads.fetch import main as fetch
from pipelines.prepare.weights import main as convert

CODE = """
import torch
from torch import nn

from adabm.networks import Conversion, Layout, Reader, Role, register_architecture


def from_elsewhere(state):
    features = state["0.weight"].shape[0]
    names = {"0": "head", "1": "body.0", "2": "body.1", "3": "tail.0"}
    renamed = {f"{names[key.split('.')[0]]}.{key.split('.')[1]}": value for key, value in state.items()}
    return Conversion("Chain", {"features": features, "scale": round((len(state["3.bias"]) / 3) ** 0.5)}, renamed)


LAYOUT = Layout(((r"body\\.\\d+", Role.BODY),), blocks=lambda roles: ("body.0", "body.1"), value_range=255.0)


@register_architecture(LAYOUT, (Reader("chain-elsewhere", from_elsewhere, ("0.weight", "3.bias"), "chains of elsewhere"),))
class Chain(nn.Module):
    def __init__(self, features: int = 4, scale: int = 2) -> None:
        super().__init__()
        self.head = nn.Conv2d(3, features, 3, padding=1)
        self.body = nn.Sequential(*(nn.Conv2d(features, features, 3, padding=1) for _ in range(2)))
        self.tail = nn.Sequential(nn.Conv2d(features, 3 * scale**2, 3, padding=1), nn.PixelShuffle(scale))

    def forward(self, x):
        return self.tail(torch.relu(self.body(torch.relu(self.head(x)))))
"""
RECIPE = Effort(patch_size=8, patches=2, rounds=1, steps_per_round=1)


@pytest.fixture
def outside(tmp_path, monkeypatch) -> Path:
    """A file outside of the package that defines Chain, named in the environment; forgotten afterwards."""
    before = set(sys.modules)
    monkeypatch.setattr(architecture, "_KNOWN", dict(architecture.known_architectures()))
    path = tmp_path / "chain.py"
    path.write_text(CODE)
    monkeypatch.setenv("ADABM_ARCHITECTURES", str(path))
    yield path
    for name in set(sys.modules) - before:
        if name.startswith("adabm_architectures_"):
            del sys.modules[name]


@pytest.fixture
def weights(outside, tmp_path) -> Path:
    torch.manual_seed(0)
    adabm.save_network(adabm.build_network("Chain", features=6), tmp_path / "chain.safetensors")
    return tmp_path / "chain.safetensors"


@pytest.mark.slow
def test_a_model_of_a_class_that_was_edited_since_is_refused(weights, tmp_path, monkeypatch):
    network, path = adabm.load_network(weights), tmp_path / "q.safetensors"
    model, *_ = adabm.quantize(network, [smooth(0)], "minmax", patch_size=16)
    adabm.save_quantized(model, path)
    adabm.load_quantized(path)
    as_it_was = type(network).forward
    monkeypatch.setattr(type(network), "forward", lambda self, x: as_it_was(self, x) + 1)
    with pytest.raises(CheckpointError, match="from another Chain: its class computes something else than when"):
        adabm.load_quantized(path)


def plan_of(backbone: Path, root: Path) -> list:
    write_pictures(root / "data" / "Mine" / "HR", 1)
    write_pictures(root / "data" / "calibration" / "LR", 2, 16)
    line = dict(backbone=str(backbone), data="data", sets=["Mine"], settings=["W4A4 FQ"], methods=["minmax"])
    return read_plan([line], root, RECIPE)


@pytest.mark.slow
def test_an_architecture_and_its_weights(weights, tmp_path):
    """Loaded, described, planned, quantized, saved and loaded again, like those of the package."""
    assert "Chain" in known_networks()
    network = adabm.load_network(weights)
    descriptor = adabm.describe(network)
    assert (descriptor.name, descriptor.scale, descriptor.value_range) == ("Chain", 2, 255.0)
    roles = {"head": Role.FIRST, "body.0": Role.BODY, "body.1": Role.BODY, "tail.0": Role.LAST}
    assert descriptor.roles == roles and descriptor.blocks == ("body.0", "body.1")
    cells = plan_of(weights, tmp_path)
    assert [(cell.backbone, cell.scale, cell.run.method) for cell in cells] == [
        (weights, 2, "fp32"),
        (weights, 2, "minmax"),
    ]
    images = [read_rgb(path) for path in cells[1].calibration]
    model, _, _ = adabm.quantize(network, images, adabm.preset("minmax"), patch_size=8)
    assert set(model.layers) == set(roles)
    adabm.save_quantized(model, tmp_path / "quantized.safetensors")
    picture = torch.rand(1, 3, 8, 8) * 255
    with torch.no_grad():
        assert torch.equal(adabm.load_quantized(tmp_path / "quantized.safetensors")(picture), model(picture))


def test_published_weights_by_one_entry_of_a_manifest(outside, tmp_path, monkeypatch, capsys):
    state = {key.replace(".", "-"): value for key, value in adabm.build_network("Chain").state_dict().items()}
    names = {"head": "0", "body-0": "1", "body-1": "2", "tail-0": "3"}
    theirs = {f"{names[key.rpartition('-')[0]]}.{key.rpartition('-')[2]}": value for key, value in state.items()}
    (tmp_path / "mirror" / "Chain_x2").mkdir(parents=True)
    torch.save(theirs, tmp_path / "mirror" / "Chain_x2" / "chain.pth")
    files = {"chain.pth": (tmp_path / "mirror" / "Chain_x2" / "chain.pth").read_bytes()}
    entry = dict(kind="weights", backbone="chain_x2", format="chain-elsewhere")
    manifest = write_manifest(tmp_path / "manifest", {"Chain_x2": files}, "http://x", uses={"Chain_x2": entry})
    monkeypatch.setenv("ADABM_MIRROR", str(tmp_path / "mirror"))
    places = ["--manifest", str(manifest), "--downloads", str(tmp_path / "downloads")]
    assert fetch(["Chain_x2", "--offline", *places]) == 0
    assert convert(["chain_x2", "--output", str(tmp_path / "weights"), *places]) == 0
    cells = plan_of(tmp_path / "weights" / "chain_x2.safetensors", tmp_path)
    assert cells[0].backbone.stem == "chain_x2" and cells[0].scale == 2
    assert torch.equal(adabm.load_network(cells[0].backbone).body[1].bias, theirs["2.bias"])
    assert type(import_weights(tmp_path / "mirror" / "Chain_x2" / "chain.pth")).__name__ == "Chain"  # guessed


def test_another_process_needs_the_file_and_says_so(weights, outside, monkeypatch, capsys):
    """A weight file never runs code by itself: it names the file that has to be given."""
    forget(monkeypatch)
    monkeypatch.delenv("ADABM_ARCHITECTURES")
    assert main(["info", str(weights)]) == 2
    told = capsys.readouterr().err
    message = "; chain.py defines it: name that file in the environment variable ADABM_ARCHITECTURES, or import it"
    assert "unknown network 'Chain'" in told and message in told and told.count("\n") == 1
    monkeypatch.setenv("ADABM_ARCHITECTURES", str(outside))
    assert main(["info", str(weights)]) == 0 and "Chain" in capsys.readouterr().out


def forget(monkeypatch) -> None:
    """As in a new process, no file outside of the package is imported yet."""
    monkeypatch.setattr(architecture, "_KNOWN", {k: v for k, v in architecture._KNOWN.items() if k != "Chain"})
    for name in [name for name in sys.modules if name.startswith(("adabm_user_", "adabm_architectures_"))]:
        monkeypatch.delitem(sys.modules, name)


def test_a_file_is_imported_once(outside, tmp_path, monkeypatch):
    monkeypatch.delenv("ADABM_ARCHITECTURES")
    assert "Chain" not in known_networks()
    assert load_architectures(outside) == load_architectures(str(outside)) == ["Chain"]
    network = adabm.build_network("Chain")
    assert load_architectures(outside) == ["Chain"] and adabm.describe(network).value_range == 255.0


def test_without_a_layout_the_network_is_run_once(outside, tmp_path):
    outside.write_text(CODE.replace("@register_architecture(LAYOUT, ", "@register_architecture(None, "))
    descriptor = adabm.describe(adabm.build_network("Chain"))
    assert descriptor.roles["body.1"] is Role.BODY and descriptor.value_range == 1.0 and descriptor.scale == 2


@pytest.mark.parametrize(
    "code, message",
    [
        ("x = 1", "chain.py: registers no network; decorate its class with adabm.networks.register_architecture"),
        ("x = ", r"chain.py:1: cannot be imported: SyntaxError"),
        (CODE + "\n1 / 0", r"chain.py:\d+: cannot be imported: ZeroDivisionError"),
        (CODE.replace("Chain(", "EDSR("), r"cannot register EDSR: adabm.networks.architectures.edsr did; give"),
        (
            CODE.replace("chain-elsewhere", "edsr-pytorch"),
            r"cannot register the weights 'edsr-pytorch': there are such",
        ),
        (None, "chain.py: no such file"),
    ],
)
def test_files_that_cannot_be_used(outside, code, message):
    outside.unlink()
    if code is not None:
        outside.write_text(code)
    for _ in range(2):  # nothing of it is left behind
        with pytest.raises(NetworkError, match=message):
            known_networks()
    os.environ.pop("ADABM_ARCHITECTURES")
    assert "Chain" not in known_networks() and "EDSR" in known_networks()


def test_a_class_of_that_name_from_elsewhere_is_another(weights, outside, tmp_path):
    class Chain(torch.nn.Conv2d):
        pass

    with pytest.raises(NetworkError, match="this class Chain is not registered"):
        adabm.save_network(Chain(3, 3, 3), tmp_path / "other.safetensors")
    save_file(load_file(weights), tmp_path / "odd.safetensors", {"network": "Chain", "options": '{"width": 3}'})
    with pytest.raises(CheckpointError, match="odd.safetensors: Chain has no option 'width'; its options are features"):
        adabm.load_network(tmp_path / "odd.safetensors")


def test_a_class_is_registered_without_parentheses_too(outside):
    @adabm.networks.register_architecture
    class Bare(torch.nn.Module):
        pass

    assert isinstance(Bare, type) and "Bare" in known_networks()
