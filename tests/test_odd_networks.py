"""Networks of modules that the paper's do not have: they are quantized, saved, loaded and run, or refused by name."""

import copy
import dataclasses
import functools
import weakref

import numpy as np
import pytest
import torch
from torch import nn

import adabm
from adabm.errors import NetworkError
from helpers.cli_files import smooth


class Plain(nn.Module):
    """Three convolutions between a first and a last one, x2."""

    def __init__(self, channels: int = 3) -> None:
        super().__init__()
        self.upscale = 2
        self.head = nn.Conv2d(channels, 8, 3, padding=1)
        self.body = nn.Sequential(*(nn.Conv2d(8, 8, 3, padding=1) for _ in range(3)))
        self.tail = nn.Sequential(nn.Conv2d(8, 4 * channels, 3, padding=1), nn.PixelShuffle(2))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.head(x)
        return self.tail(y + self.body(y).relu())


class Standardized(nn.Conv2d):
    def _conv_forward(self, x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
        return super()._conv_forward(x, weight / weight.std(), bias)


class Called(nn.Conv2d):
    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        return 2 * super().__call__(x)


class Computed(nn.Conv2d):
    def __init__(self, *sizes: int, **settings: int) -> None:
        super().__init__(*sizes, **settings)
        self.raw = self._parameters.pop("weight")

    @property
    def weight(self) -> torch.Tensor:
        return self.raw - self.raw.mean()


def transposed(network: Plain) -> None:
    network.tail = nn.Sequential(nn.ConvTranspose2d(8, 8, 4, 2, 1), nn.ReLU(), nn.Conv2d(8, 3, 3, padding=1))


def transposed_last(network: Plain) -> None:
    network.tail = nn.ConvTranspose2d(8, 3, 9, 2, 4, output_padding=1)


def grouped(network: Plain) -> None:
    network.body = nn.Sequential(*(nn.Conv2d(8, 8, 3, padding=1, groups=groups) for groups in (4, 8, 1)))


def dilated(network: Plain) -> None:
    network.body = nn.Sequential(
        nn.Conv2d(8, 8, 3, padding=2, dilation=2),
        nn.Conv2d(8, 8, 3, padding="same", dilation=3),
        nn.Conv2d(8, 8, 3, padding=1, padding_mode="reflect"),
    )


def shared(network: Plain) -> None:
    network.body[2] = network.body[1] = network.body[0]


def tied(network: Plain) -> None:
    network.body[1].weight = network.body[0].weight


def weight_norm(network: Plain) -> None:
    nn.utils.parametrizations.weight_norm(network.body[1])


def built(change=None, channels: int = 3) -> Plain:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = Plain(channels)
        if change is not None:
            change(network)
    return network.eval()


def pictures(channels: int = 3) -> list[np.ndarray]:
    return [smooth(index, 24, 24, channels) for index in range(2)]


CHANGES = {"tune.rounds": 3, "tune.steps_per_round": 1, "tune.batch_size": 1}


@pytest.mark.filterwarnings("ignore:Plain is unknown")
@pytest.mark.parametrize("change", [transposed, transposed_last, grouped, dilated, shared, tied])
def test_they_are_quantized_saved_loaded_and_run(tmp_path, change):
    network = built(change)
    model, _, _ = adabm.quantize(network, pictures(), adabm.preset("adabm", CHANGES), patch_size=16)
    adabm.save_quantized(model, tmp_path / "q.safetensors")
    again = adabm.load_quantized(tmp_path / "q.safetensors", network)
    assert again.descriptor == model.descriptor
    found, expected = (adabm.upscale(m, pictures()[0]).image for m in (again, model))
    assert found.shape == (48, 48, 3) and np.array_equal(found, expected)
    with model.full_precision():
        full = adabm.upscale(model, pictures()[0]).image
    assert 0 < np.abs(full - expected).max() < 128
    classes = {transposed: {"tail.0": "ConvTranspose2d"}, transposed_last: {"tail": "ConvTranspose2d"}}
    assert model.descriptor.unquantized == classes.get(change, {})
    assert ("in full precision: 1 ConvTranspose2d" in model.descriptor.summary()) == (change in classes)


@pytest.mark.filterwarnings("ignore:Plain is unknown")
def test_one_channel(tmp_path):
    network = built(channels=1)
    model, _, _ = adabm.quantize(network, pictures(1), adabm.preset("adabm", CHANGES), patch_size=16)
    adabm.save_quantized(model, tmp_path / "q.safetensors")
    again = adabm.load_quantized(tmp_path / "q.safetensors", network)
    assert model.descriptor.channels == 1 and adabm.upscale(again, pictures(1)[0]).image.shape == (48, 48, 1)


@pytest.mark.filterwarnings("ignore:Plain is unknown")
def test_a_source_that_a_network_does_not_have_is_told(tmp_path):
    network = built()
    descriptor = dataclasses.replace(adabm.describe(network), source="spandrel")
    model, _, _ = adabm.quantize(network, pictures(), "minmax", descriptor, patch_size=16)
    with pytest.raises(NetworkError, match="Plain: its descriptor has a source, but spandrel did not make it"):
        adabm.save_quantized(model, tmp_path / "q.safetensors")


def own_forward(network: Plain) -> None:
    compute = network.head.forward
    network.head.forward = lambda x: 5 * compute(x)


class OptimizedModule(nn.Module):
    """As the module is called that ``torch.compile`` makes, which would take a second of imports."""


@pytest.mark.filterwarnings("ignore:.torch.jit.script. is deprecated")
@pytest.mark.parametrize(
    "add, told",
    [
        (lambda network: network.head.register_forward_hook(lambda module, given, out: 2 * out), "head has a hook"),
        (lambda network: network.tail[0].register_forward_pre_hook(lambda module, given: None), "tail.0 has a hook"),
        (lambda network: nn.utils.spectral_norm(network.head), "head has a hook.*remove it"),
        (
            lambda network: setattr(network, "chain", [network.body[0], network.head]),
            "chain holds layers of the network in a",
        ),
        (
            lambda network: setattr(network.body, "by_name", {"a": [network.head]}),
            "body.by_name holds layers of the network",
        ),
        (lambda network: setattr(network, "mid", lambda x: network.head(x)), "the mid is a function that holds"),
        (lambda network: setattr(network, "steps", [lambda x: network.head(x)]), "the steps is a function that holds"),
        (
            lambda network: setattr(network.head, "_conv_forward", lambda *given: 0),
            "head has a _conv_forward of its own",
        ),
        (
            lambda network: setattr(network, "head", Standardized(3, 8, 3, padding=1)),
            "head has a _conv_forward of its own",
        ),
        (lambda network: setattr(network, "head", Called(3, 8, 3, padding=1)), "head has a __call__ of its own"),
        (lambda network: setattr(network, "head", Computed(3, 8, 3, padding=1)), "head has a weight that is computed"),
        (
            lambda network: setattr(network, "forward", lambda x: Plain.forward(network, x)),
            "the forward is a function that holds",
        ),
        (
            lambda network: setattr(network.body, "forward", lambda x, part=network.body[0]: part(x)),
            "the forward of body is",
        ),
        (
            lambda network: network.tail.register_forward_hook(lambda *given: network.tail[1](given[2])),
            "a hook of tail is",
        ),
        (own_forward, "head has a forward of its own"),
        (
            lambda network: setattr(network, "head", OptimizedModule()),
            "head is a compiled module",
        ),
        (
            lambda network: setattr(network, "head", torch.jit.script(nn.ReLU())),
            "head is a TorchScript module",
        ),
    ],
)
def test_what_was_added_to_a_layer_is_not_lost(add, told):
    network = Plain()
    add(network)
    with pytest.raises(NetworkError, match=told):
        adabm.quantize(network, [smooth(0, 16)], "minmax", patch_size=12)


class Noisy(Plain):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(nn.functional.dropout(x, 0.3, training=True))


class Remembering(Plain):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(()))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.mean.mul_(0.9).add_(0.1 * x.mean())
        return super().forward(x - self.mean)


