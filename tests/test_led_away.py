"""Fine-tuning that ends farther from the full-precision network than it began is told."""

import warnings

import pytest
import torch

from adabm.quantization.model import QuantizedSR
from adabm.recipes import calibrate
from adabm.steps.tune import Tune
from adabm.steps.tuner import fine_tune
from helpers.configurations import configured
from helpers.tiny_networks import tiny


def tuned(state=None, **rates: float) -> QuantizedSR:
    settings = Tune(rounds=2, steps_per_round=1, batch_size=2, patch_size=8, groups=("activation", "weight"), **rates)
    model = QuantizedSR(tiny("SRVGGNetCompact"), configured(fine_tuning=settings))
    generator = torch.Generator().manual_seed(0)
    batches = [torch.rand(2, 3, 8, 8, generator=generator) for _ in range(3)]
    calibrate(model, batches)
    fine_tune(model, batches, progress=state)
    return model


def test_rates_that_spoil_the_ranges_are_told_once_at_the_end():
    with pytest.warns(
        UserWarning, match=r"led the model away from the full-precision network: the loss .* 'adabm-relative'"
    ) as told:
        tuned(lr_activation=100.0)
    assert len(told) == 1


def test_a_run_that_was_complete_tells_it_again(tmp_path):
    for _ in range(2):
        with pytest.warns(UserWarning, match="led the model away"):
            tuned(tmp_path / "state", lr_activation=100.0)


def test_gentle_rates_say_nothing_and_no_gradients_are_left():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = tuned(lr_activation=1e-4, lr_weight=1e-4)
    assert all(parameter.grad is None for parameter in model.parameters())
