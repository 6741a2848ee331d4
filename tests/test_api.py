"""The whole recipe in one call, on every known network."""

import os

import numpy as np
import pytest
import torch
from test_model import pictures

import adabm
from adabm.api import quantize
from adabm.errors import ConfigError, DataError, ImageError, NetworkError
from adabm.recipes import preset
from adabm.steps.rounding import gptq
from helpers.configurations import asked
from helpers.forked import CONTEXT
from helpers.tiny_networks import TINY, tiny


@pytest.mark.parametrize("name", TINY)
@pytest.mark.parametrize("fully", [False, True], ids=["body", "FQ"])
def test_quantize_end_to_end(name, fully):
    rng = np.random.default_rng(0)
    smooth = np.linspace(60, 180, 14, dtype=np.float64)[None, :, None]
    images = [(smooth + rng.normal(0, s, (14, 14, 3))).clip(0, 255).astype(np.uint8) for s in (2, 8, 20, 40, 70)]
    tuning = dict(rounds=3, steps_per_round=2, batch_size=2, patch_size=8)
    seen = []
    model, record, steps = quantize(
        tiny(name), images, asked("adabm-relative", fully_quantized=fully, fine_tuning=tuning),
        patch_size=12, batch_size=3, on_step=seen.append,
    )  # fmt: skip
    assert record.complexities.shape == (5,) and set(record.sensitivities) == set(model.layers)
    assert [s.group for s in steps] == ["weight"] * 2 + ["activation"] * 2 + ["mapping"] * 2 and seen == steps
    test = pictures(model, 2)
    with torch.no_grad():
        out = model.infer(test)
        with model.full_precision():
            teacher = model(test)
    assert out.image.shape == (2, 3, 10 * model.descriptor.scale, 10 * model.descriptor.scale)
    assert ((out.feature_average_bits >= 2) & (out.feature_average_bits <= 6)).all()
    error, spread = (out.image - teacher).square().mean(), (teacher - teacher.mean()).square().mean()
    assert 0 < error < spread  # nearer to the teacher than a constant picture


def test_quantize_without_fine_tuning_still_clips():
    images = [np.random.default_rng(0).integers(0, 256, (12, 12, 3), dtype=np.uint8)] * 2
    network = tiny("EDSR")
    clipped, _, steps = quantize(network, images, preset("adabm-notune"), patch_size=12)
    unclipped, _, _ = quantize(network, images, asked("adabm-notune", clipping=False), patch_size=12)
    assert steps == [] and clipped.clipped
    narrow, wide = (model.layers["body.0.conv1"].activation.upper for model in (clipped, unclipped))
    assert 0 < narrow < wide


def test_same_seed_same_model():
    images = [np.random.default_rng(0).integers(0, 256, (20, 20, 3), dtype=np.uint8)] * 4
    config = asked("adabm", fine_tuning=dict(rounds=3, steps_per_round=1, patch_size=8))
    states = [quantize(tiny("EDSR"), images, config, patch_size=12, seed=s)[0].state_dict() for s in (1, 1, 2)]
    assert all(torch.equal(states[0][k], states[1][k]) for k in states[0])
    assert any(not torch.equal(states[0][k], states[2][k]) for k in states[0])


@pytest.mark.parametrize(
    ("images", "message"),
    [
        ([], "no calibration picture"),
        (np.zeros((4, 16, 16, 3), np.uint8), "expected a list"),
        ([np.zeros((16, 16), np.uint8)], r"uint8 \(16, 16\)"),
        ([np.zeros((16, 16, 3))], "float64"),
        ([np.zeros((3, 16, 16), np.uint8)], r"\(3, 16, 16\)"),
        (["picture.png"], "str"),
        (None, "the calibration pictures are a NoneType; give a list"),
        ((image for image in ()), "are a generator"),
        ({0: np.zeros((16, 16, 3), np.uint8)}, "are a dict"),
        ("picture.png", "are a str"),
        ([np.zeros((16, 16, 3), np.uint8), np.zeros((16, 16, 1), np.uint8)], "1 has 1 channels, the first one 3"),
        ([np.zeros((16, 16, 1), np.uint8)], "has 1 channels; EDSR takes 3"),
    ],
)
def test_wrong_images_are_named(images, message):
    with pytest.raises(DataError, match=message):
        quantize(tiny("EDSR"), images, preset("minmax"), patch_size=8)


