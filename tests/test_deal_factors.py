"""Step ``deal_factors``: rules that replace the layer factors: what they change, what they keep, and when they act."""

import pytest
import torch
from test_model import calibrated, pictures

import adabm
from adabm.networks import load_network
from adabm.pictures.reading import read_rgb
from adabm.steps import Workspace
from adabm.steps.deal_factors import DealFactors
from adabm.study import ModelTask, ResultCache, Run, read_plan
from helpers.study_files import EFFORT, forget, part, write_study


def deal(model, by: str, seed: int) -> None:
    DealFactors(by).apply(model, Workspace([], 8, None, 1, seed, 1.0, model.device))


def factors(model) -> list[float]:
    return [float(layer.layer2bit.factor) for layer in model.layers.values() if layer.layer2bit is not None]


def model_with(*values: float, **settings):
    """A calibrated model of ten adaptive layers, images without influence on its bits."""
    model = calibrated("RCAN", image_mapping=False, fully_quantized=False, **settings)
    layers = [layer for layer in model.layers.values() if layer.layer2bit is not None]
    for layer, value in zip(layers, values, strict=True):
        layer.layer2bit.factor.data.fill_(value)
    return model


VALUES = [-1, -1, 0, 0, 0, 0, 1, 1, 1, 0.6]


def feature_average_bits(model) -> float:
    with torch.no_grad():
        return float(model.infer(pictures(model)).feature_average_bits.mean())


def test_random_factors_are_the_same_factors_elsewhere():
    dealt = []
    for seed in range(5):
        model = model_with(*VALUES)
        before = {name: value.clone() for name, value in model.state_dict().items()}
        bits = feature_average_bits(model)
        deal(model, "random", seed)
        assert sorted(factors(model)) == pytest.approx(sorted(VALUES)), "as many of each"
        assert feature_average_bits(model) == pytest.approx(bits)
        assert {n.split(".")[-1] for n, value in model.state_dict().items() if not torch.equal(value, before[n])} == {
            "factor"
        }
        dealt.append(tuple(factors(model)))
    assert len(set(dealt)) > 1 and any(d != pytest.approx(VALUES) for d in dealt)
    again = model_with(*VALUES)
    deal(again, "random", 3)
    assert tuple(factors(again)) == dealt[3]


def test_opposite_factors_are_negated():
    for seed in (0, 1):
        model = model_with(*VALUES)
        bits = feature_average_bits(model)
        deal(model, "opposite", seed)
        assert factors(model) == pytest.approx([-v for v in VALUES])
        assert feature_average_bits(model) == pytest.approx(8 - bits, abs=1e-5) and abs(bits - 4) > 0.1


@pytest.mark.parametrize("name", ("random", "opposite"))
def test_without_layer_mapping_there_is_nothing_to_do(name):
    model = calibrated("EDSR", layer_mapping=False)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    deal(model, name, 0)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


@pytest.mark.parametrize("method", ["adabm-notune", "adabm"])
def test_a_run_intervenes_between_calibration_and_clipping(tmp_path, method):
    """Clipping and fine-tuning then start from the new factors."""
    forget()
    cell = read_plan([part(methods=[method])], write_study(tmp_path), EFFORT)[-1]
    run = Run.at(method, "W4A4 FQ", changes={"deal_factors": {"by": "opposite"}})
    task = ModelTask(cell.backbone, cell.calibration, run, EFFORT, ResultCache(tmp_path / "cache"))
    task.carry_out()
    model, _ = task.load()
    images = [read_rgb(path) for path in cell.calibration]
    network = load_network(cell.backbone).to(memory_format=torch.channels_last)
    config = Run.at(method, "W4A4 FQ").config(EFFORT)
    expected, plain = (
        adabm.quantize(network, images, config, patch_size=12, patches=4, after_calibration=rule)[0].state_dict()
        for rule in (lambda m: deal(m, "opposite", 0), None)
    )
    assert all(torch.equal(value, expected[name]) for name, value in model.state_dict().items())
    differing = {name.split(".")[-1] for name, value in expected.items() if not torch.equal(value, plain[name])}
    assert {"factor", "upper"} <= differing
