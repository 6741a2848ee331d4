"""Linear layers and products of attention: found, quantized as a plain computation says, counted."""

import copy

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from adabm.engines.cost import cost
from adabm.errors import NetworkError
from adabm.networks import NetworkDescriptor, Role, describe
from adabm.networks.products import as_product
from adabm.quantization.bit_rule import Policy
from adabm.quantization.layers import QuantizedLinear
from adabm.quantization.macs import count_macs
from adabm.quantization.model import QuantizedSR
from adabm.recipes import calibrate
from adabm.steps.clip import clip_ranges
from adabm.steps.tune import Tune
from adabm.steps.tuner import FineTuner
from helpers.community_networks import COMMUNITY, build_community
from helpers.configurations import configured
from helpers.slow import slow

CHANNELS, WINDOW, HEADS = 8, 4, 2


def windows(x: Tensor) -> Tensor:
    """(N, C, H, W) -> (N * windows, tokens, C)"""
    n, c, h, w = x.shape
    x = x.view(n, c, h // WINDOW, WINDOW, w // WINDOW, WINDOW)
    return x.permute(0, 2, 4, 3, 5, 1).reshape(-1, WINDOW * WINDOW, c)


def whole(x: Tensor, h: int, w: int) -> Tensor:
    """The inverse of :func:`windows`."""
    x = x.view(-1, h // WINDOW, w // WINDOW, WINDOW, WINDOW, x.shape[-1])
    return x.permute(0, 5, 1, 3, 2, 4).reshape(x.shape[0], x.shape[-1], h, w)


class Attention(nn.Module):
    """Attention in windows, its products written in one of three ways."""

    def __init__(self, way: str) -> None:
        super().__init__()
        self.way = way
        self.qkv, self.proj = nn.Linear(CHANNELS, 3 * CHANNELS), nn.Linear(CHANNELS, CHANNELS)
        self.position = nn.Linear(2, HEADS)
        ends = torch.arange(WINDOW * WINDOW, dtype=torch.float32)
        self.register_buffer("places", torch.stack(torch.meshgrid(ends, ends, indexing="ij"), -1) / 16)

    def forward(self, x: Tensor) -> Tensor:
        count, tokens, channels = x.shape
        q, k, v = self.qkv(x).view(count, tokens, 3, HEADS, channels // HEADS).permute(2, 0, 3, 1, 4)
        bias = self.position(self.places.to(x.dtype)).permute(2, 0, 1)
        if self.way == "causal":
            mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        elif self.way == "fused":
            mixed = F.scaled_dot_product_attention(q, k, v, attn_mask=bias)
        else:
            q = q * q.shape[-1] ** -0.5
            scores = q @ k.transpose(-2, -1) if self.way == "matmul" else torch.einsum("bhid,bhjd->bhij", q, k)
            weights = (scores + bias).softmax(-1)
            mixed = weights @ v if self.way == "matmul" else torch.einsum("bhij,bhjd->bhid", weights, v)
        return self.proj(mixed.transpose(1, 2).reshape(count, tokens, channels))


class Block(nn.Module):
    def __init__(self, way: str) -> None:
        super().__init__()
        self.norm, self.attention = nn.LayerNorm(CHANNELS), Attention(way)

    def forward(self, x: Tensor) -> Tensor:
        h, w = x.shape[2:]
        return x + whole(self.attention(self.norm(windows(x))), h, w)


class TinyTransformer(nn.Module):
    def __init__(self, way: str = "matmul") -> None:
        super().__init__()
        self.first = nn.Conv2d(3, CHANNELS, 3, padding=1)
        self.blocks = nn.Sequential(Block(way), Block(way))
        self.last = nn.Conv2d(CHANNELS, 12, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return F.pixel_shuffle(self.last(self.blocks(self.first(x))), 2)


WAYS = ("matmul", "einsum", "fused")


def tiny(way: str = "matmul", dtype: torch.dtype = torch.float64) -> TinyTransformer:
    torch.manual_seed(0)
    return TinyTransformer(way).to(dtype).eval()


def pictures(count: int = 3, side: int = 8) -> Tensor:
    """From flat to rough, so that images get different bits."""
    noise = torch.rand(count, 3, side, side, generator=torch.Generator().manual_seed(1), dtype=torch.float64) - 0.5
    return 0.5 + noise * torch.linspace(0.02, 0.9, count, dtype=torch.float64).view(-1, 1, 1, 1)


def quantized(way: str = "matmul", **settings: object) -> QuantizedSR:
    model = QuantizedSR(tiny(way), configured(**settings)).double()
    calibrate(model, [pictures(4), pictures(3)])
    return model


pytestmark = pytest.mark.filterwarnings("ignore:.* is unknown; its layout was guessed")


def sites(way: str, block: int) -> list[str]:
    names = ["attention0"] if way == "fused" else ["product0", "product1"]
    return [f"blocks.{block}.attention.{name}" for name in names]


@pytest.mark.parametrize("way", WAYS)
def test_roles(way):
    network = tiny(way)
    descriptor = describe(network)
    body = [[f"blocks.{b}.attention.qkv", *sites(way, b), f"blocks.{b}.attention.proj"] for b in (0, 1)]
    assert [n for n, role in descriptor.roles.items() if role is Role.BODY] == body[0] + body[1]
    assert descriptor.roles["first"] is Role.FIRST and descriptor.roles["last"] is Role.LAST
    # positions are the same for all pictures
    assert all(descriptor.roles[f"blocks.{b}.attention.position"] is Role.SKIP for b in (0, 1))
    assert descriptor.blocks == ("blocks.0", "blocks.1") and descriptor.scale == 2


@pytest.mark.parametrize("way", WAYS)
def test_full_precision_is_the_network_itself(way):
    network, x = tiny(way), pictures()
    model = quantized(way)
    with torch.no_grad(), model.full_precision():
        assert torch.equal(model(x), network(x))
    assert set(network.state_dict()) <= set(model.network.state_dict())


def grid(x: Tensor, quantizer: nn.Module, bits: Tensor, images: int) -> Tensor:
    """Round to the grid, image by image, from the definition."""
    lower, upper = quantizer.lower.item(), quantizer.upper.item()
    parts = []
    for image, b in zip(x.reshape(images, -1, *x.shape[1:]), bits.expand(images)):
        steps = 2 ** float(b) - 1
        parts.append(((image.clamp(lower, upper) - lower) / (upper - lower) * steps).round() / steps)
    return torch.cat(parts).reshape(x.shape) * (upper - lower) + lower


@pytest.mark.parametrize("way", WAYS)
def test_against_a_plain_computation(way):
    """One attention, computed by hand with rounded operands, at bits that differ between the images."""
    model, x = quantized(way), pictures()
    out = model.infer(x)
    inner = model.network.blocks[0].attention
    seen = {}
    handle = inner.register_forward_hook(lambda _m, inputs, output: seen.update(x=inputs[0], y=output))
    bits = model.infer(x).layer_bits
    handle.remove()
    name = "blocks.0.attention"
    assert len({int(b) for b in bits[f"{name}.qkv"]}) > 1, "the images get different bits"
    layers, count = model.layers, len(x)

    def linear(layer: QuantizedLinear, value: Tensor) -> Tensor:
        scale, steps = layer.weight_quantizer.scale.item(), 2**layer.weight_bits - 1
        weight = ((layer.weight.clamp(-scale, scale) + scale) / (2 * scale) * steps).round() / steps * 2 * scale - scale
        return F.linear(grid(value, layer.activation, bits[layer.name], count), weight, layer.bias)

    def operand(full: str, value: Tensor) -> Tensor:
        return grid(value, layers[full].activation, bits[full], count)

    first, second = (
        (f"{name}.attention0.scores", f"{name}.attention0.mixture")
        if way == "fused"
        else (f"{name}.product0", f"{name}.product1")
    )
    value = seen["x"].detach()
    q, k, v = linear(inner.qkv, value).view(*value.shape[:2], 3, HEADS, -1).permute(2, 0, 3, 1, 4)
    scale = q.shape[-1] ** -0.5
    q = q * scale
    if way == "einsum":
        scores = operand(f"{first}.left", q) @ operand(f"{first}.right", k).transpose(-2, -1)
    else:
        scores = operand(f"{first}.left", q) @ operand(f"{first}.right", k.transpose(-2, -1))
    bias = inner.position(inner.places.to(value.dtype)).permute(2, 0, 1)
    weights = (scores + bias).softmax(-1)
    mixed = operand(f"{second}.left", weights) @ operand(f"{second}.right", v)
    expected = linear(inner.proj, mixed.transpose(1, 2).reshape(value.shape))
    torch.testing.assert_close(seen["y"], expected, rtol=1e-9, atol=1e-9)
    assert torch.isfinite(out.image).all()


@pytest.mark.parametrize("way", WAYS)
def test_a_batch_is_its_images_one_by_one(way):
    model, x = quantized(way), pictures()
    with torch.no_grad():
        together = model.infer(x)
        for index in range(len(x)):
            alone = model.infer(x[index : index + 1])
            torch.testing.assert_close(alone.image[0], together.image[index], rtol=1e-10, atol=1e-10)
            assert alone.feature_average_bits[0] == together.feature_average_bits[index]


def test_which_bits():
    model = quantized(weight_bits=4, activation_bits=4)
    assert list(model.layers) == [
        "first",
        *(
            f"blocks.{b}.attention.{name}"
            for b in (0, 1)
            for name in ("qkv", "product0.left", "product0.right", "product1.left", "product1.right", "proj")
        ),
        "last",
    ]
    operand, linear = (model.layers[f"blocks.0.attention.{name}"] for name in ("product0.left", "qkv"))
    assert operand.policy is linear.policy is Policy.ADAPTIVE and operand.weight_bits is None
    assert model.layers["first"].policy is model.layers["last"].policy is Policy.FIXED
    assert operand.layer2bit is not None and not isinstance(model.network.blocks[0].attention.position, QuantizedLinear)


def test_cost_by_hand():
    model = quantized()
    tokens, pixels = WINDOW * WINDOW, 16 * 16
    macs = count_macs(model, 16, 16)
    assert macs["first"] == pixels * 27 * CHANNELS and macs["last"] == pixels * 9 * CHANNELS * 12
    for block in (0, 1):
        name = f"blocks.{block}.attention"
        assert macs[f"{name}.qkv"] == pixels * 3 * CHANNELS**2 and macs[f"{name}.proj"] == pixels * CHANNELS**2
        assert macs[f"{name}.product0"] == macs[f"{name}.product1"] == pixels * tokens * CHANNELS
    assert macs.pop("") == 2 * tokens**2 * 2 * HEADS, "the positions, in full precision"
    bits = {name: 8.0 if layer.policy is Policy.FIXED else 5.0 for name, layer in model.layers.items()}
    bits["blocks.0.attention.product0.right"] = 3.0
    whole = cost(model, bits, output=(32, 32))
    expected = sum(
        count * (8 * 8 if name in ("first", "last") else 5 * 5 if "product" in name else 4 * 5)
        for name, count in macs.items()
    )
    expected += macs["blocks.0.attention.product0"] * (5 * 3 - 5 * 5) + 2 * tokens**2 * 2 * HEADS * 1024
    assert whole.bitops == expected
    assert cost(model, None, output=(32, 32)).relative_bitops == 1


def test_fused_attention_costs_what_its_products_cost():
    fused, plain = quantized("fused"), quantized("matmul")
    assert sum(count_macs(fused, 16, 16).values()) == sum(count_macs(plain, 16, 16).values())


@pytest.mark.parametrize("way", WAYS)
def test_clipping_and_tuning_reach_the_operands(way):
    model = quantized(way)
    operand = next(layer for name, layer in model.layers.items() if name.endswith(".left"))
    before = operand.activation.upper.item(), operand.activation.lower.item()
    clip_ranges(model, pictures(2))
    assert (operand.activation.upper.item(), operand.activation.lower.item()) != before
    tuner = FineTuner(model, Tune(rounds=3, steps_per_round=1))
    for group in ("weight", "activation", "mapping"):
        moved = {n: p.clone() for n, p in model.named_parameters()}
        step = tuner.step(group, pictures(2))
        assert step.pixel > 0
        changed = {n for n, p in model.named_parameters() if not torch.equal(p, moved[n])}
        assert any("attention" in name for name in changed), group


class WindowsFirst(Attention):
    """The windows of all images are interleaved: the first axis holds window 0 of every image, then window 1, ..."""

    def forward(self, x: Tensor) -> Tensor:
        per_image = 16
        x = x.view(-1, per_image, *x.shape[1:]).transpose(0, 1).reshape(x.shape)
        x = super().forward(x)
        return x.view(per_image, -1, *x.shape[1:]).transpose(0, 1).reshape(x.shape)


def test_what_cannot_be_told_apart_stays_in_full_precision():
    network = tiny(dtype=torch.float32)
    inner = WindowsFirst("matmul").eval()
    inner.load_state_dict(network.blocks[1].attention.state_dict())
    side = 16
    network.blocks[1].attention = inner
    roles = describe(_at(network, side)).roles
    at = {name.rpartition("blocks.1.attention.")[2]: role for name, role in roles.items() if "blocks.1" in name}
    assert at == dict.fromkeys(("qkv", "product0", "product1", "proj", "position"), Role.SKIP)
    assert Role.BODY in {role for name, role in roles.items() if "blocks.0" in name}


class _at(nn.Module):
    """Let a network see pictures of a side that it was written for."""

    def __init__(self, network: nn.Module, side: int) -> None:
        super().__init__()
        self.network, self.side = network, side

    def forward(self, x: Tensor) -> Tensor:
        return F.interpolate(self.network(x[..., : self.side, : self.side]), x.shape[-1] * 2)


def test_a_descriptor_by_hand_that_is_wrong_is_refused():
    network = tiny(dtype=torch.float32)
    good = describe(network)
    for roles in ({"blocks.0.attention.product7x": Role.BODY}, {"blocks.9.attention.product0": Role.BODY}):
        wrong = NetworkDescriptor("TinyTransformer", 2, 1.0, {**good.roles, **roles}, good.blocks)
        with pytest.raises(NetworkError, match=f"names {next(iter(roles))!r}"):
            QuantizedSR(network, configured(), wrong)
    model = QuantizedSR(network, configured(), good)
    model.context.images = 3
    with pytest.raises(NetworkError, match="qkv: the first axis of its input, 4, does not hold 3 images"):
        model.network.blocks[0].attention(torch.rand(4, 16, CHANNELS))


def test_multihead_attention_is_refused_by_name():
    class Network(TinyTransformer):
        def __init__(self) -> None:
            super().__init__()
            self.many = nn.MultiheadAttention(CHANNELS, 2, batch_first=True)

        def forward(self, x: Tensor) -> Tensor:
            tokens = self.first(x).flatten(2).transpose(1, 2)
            tokens = self.many(tokens, tokens, tokens)[0]
            return F.pixel_shuffle(self.last(tokens.transpose(1, 2).reshape(-1, CHANNELS, *x.shape[2:])), 2)

    with pytest.raises(NetworkError, match=r"many is an nn\.MultiheadAttention.*scaled_dot_product_attention"):
        describe(Network().eval())


def test_a_copy_of_a_model_computes_the_same():
    model, x = quantized(), pictures()
    again = copy.deepcopy(model)
    with torch.no_grad():
        assert torch.equal(model(x), again(x))
        model.network.blocks[0].attention.product0.left.activation.upper.mul_(0.1)
        assert not torch.equal(model(x), again(x))


@pytest.mark.parametrize("name, products", [("SwinIR", 4), slow("DAT", 10), slow("HAT", 4)])
def test_community_transformers(name, products):
    network = build_community(name, **COMMUNITY[name]).double()
    descriptor = describe(network)
    found = [n for n, role in descriptor.roles.items() if "product" in n.rpartition(".")[2] and role is Role.BODY]
    assert len(found) >= products
    linear = [n for n, m in network.named_modules() if isinstance(m, nn.Linear)]
    assert set(linear) <= set(descriptor.roles)
    model = QuantizedSR(network, configured(activation_bits=8, weight_bits=8), descriptor)
    x = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    calibrate(model.double(), [x])
    with torch.no_grad():
        out, alone = model.infer(x), model.infer(x[1:])
        assert (out.image - network(x)).abs().mean() < 0.05
        torch.testing.assert_close(out.image[1:], alone.image, rtol=1e-9, atol=1e-9)


def test_a_model_is_pickled_and_read_again(tmp_path):
    model, x = quantized(), pictures()
    torch.save(model, tmp_path / "model.pt")
    again = torch.load(tmp_path / "model.pt", weights_only=False)
    with torch.no_grad():
        assert torch.equal(model(x), again(x))


def test_products_of_called_modules_are_none_of_the_callers():
    """A rotation in the domain of a quantizer inside, and a child that multiplies for large pictures alone."""

    class Rotated(nn.Module):
        def __call__(self, x: Tensor) -> Tensor:
            return x @ torch.eye(x.shape[-1], dtype=x.dtype)

        inverse = __call__

    model, x = quantized(), pictures()
    with torch.no_grad():
        expected = model(x)
        model.network.blocks[0].attention.qkv.activation.domain = Rotated()
        torch.testing.assert_close(model(x), expected, rtol=1e-9, atol=1e-9)


def test_rows_that_are_masked_altogether():
    site = QuantizedSR(tiny("fused"), configured()).network.blocks[0].attention.attention0
    site.context.quantizing, site.context.visitor = False, lambda layer, x: None
    q = torch.rand(1, 1, 2, 4)
    mask = torch.tensor([[True, True], [False, False]])
    call = as_product(F.scaled_dot_product_attention, (q, q, q), dict(attn_mask=mask))
    torch.testing.assert_close(site(call), call.compute(q, q, q))


CALLS = {
    "linalg": lambda x, y: torch.linalg.matmul(x, y),
    "tensordot": lambda x, y: torch.tensordot(x, y, dims=([2], [1])),
    "baddbmm": lambda x, y: torch.baddbmm(torch.ones(3, 4, 4), x, y, beta=0.5, alpha=2.0),
    "baddbmm named": lambda x, y: torch.baddbmm(torch.ones(3, 4, 4), batch1=x, batch2=y),
    "addmm": lambda x, y: torch.ones(4, 4).addmm(x[0], y[0], alpha=3),
}


@pytest.mark.parametrize("name", CALLS)
def test_other_ways_to_multiply(name):
    class Caught(TorchFunctionMode):
        def __torch_function__(self, func, types, args=(), kwargs=None):
            caught.append(as_product(func, args, kwargs or {}))
            return func(*args, **(kwargs or {}))

    x, y = torch.rand(2, 3, 4, 4)
    caught: list = []
    with Caught():
        expected = CALLS[name](x, y)
    (product,) = [found for found in caught if found is not None]
    left, right = product.operands
    assert torch.equal(product.compute(left, right), expected)
    other = product.compute(left * 2, right)
    assert other.shape == expected.shape and not torch.equal(other, expected)


def test_no_product_is_taken_where_its_result_is_written_elsewhere():
    x = torch.rand(2, 2)
    assert as_product(torch.matmul, (x, x), dict(out=torch.empty(2, 2))) is None
    assert as_product(torch.tensordot, (x, x), dict(dims=1, out=torch.empty(2, 2))) is None


def test_causal_attention_is_quantized_as_masked_attention():
    model, x = quantized("causal"), pictures()
    assert "blocks.0.attention.attention0" in model.descriptor.roles
    site = model.network.blocks[0].attention.attention0
    q = torch.rand(len(x), 2, 16, 4, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    mask = torch.ones(16, 16, dtype=torch.bool).tril()
    model.context.images = len(x)
    causal, masked = (
        site(as_product(F.scaled_dot_product_attention, (q, q, q), named))
        for named in (dict(is_causal=True), dict(attn_mask=mask))
    )
    assert torch.equal(causal, masked)
    model.context.quantizing = False
    call = as_product(F.scaled_dot_product_attention, (q, q, q), dict(is_causal=True))
    assert torch.equal(site(call), F.scaled_dot_product_attention(q, q, q, is_causal=True))


class Named(Attention):
    """It has something of its own under each name that a product would get."""

    def __init__(self, way: str) -> None:
        super().__init__(way)
        self.product0 = nn.Linear(CHANNELS, CHANNELS)
        self.product1 = None

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(self.product0(x))


def test_names_of_products_give_way_to_those_of_modules():
    torch.manual_seed(0)
    network = TinyTransformer().eval()
    network.blocks[1].attention = Named("matmul").eval()
    network, x = network.double(), pictures()
    model = QuantizedSR(network, configured()).double()
    body = [name for name, role in model.descriptor.roles.items() if role is Role.BODY and "blocks.1" in name]
    names = ("product0", "qkv", "product0_", "product1_", "proj")
    assert body == [f"blocks.1.attention.{name}" for name in names]
    calibrate(model, [x])
    assert isinstance(model.network.blocks[1].attention.product0, QuantizedLinear)
    assert "blocks.1.attention.product1_.right" in model.infer(x).layer_bits
    with torch.no_grad(), model.full_precision():
        assert torch.equal(model(x), network(x))


class Mixed(TinyTransformer):
    """Layers that work on the picture once and on something else once; one is called by the argument's name."""

    def __init__(self) -> None:
        super().__init__()
        self.both, self.of_places = nn.Linear(CHANNELS, CHANNELS), nn.Conv2d(CHANNELS, CHANNELS, 1)
        self.places = nn.Parameter(torch.rand(1, CHANNELS, 4, 4))

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(input=x)
        tokens = self.both(input=x.flatten(2).transpose(1, 2)) + self.both(torch.ones(5, CHANNELS)).mean()
        x = tokens.transpose(1, 2).reshape(x.shape) + self.of_places(self.places).mean()
        return F.pixel_shuffle(self.last(self.blocks(x)), 2)


def test_layers_that_work_on_something_else_too_stay_in_full_precision():
    torch.manual_seed(0)
    network = Mixed().eval()
    descriptor = describe(network)
    assert descriptor.roles["both"] is descriptor.roles["of_places"] is Role.SKIP
    assert descriptor.roles["first"] is Role.FIRST
    model = QuantizedSR(network, configured(), descriptor)
    calibrate(model, [pictures().float()])
    assert torch.isfinite(model(pictures().float())).all()


def test_counting_leaves_nothing_behind():
    class Keeping(TinyTransformer):
        kept: Tensor | None = None

        def forward(self, x: Tensor) -> Tensor:
            if self.kept is None or self.kept.shape[-2:] != x.shape[-2:]:
                self.kept = torch.zeros_like(x)
            return super().forward(x + self.kept)

    model = QuantizedSR(Keeping().eval(), configured())
    calibrate(model, [pictures().float()])
    count_macs(model, 48, 48)
    assert type(model(torch.rand(1, 3, 48, 48))) is Tensor