def test_a_rule_after_calibration_sees_the_calibrated_model_before_clipping():
    images = [np.random.default_rng(0).integers(0, 256, (12, 12, 3), dtype=np.uint8)] * 2
    seen = []

    def rule(model):
        seen.append((model.calibrated, model.clipped, model.layers["body.0.conv1"].activation.upper.item()))
        model.layers["body.0.conv1"].layer2bit.factor.data.fill_(-1.0)

    config = asked("adabm-notune", image_mapping=False)
    ruled, record, _ = quantize(tiny("EDSR"), images, config, patch_size=12, after_calibration=rule)
    plain, _, _ = quantize(tiny("EDSR"), images, config, patch_size=12)
    layer, other = (model.layers["body.0.conv1"] for model in (ruled, plain))
    assert seen == [(True, False, seen[0][2])] and ruled.clipped
    assert (
        layer.layer2bit.factor == -1 != other.layer2bit.factor
        and record.layer_factors["body.0.conv1"] == other.layer2bit.factor
    )
    assert layer.activation.upper < other.activation.upper < seen[0][2], "clipping works for the bits of the rule"


def changed(change) -> torch.nn.Module:
    network = tiny("EDSR")
    change(network)
    return network


def spoilt(network: torch.nn.Module) -> None:
    network.conv_last.bias.data[0] = float("nan")


def mixed(network: torch.nn.Module) -> None:
    network.conv_first.bias = torch.nn.Parameter(network.conv_first.bias.double())


def cut(network: torch.nn.Module) -> None:
    network.body[0].conv1.weight = torch.nn.Parameter(network.body[0].conv1.weight[:2].detach())


@pytest.mark.parametrize(
    ("network", "message"),
    [
        ("edsr.pth", "the network is a str; give a torch.nn.Module"),
        (torch.nn.Conv2d, "the network is the class Conv2d"),
        (tiny("EDSR").state_dict(), "the network is a OrderedDict"),
        (torch.nn.Sequential(torch.nn.LazyConv2d(3, 3)), "0.weight has no shape yet"),
        (tiny("EDSR").to(torch.complex64), "conv_first.weight is complex"),
        (tiny("EDSR").to("meta"), r"conv_first.weight has no values \(device meta\)"),
        (changed(lambda n: n.conv_first.weight.data.copy_(n.conv_first.weight * torch.nan)), "conv_first.weight holds NaN"),
        (changed(spoilt), "conv_last.bias holds NaN or infinite values"),
        (changed(lambda n: n.register_buffer("shift", torch.full((1,), torch.nan))), "EDSR: shift holds NaN"),
        (changed(mixed), "weight and bias of conv_first are torch.float32 and torch.float64"),
        (changed(cut), "EDSR: its forward pass fails on a calibration patch .RuntimeError: Given weight of size"),
        (changed(lambda n: setattr(n, "lock", __import__("threading").Lock())), "EDSR cannot be copied .TypeError"),
    ],
)  # fmt: skip
def test_what_no_network_is(network, message):
    images = [np.random.default_rng(0).integers(0, 256, (8, 8, 3), dtype=np.uint8)]
    with pytest.raises(NetworkError, match=message):
        quantize(network, images, "minmax", patch_size=8)


def test_patches_of_all_steps_are_compared_with_the_pictures_first(monkeypatch):
    images = [np.zeros((16, 16, 3), np.uint8)]
    monkeypatch.setattr("adabm.api.carry_out", lambda *_: pytest.fail("steps were carried out"))
    for recipe, setting in (
        ("fast", "allocate_bits.patch_size"),
        ("fast", "round_weights.patch_size"),
        ("adabm", "clip.patch_size"),
    ):
        told = f"{setting} = 17: calibration picture 0 has 16x16 pixels; patches need 17x17. Use larger pictures"
        with pytest.raises(DataError, match=told):
            quantize(tiny("EDSR"), images, preset(recipe, {setting: 17}), patch_size=8)
    with pytest.raises(DataError, match="patches need 17x17. Use larger pictures or a smaller patch_size"):
        quantize(tiny("EDSR"), images, "fast", patch_size=17)


def test_arguments_of_other_types_are_named(tmp_path):
    network, images = tiny("EDSR"), [np.zeros((8, 8, 3), np.uint8)]
    described = adabm.describe(network)
    for given, told in (({}, "descriptor is a dict"), ("EDSR", "descriptor is a str")):
        with pytest.raises(ConfigError, match=told):
            quantize(network, images, "minmax", given, patch_size=8)
    with pytest.raises(ConfigError, match="config is a dict; give one such as adabm.preset"):
        adabm.QuantizedSR(network, {})
    for name, value in (("scale", "2"), ("scale", 10**9), ("channels", 10**9), ("roles", {"a": "body"}), ("blocks", 3)):
        with pytest.raises(NetworkError, match=name):
            adabm.NetworkDescriptor(**vars(described) | {name: value})
    with pytest.raises(NetworkError, match=r"makes \(32, 32\) of \(8, 8\) pixels, not 3 times as many"):
        quantize(network, images, "minmax", adabm.NetworkDescriptor(**vars(described) | {"scale": 3}), patch_size=8)
    calls = (
        adabm.load_network, adabm.load_quantized, adabm.import_weights, adabm.load_file,
        lambda path: adabm.save_network(network, path), lambda path: adabm.open_engine("simulated", path),
    )  # fmt: skip
    for call in calls:
        for path in (None, 3, b"x", [], network):
            with pytest.raises(ConfigError, match="must be "):
                call(path)
    for call in (
        lambda model: adabm.save_quantized(model, tmp_path / "q.safetensors"),
        lambda model: adabm.calibrate(model, [torch.zeros(1, 3, 8, 8)]),
        lambda model: adabm.fine_tune(model, [torch.zeros(1, 3, 8, 8)]),
        lambda model: adabm.clip_ranges(model, torch.zeros(1, 3, 8, 8)),
    ):
        with pytest.raises(ConfigError, match="must be a QuantizedSR"):
            call(network)
    assert list(tmp_path.iterdir()) == []