class Following(Plain):
    """It keeps features of the picture before."""

    last = None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.head(x)
        z = y if self.last is None or self.last.shape != y.shape else (y + self.last) / 2
        self.last = y.detach()
        return self.tail(self.body(z))


class ByClass(Plain):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.head(x)
        for layer in self.body:
            y = layer(y) if type(layer) is nn.Conv2d else y
        return self.tail(y)


class Marked(Plain):
    def __init__(self) -> None:
        super().__init__()
        self.head.gain = 3.0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.tail(self.body(getattr(self.head, "gain", 1.0) * self.head(x)))


class Held(Plain):
    def __init__(self) -> None:
        super().__init__()
        self.first = functools.partial(self.body[0])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.tail(self.body[2](self.body[1](self.first(self.head(x)))))


class Weak(Plain):
    def __init__(self) -> None:
        super().__init__()
        self.first = weakref.ref(self.head)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.tail(self.body(self.first()(x)))


class Overwriting(Plain):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(x.sub_(0.4))


class Zeroing(Plain):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.head(x)
        z = self.body(y)
        y.zero_()
        return self.tail(z)


class Whole(Plain):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return (255 * super().forward(x)).to(torch.uint8)


class Cut(Plain):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(x).detach()


@pytest.mark.filterwarnings("ignore:(Cut|Zeroing) is unknown")
@pytest.mark.parametrize(
    "kind, told",
    [
        (Noisy, "another picture each time for the same one"),
        (Remembering, "its forward changes the buffer mean"),
        (Following, "or what it keeps of the picture before"),
        (ByClass, "gives another picture, in full precision, once its layers are replaced"),
        (Marked, "gives another picture, in full precision, once its layers are replaced"),
        (Held, "computes with body.0 past the layer that quantizes it"),
        (Weak, "a copy of it computes with head of the network itself"),
        (Overwriting, "changes the picture that it is given"),
        (Whole, "returns uint8, not floating point"),
        (Cut, "no gradients come from its output"),
        (Zeroing, "its forward overwrites features that gradients need"),
    ],
)
def test_networks_that_would_be_quantized_wrongly_are_refused(kind, told):
    network, state = kind().eval(), torch.random.get_rng_state()
    with pytest.raises(NetworkError, match=f"{kind.__name__}: .*{told}"):
        recipe = adabm.preset("adabm", CHANGES) if kind is Zeroing else "fast" if kind is Cut else "minmax"
        adabm.quantize(network, pictures(), recipe, patch_size=16)
    assert torch.equal(torch.random.get_rng_state(), state) and not any(b.any() for b in network.buffers())


