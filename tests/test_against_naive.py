"""The package against a plain second implementation of the whole method, in float64.

In double precision both agree to many digits, and no value lies so near a rounding boundary that
they could fall to different sides of it; so all steps can be compared, not only the first.
"""

import pytest
import torch

from adabm.networks import build_network
from adabm.quantization.model import QuantizedSR
from adabm.recipes import calibrate
from adabm.steps.clip import clip_ranges
from adabm.steps.tune import Tune
from adabm.steps.tuner import FineTuner, fine_tune
from helpers.configurations import configured
from helpers.naive_adabm import LAYERS, Naive, Settings

CASES = {
    "all on, FQ W4A4": Settings(),
    "all on, body W8A6": Settings(weight_bits=8, activation_bits=6, fully_quantized=False),
    "image only": Settings(layer_mapping=False),
    "layer only": Settings(image_mapping=False, fully_quantized=False),
    "uniform": Settings(image_mapping=False, layer_mapping=False, clipping=False, weight_observer="minmax"),
}
GROUPS = ("weight", "activation", "mapping")


def batch(seed: int, count: int) -> torch.Tensor:
    """Pictures from flat to rough, so that images get different bits."""
    generator = torch.Generator().manual_seed(seed)
    noise = torch.rand(count, 3, 12, 12, generator=generator, dtype=torch.float64) - 0.5
    smooth = torch.linspace(0.3, 0.7, 12, dtype=torch.float64).expand(count, 3, 12, 12)
    return (smooth + noise * torch.linspace(0.02, 0.9, count, dtype=torch.float64).view(-1, 1, 1, 1)).clamp(0, 1)


CALIBRATION = [batch(1, 6), batch(2, 6), batch(3, 5)]
PICKS = [(0, 5), (5, 5), (2, 3), (0, 1), (3, 5), (1, 2)]  # of six, flat to rough: FABs at, over and under the base
TUNING = [batch(seed, 6)[list(pick)] for seed, pick in enumerate(PICKS, 10)]


class Both:
    """The package's model and the plain one, on the same weights."""

    def __init__(self, settings: Settings) -> None:
        torch.manual_seed(0)
        network = build_network("EDSR", num_feat=8, num_block=2, upscale=2).double()
        with torch.no_grad():
            for parameter in network.body.parameters():
                parameter.mul_(4)  # BasicSR starts the body so small that it would hardly matter
        self.naive = Naive({k: v.clone() for k, v in network.state_dict().items()}, settings)
        config = configured(
            weight_bits=settings.weight_bits, activation_bits=settings.activation_bits,
            fully_quantized=settings.fully_quantized,
            image_mapping=settings.image_mapping, layer_mapping=settings.layer_mapping, clipping=settings.clipping,
            weight_observer=settings.weight_observer, fine_tuning=Tune(rounds=5, steps_per_round=2),
        )  # fmt: skip
        self.model = QuantizedSR(network, config).double()

    def calibrate(self) -> "Both":
        self.record = calibrate(self.model, CALIBRATION)
        self.naive.calibrate(CALIBRATION)
        return self

    def clip(self) -> "Both":
        if self.naive.settings.clipping:
            clip_ranges(self.model, TUNING[0])
            self.naive.clip(TUNING[0])
        return self

    def parameters(self) -> dict[str, torch.nn.Parameter]:
        """The model's quantization parameters by the plain implementation's keys."""
        found = {}
        for name, layer in self.model.layers.items():
            found[f"{name}/scale"] = layer.weight_quantizer.scale
            found[f"{name}/lower"], found[f"{name}/upper"] = layer.activation.lower, layer.activation.upper
            if layer.layer2bit is not None:
                found[f"{name}/m"] = layer.layer2bit.factor
        if self.model.image2bit is not None:
            found["c_l"], found["c_u"] = self.model.image2bit.lower, self.model.image2bit.upper
        return found

    def assert_same_parameters(self) -> None:
        ours = self.parameters()
        assert ours.keys() == self.naive.p.keys()
        for key, expected in self.naive.p.items():
            assert ours[key].item() == pytest.approx(float(expected), rel=1e-7, abs=1e-9), key


@pytest.fixture(params=CASES.values(), ids=CASES)
def both(request) -> Both:
    return Both(request.param)