def test_a_mask_is_not_lost():
    masked = np.ma.masked_greater(np.arange(192, dtype=np.uint8).reshape(8, 8, 3), 3)
    model, _, _ = quantize(tiny("EDSR"), [masked.data], "minmax", patch_size=8)
    for call in (
        lambda: quantize(tiny("EDSR"), [masked], "minmax", patch_size=8),
        lambda: adabm.upscale(model, masked),
        lambda: adabm.Picture("a", masked, masked),
        lambda: adabm.round_to_uint8(masked),
    ):
        with pytest.raises(ImageError, match="is a masked array"):
            call()


def test_a_system_that_cannot_be_solved_is_told():
    gram = torch.ones(4, 4)
    with pytest.raises(ConfigError, match="round_weights.ridge is too small"):
        gptq(torch.ones(2, 3), torch.zeros(2), gram - 2 * torch.eye(4), torch.ones(2, 1), 4)


def test_a_pipe_is_not_replaced(tmp_path):
    pipe = tmp_path / "pipe.safetensors"
    os.mkfifo(pipe)
    with pytest.raises(OSError, match="a pipe, device or socket, which would be replaced"):
        adabm.save_network(tiny("EDSR"), pipe)
    assert pipe.is_fifo() and list(tmp_path.iterdir()) == [pipe]


@pytest.mark.parametrize(
    ("batch", "told"),
    [
        (torch.rand(1, 3, 8, 8).double(), "a batch is torch.float64 .* computes in torch.float32"),
        (torch.zeros(1, 3, 8, 8, dtype=torch.int32), "a batch is torch.int32"),
        (torch.rand(1, 3, 8, 8, device="meta"), "a batch is torch.float32 .* on meta"),
        (torch.rand(1, 3, 8, 8).to_sparse(), "a batch is torch.float32 .torch.sparse_coo."),
        (torch.rand(0, 3, 8, 8), "holds no picture"),
    ],
)
def test_batches_that_a_model_cannot_compute_with_are_told(batch, told):
    model = adabm.QuantizedSR(tiny("EDSR"), preset("adabm"))
    adabm.calibrate(model, [torch.rand(1, 3, 8, 8)])
    calls = (
        lambda: adabm.calibrate(model, [batch]),
        lambda: adabm.calibrate(model, batches=iter([batch])),
        lambda: adabm.clip_ranges(model, images=batch),
        lambda: adabm.fine_tune(model, [batch]),
    )
    for call in calls:
        with pytest.raises(DataError, match=told):
            call()
    with pytest.raises(DataError, match="the batches are a ndarray"):
        adabm.calibrate(model, np.array(1.0))


def test_what_is_no_file_and_no_list_is_told(tmp_path):
    for path in ("", tmp_path):
        with pytest.raises(adabm.AdabmError, match="cannot be read"):
            adabm.load_quantized(path)
    with pytest.raises(ConfigError, match="options = 3: must be arguments of the constructor by name, or null"):
        adabm.save_network(tiny("EDSR"), tmp_path / "n.safetensors", 3)
    model = adabm.QuantizedSR(tiny("EDSR"), preset("minmax"))
    model.calibrated = True
    with pytest.raises(ImageError, match="pictures is a ndarray; give a list"):
        adabm.evaluate(model, np.array("x"))


def test_complexities_of_no_pictures_are_refused():
    assert adabm.image_complexity(torch.zeros(2, 3, 4, 5)).tolist() == [0, 0]
    with pytest.raises(ImageError, match=r"the images are empty, of shape \(1, 3, 0, 20\)"):
        adabm.image_complexity(torch.zeros(1, 3, 0, 20))
    with pytest.raises(ImageError, match="the images hold NaN or infinite values"):
        adabm.image_complexity(torch.full((1, 3, 4, 4), torch.nan))


@pytest.mark.parametrize("name", ["figures", "question_figures", "*"])
def test_each_name_of_the_study_can_be_imported_first(name):
    process = CONTEXT.Process(target=exec, args=(f"from adabm.study import {name}", {}))
    process.start()
    process.join()
    assert process.exitcode == 0
