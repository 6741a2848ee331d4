"""Tiles with enough context and one decision come out as the whole picture does, to the last bit."""

import copy
from contextlib import contextmanager

import numpy as np
import pytest
import torch

import adabm
from adabm.engines import context, steady_sums
from adabm.engines.context import MOST, UNKNOWN, Context, context_of
from adabm.engines.deciding import decided_by
from adabm.engines.protocol import EngineOutput
from adabm.engines.seamless import check_picture, seamless_tiles, upscale
from adabm.engines.simulated import SimulatedEngine, as_engine
from adabm.errors import ConfigError, EngineError, ImageError
from adabm.networks import build_network
from adabm.networks.reach import Reach, find_reach
from adabm.quantization.model import QuantizedSR
from adabm.recipes import calibrate
from helpers.cli_files import smooth
from helpers.configurations import configured
from helpers.slow import slow_among
from helpers.tiny_networks import tiny


def quantized(network: torch.nn.Module) -> QuantizedSR:
    model = QuantizedSR(network, configured(clipping=False))
    noise = torch.rand(6, 3, 16, 16, generator=torch.Generator().manual_seed(0)) - 0.5
    images = 0.5 + noise * torch.linspace(0, 1, 6).view(-1, 1, 1, 1)
    calibrate(model, [images * model.descriptor.value_range])
    return model


