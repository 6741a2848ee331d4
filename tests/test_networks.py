"""Networks: folding, building, loading, and agreement with the released weights."""

import copy
import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from adabm.errors import CheckpointError, NetworkError
from adabm.networks import RDN, SRResNet, build_network, describe, fold_reparameterized, load_network, save_network
from helpers.changes import CHANGES
from helpers.slow import slow
from helpers.tiny_networks import TINY, run, tiny

PARITY = Path(os.environ.get("ADABM_PARITY", Path(__file__).parents[2] / "shared" / "parity"))


# -- folding ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("act_type", ["prelu", "relu", "rrelu", "softplus", "linear"])
@pytest.mark.parametrize("with_idt", [True, False])
def test_folding_keeps_the_function(act_type, with_idt):
    torch.manual_seed(1)
    options = dict(num_block=2, num_channel=6, with_idt=with_idt, act_type=act_type, scale=2)
    network = build_network("ECBSR", **options).eval()
    before = run(network)
    with pytest.raises(NetworkError, match="backbone.0 is not folded; call fold_reparameterized"):
        describe(network)
    assert fold_reparameterized(network) is network
    torch.testing.assert_close(run(network), before, rtol=0, atol=1e-5)
    names = ["conv"] if act_type == "linear" else ["conv", "act"]
    assert [name for name, _ in network.backbone[1].named_children()] == names
    assert not any(module.training for module in network.modules())
    assert network.adabm_options["num_channel"] == 6


def test_folding_keeps_dtype_and_shared_blocks():
    network = build_network("ECBSR", **TINY["ECBSR"][0])
    network.backbone[2] = network.backbone[1]
    fold_reparameterized(network.double())
    assert network.backbone[2] is network.backbone[1]
    assert all(p.dtype == torch.float64 for p in network.parameters())
    assert network.backbone[1].training


@pytest.mark.parametrize("name", [name for name in TINY if name != "ECBSR"])
def test_folding_leaves_others_alone(name):
    network = build_network(name, **TINY[name][0])
    modules = dict(network.named_modules())
    assert fold_reparameterized(network) is network and dict(network.named_modules()) == modules


# -- building and loading --------------------------------------------------------------------------


def test_edsr_baseline_has_the_published_size():
    network = build_network("EDSR", num_feat=64, num_block=16, upscale=4)
    assert sum(p.numel() for p in network.parameters()) == 1_517_571


@pytest.mark.parametrize("cls", [SRResNet, RDN])
@pytest.mark.parametrize("scale", [2, 3, 4])
def test_own_networks_at_every_scale(cls, scale):
    network = cls(num_feat=4, num_block=2, upscale=scale).eval()
    assert run(network).shape == (1, 3, 8 * scale, 8 * scale)
    assert describe(network).scale == scale


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("EDRS", {}, "unknown network 'EDRS'; known are ECBSR, EDSR"),
        ("EDSR", {"num_feats": 8}, "EDSR has no option 'num_feats'; its options are num_in_ch, .*num_feat"),
        ("ECBSR", {"num_block": 2}, "ECBSR needs a value for num_channel, with_idt, act_type, scale"),
        ("RDN", {"upscale": 5}, "RDN: upscale 5 is not supported; choose 2, 3 or 4"),
        ("SRResNet", {"upscale": "4"}, "SRResNet: upscale = '4': must be a whole number in"),
        slow("EDSR", {"num_block": 10**9, "num_feat": 4}, "a network of more than 16,384 tensors"),
        ("EDSR", {"num_feat": 20_000}, "or 134,217,728 parameters; choose smaller ones"),
        ("EDSR", {"num_block": -1}, "EDSR: num_block = -1: must be a whole number >= 1"),
        ("EDSR", {"upscale": 2**30}, r"EDSR: upscale = 1073741824: must be a whole number in \[1, 64\]"),
        ("MSRResNet", {"upscale": 7, "num_feat": 4}, "MSRResNet cannot be built with .*'upscale': 7"),
    ],
)
def test_build_errors(name, options, message):
    with pytest.raises(NetworkError, match=message):
        build_network(name, **options)


