"""Describing networks: those known by name, and any other."""

import dataclasses
import json
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import adabm
from adabm.errors import NetworkError
from adabm.networks import Role, build_network, describe, known_networks, save_network
from adabm.networks.describe import restore_descriptor
from adabm.networks.scale import file_scale, network_scale
from adabm.networks.trace import trace_network
from helpers.tiny_networks import TINY, run, tiny, with_role


def test_every_known_network_is_tested():
    assert set(TINY) == set(known_networks())


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
    assert (descriptor.channels, descriptor.size_multiple) == (3, 1)
    assert descriptor.options == network.adabm_options and options.items() <= descriptor.options.items()
    assert run(network).shape == (1, 3, 8 * scale, 8 * scale)


@pytest.mark.parametrize("scale, multiple", [(1, 4), (2, 2), (4, 1)])
@pytest.mark.parametrize("channels", [1, 3])
def test_a_network_that_unshuffles_its_input(scale, multiple, channels):
    network = build_network(
        "RRDBNet", num_in_ch=channels, num_out_ch=channels, num_feat=4, num_block=1, num_grow_ch=2, scale=scale
    )
    descriptor = describe(network)
    assert (descriptor.channels, descriptor.size_multiple) == (channels, multiple)
    sides = 2 * multiple, 3 * multiple
    assert network(torch.zeros(1, channels, *sides)).shape[2:] == (sides[0] * scale, sides[1] * scale)
    if multiple > 1:
        with pytest.raises((AssertionError, RuntimeError)):
            network(torch.zeros(1, channels, sides[0] + 1, sides[1]))


@pytest.mark.parametrize("name", TINY)
def test_descriptors_are_restored(name):
    descriptor = describe(tiny(name))
    stored = json.loads(json.dumps(descriptor.to_dict() | {"sha256": "another entry"}))
    assert restore_descriptor(stored) == descriptor


def test_descriptors_of_old_files_are_completed():
    """Those that were written before channels and size multiple were stored."""
    options = dict(num_in_ch=1, num_out_ch=1, num_feat=4, num_block=1, num_grow_ch=2)
    for scale, multiple in ((1, 4), (2, 2), (4, 1)):
        descriptor = describe(build_network("RRDBNet", scale=scale, **options))
        old = {k: v for k, v in descriptor.to_dict().items() if k not in ("channels", "size_multiple")}
        assert restore_descriptor(old) == descriptor and restore_descriptor(old).size_multiple == multiple
    unknown = describe(Shuffled()).to_dict()
    del unknown["channels"], unknown["size_multiple"]
    assert (restore_descriptor(unknown).channels, restore_descriptor(unknown).size_multiple) == (3, 1)


@pytest.mark.parametrize("changes", [dict(channels=0), dict(size_multiple=0)])
def test_impossible_descriptors(changes):
    with pytest.raises(NetworkError, match=f"EDSR: {next(iter(changes))} 0 is not a positive integer"):
        dataclasses.replace(describe(tiny("EDSR")), **changes)


@pytest.mark.parametrize("name", TINY)
def test_a_file_tells_the_scale(name, tmp_path):
    network = build_network(name, **TINY[name][0])
    save_network(network, tmp_path / "n.safetensors")
    assert file_scale(tmp_path / "n.safetensors") == TINY[name][1] == network_scale(network)


@pytest.mark.parametrize("name", TINY)
def test_roles_are_in_execution_order_and_blocks_return_features(name):
    network = tiny(name)
    descriptor, trace = describe(network), trace_network(network)
    assert list(descriptor.roles) == [call.name for call in trace.calls]
    assert set(descriptor.blocks) <= trace.tensor_modules


@pytest.mark.parametrize("name", TINY)
def test_inference_agrees_with_the_table(name):
    """Under another class name, the rules for unknown networks find the same parts."""
    several = {"num_block": 2} if name == "RRDBNet" else {}  # what comes once is no block by these rules
    network = tiny(name, **several)
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
    assert (descriptor.channels, descriptor.size_multiple) == (channels, 1)
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
    c = lambda i, o: nn.Conv2d(i, o, 3, padding=1)
    network = nn.Sequential(c(3, 6), c(6, 6), nn.ReLU(), c(6, 6), up, c(6, 6), nn.ReLU(), c(6, 3))
    descriptor = describe(network)
    assert {name: role.value for name, role in descriptor.roles.items()} == {
        "0": "first", "1": "body", "3": "body", "5": "upsampler", "7": "last",
    }  # fmt: skip
    assert descriptor.scale == 2 and descriptor.blocks == ("1", "3")


@pytest.mark.parametrize("side", [1, 6])
def test_padding_in_a_module_of_its_own_enlarges_nothing(side):
    c = lambda i, o: nn.Conv2d(i, o, 2 * side + 1)
    pad = nn.ReflectionPad2d(side)
    first = nn.Conv2d(3, 4, 3, padding=1)
    network = nn.Sequential(first, pad, c(4, 4), nn.ReLU(), pad, c(4, 12), nn.PixelShuffle(2), pad, c(3, 3))
    assert [role.value for role in describe(network).roles.values()] == ["first", "body", "upsampler", "last"]


class InThreads(nn.Module):
    """Two branches, the second in a thread of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(8, 3, 3, padding=1)
        self.branches = nn.ModuleList(nn.Conv2d(4, 4, 3, padding=1) for _ in range(2))

    def forward(self, x):
        x = self.first(x)
        with ThreadPoolExecutor(1) as pool:
            there = pool.submit(self.branches[1], x)
            return self.last(torch.cat([self.branches[0](x), there.result()], 1))


def test_a_network_that_computes_in_threads_is_refused_by_name():
    with pytest.raises(NetworkError, match=r"branches\.1 runs in a thread of its own"):
        describe(InThreads())


class Greedy(nn.Sequential):
    """A network for which there is not enough memory for so many pictures."""

    def __init__(self, most: int) -> None:
        convs = [nn.Conv2d(i, o, 3, padding=1) for i, o in ((3, 4), (4, 4), (4, 3))]
        super().__init__(*convs)
        self.most = most

    def forward(self, x):
        if len(x) > self.most:
            raise MemoryError("not enough of it")
        return super().forward(x)


@pytest.mark.parametrize("most", [0, 1])
def test_want_of_memory_is_not_taken_for_a_property_of_the_network(most):
    with pytest.raises(MemoryError, match="not enough"):
        describe(Greedy(most))
    assert describe(Greedy(2)).scale == 1


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


def test_a_quantized_model_is_refused_by_name():
    network = tiny("EDSR")
    model = adabm.QuantizedSR(network, adabm.preset("minmax"), describe(network))
    with pytest.raises(NetworkError, match=r"QuantizedSR is quantized already; its \.descriptor"):
        describe(model)
