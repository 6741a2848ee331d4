"""Networks: building, loading, folding, describing, and agreement with the released weights."""

import copy
import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn
from torch.nn import functional as F

from adabm.errors import CheckpointError, NetworkError
from adabm.networks import (
    RDN,
    NetworkDescriptor,
    Role,
    SRResNet,
    build_network,
    describe,
    fold_reparameterized,
    load_network,
    save_network,
)
from adabm.networks.registry import KNOWN_NETWORKS
from adabm.networks.trace import trace_network

PARITY = Path(os.environ.get("ADABM_PARITY", Path(__file__).parents[2] / "shared" / "parity"))

# name: (options, scale, first, last, convolutions with the role BODY, blocks)
TINY = {
    "EDSR": (dict(num_feat=8, num_block=2, upscale=4), 4, "conv_first", "conv_last", 4, ("body.0", "body.1")),
    "MSRResNet": (dict(num_feat=8, num_block=2, upscale=4), 4, "conv_first", "conv_last", 4, ("body.0", "body.1")),
    "RCAN": (
        dict(num_feat=8, num_group=2, num_block=2, squeeze_factor=4, upscale=3),
        3, "conv_first", "conv_last", 10, ("body.0", "body.1"),
    ),
    "RRDBNet": (
        dict(num_feat=8, num_block=2, num_grow_ch=4, scale=4),
        4, "conv_first", "conv_last", 30, ("body.0", "body.1"),
    ),
    "SRVGGNetCompact": (
        dict(num_feat=8, num_conv=3, upscale=2), 2, "body.0", "body.8", 3, ("body.3", "body.5", "body.7"),
    ),
    "ECBSR": (
        dict(num_block=2, num_channel=8, with_idt=True, act_type="prelu", scale=2),
        2, "backbone.0.conv", "backbone.3.conv", 2, ("backbone.1", "backbone.2"),
    ),
    "SRResNet": (dict(num_feat=8, num_block=2, upscale=4), 4, "head.0", "tail.1", 4, ("body.0", "body.1")),
    "RDN": (
        dict(num_feat=8, num_block=2, num_layer=3, growth=4, upscale=2),
        2, "SFENet1", "UPNet.2", 8, ("RDBs.0", "RDBs.1"),
    ),
}  # fmt: skip


def tiny(name: str) -> nn.Module:
    torch.manual_seed(0)
    return fold_reparameterized(build_network(name, **TINY[name][0])).eval()


def run(network: nn.Module, side: int = 8) -> torch.Tensor:
    with torch.no_grad():
        return network(torch.linspace(0, 1, 3 * side * side).view(1, 3, side, side))


def with_role(descriptor: NetworkDescriptor, role: Role) -> list[str]:
    return [name for name, r in descriptor.roles.items() if r is role]


def test_every_known_network_is_tested():
    assert set(TINY) == set(KNOWN_NETWORKS)


# -- describing ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", TINY)
def test_describe_known(name):
    options, scale, first, last, body, blocks = TINY[name]
    network = tiny(name)
    descriptor = describe(network)
    convolutions = {n for n, m in network.named_modules() if isinstance(m, nn.Conv2d)}
    assert set(descriptor.roles) == convolutions
    assert descriptor.name == name and descriptor.scale == scale
    assert descriptor.value_range == (255.0 if name in ("SRResNet", "RDN") else 1.0)
    assert with_role(descriptor, Role.FIRST)[0] == first and with_role(descriptor, Role.LAST) == [last]
    assert len(with_role(descriptor, Role.BODY)) == body
    assert descriptor.blocks == blocks
    assert descriptor.block_feature_size_normalized == (name == "RDN")
    assert descriptor.options == network.adabm_options and options.items() <= descriptor.options.items()
    assert run(network).shape == (1, 3, 8 * scale, 8 * scale)


@pytest.mark.parametrize("name", TINY)
def test_roles_are_in_execution_order_and_blocks_return_features(name):
    network = tiny(name)
    descriptor, trace = describe(network), trace_network(network)
    assert list(descriptor.roles) == [call.name for call in trace.calls]
    assert set(descriptor.blocks) <= trace.tensor_modules