def write(path: Path, network: nn.Module, /, **metadata: str) -> Path:
    found = {"network": type(network).__name__, "options": json.dumps(getattr(network, "adabm_options", {}))}
    save_file(network.state_dict(), path, found | metadata)
    return path


@pytest.mark.parametrize("name", TINY)
def test_load_round_trip(name, tmp_path):
    network = tiny(name)  # the weights of a folded network, for ECBSR
    path = write(tmp_path / "network.safetensors", network)
    state = torch.get_rng_state()
    loaded = load_network(path)
    assert torch.equal(torch.get_rng_state(), state)
    assert not loaded.training and loaded.adabm_options == network.adabm_options
    torch.testing.assert_close(run(loaded), run(network), rtol=0, atol=0)
    assert describe(loaded) == describe(network) == describe(copy.deepcopy(network))


def test_load_unfolded(tmp_path):
    network = build_network("ECBSR", **TINY["ECBSR"][0]).eval()
    loaded = load_network(write(tmp_path / "network.safetensors", network))
    assert loaded.state_dict().keys() == network.state_dict().keys()


def test_load_errors(tmp_path):
    network = tiny("EDSR")
    path = tmp_path / "network.safetensors"
    options = network.adabm_options

    def refused(message: str) -> None:
        with pytest.raises(CheckpointError, match=message) as caught:
            load_network(path)
        assert str(path) in str(caught.value)

    refused("no such file")
    path.write_bytes(b"not a network")
    refused("not a readable safetensors file")
    write(path, network)
    path.write_bytes(path.read_bytes()[:-100])
    refused("not a readable safetensors file")
    save_file(network.state_dict(), path, {"network": "EDSR"})
    refused("lacks its options; build it with build_network")
    write(path, network, options="{")
    refused("not JSON")
    write(path, network, options="[]")
    refused("not a JSON object")
    write(path, network, network="VDSR")
    refused("unknown network 'VDSR'")
    write(path, network, options=json.dumps(options | {"num_block": 3}))
    refused("body.2.conv1.weight is missing")
    write(path, network, options=json.dumps(options | {"num_block": 1}))
    refused("body.1.conv1.weight is not part of the network")
    write(path, network, options=json.dumps(options | {"num_feat": 6}))
    refused(r"has shape \(8, 3, 3, 3\), not \(6, 3, 3, 3\).*and \d+ more")


# -- the released code's weights -------------------------------------------------------------------


@pytest.mark.skipif(not PARITY.is_dir(), reason=f"no reference numbers at {PARITY} (set ADABM_PARITY)")
@pytest.mark.parametrize(
    ("file", "name", "options"),
    [
        ("srresnet_f16b2_x4_fq_w4a4", "SRResNet", dict(num_feat=16, num_block=2, upscale=4)),
        ("rdn_d2c3g8_x2_fq_w4a4", "RDN", dict(num_feat=16, num_block=2, num_layer=3, growth=8, upscale=2)),
    ],
)
def test_released_weights_give_the_released_output(file, name, options):
    with np.load(PARITY / f"{file}.npz") as arrays:
        weights = {k.removeprefix("weights/"): torch.from_numpy(arrays[k]) for k in arrays if k.startswith("weights/")}
        picture = torch.from_numpy(arrays["images/test/0"]).float()
        expected = torch.from_numpy(arrays["test_teacher/0"])
    network = build_network(name, **options).eval()
    network.load_state_dict(weights, strict=True)
    with torch.no_grad():
        torch.testing.assert_close(network(picture), expected, rtol=1e-5, atol=2e-6 * float(expected.abs().max()))