def half_smooth(height: int, width: int) -> np.ndarray:
    """The left half is smooth, the right one rough."""
    image = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    image[:, : width // 2] = smooth(1, height, width // 2) // 16 + 100
    return image


def unshuffling() -> torch.nn.Module:
    return build_network("RRDBNet", num_feat=16, num_block=1, num_grow_ch=2, scale=2)


@pytest.mark.parametrize("size", [(130, 171), pytest.param((40, 500), marks=pytest.mark.slow)])
@pytest.mark.parametrize(
    "network", slow_among(["EDSR", "SRResNet", "RDN", "SRVGGNetCompact", "unshuffling"], ("SRResNet", "unshuffling"))
)
def test_tiles_equal_the_whole_picture(network, size):
    torch.manual_seed(0)
    model, image = quantized(unshuffling() if network == "unshuffling" else tiny(network)), half_smooth(*size)
    whole, tiled = upscale(model, image), upscale(model, image, 67)
    found = context_of(as_engine(model))
    if found.exact:
        np.testing.assert_array_equal(tiled.image, whole.image)
    else:  # oneDNN's matrix products, on processors without AVX-512
        assert (network, found.unsteady) == ("SRResNet", "head.0") and "'head.0' round otherwise" in found.shortage
    assert len(tiled.tile_bits) > 1 and {part[4] for part in tiled.tile_bits} == {whole.feature_average_bits}
    assert tiled.layer_bits == whole.layer_bits
    with model.full_precision():
        tiled, whole = upscale(model, image, 67).image, upscale(model, image).image
        np.testing.assert_allclose(tiled, whole, rtol=0, atol=0 if found.exact else 1e-5 * np.abs(whole).max())


class Halved(torch.nn.Module):
    """Its convolutions see half the sides: a quarter of the values that the picture has for each channel."""

    def __init__(self):
        super().__init__()
        self.first = torch.nn.Conv2d(3, 8, 3, 2, 1)
        self.body = torch.nn.ModuleList(torch.nn.Conv2d(8, 8, 3, 1, 1) for _ in range(3))
        self.last = torch.nn.Conv2d(8, 48, 3, 1, 1)

    def forward(self, x):
        x = self.first(x)
        for layer in self.body:
            x = x + torch.relu(layer(x))
        return torch.nn.functional.pixel_shuffle(self.last(x), 4)


def test_tiles_are_as_large_as_layers_at_half_resolution_need():
    """Else torch would compute these by another algorithm, whose sums round otherwise."""
    torch.manual_seed(0)
    roles = {"first": adabm.Role.FIRST, "last": adabm.Role.LAST} | {f"body.{i}": adabm.Role.BODY for i in range(3)}
    descriptor = adabm.NetworkDescriptor("Halved", 2, 1.0, roles, (), size_multiple=2)
    config = adabm.preset("minmax", weight_bits=4, activation_bits=4)
    model = adabm.quantize(Halved(), [half_smooth(48, 48)], config, descriptor=descriptor, patch_size=24)[0]
    found = context_of(as_engine(model))
    assert found.least_area == 20480 // 2 + 1  # 8 channels, of a quarter of the pixels
    image = half_smooth(132, 120)
    whole, tiled = upscale(model, image), upscale(model, image, 24)
    if found.exact:
        np.testing.assert_array_equal(tiled.image, whole.image)


def test_sums_that_depend_on_the_size(monkeypatch):
    """A layer is named whose sums are others in a larger picture, and tiles are then not told to be exact."""
    engine = as_engine(quantized(tiny("EDSR")))
    assert context_of(engine).exact
    convolution = torch.conv2d
    monkeypatch.setattr(
        steady_sums.F, "conv2d", lambda x, *rest: convolution(x, *rest) * (1 + (x.shape[-1] > 200) * 1e-6)
    )
    steady_sums._depends_on_size.cache_clear()
    try:
        found = context_of(engine)
        assert (found.unsteady, found.exact) == ("conv_first", False) and "--tile 0" in found.shortage
        assert context_of(engine, 2).shortage.startswith("the network sees 8 pixels far")
    finally:
        steady_sums._depends_on_size.cache_clear()


@pytest.mark.parametrize(
    "layer", [torch.nn.Conv2d(16, 16, 3, 2, 1), torch.nn.Conv2d(16, 32, 3, 1, (2, 0), 2, 2), torch.nn.Linear(16, 8)]
)
def test_what_is_compared_lies_at_the_same_place(layer):
    assert steady_sums.unsteady_layer(layer) is None


def test_too_little_context_shows():
    model, image = quantized(tiny("EDSR")), half_smooth(130, 171)
    assert context_of(as_engine(model)).overlap == 8
    with pytest.warns(UserWarning, match="sees 8 pixels far, the tiles have 5 .* overlap=8 or tile=None computes it"):
        near = upscale(model, image, 67, 5).image
    assert not np.array_equal(near, upscale(model, image).image)


def test_each_tile_may_decide():
    model, image = quantized(tiny("EDSR")), half_smooth(90, 180)
    image[:, :90] = 128
    own = upscale(model, image, 90, 0, "tile")
    left, right = (bits for *_, bits in own.tile_bits)
    assert left < right
    one = upscale(model, image, 90, 0)
    assert {bits for *_, bits in one.tile_bits} == {upscale(model, image).feature_average_bits}
    assert upscale(model, image[:, :90]).feature_average_bits != one.feature_average_bits  # nothing stays behind


def test_an_engine_of_its_own_kind():
    """One that tells how far it sees and takes a decision; and one that does neither."""

    class Other:
        name, scale, channels, size_multiple = "other", 4, 3, 2
        reach, decided = Reach(9, 3), None

        @contextmanager
        def deciding_on(self, picture):
            self.decided = picture.shape
            yield
            self.decided = None

    engine = Other()
    assert context_of(engine) == Context(9, 6, 9, 6827)
    with decided_by(engine, half_smooth(20, 30))():
        assert engine.decided == (20, 30, 3)
    assert engine.decided is None
    engine.reach = None
    found = context_of(engine)
    assert (found.overlap, found.reach, found.exact) == (UNKNOWN, None, False) and "not known" in found.shortage


def test_context():
    deep = SimulatedEngine(QuantizedSR(build_network("EDSR", num_feat=4, num_block=32, upscale=2), configured()))
    found = context_of(deep)
    assert found.overlap == MOST < found.reach and "--overlap 68" in found.shortage and not found.exact
    assert context_of(deep, 68).exact and context_of(deep, 3).overlap == 3
    assert context_of(deep, tile=136).exact and not context_of(deep, tile=135).exact  # half a tile is affordable
    pooled = context_of(SimulatedEngine(QuantizedSR(tiny("RCAN"), configured())))
    assert pooled.reach is None and "--tile 0" in pooled.shortage


@pytest.mark.parametrize(
    "around", [Context(5), Context(5, 4), Context(0, 8, None, 900), Context(50, 3), Context(2, 4, 2, 1, 50)]
)
def test_what_a_tile_takes_in(around):
    height, width = 61, 103
    for rows in ((0, 30), (30, 61), (13, 14)):
        for columns in ((0, 20), (55, 60), (90, 103)):
            taken = around.around(rows, columns, height, width)
            area = 1
            for (begin, end), (first, last), length in zip((rows, columns), taken, (height, width)):
                assert 0 <= first <= max(0, begin - around.overlap) and first % around.alignment == 0
                assert min(length, end + around.overlap) <= last <= length
                assert last == length or last % around.alignment == 0
                area *= last - first
                assert last - first >= min(length, around.least_side)
            assert area >= min(around.least_area, height * width)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((7,), "tile = 7: must be at least 8"),
        *[((tile,), "^tile = ") for tile in ("16", 16.5, float("nan"), True, [16], 0)],
        *[((16, overlap), "^overlap = ") for overlap in (-1, 2.5, float("nan"), True, "4", [1])],
        *[((16, 4, bits_per), "^bits_per = ") for bits_per in ("row", None, ["tile"])],
    ],
)
def test_refused(arguments, message):
    with pytest.raises(ConfigError, match=message):
        list(seamless_tiles(quantized(tiny("EDSR")), half_smooth(20, 20), *arguments))