@pytest.mark.filterwarnings("ignore:Plain is unknown")
class Making(Plain):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if not hasattr(self, "extra"):
            self.extra = nn.Conv2d(3, 3, 3, padding=1)
        return super().forward(self.extra(x))


class Deriving(Plain):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        with torch.enable_grad():
            x = x.detach().requires_grad_()
            (slope,) = torch.autograd.grad(self.head(x).square().sum(), x)
        return super().forward(x + 0.01 * slope)


@pytest.mark.parametrize(
    ("kind", "told"),
    [
        (Making, "it makes extra when it is first run; run it once on a picture"),
        (Deriving, "its forward asks for gradients itself .* such as minmax"),
    ],
)
def test_networks_that_do_more_than_compute_are_told_so(kind, told):
    with pytest.raises(NetworkError, match=told):
        adabm.quantize(kind(), pictures(), adabm.preset("fast"), patch_size=16, patches=2, batch_size=2)


class Copying(Plain):
    def __deepcopy__(self, memo: dict) -> "Copying":
        return copy.copy(self)


def test_a_network_is_not_changed_by_a_copy_that_is_none():
    network = Copying()
    with pytest.raises(NetworkError, match="Copying: copy.deepcopy gives layers of the network itself"):
        adabm.quantize(network, pictures(), "minmax", patch_size=16)
    assert type(network.head) is nn.Conv2d


def test_infinite_weights_are_named():
    network = built()
    network.head.weight.data[0, 0, 0, 0] = torch.inf
    with pytest.raises(NetworkError, match="Plain: head.weight holds NaN or infinite values"):
        adabm.quantize(network, pictures(), "minmax", patch_size=16)


def test_a_compiled_network_is_refused_before_it_is_compiled():
    compiled = []
    network = torch.compile(Plain(), backend=lambda graph, inputs: compiled.append(graph) or graph.forward)
    with pytest.raises(NetworkError, match="is a compiled module"):
        adabm.quantize(network, pictures(), adabm.preset("minmax"), patch_size=16)
    assert not compiled


class ByFunction(Plain):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for layer in (self.head, *self.body, self.tail[0]):
            x = nn.functional.conv2d(x, layer.weight, layer.bias, padding=1)
        return self.tail[1](x)


class Mapped(Plain):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.vmap(lambda one: Plain.forward(self, one[None])[0])(x)


class Joined(Plain):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        one, other = super().forward(torch.cat([x, x.flip(-1)])).chunk(2)
        return (one + other.flip(-1)) / 2


def test_layers_that_see_no_batch_of_pictures_are_told():
    with pytest.raises(
        NetworkError, match="not on one picture of a batch after the other, such as where it joins several"
    ):
        adabm.quantize(Joined(), pictures(), adabm.preset("minmax"), patch_size=16)


class Measured(Plain):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(x + 0 * x.mean().item())


@pytest.mark.filterwarnings("ignore:Measured is unknown")
def test_numbers_that_python_reads_of_a_picture_cannot_be_counted_with():
    adabm.quantize(Measured(), pictures(), adabm.preset("minmax"), patch_size=16)
    with pytest.raises(NetworkError, match=r"Measured: .* a number of the picture .*\.item\(\).* such as minmax"):
        adabm.quantize(Measured(), pictures(), adabm.preset("fast"), patch_size=16, patches=2, batch_size=2)


