"""Fine-tuning: which parameters move and when, and that it cannot leave a broken model behind."""

import dataclasses
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor, nn

from adabm.errors import ConfigError, FineTuningError, NetworkError
from adabm.quantization.model import QuantizedSR
from adabm.recipes import calibrate
from adabm.steps.teacher import Teacher
from adabm.steps.tune import Tune
from adabm.steps.tuner import FineTuner, TuningStep, fine_tune
from helpers.configurations import configured
from helpers.tiny_networks import tiny


def batches(value_range: float = 1.0, size: int = 8, seed: int = 0) -> Iterator[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    while True:
        yield torch.rand(2, 3, size, size, generator=generator) * value_range


def recipe(**changes) -> Tune:
    return Tune(**{"rounds": 3, "steps_per_round": 2, "batch_size": 2, "patch_size": 8, **changes})


def calibrated(network: str = "EDSR", **settings) -> QuantizedSR:
    settings.setdefault("fine_tuning", recipe())
    model = QuantizedSR(tiny(network), configured(**settings))
    stream = batches(model.descriptor.value_range, seed=1)
    calibrate(model, [next(stream), next(stream)])
    return model


def stream_of(model: QuantizedSR, seed: int = 0) -> Iterator[Tensor]:
    return batches(model.descriptor.value_range, seed=seed)


def state_of(model: nn.Module) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in model.state_dict().items()}


def changed(before: dict[str, Tensor], model: nn.Module) -> set[str]:
    """The last parts of the names of what is not bitwise as it was."""
    return {name.split(".")[-1] for name, value in model.state_dict().items() if not torch.equal(value, before[name])}


KINDS = {"weight": {"scale"}, "activation": {"lower", "upper"}, "mapping": {"factor", "lower", "upper"}}


# -- what moves ------------------------------------------------------------------------------------


@pytest.mark.parametrize("group", KINDS)
def test_a_step_moves_its_group_alone(group):
    model = calibrated()
    before = state_of(model)
    FineTuner(model, recipe()).step(group, next(stream_of(model)))
    assert changed(before, model) == KINDS[group]
    with_gradient = {name for name, p in model.named_parameters() if p.grad is not None}
    assert {name.split(".")[-1] for name in with_gradient} == KINDS[group]
    of_mapping = [name for name in with_gradient if name.startswith("image2bit") or name.endswith("factor")]
    assert len(of_mapping) == (len(with_gradient) if group == "mapping" else 0)
    assert not any(p.requires_grad for p in model.parameters())


def test_mapping_moves_image_thresholds_and_layer_factors_but_no_range():
    model = calibrated()
    before = state_of(model)
    FineTuner(model, recipe()).step("mapping", next(stream_of(model)))
    moved = {name for name, value in model.state_dict().items() if not torch.equal(value, before[name])}
    factors = {f"network.{n}.layer2bit.factor" for n, m in model.layers.items() if m.layer2bit is not None}
    assert moved == {"image2bit.lower", "image2bit.upper"} | factors and len(factors) == 5


@pytest.mark.parametrize("network", ["EDSR", "SRResNet", "RDN"])
def test_the_network_itself_never_changes(network):
    model = calibrated(network)
    model.train()  # batch norm must keep its statistics even so
    original = tiny(network).state_dict()
    fine_tune(model, stream_of(model))
    for name, value in original.items():
        assert torch.equal(model.network.state_dict()[name], value), name


def test_first_update_has_the_size_of_the_learning_rate():
    """Adam's first step is the rate itself, whatever the gradient; so the rates are in the right places."""
    model = calibrated()
    tuner = FineTuner(model, recipe(lr_weight=1e-4, lr_activation=2e-4, lr_layer=3e-4, lr_image=4e-4))
    before = state_of(model)
    for group in KINDS:
        tuner.step(group, next(stream_of(model)))
    rates = {"weight_quantizer": 1e-4, "activation": 2e-4, "layer2bit": 3e-4, "image2bit": 4e-4}
    for name, value in model.state_dict().items():
        module = name.split(".")[-2]
        if module in rates:
            assert (value - before[name]).abs().item() == pytest.approx(rates[module], rel=0.05), name


def test_relative_rates_follow_the_widths():
    model = calibrated()
    widths = {n: (m.activation.upper - m.activation.lower).item() for n, m in model.layers.items()}
    before = {n: m.activation.upper.item() for n, m in model.layers.items()}
    FineTuner(model, recipe(lr_activation=1e-3, relative_lr=True)).step("activation", next(stream_of(model)))
    for name, layer in model.layers.items():
        assert abs(layer.activation.upper.item() - before[name]) == pytest.approx(1e-3 * widths[name], rel=0.05)
    assert max(widths.values()) > 3 * min(widths.values())