@pytest.mark.parametrize("idle", [dict(overlap=3), dict(bits_per="tile"), dict(overlap=Context(3))])
def test_what_would_have_no_effect_on_a_whole_picture(idle):
    model, image = quantized(tiny("EDSR")), half_smooth(20, 20)
    with pytest.raises(
        ConfigError, match=f"^{next(iter(idle))} = .* has no effect on the whole picture; give tile, too"
    ):
        upscale(model, image, **idle)
    assert upscale(model, image, overlap=0).image.size and upscale(model, image, 8, **idle).image.size


def test_the_public_name():
    assert adabm.upscale is upscale


@pytest.mark.parametrize(
    "picture, message",
    [
        (np.full((8, 8, 3), 0.5, np.float32), "spans 0.5 to 0.5"),
        (np.full((8, 8, 3), 300.0), "spans 300 to 300"),
        (np.full((8, 8, 3), np.nan), "NaN or infinite"),
        (np.ones((8, 8, 3), np.uint16), "of type uint16"),
        (np.ones((8, 8, 3), bool), "of type bool"),
        (np.full((8, 8, 3), 9, ">f4"), "of type >f4"),
        (np.ones((8, 8, 3), np.longdouble) * 9, "of type float128"),
        (np.ones((8, 8), np.uint8), r"shape \(8, 8\)"),
        (np.ones((1, 8, 8, 3), np.uint8), "shape"),
        (np.ones((0, 8, 3), np.uint8), "shape"),
        ([[1]], "is a list"),
        (None, "is a NoneType"),
    ],
)
def test_what_is_no_picture_is_refused(picture, message):
    with pytest.raises(ImageError, match=message):
        check_picture(picture, 3)
    check_picture(np.zeros((1, 1, 3), np.float32), 3)


class Counted(torch.nn.Module):
    """A network of a user, whose reach depends on an attribute of its own."""

    scale = 1

    def __init__(self):
        super().__init__()
        self.first, self.body = (torch.nn.Conv2d(3, 3, 3, padding=1) for _ in range(2))
        self.last = torch.nn.Conv2d(3, 3, 3, padding=1)
        self.repeats = 1

    def forward(self, x):
        x = self.first(x)
        for _ in range(self.repeats):
            x = self.body(x)
        return self.last(x)


@pytest.mark.filterwarnings("ignore:.*its layout was guessed")
def test_how_far_a_model_sees_is_found_once_until_it_changes(monkeypatch):
    searched = []
    monkeypatch.setattr(context, "find_reach", lambda *args: searched.append(1) or find_reach(*args))
    model, image = quantized(Counted()), half_smooth(90, 90)
    assert context_of(as_engine(model)).overlap == 3
    upscale(model, image, 60)
    with model.full_precision():
        upscale(model, image, 60)
    assert len(searched) == 1
    model.network.repeats = 4
    assert context_of(as_engine(model)).overlap == 6
    model.network.last = torch.nn.Conv2d(3, 3, 7, padding=3)
    assert context_of(as_engine(model)).overlap == 8
    hook = model.network.body.register_forward_hook(lambda _m, _i, out: out + out.mean((2, 3), keepdim=True))
    assert context_of(as_engine(model)).reach is None
    hook.remove()
    assert context_of(as_engine(model)).overlap == 8 and len(searched) == 5
    other = quantized(tiny("EDSR"))
    assert context_of(as_engine(other)).overlap == context_of(as_engine(copy.deepcopy(other))).overlap == 8
    assert len(searched) == 6


def test_a_picture_no_larger_than_a_tile_with_its_context_is_computed_whole():
    """EDSR's tiles have 8 pixels of context; where each tile decides, it is a tile."""
    model = quantized(tiny("EDSR"))
    assert len(upscale(model, half_smooth(100, 116), 100).tile_bits) == 1
    assert len(upscale(model, half_smooth(64, 210), 100).tile_bits) == 1  # 64 * 210 < 116 * 116
    assert len(upscale(model, half_smooth(64, 211), 100).tile_bits) > 1
    assert len(upscale(model, half_smooth(100, 116), 100, bits_per="tile").tile_bits) == 2
    assert len(upscale(model, half_smooth(100, 132), 100, 7).tile_bits) == 2


class Faulty:
    """Makes pictures twice as large, of one value."""

    name, channels, size_multiple = "faulty", 3, 1

    def __init__(self, scale: int, value: float) -> None:
        self.scale, self.value = scale, value

    def upscale(self, pictures: np.ndarray) -> EngineOutput:
        n, height, width, channels = pictures.shape
        return EngineOutput(np.full((n, 2 * height, 2 * width, channels), self.value, np.float32), np.full(n, 4.0), {})


def test_an_output_that_would_be_cut_to_size_or_is_not_finite_is_refused():
    image = np.zeros((9, 8, 3), np.uint8)
    assert upscale(Faulty(2, 1.0), image).image.shape == (18, 16, 3)
    with pytest.raises(EngineError, match="makes 16x18 pixels of 8x9, not 1 times as many a side"):
        upscale(Faulty(1, 1.0), image)
    with pytest.raises(EngineError, match="the output has NaN or infinite values"):
        upscale(Faulty(2, np.nan), image)
