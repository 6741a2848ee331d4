"""Wrapped networks: nothing lost in full precision, the bits that are counted, dtypes, misuse."""

import copy

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from adabm.errors import ConfigError, NetworkError
from adabm.networks import NetworkDescriptor, Role, build_network
from adabm.quantization.bit_rule import Policy
from adabm.quantization.layers import BitContext, Bits, QuantizedConv2d
from adabm.quantization.model import QuantizedSR
from adabm.recipes import calibrate, preset
from helpers.configurations import configured
from helpers.tiny_networks import TINY, tiny

pytestmark = pytest.mark.filterwarnings("ignore:.*layout was guessed")


def pictures(model: QuantizedSR, count: int = 4, size: int = 10, seed: int = 0, dtype=torch.float32) -> Tensor:
    """From flat to rough, in the model's value range."""
    noise = torch.rand(count, 3, size, size, generator=torch.Generator().manual_seed(seed)) - 0.5
    strength = torch.linspace(0.05, 1, count).view(-1, 1, 1, 1)
    return ((0.5 + noise * strength) * model.descriptor.value_range).to(dtype)


def wrapped(name: str = "EDSR", **settings) -> QuantizedSR:
    return QuantizedSR(tiny(name), configured(**settings))


def calibrated(name: str = "EDSR", **settings) -> QuantizedSR:
    model = wrapped(name, **settings)
    calibrate(model, [pictures(model, seed=1)])
    return model


# -- wrapping --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", TINY)
@pytest.mark.parametrize("fully", [False, True], ids=["body", "FQ"])
def test_full_precision_is_the_original_exactly(name, fully):
    original = tiny(name)
    model = calibrated(name, fully_quantized=fully)
    images = pictures(model)
    with torch.no_grad(), model.full_precision():
        out = model.infer(images)
        assert torch.equal(out.image, original(images))
    assert out.layer_bits == {} and out.feature_average_bits.tolist() == [32.0] * 4
    with torch.no_grad():
        assert not torch.equal(model(images), out.image)


@pytest.mark.parametrize("name", TINY)
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_memory_that_is_used_again_changes_nothing(name, layout):
    """Without gradients layers write into one tensor; with them each keeps its own."""
    model = calibrated(name).to(memory_format=layout)
    images = pictures(model).contiguous(memory_format=layout)
    expected = model.infer(images)
    with torch.no_grad():
        for _ in range(2):
            found = model.infer(images)
            assert torch.equal(found.image, expected.image)
    with torch.inference_mode():
        assert torch.equal(model(images), expected.image)


@pytest.mark.parametrize("name", TINY)
def test_wrapping_leaves_the_original_untouched(name):
    network = tiny(name).train().requires_grad_(True)
    before = {k: v.clone() for k, v in network.state_dict().items()}
    types = [type(m) for m in network.modules()]
    model = QuantizedSR(network, configured())
    calibrate(model, [pictures(model)])
    assert [type(m) for m in network.modules()] == types
    assert all(m.training for m in network.modules()) and all(p.requires_grad for p in network.parameters())
    assert all(torch.equal(v, before[k]) for k, v in network.state_dict().items())
    ours = {id(p) for p in model.parameters()}
    assert not any(id(p) in ours for p in network.parameters())


@pytest.mark.parametrize("name", TINY)
def test_names_of_the_network_are_kept(name):
    network = tiny(name)
    state = wrapped(name).state_dict()
    for key, value in network.state_dict().items():
        assert torch.equal(state[f"network.{key}"], value)
    added = {key for key in state if key.removeprefix("network.") not in network.state_dict()}
    of_layers = ("activation.lower", "activation.upper", "weight_quantizer.scale", "layer2bit.factor")
    assert all(key.endswith((*of_layers, "image2bit.lower", "image2bit.upper")) for key in added)


def test_settings_decide_what_is_quantized():
    policies = {name: layer.policy for name, layer in wrapped().layers.items()}
    P, body = Policy, [f"body.{b}.conv{c}" for b in (0, 1) for c in (1, 2)]
    assert policies == {
        "conv_first": P.FIXED, **dict.fromkeys(body, P.ADAPTIVE), "conv_after_body": P.ADAPTIVE,
        "upsample.0": P.FIXED, "upsample.2": P.FIXED, "conv_last": P.FIXED,
    }  # fmt: skip
    assert list(wrapped(fully_quantized=False).layers) == body
    rdn = wrapped("RDN", fully_quantized=False)
    assert {n for n, m in rdn.layers.items() if m.policy is P.BASE} == {"RDBs.0.LFF", "RDBs.1.LFF"}
    assert all(m.layer2bit is None for m in rdn.layers.values() if m.policy is not P.ADAPTIVE)
    fixed = wrapped(fixed_bits=6, weight_bits=3, activation_bits=5).layers
    assert (fixed["conv_first"].weight_bits, fixed["conv_first"].activation_bits) == (6, 6)
    assert (fixed["body.0.conv1"].weight_bits, fixed["body.0.conv1"].activation_bits) == (3, 5)


