"""Calibration and clipping: what they refuse, what they leave behind, and in other dtypes."""

import pytest
import torch
from test_model import calibrated, pictures, wrapped
from torch import nn

from adabm.errors import DataError, NetworkError
from adabm.quantization.layers import Policy
from adabm.quantization.model import QuantizedSR
from adabm.recipes import calibrate
from adabm.steps.clip import clip_ranges
from helpers.configurations import configured
from helpers.slow import slow_among
from helpers.tiny_networks import tiny

# -- calibration refuses what it cannot use --------------------------------------------------------


@pytest.mark.parametrize(
    ("batches", "message"),
    [
        ([], "no calibration batch"),
        ([torch.zeros(3, 8, 8)], r"shape \(3, 8, 8\)"),
        ([torch.full((1, 3, 8, 8), float("nan"))], "NaN or infinite"),
        ([torch.full((1, 3, 8, 8), 200.0)], "span 200 to 200; this network expects 0 to 1"),
        ([torch.full((1, 3, 8, 8), -0.1)], "this network expects 0 to 1"),
    ],
)
def test_calibration_batches_are_checked(batches, message):
    with pytest.raises(DataError, match=message):
        calibrate(wrapped(), batches)


def test_pictures_of_the_wrong_range_are_noticed():
    model = wrapped("SRResNet")
    with pytest.raises(DataError, match="span .* to .*; this network expects 0 to 255"):
        calibrate(model, [pictures(model) / 255])


@pytest.mark.parametrize("observer", ["minmax", "percentile", "omse"])
def test_a_network_that_gives_nan_is_refused(observer):
    network = tiny("EDSR")
    with torch.no_grad():
        network.body[0].conv1.bias[0] = float("nan")
    model = QuantizedSR(network, configured(activation_observer=observer))
    with pytest.raises(NetworkError, match="the input of body.0.conv2 is not finite"):
        calibrate(model, [pictures(model)])


def test_calibrating_again_forgets_everything():
    model, other = calibrated(), calibrated()
    clip_ranges(model, pictures(model, seed=5))
    calibrate(model, [pictures(model, seed=7), pictures(model, seed=8)])
    calibrate(model, [pictures(model, seed=1)])
    assert not model.clipped
    assert all(torch.equal(v, other.state_dict()[k]) for k, v in model.state_dict().items())


# -- image by image --------------------------------------------------------------------------------


class Twice(nn.Module):
    """A convolution that is called twice: each call moves its range."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.middle = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 8, 3, padding=1)
        self.last = nn.Conv2d(8, 12, 3, padding=1)

    def forward(self, x):
        return nn.functional.pixel_shuffle(self.last(self.middle(self.middle(self.first(x)))), 2)


@pytest.mark.filterwarnings("ignore:.*layout was guessed")
@pytest.mark.parametrize("name", ["EDSR", "SRResNet", "RDN", "Twice"])
def test_a_batch_seen_image_by_image_gives_what_it_gives_at_once(name, monkeypatch):
    torch.manual_seed(0)
    network = (Twice() if name == "Twice" else tiny(name)).to(memory_format=torch.channels_last)
    models = [QuantizedSR(network, configured()) for _ in range(2)]
    batches = [pictures(models[0], size=32, seed=1), pictures(models[0], 3, size=32, seed=2)]
    seen = []
    records = []
    for model, apart in zip(models, (True, False)):
        if not apart:
            monkeypatch.setattr("adabm.steps.calibrate.APART", frozenset())
            monkeypatch.setattr("adabm.steps.map_bits.APART", frozenset())
        infer = model.infer
        model.infer = lambda images, infer=infer: (seen.append(len(images)), infer(images))[1]
        records.append(calibrate(model, batches))
    assert seen == [1] * 7 + [4, 3]
    for key, value in models[0].state_dict().items():
        torch.testing.assert_close(value, models[1].state_dict()[key], rtol=1e-6, atol=1e-7)
    assert records[0].layer_factors == records[1].layer_factors
    assert records[0].sensitivities == pytest.approx(records[1].sensitivities, rel=1e-6)


def test_an_observer_that_needs_the_whole_batch_gets_it():
    model = wrapped(activation_observer="percentile")
    model.network.to(memory_format=torch.channels_last)
    seen = []
    model.infer, infer = lambda images: (seen.append(len(images)), infer(images))[1], model.infer
    calibrate(model, [pictures(model, size=32)])
    assert seen == [4]


# -- device and dtype come from the input ----------------------------------------------------------


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("when", ["network first", "model afterwards"])
@pytest.mark.parametrize("name", slow_among(["EDSR", "RDN", "SRResNet"], ("RDN", "SRResNet")))
def test_other_dtypes(name, dtype, when):
    if when == "network first":
        model = QuantizedSR(tiny(name).to(dtype), configured())
    else:
        model = wrapped(name).to(dtype)
    single = wrapped(name)
    outputs = []
    for m, kind in ((model, dtype), (single, torch.float32)):
        images = pictures(m, dtype=kind)
        calibrate(m, [images])
        clip_ranges(m, images[:2])
        with torch.no_grad(), m.full_precision():
            teacher = m(images)
        with torch.no_grad():
            outputs.append(m.infer(images))
        assert outputs[-1].image.dtype == teacher.dtype == kind
    out, expected = outputs
    atol = 0.6 if dtype == torch.bfloat16 else 0.01  # coarse thresholds: an image or layer may fall on the other side
    torch.testing.assert_close(out.feature_average_bits.float(), expected.feature_average_bits, rtol=0, atol=atol)
    for key, value in single.state_dict().items():
        if value.numel() == 1:  # ranges; the search for the least error may pick the next candidate
            assert model.state_dict()[key].item() == pytest.approx(value.item(), rel=0.04, abs=1e-6), key
    ours, theirs = ((o.image.float() - teacher).square().mean() for o in outputs)
    assert 0.5 * theirs < ours < 2 * theirs


# -- clipping --------------------------------------------------------------------------------------


def test_clipping_shrinks_all_ranges_but_those_at_fixed_bits():
    """RDN's local-fusion convolutions, at the base bits, are clipped as well."""
    model = calibrated("RDN")
    before = {name: layer.activation.upper - layer.activation.lower for name, layer in model.layers.items()}
    clip_ranges(model, pictures(model, 2))
    for name, layer in model.layers.items():
        shrunk = layer.activation.upper - layer.activation.lower < before[name]
        assert shrunk == (layer.policy is not Policy.FIXED), name


def test_clipping_searches_down_to_one_percent_and_goes_half_way():
    """SRResNet without trained normalization is homogeneous: a 30 times darker batch has 30 times smaller features."""
    model = wrapped("SRResNet", image_mapping=False, layer_mapping=False, activation_bits=8)
    calibrate(model, [pictures(model)])
    adaptive = [layer for layer in model.layers.values() if layer.policy is Policy.ADAPTIVE]
    before = [layer.activation.upper.item() for layer in adaptive]
    clip_ranges(model, pictures(model) / 30)
    after = [layer.activation.upper.item() for layer in adaptive]
    assert after == pytest.approx([(0.5 + 0.5 / 30) * upper for upper in before], rel=0.02)