@pytest.mark.parametrize("name", TINY)
def test_inference_agrees_with_the_table(name):
    """Under another class name, the rules for unknown networks find the same parts."""
    network = tiny(name)
    known = describe(network)
    network.__class__ = type("Unheard", (type(network),), {})
    network.train()
    network.get_submodule(known.blocks[0]).eval()
    inferred = describe(network, value_range=known.value_range)
    assert inferred.name == "Unheard" and inferred.scale == known.scale
    assert list(inferred.roles) == list(known.roles)
    assert inferred.blocks == (known.blocks if name != "SRVGGNetCompact" else ("body.2", "body.4", "body.6"))
    for role in (Role.LAST, Role.UPSAMPLER, Role.SKIP):
        assert with_role(inferred, role) == with_role(known, role)
    assert with_role(inferred, Role.FIRST) == with_role(known, Role.FIRST)[:1]
    assert network.training and not network.get_submodule(known.blocks[0]).training  # modes restored
    assert not any(module._forward_hooks for module in network.modules())


def test_special_roles():
    assert with_role(describe(tiny("EDSR")), Role.AFTER_BODY) == ["conv_after_body"]
    assert with_role(describe(tiny("EDSR")), Role.UPSAMPLER) == ["upsample.0", "upsample.2"]
    assert with_role(describe(tiny("RRDBNet")), Role.AFTER_BODY) == ["conv_body"]
    assert with_role(describe(tiny("RRDBNet")), Role.UPSAMPLER) == ["conv_up1", "conv_up2", "conv_hr"]
    assert with_role(describe(tiny("MSRResNet")), Role.UPSAMPLER) == ["upconv1", "upconv2", "conv_hr"]
    assert with_role(describe(tiny("SRResNet")), Role.AFTER_BODY) == ["body.2"]
    rcan = describe(tiny("RCAN"))
    assert len(with_role(rcan, Role.SKIP)) == 8 and rcan.roles["body.1.conv"] is Role.BODY
    rdn = describe(tiny("RDN"))
    assert with_role(rdn, Role.FIRST) == ["SFENet1", "SFENet2"]
    assert with_role(rdn, Role.FUSION) == ["RDBs.0.LFF", "RDBs.1.LFF"]
    assert rdn.roles["GFF.0"] is rdn.roles["GFF.1"] is Role.BODY
    assert "x2, pixel values 0 to 255, 2 blocks" in rdn.summary()


def test_describe_arguments():
    network = tiny("EDSR")
    assert describe(network, scale=4, value_range=255.0).value_range == 255.0
    with pytest.raises(NetworkError, match="scale 2 was asked for, but the network enlarges by 4"):
        describe(network, scale=2)
    with pytest.raises(NetworkError, match="value_range 100"):
        describe(network, value_range=100)