def test_a_teacher_that_remembers_takes_patches_of_one_pixel():
    model = calibrated()
    image = torch.rand(2, 3, 4, 4)[:, :, :1, :1]  # one pixel of a larger tensor: the last stride is not 1
    kept, plain = Teacher(model, keep=True)(image.expand(2, 3, 1, 1)), Teacher(model)(image)
    torch.testing.assert_close(kept.image, plain.image)


def test_structure_loss_of_rdn_is_divided_by_the_feature_size():
    """As released; with 8 features on 8x8 pixels it is 512 times smaller than it would be."""
    model = calibrated("RDN")
    assert model.descriptor.block_feature_size_normalized
    as_released, _ = FineTuner(model, recipe()).losses(next(stream_of(model)))
    model.descriptor = dataclasses.replace(model.descriptor, block_feature_size_normalized=False)
    plain, _ = FineTuner(model, recipe()).losses(next(stream_of(model)))
    assert plain.structure.item() == pytest.approx(512 * as_released.structure.item(), rel=1e-4)
    assert plain.pixel.item() == as_released.pixel.item()


# -- the order of rounds ---------------------------------------------------------------------------


def rounds_of(steps: list[TuningStep]) -> list[str]:
    return [next(s.group for s in steps if s.round == index) for index in range(steps[-1].round + 1)]


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, {"weight": 4, "activation": 3, "mapping": 3}),
        (dict(image_mapping=False), {"weight": 4, "activation": 3, "mapping": 3}),
        (dict(layer_mapping=False), {"weight": 4, "activation": 3, "mapping": 3}),
        (dict(image_mapping=False, layer_mapping=False), {"weight": 5, "activation": 5}),
    ],
    ids=["both", "layer", "image", "neither"],
)
def test_ten_rounds_rotate_through_the_groups(settings, expected):
    model = calibrated(fine_tuning=recipe(rounds=10, steps_per_round=1), **settings)
    steps = fine_tune(model, stream_of(model))
    order = rounds_of(steps)
    assert {group: order.count(group) for group in order} == expected
    assert order == [tuple(expected)[i % len(expected)] for i in range(10)]


def test_learning_rates_decay_after_each_round_of_their_group():
    model = calibrated()
    tuner = FineTuner(model, recipe(lr_decay=0.5))
    images = next(stream_of(model))
    moves = []
    for _ in range(3):
        before = state_of(model)
        tuner.step("weight", images)
        name = "network.body.0.conv1.weight_quantizer.scale"
        moves.append((model.state_dict()[name] - before[name]).abs().item())
        tuner.decay("weight")
        tuner.decay("mapping")  # another group's decay must not matter
    assert moves[0] == pytest.approx(0.01, rel=0.05)
    assert moves[1] < 0.6 * moves[0] and moves[2] < 0.3 * moves[0]


def test_callback_and_counts():
    model = calibrated(fine_tuning=recipe(rounds=4, steps_per_round=3))
    seen: list[TuningStep] = []
    steps = fine_tune(model, stream_of(model), on_step=seen.append)
    assert seen == steps and [s.round for s in steps] == [0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3]
    assert all(s.pixel > 0 and s.structure > 0 and s.bit >= 0 and 2 <= s.feature_average_bits <= 6 for s in steps)


def test_batches_exhausted():
    model = calibrated()
    few = [next(stream_of(model)) for _ in range(5)]
    with pytest.raises(ConfigError, match=r"fewer fine-tuning batches than rounds \* steps_per_round"):
        fine_tune(model, few)
    model = calibrated()
    assert len(fine_tune(model, [*few, few[0]])) == 6


def test_no_rounds_only_clip():
    model = calibrated(fine_tuning=recipe(rounds=0))
    before = state_of(model)
    assert fine_tune(model, stream_of(model)) == [] and model.clipped
    assert changed(before, model) <= {"lower", "upper"} != set()


def test_same_seed_same_result_bitwise():
    results = []
    for seed in (3, 3, 4):
        model = calibrated()
        fine_tune(model, stream_of(model, seed))
        results.append(state_of(model))
    assert all(torch.equal(results[0][name], results[1][name]) for name in results[0])
    assert any(not torch.equal(results[0][name], results[2][name]) for name in results[0])


def test_misuse_is_named():
    with pytest.raises(ConfigError, match="no step 'tune'"):
        fine_tune(calibrated(fine_tuning=None), [])
    uniform = calibrated(image_mapping=False, layer_mapping=False)
    with pytest.raises(ConfigError, match="group 'mapping' is empty or unknown; this model has weight, activation"):
        FineTuner(uniform, recipe()).step("mapping", next(batches()))
    with pytest.raises(NetworkError, match="not calibrated"):
        fine_tune(QuantizedSR(tiny("EDSR"), configured(fine_tuning=recipe())), batches())


# -- it cannot break the model ---------------------------------------------------------------------