def test_save_network_round_trip(tmp_path):
    network = build_network("EDSR", num_feat=4, num_block=1, upscale=2)
    save_network(network, tmp_path / "edsr.safetensors")
    loaded = load_network(tmp_path / "edsr.safetensors")
    assert all(torch.equal(loaded.state_dict()[name], value) for name, value in network.state_dict().items())
    with pytest.raises(NetworkError, match="this class Conv2d is not registered.*register_architecture"):
        save_network(nn.Conv2d(3, 3, 3), tmp_path / "other.safetensors")


@pytest.mark.parametrize("change", CHANGES)
def test_a_network_that_was_changed_after_it_was_built_is_not_saved_by_its_name(change, tmp_path):
    network = build_network("EDSR", num_feat=4, num_block=1, upscale=2).eval()
    CHANGES[change](network)
    with pytest.raises(
        NetworkError, match="this EDSR computes something else .*give a changed network a class of its own"
    ):
        save_network(network, tmp_path / "edsr.safetensors")
    assert not list(tmp_path.iterdir())


def test_a_network_with_a_block_in_place_of_another_is_not_saved_by_its_name(tmp_path):
    network = build_network("EDSR", num_feat=4, num_block=2, upscale=2)
    network.body[1] = nn.Identity()
    with pytest.raises(NetworkError, match="this EDSR computes something else"):
        save_network(network, tmp_path / "edsr.safetensors")


def test_other_options_of_the_same_weights_are_not_saved(tmp_path):
    options = dict(num_feat=4, num_block=1, upscale=2)
    network = build_network("EDSR", **options, res_scale=0.1)
    with pytest.raises(NetworkError, match=r"computes something else than one that is built with \{'num_feat': 4"):
        save_network(network, tmp_path / "edsr.safetensors", options)
    save_network(network, tmp_path / "edsr.safetensors", options | {"res_scale": 0.1})


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16, torch.float64])
def test_saving_tries_a_network_in_its_own_type_and_leaves_its_modes(kind, tmp_path):
    network = build_network("SRResNet", num_feat=8, num_block=1, upscale=2).to(kind).train()
    means = [value.clone() for name, value in network.named_buffers()]
    save_network(network, tmp_path / "net.safetensors")
    assert all(module.training for module in network.modules())
    assert all(map(torch.equal, means, network.buffers()))
    network.upscale_factor = 3  # read by nobody
    save_network(network, tmp_path / "net.safetensors")


def test_a_network_built_by_its_class_is_saved_with_its_options(tmp_path):
    network, path = RDN(num_feat=4, num_block=1, num_layer=2, growth=4, upscale=2), tmp_path / "rdn.safetensors"
    with pytest.raises(NetworkError, match="RDN was not built by build_network, .*give them: save_network"):
        save_network(network, path)
    with pytest.raises(NetworkError, match="RDN was not built with .*has shape"):
        save_network(network, path, dict(num_feat=5, num_block=1, num_layer=2, growth=4, upscale=2))
    assert not path.exists()
    save_network(network, path, dict(num_feat=4, num_block=1, num_layer=2, growth=4, upscale=2))
    assert all(torch.equal(load_network(path).state_dict()[key], value) for key, value in network.state_dict().items())


def test_options_as_numpy_has_numbers_are_those_of_python(tmp_path):
    network = build_network("EDSR", num_feat=np.int64(4), num_block=1, upscale=np.uint8(2), res_scale=np.float32(0.5))
    assert network.adabm_options["num_feat"] == 4 and type(network.adabm_options["num_feat"]) is int
    save_network(network, tmp_path / "n.safetensors")
    assert load_network(tmp_path / "n.safetensors").adabm_options == network.adabm_options
    means = build_network("EDSR", num_feat=4, num_block=1, upscale=2, rgb_mean=np.array([0.5, 0.25, 0.75]))
    assert means.adabm_options["rgb_mean"] == [0.5, 0.25, 0.75]
    save_network(means, tmp_path / "n.safetensors")
