"""``adabm import``, and networks named by the path of their file."""

import json

import pytest
import torch

from adabm.cli import main
from adabm.errors import CheckpointError
from adabm.networks import IMPORT_KINDS, build_network, load_network, save_network
from adabm.networks.backbones import backbone_path, default_backbone


@pytest.fixture
def source(tmp_path):
    torch.manual_seed(0)
    network = build_network("EDSR", num_feat=4, num_block=2, upscale=2)
    torch.save({"params": network.state_dict()}, tmp_path / "edsr.pth")
    return tmp_path / "edsr.pth"


def run(*parts: object) -> int:
    return main([str(part) for part in parts])


def fails(capsys, *parts: object) -> str:
    """Run a command that must fail; return its only line on standard error."""
    capsys.readouterr()
    assert run(*parts) == 2
    captured = capsys.readouterr()
    assert captured.out == "" and captured.err.count("\n") == 1 and captured.err.startswith("adabm: error: ")
    return captured.err


def test_import_then_use(source, tmp_path, capsys):
    target = tmp_path / "sub" / "edsr.safetensors"
    assert run("import", source, target) == 0
    assert f"{target}: EDSR x2, full precision" in capsys.readouterr().out
    state = torch.load(source)["params"]
    assert all(torch.equal(value, state[name]) for name, value in load_network(target).state_dict().items())
    assert run("info", target, "--quiet") == 0
    assert backbone_path(str(target)) == target


def test_json_and_options(source, tmp_path, capsys):
    command = ["import", source, tmp_path / "e.safetensors", "--json", "--kind", "basicsr-edsr"]
    assert run(*command, "--set", "res_scale=0.5", "--set", "rgb_mean=[0.5, 0.5, 0.5]") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["source"] == str(source) and found["output"] == str(tmp_path / "e.safetensors")
    network = found["network"]
    assert (network["name"], network["scale"], network["value_range"]) == ("EDSR", 2, 1.0)
    assert network["options"]["res_scale"] == 0.5 and network["options"]["rgb_mean"] == [0.5, 0.5, 0.5]
    assert network["parameters"] == sum(value.numel() for value in torch.load(source)["params"].values())
    assert load_network(tmp_path / "e.safetensors").adabm_options == network["options"]


def test_failures_are_one_line(source, tmp_path, capsys):
    target = tmp_path / "out.safetensors"
    assert "must end in .safetensors" in fails(capsys, "import", source, tmp_path / "out.pth")
    assert "nowhere.pth: no such file" in fails(capsys, "import", tmp_path / "nowhere.pth", target)
    assert "unknown kind 'edsr'; known are" in fails(capsys, "import", source, target, "--kind", "edsr")
    assert "EDSR has no option 'depth'" in fails(capsys, "import", source, target, "--set", "depth=3")
    assert "--set num_feat: expected" in fails(capsys, "import", source, target, "--set", "num_feat")
    assert "--set path=1: expected" in fails(capsys, "import", source, target, "--set", "path=1")
    assert "res_scale is set twice" in fails(
        capsys, "import", source, target, "--set", "res_scale=1", "--set", "res_scale=1"
    )
    assert "does not fit EDSR" in fails(capsys, "import", source, target, "--set", "num_block=3")
    assert not target.exists()
    target.write_bytes(b"precious")
    assert "exists; add --overwrite" in fails(capsys, "import", source, target)
    assert run("import", source, target, "--overwrite", "--quiet") == 0


def test_other_commands_take_the_file_as_it_is(source, tmp_path, capsys):
    assert run("info", source) == 0
    assert capsys.readouterr().out.startswith("EDSR: x2")
    state = torch.load(source)["params"]
    assert all(torch.equal(value, state[name]) for name, value in load_network(source).state_dict().items())


def test_help_names_every_kind(capsys):
    assert run("import", "--help") == 0
    shown = capsys.readouterr().out
    assert all(f"\n  {kind} " in shown for kind in IMPORT_KINDS) and "SRResNet of PyTorch's tutorial" in shown


def test_backbones_by_name_and_by_path(tmp_path, monkeypatch):
    assert backbone_path("edsr_f32b8_x4") == default_backbone()
    with pytest.raises(
        CheckpointError,
        match="edsr_f99: no such backbone; there are edsr_f32b8_x4, .*dat_light_x2, .*ending in .safetensors, .pth",
    ):
        backbone_path("edsr_f99")
    with pytest.raises(CheckpointError, match="own.safetensors: no such file"):
        backbone_path(str(tmp_path / "own.safetensors"))
    with pytest.raises(CheckpointError, match="no such file"):
        backbone_path("edsr_f32b8_x4.safetensors")  # a path, not a shipped network's name
    save_network(build_network("EDSR", num_feat=4, num_block=1, upscale=2), tmp_path / "own.safetensors")
    assert backbone_path(str(tmp_path / "own.safetensors")) == tmp_path / "own.safetensors"
    monkeypatch.chdir(tmp_path)
    assert load_network(backbone_path("own.safetensors")).adabm_options["num_feat"] == 4


@pytest.mark.parametrize("options", ["num_block=10000000", "num_feat=1000000"])
def test_options_that_ask_for_a_network_far_larger_than_the_file_are_refused_at_once(source, tmp_path, capsys, options):
    told = fails(capsys, "import", source, tmp_path / "x.safetensors", "--set", options)
    assert "its options ask for a network that is larger than the tensors of the file" in told


def test_more_threads_than_a_system_gives_are_refused(source, capsys):
    assert run("upscale", "a.png", "b.png", "--network", source, "--threads", 9999999) == 2
    assert "argument --threads: 9999999 is more than 1024" in capsys.readouterr().err


@pytest.mark.parametrize(
    "changed",
    [
        lambda value: value.to(torch.int8),
        lambda value: value.to(torch.complex64),
        lambda value: value.to_sparse(),
        lambda value: value.to("meta"),
        lambda value: torch.quantize_per_tensor(value, 0.1, 0, torch.qint8),
    ],
    ids=["whole numbers", "complex", "sparse", "meta", "quantized"],
)
@pytest.mark.filterwarnings("ignore")
def test_weights_that_are_no_plain_real_numbers_are_refused(tmp_path, capsys, changed):
    """Whole and complex numbers were taken as floating point: another network, without a word."""
    torch.manual_seed(0)
    state = build_network("EDSR", num_feat=4, num_block=2, upscale=2).state_dict()
    torch.save({name: changed(value) for name, value in state.items()}, tmp_path / "odd.pth")
    assert "conv_first.weight is no plain tensor of real numbers" in fails(capsys, "info", tmp_path / "odd.pth")