def assert_usable(model: QuantizedSR) -> None:
    for layer in model.layers.values():
        assert layer.activation.lower < layer.activation.upper, layer.name
        assert layer.weight_quantizer.scale > 0, layer.name
    assert model.image2bit.lower < model.image2bit.upper
    with torch.no_grad():
        assert torch.isfinite(model(next(stream_of(model)))).all()


@pytest.mark.parametrize("network", ["EDSR", "RDN"])
@pytest.mark.parametrize("relative", [False, True])
def test_absurd_learning_rates_never_cross_or_collapse_a_range(network, relative):
    absurd = recipe(lr_weight=1e3, lr_activation=1e3, lr_layer=1e3, lr_image=1e3, relative_lr=relative)
    model = calibrated(network, fine_tuning=absurd)
    tuner, stream = FineTuner(model, absurd), stream_of(model)
    for index in range(12):
        before = state_of(model)
        tuner.step(tuple(KINDS)[index % 3], next(stream))
        assert changed(before, model) or index >= 2  # collapsed to the least width, there may be no gradient left
        assert_usable(model)


class Poisoned(nn.Module):
    """A network whose output becomes NaN, or infinite in its gradient only, at the n-th pass with gradients."""

    def __init__(self, network: nn.Module, at: int, gradient_only: bool) -> None:
        super().__init__()
        self.network, self.at, self.gradient_only, self.passes = network, at, gradient_only, 0

    def forward(self, x: Tensor) -> Tensor:
        out = self.network(x)
        if not out.requires_grad:
            return out
        self.passes += 1
        if self.passes != self.at:
            return out
        zero = (out - out.detach()).square()
        return out + zero.sqrt() if self.gradient_only else out * float("nan")  # the root has slope 0 * inf at 0


def poison(model: QuantizedSR, at: int, gradient_only: bool) -> None:
    """Let the model's network fail at its ``at``-th pass with gradients."""
    poisoned = Poisoned(nn.Identity(), at, gradient_only)
    model.network.register_forward_hook(lambda _module, _inputs, out: poisoned(out))


@pytest.mark.parametrize("gradient_only", [False, True], ids=["loss", "gradient"])
@pytest.mark.parametrize("at", [1, 2, 3, 6])
def test_nan_brings_back_the_last_good_state(at, gradient_only):
    """Rounds have 2 steps; at the very last step there is no later loss that could notice a NaN gradient."""
    expected = calibrated(fine_tuning=recipe(rounds=(at - 1) // 2))
    fine_tune(expected, stream_of(expected))
    model = calibrated()
    poison(model, at, gradient_only)
    what = "a gradient became" if gradient_only else "the loss became nan"
    where = rf"round {(at + 1) // 2} of 3, step {at}\)"
    with pytest.raises(FineTuningError, match=rf"{what}.*{where}.*back at its state (before|after round)"):
        fine_tune(model, stream_of(model))
    ours, good = model.state_dict(), expected.state_dict()
    assert all(torch.equal(ours[name], value) for name, value in good.items())
    assert not any(p.requires_grad for p in model.parameters())
    assert_usable(model)


def test_a_failed_step_changes_nothing():
    model = calibrated()
    poison(model, 1, gradient_only=True)
    before, tuner = state_of(model), FineTuner(model, recipe())
    with pytest.raises(FineTuningError):
        tuner.step("activation", next(stream_of(model)))
    assert not changed(before, model)


@pytest.mark.slow
def test_divergence_is_noticed_and_undone():
    """In the fourth round, the second of the weights, outputs are suddenly a tenth larger."""
    settings = recipe(rounds=5, steps_per_round=10, divergence_factor=3.0)
    expected = calibrated(fine_tuning=recipe(rounds=3, steps_per_round=10))
    fine_tune(expected, stream_of(expected))
    model = calibrated(fine_tuning=settings)

    def explode(module: nn.Module, inputs: tuple, out: Tensor) -> Tensor:
        return out * 1.1 if out.requires_grad and len(steps) >= 35 else out

    model.network.register_forward_hook(explode)
    steps: list[TuningStep] = []
    with pytest.raises(FineTuningError, match=r"diverges: mean loss .*\(round 4 of 5.*after round 3.*adabm-relative"):
        fine_tune(model, stream_of(model), on_step=steps.append)
    assert 35 <= len(steps) < 40
    assert all(torch.equal(model.state_dict()[name], value) for name, value in expected.state_dict().items())


@pytest.mark.slow
def test_a_steady_loss_does_not_trigger_the_guard():
    settings = recipe(rounds=3, steps_per_round=12, divergence_factor=1.5, lr_weight=1e-6, lr_activation=1e-6)
    model = calibrated(fine_tuning=settings)
    assert len(fine_tune(model, stream_of(model))) == 36
