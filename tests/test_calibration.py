"""Calibration and clipping: what they refuse, what they leave behind, and in other dtypes."""

import pytest
import torch
from test_model import calibrated, pictures, wrapped

from adabm.errors import DataError, NetworkError
from adabm.quantization.layers import Policy
from adabm.quantization.model import QuantizedSR
from adabm.recipes import calibrate
from adabm.steps.clip import clip_ranges
from helpers.configurations import configured
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


# -- device and dtype come from the input ----------------------------------------------------------


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("when", ["network first", "model afterwards"])
@pytest.mark.parametrize("name", ["EDSR", "RDN", "SRResNet"])
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