@pytest.mark.parametrize(
    "options",
    [
        dict(stride=2),
        dict(padding=1, groups=2),
        dict(dilation=2, bias=False),
        dict(padding=1, padding_mode="reflect"),
        dict(padding="same"),
    ],
    ids=str,
)
def test_any_convolution_is_replaced_faithfully(options):
    torch.manual_seed(0)
    conv = nn.Conv2d(4, 6, 3, **options)
    context = BitContext()
    layer = QuantizedConv2d(conv, "conv", Bits(Role.FUSION, Policy.BASE, 4, 3), context)
    layer.activation.set_range(torch.tensor([-1.0]), torch.tensor([2.0]))
    layer.weight_quantizer.set_scale(torch.tensor([0.15]))
    x = torch.randn(2, 4, 8, 8)
    with torch.no_grad():
        rounded = copy.deepcopy(conv)
        rounded.weight.copy_(((conv.weight.clamp(-0.15, 0.15) + 0.15) / 0.3 * 7).round() / 7 * 0.3 - 0.15)
        assert rounded.weight.unique().numel() == 8
        expected = rounded(((x.clamp(-1, 2) + 1) / 3 * 15).round() / 15 * 3 - 1)
        torch.testing.assert_close(layer(x), expected, rtol=1e-5, atol=1e-5)
        assert context.bits["conv"].tolist() == [4]
        context.quantizing = False
        assert torch.equal(layer(x), conv(x))