@pytest.mark.parametrize("kind", [ByFunction, Mapped])
def test_convolutions_that_are_called_as_functions_are_told(kind):
    with pytest.raises(
        NetworkError, match="runs no nn.Conv2d .*; it calls conv2d as functions, by torch.func .* which cannot"
    ):
        adabm.quantize(kind(), pictures(), adabm.preset("minmax"), patch_size=16)
    with pytest.raises(NetworkError, match="nothing can be quantized$"):
        adabm.quantize(nn.Upsample(scale_factor=2), pictures(), adabm.preset("minmax"), patch_size=16)


def test_a_shared_convolution_is_not_exported_but_named():
    model, _, _ = adabm.quantize(built(shared), pictures(), "minmax", patch_size=16)
    with pytest.raises(adabm.AdabmError, match="'body.0' is used more than once in a pass.*torch-int8 runs it"):
        adabm.open_engine("onnx", model)


def test_tied_weights_are_exported():
    model, _, _ = adabm.quantize(built(tied), pictures(), "minmax", patch_size=16)
    found, expected = (adabm.upscale(one, pictures()[1]).image for one in (adabm.open_engine("onnx", model), model))
    assert np.abs(found - expected).mean() < 0.2 * expected.std()


class Unshuffling(Plain):
    def __init__(self) -> None:
        super().__init__(12)
        self.tail = nn.Sequential(nn.Conv2d(8, 48, 3, padding=1), nn.PixelShuffle(4))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(nn.functional.pixel_unshuffle(x, 2))


@pytest.mark.filterwarnings("ignore:Unshuffling is unknown")
def test_sides_that_a_network_does_not_take_are_told_and_filled_up():
    network, picture = Unshuffling().eval(), smooth(0, 21, 24)
    model, _, _ = adabm.quantize(network, pictures(), "minmax", patch_size=16)
    told = r"fails on a picture of 24x21; it takes sides that are multiples of 2\..* size_multiple=2"
    with pytest.raises(adabm.AdabmError, match=told):
        adabm.upscale(model, picture)
    with pytest.raises(adabm.AdabmError, match=told):
        adabm.evaluate(model, [adabm.Picture("p", smooth(1, 42, 48), picture)])
    descriptor = dataclasses.replace(adabm.describe(network), size_multiple=2)
    model, _, _ = adabm.quantize(network, pictures(), "minmax", descriptor, patch_size=16)
    assert adabm.upscale(model, picture).image.shape == (42, 48, 3)


@pytest.mark.filterwarnings("ignore:Plain is unknown")
def test_parametrized_weights_are_refused_by_name():
    with pytest.raises(NetworkError, match="body.1 has a parametrized weight; remove the parametrization first"):
        adabm.quantize(built(weight_norm), pictures(), "minmax", patch_size=16)


@pytest.mark.filterwarnings("ignore:Plain is unknown")
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
@pytest.mark.parametrize("recipe", ["adabm", "percentile"])
def test_the_dtype_is_the_networks(tmp_path, dtype, recipe):
    network = built().to(dtype)
    config = adabm.preset(recipe, CHANGES if recipe == "adabm" else None)
    model, _, _ = adabm.quantize(network, pictures(), config, patch_size=16)
    adabm.save_quantized(model, tmp_path / "q.safetensors")
    again = adabm.load_quantized(tmp_path / "q.safetensors", network)
    single, _, _ = adabm.quantize(built(), pictures(), config, patch_size=16)
    assert model.dtype == again.dtype == dtype
    found, expected, close = (adabm.upscale(m, pictures()[0]).image for m in (again, model, single))
    assert np.array_equal(found, expected) and np.abs(expected - close).mean() < 3


def test_a_named_network_keeps_its_dtype_in_a_checkpoint(tmp_path):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = adabm.build_network("MSRResNet", num_feat=4, num_block=2, upscale=2).eval().bfloat16()
    model, _, _ = adabm.quantize(network, pictures(), "minmax", patch_size=16)
    adabm.save_quantized(model, tmp_path / "q.safetensors")
    again = adabm.load_quantized(tmp_path / "q.safetensors")
    assert again.dtype == torch.bfloat16
    assert np.array_equal(*(adabm.upscale(m, pictures()[0]).image for m in (again, model)))


def test_a_constant_input_in_half_precision_can_be_divided_by():
    from adabm.quantization.quantizers import ActivationQuantizer

    quantizer = ActivationQuantizer()
    half = torch.tensor([0.5], dtype=torch.float16)
    quantizer.set_range(half, half)
    assert (
        quantizer.upper > quantizer.lower and torch.isfinite(quantizer(torch.full((1, 1, 2, 2), half.item()), 4)).all()
    )