def test_full_precision(both):
    with torch.no_grad(), both.model.full_precision():
        expected, _, bits = both.naive.forward(TUNING[0], quantized=False)
        torch.testing.assert_close(both.model(TUNING[0]), expected, rtol=1e-12, atol=1e-12)
    assert bits.tolist() == [32, 32]


def test_calibration(both):
    both.calibrate().assert_same_parameters()
    assert set(both.model.layers) == set(both.naive.quantized)
    if both.naive.settings.layer_mapping:  # without it, nothing asks for them
        sigma = {name: both.record.sensitivities[name] for name in both.naive.sigma}
        assert sigma == pytest.approx(both.naive.sigma, rel=1e-10)
    else:
        assert both.record.sensitivities == {}
    assert both.record.layer_factors == {n: float(both.naive.p[f"{n}/m"]) for n in both.record.layer_factors}


def test_the_pictures_exercise_the_mapping():
    """Otherwise the comparisons below would compare little."""
    both = Both(CASES["all on, FQ W4A4"]).calibrate().clip()
    assert sorted(set(both.record.layer_factors.values())) == [-1, 0, 1]
    with torch.no_grad():
        bits = [both.model.infer(images).feature_average_bits.mean() for images in TUNING]
    assert bits[0] == 4 < bits[1] and min(bits) < 4 < bits[4]  # 4 and 5 are the mapping round's
    assert set(both.model.layers) == set(LAYERS)


def test_clipping(both):
    before = both.calibrate().model.state_dict()["network.body.1.conv1.activation.upper"].clone()
    both.clip().assert_same_parameters()
    after = both.model.state_dict()["network.body.1.conv1.activation.upper"]
    assert both.model.clipped and (after < before).item() == both.naive.settings.clipping


def test_first_quantized_output(both):
    both.calibrate().clip()
    for images in TUNING[:2]:
        with torch.no_grad():
            out = both.model.infer(images, blocks=True)
            image, blocks, bits = both.naive.forward(images, quantized=True)
        torch.testing.assert_close(out.image, image, rtol=1e-9, atol=1e-9)
        torch.testing.assert_close(out.feature_average_bits.double(), bits, rtol=1e-12, atol=0)
        for ours, expected in zip(out.blocks, blocks, strict=True):
            torch.testing.assert_close(ours, expected, rtol=1e-9, atol=1e-7)
        with torch.no_grad(), both.model.full_precision():
            assert (both.model(images) - image).abs().mean() > 1e-4  # quantization does something


@pytest.mark.parametrize("group", GROUPS)
def test_losses_gradients_and_updates_of_the_first_steps(both, group):
    both.calibrate().clip()
    tuner = FineTuner(both.model, both.model.config.step("tune"))
    if not both.naive.group(group):
        assert group not in tuner.groups
        return
    for images in TUNING[:2]:
        expected, gradients = both.naive.step(group, images)
        step = tuner.step(group, images)
        ours = [step.pixel, step.structure, step.bit, step.feature_average_bits]
        assert ours == pytest.approx(expected, rel=1e-9) and min(ours[:2]) > 0
        parameters = both.parameters()
        largest = max(float(g.abs()) for g in gradients.values())
        assert largest > 0
        for key, gradient in gradients.items():
            assert parameters[key].grad.item() == pytest.approx(float(gradient), rel=1e-6, abs=1e-9 * largest), key
        both.assert_same_parameters()


def test_all_rounds(both):
    """Rotation, Adam states, learning-rate decay and the order of batches, together."""
    expected, step = [], 0
    both.calibrate()
    if both.naive.settings.clipping:
        both.naive.clip(TUNING[0])
    groups = [g for g in GROUPS if both.naive.group(g)]
    batches = TUNING + TUNING
    for index in range(5):
        group = groups[index % len(groups)]
        for _ in range(2):
            losses, _ = both.naive.step(group, batches[step])
            expected.append((index, group, *losses))
            step += 1
        both.naive.decay(group)
    steps = fine_tune(both.model, batches)
    assert [(s.round, s.group) for s in steps] == [e[:2] for e in expected]
    for ours, (_, _, *losses) in zip(steps, expected):
        assert [ours.pixel, ours.structure, ours.bit, ours.feature_average_bits] == pytest.approx(losses, rel=1e-6)
    both.assert_same_parameters()