class Block(nn.Module):
    """Residual block with channel attention on pooled features."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(6, 6, 3, padding=1)
        self.attention = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(6, 6, 1))

    def forward(self, x):
        y = F.relu(self.conv(x))
        return x + y * torch.sigmoid(self.attention(y))


class Shuffled(nn.Module):
    """Custom network with a functional pixel shuffle, defined in another order than it runs."""

    def __init__(self, channels: int = 3, scale: int = 2) -> None:
        super().__init__()
        self.scale_of_net = scale
        self.out = nn.Conv2d(6, channels, 3, padding=1)
        self.up = nn.Conv2d(6, 6 * scale**2, 3, padding=1)
        self.trunk = nn.ModuleDict({"blocks": nn.ModuleList(Block() for _ in range(3))})
        self.unused = nn.Conv2d(6, 6, 1)
        self.inp = nn.Conv2d(channels, 6, 3, padding=1)

    def forward(self, x):
        x = self.inp(x)
        for block in self.trunk["blocks"]:
            x = block(x)
        return self.out(F.relu(F.pixel_shuffle(F.relu(self.up(x)), self.scale_of_net)))


@pytest.mark.parametrize("channels", [3, 1])
def test_describe_unknown_with_pixel_shuffle(channels):
    descriptor = describe(Shuffled(channels))
    R = Role
    expected = {"inp": R.FIRST}
    for i in range(3):
        expected |= {f"trunk.blocks.{i}.conv": R.BODY, f"trunk.blocks.{i}.attention.1": R.SKIP}
    expected |= {"up": R.UPSAMPLER, "out": R.LAST, "unused": R.SKIP}
    assert list(descriptor.roles.items()) == list(expected.items())
    assert descriptor.blocks == tuple(f"trunk.blocks.{i}" for i in range(3))
    assert (descriptor.name, descriptor.scale, descriptor.value_range) == ("Shuffled", 2, 1.0)
    assert descriptor.options == {}


def test_tracing_leaves_random_state_and_modes():
    network = Shuffled().train()
    network.trunk.eval()
    modes = [module.training for module in network.modules()]
    state = torch.get_rng_state()
    describe(network)
    assert torch.equal(torch.get_rng_state(), state)
    assert [module.training for module in network.modules()] == modes


@pytest.mark.parametrize("kind", ["transposed", "interpolated"])
def test_describe_unknown_enlarged_otherwise(kind):
    up = nn.ConvTranspose2d(6, 6, 2, stride=2) if kind == "transposed" else nn.Upsample(scale_factor=2)
    c = lambda i, o: nn.Conv2d(i, o, 3, padding=1)  # noqa: E731
    network = nn.Sequential(c(3, 6), c(6, 6), nn.ReLU(), c(6, 6), up, c(6, 6), nn.ReLU(), c(6, 3))
    descriptor = describe(network)
    assert {name: role.value for name, role in descriptor.roles.items()} == {
        "0": "first", "1": "body", "3": "body", "5": "upsampler", "7": "last",
    }  # fmt: skip
    assert descriptor.scale == 2 and descriptor.blocks == ("1", "3")


class Wrong(nn.Module):
    """One convolution in the body, then whatever ``ending`` makes of it."""

    def __init__(self, ending) -> None:
        super().__init__()
        self.convs = nn.Sequential(*(nn.Conv2d(3, 3, 3, padding=1) for _ in range(3)))
        self.ending = ending

    def forward(self, x):
        return self.ending(self.convs(x))


def refuse(x):
    raise RuntimeError("needs a second picture")


@pytest.mark.parametrize(
    ("network", "message"),
    [
        (Wrong(refuse), "needs a second picture.*NetworkDescriptor by hand"),
        (Wrong(lambda x: [x, x]), "returns a list"),
        (Wrong(lambda x: x.mean(1)), "returns a 3-dimensional tensor"),
        (Wrong(lambda x: x[:, :, 1:-1, 1:-1]), "not an integer; pass scale"),
        (nn.Sequential(nn.Linear(3, 3)), "the forward on a 32x32 picture failed"),
        (nn.Upsample(scale_factor=2), "runs no nn.Conv2d"),
        (nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 3, 3, padding=1)), "no convolution has the role"),
    ],
)
def test_describe_errors(network, message):
    with pytest.raises(NetworkError, match=message):
        describe(network)


def test_scale_of_a_cropping_network_can_be_given():
    assert describe(Wrong(lambda x: x[:, :, 1:-1, 1:-1]), scale=1).scale == 1


def test_a_foreign_class_of_a_known_name_is_unknown():
    foreign = type("EDSR", (Shuffled,), {})()
    assert describe(foreign).blocks == tuple(f"trunk.blocks.{i}" for i in range(3))


def test_changed_known_network_is_refused():
    network = tiny("EDSR")
    network.conv_after_body = nn.Sequential(network.conv_after_body)
    with pytest.raises(NetworkError, match="conv_after_body.0 is no convolution of EDSR"):
        describe(network)


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
        ("SRResNet", {"upscale": "4"}, "SRResNet: upscale '4' is not supported"),
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
    refused("damaged or not a safetensors file")
    write(path, network)
    path.write_bytes(path.read_bytes()[:-100])
    refused("damaged")
    save_file(network.state_dict(), path)
    refused("metadata lacks network and options")
    refused("build_network")
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
        torch.testing.assert_close(network(picture), expected, rtol=1e-5, atol=1e-3)


def test_save_network_round_trip(tmp_path):
    network = build_network("EDSR", num_feat=4, num_block=1, upscale=2)
    save_network(network, tmp_path / "edsr.safetensors")
    loaded = load_network(tmp_path / "edsr.safetensors")
    assert all(torch.equal(loaded.state_dict()[name], value) for name, value in network.state_dict().items())
    with pytest.raises(NetworkError, match="build_network"):
        save_network(nn.Conv2d(3, 3, 3), tmp_path / "other.safetensors")