class SharedConvolution(nn.Module):
    """The same convolution under two names."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 12, 3, padding=1)
        self.a = nn.Conv2d(4, 4, 3, padding=1)
        self.again = nn.Sequential(nn.ReLU(), self.a)

    def forward(self, x: Tensor) -> Tensor:
        return F.pixel_shuffle(self.last(self.again(self.a(self.first(x)))), 2)


def test_a_shared_convolution_is_quantized_everywhere():
    torch.manual_seed(0)
    model = QuantizedSR(SharedConvolution(), configured(fully_quantized=False))
    assert model.network.a is model.network.again[1] and isinstance(model.network.a, QuantizedConv2d)
    assert list(model.layers) == ["a"]


class Standardized(nn.Conv2d):
    """A convolution that changes its weight on the way."""

    def forward(self, x: Tensor) -> Tensor:
        return self._conv_forward(x, self.weight / self.weight.std(), self.bias)


def test_what_cannot_be_replaced_is_refused():
    def network(body: nn.Module) -> nn.Module:
        return nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), body, nn.Conv2d(4, 12, 3, padding=1), nn.PixelShuffle(2))

    with pytest.raises(NetworkError, match="1 is a Standardized, which does not compute what.*give it the role 'skip'"):
        QuantizedSR(network(Standardized(4, 4, 3, padding=1)), configured())
    parametrized = nn.utils.parametrizations.weight_norm(nn.Conv2d(4, 4, 3, padding=1))
    with pytest.raises(NetworkError, match="1 has a parametrized weight"):
        QuantizedSR(network(parametrized), configured())
    by_hand = NetworkDescriptor("Sequential", 2, 1.0, {"1": Role.BODY, "5": Role.LAST}, ())
    with pytest.raises(NetworkError, match="the descriptor names '5', which Sequential does not have"):
        QuantizedSR(network(nn.Conv2d(4, 4, 1)), configured(), by_hand)
    with pytest.raises(NetworkError, match="1 is a ReLU"):
        by_hand = NetworkDescriptor("Sequential", 2, 1.0, {"1": Role.BODY}, ())
        QuantizedSR(network(nn.ReLU()), configured(), by_hand)


def test_quantizing_twice_is_refused():
    model = calibrated()
    for network in (model, model.network):
        with pytest.raises(NetworkError, match="quantized already"):
            QuantizedSR(network, configured())


def test_uncalibrated_is_refused_but_full_precision_works():
    model = wrapped()
    with pytest.raises(NetworkError, match=r"not calibrated: call adabm.calibrate\(model, batches\) first"):
        model(pictures(model))
    with torch.no_grad(), model.full_precision():
        assert torch.isfinite(model(pictures(model))).all()


# -- contexts --------------------------------------------------------------------------------------


def test_context_managers_restore_on_errors():
    model = calibrated()
    seen: list[str] = []
    visiting = model.visiting(lambda layer, x: seen.append(layer.name))
    with pytest.raises(ZeroDivisionError), model.full_precision(), visiting:
        assert not model.context.quantizing
        with model.full_precision():
            pass
        assert not model.context.quantizing  # the inner block does not end the outer one
        model(pictures(model))
        raise ZeroDivisionError
    assert seen == list(model.layers)
    assert model.context.quantizing and model.context.visitor is None


def test_a_failing_pass_leaves_nothing_behind():
    model = calibrated()
    expected = model(pictures(model))
    failing = list(model.layers.values())[-1].register_forward_pre_hook(lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        model.infer(pictures(model), blocks=True)
    failing.remove()
    assert model.context.image_factor is None and model.context.bits == {}
    assert not any(m._forward_hooks for m in model.modules())
    assert torch.equal(model(pictures(model)), expected)


def test_deepcopy_is_independent():
    model = calibrated()
    images = pictures(model)
    clone = copy.deepcopy(model)
    expected = model(images)
    assert torch.equal(clone(images), expected)
    with clone.full_precision():
        assert torch.equal(model(images), expected)  # the context is not shared
        assert not torch.equal(clone(images), expected)
    with torch.no_grad():
        clone.layers["body.0.conv1"].activation.upper.mul_(0.1)
    assert torch.equal(model(images), expected) and not torch.equal(clone(images), expected)


# -- bits ------------------------------------------------------------------------------------------


def set_factors(model: QuantizedSR, factors: list[float]) -> None:
    adaptive = [m for m in model.layers.values() if m.layer2bit is not None]
    with torch.no_grad():
        for layer, factor in zip(adaptive, factors, strict=True):
            layer.layer2bit.factor.fill_(factor)


def test_feature_average_bits_by_hand():
    """Two images, one simple and one complex; 5 adaptive layers in EDSR, those at 8 bits do not count."""
    model = calibrated()
    images = pictures(model, 2)
    low, high = model.complexity(images)
    model.image2bit.set_thresholds(low + 0.01, (low + high) / 2)
    set_factors(model, [1, 1, 1, 0, -1])
    out = model.infer(images)
    assert out.layer_bits["body.0.conv1"].tolist() == [4, 6]
    assert out.layer_bits["body.1.conv2"].tolist() == [3, 5]
    assert out.layer_bits["conv_after_body"].tolist() == [2, 4]
    assert out.layer_bits["conv_first"].tolist() == [8, 8]
    assert out.feature_average_bits.tolist() == pytest.approx([3 + 2 / 5, 5 + 2 / 5])


def test_fusion_layers_count_at_the_base_bits():
    """RDN: 6 dense and 2 global-fusion convolutions adapt, 2 local-fusion convolutions stay at 6 bits."""
    model = calibrated("RDN", activation_bits=6)
    images = pictures(model, 2)
    model.image2bit.set_thresholds(*(torch.tensor([v]) for v in (-2.0, -1.0)))  # every image is complex
    set_factors(model, [1, 1, 0, 0, 0, 0, 0, -1])
    out = model.infer(images)
    assert out.layer_bits["RDBs.0.LFF"].tolist() == [6, 6] and out.layer_bits["GFF.1"].tolist() == [6, 6]
    assert out.feature_average_bits.tolist() == pytest.approx([(8 * 7 + 1 + 2 * 6) / 10] * 2)
    assert not model.counts_in_fab("SFENet2") and model.counts_in_fab("RDBs.1.LFF")


def test_images_of_a_batch_do_not_influence_each_other():
    model = calibrated()
    images = pictures(model)
    together = model.infer(images)
    assert len(set(together.feature_average_bits.tolist())) > 1
    for index in range(len(images)):
        alone = model.infer(images[index : index + 1])
        assert alone.feature_average_bits[0] == together.feature_average_bits[index]
        torch.testing.assert_close(alone.image[0], together.image[index], rtol=1e-3, atol=1e-3)


def test_more_bits_are_nearer_to_full_precision():
    errors = []
    for bits in (2, 4, 8, 16):
        model = QuantizedSR(tiny("EDSR"), preset("minmax", weight_bits=bits, activation_bits=bits, fixed_bits=bits))
        calibrate(model, [pictures(model)])
        with torch.no_grad(), model.full_precision():
            teacher = model(pictures(model))
        errors.append((model(pictures(model)) - teacher).abs().mean().item())
    assert errors[0] > 2 * errors[1] > 8 * errors[2] > 64 * errors[3] > 0


def test_32_bits_are_full_precision_and_do_not_adapt():
    model = QuantizedSR(tiny("EDSR"), preset("minmax", weight_bits=32, activation_bits=32, fixed_bits=32))
    calibrate(model, [pictures(model)])
    assert torch.equal(model(pictures(model)), tiny("EDSR")(pictures(model)))
    with pytest.raises(ConfigError, match="activation_bits = 32: must be 16 or less with the mappings"):
        preset("adabm", activation_bits=32)


def test_gray_networks_work():
    torch.manual_seed(0)
    network = build_network("SRVGGNetCompact", num_in_ch=1, num_out_ch=1, num_feat=4, num_conv=2, upscale=2)
    model = QuantizedSR(network, configured())
    calibrate(model, [torch.rand(2, 1, 8, 8)])
    assert model(torch.rand(1, 1, 8, 8)).shape == (1, 1, 16, 16)
