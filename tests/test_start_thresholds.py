"""Step ``start_thresholds``: where the thresholds of images begin when no percentile says so."""

import pytest
import torch
from test_model import calibrated, pictures

from adabm.errors import ConfigError
from adabm.recipes import read_recipe
from adabm.steps import Workspace
from adabm.steps.start_thresholds import StartThresholds


def started(at: tuple[float, float] | None, seed: int = 0, between: tuple[float, float] = (10.0, 60.0)):
    model = calibrated("RCAN", fully_quantized=False)
    model.image2bit.set_thresholds(*(torch.tensor([value]) for value in between))
    StartThresholds(at).apply(model, Workspace([], 8, None, 1, seed, 1.0, model.device))
    return model


def test_random_thresholds_lie_between_those_that_calibration_found():
    found = [started(None, seed).image2bit for seed in range(8)]
    values = [(float(mapping.lower), float(mapping.upper)) for mapping in found]
    assert all(10 <= lower < upper <= 60 for lower, upper in values) and len(set(values)) == 8
    assert (float(started(None, 3).image2bit.lower), float(started(None, 3).image2bit.upper)) == values[3]


@pytest.mark.parametrize(("at", "factor"), [((-2.0, -1.0), 1), ((-1.0, 1000.0), 0), ((1000.0, 1001.0), -1)])
def test_constants_that_no_image_passes_give_all_the_same_factor(at, factor):
    model = started(at)
    assert (float(model.image2bit.lower), float(model.image2bit.upper)) == pytest.approx(at)
    assert (model.image2bit(model.complexity(pictures(model))) == factor).all()


def test_what_cannot_be_done_is_refused():
    with pytest.raises(ConfigError, match=r"at = \(50\.0, 15\.0\): must be two numbers, the lower one first"):
        StartThresholds((50.0, 15.0))
    recipe = read_recipe("adabm").with_changes({"map_bits.image": None, "start_thresholds": {}})
    model = calibrated("RCAN", image_mapping=False, fully_quantized=False)
    with pytest.raises(ConfigError, match="start_thresholds: the recipe maps no images"):
        recipe.step("start_thresholds").check_model(model)
