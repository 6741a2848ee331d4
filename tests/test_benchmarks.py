"""The benchmarks run: tiny networks and settings, no statement about time."""

import sys

import numpy as np
import pandas as pd
import pytest
import torch

import adabm
from adabm.recipes import calibrate
from adabm.steps.clip import clip_ranges
from adabm.steps.tuner import FineTuner
from benchmarks import gpu, quantizing
from benchmarks.recording import ratios, runs_of
from benchmarks.released import Released
from helpers.cli_files import smooth
from helpers.tiny_networks import tiny

SIZE = 24


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    path = tmp_path_factory.mktemp("network") / "edsr.safetensors"
    adabm.save_network(tiny("EDSR"), path)
    return path


def pictures(folder) -> None:
    from PIL import Image

    folder.mkdir()
    for number in range(3):
        Image.fromarray(smooth(number, SIZE, SIZE)).save(folder / f"{number}.png")


def test_the_baseline_computes_what_the_package_does(network):
    """The same ranges, factors and first step: what is compared in time does the same work."""
    loaded = adabm.load_network(network)
    released, model = Released(loaded), adabm.QuantizedSR(loaded, adabm.preset("adabm"))
    batch = torch.stack([torch.from_numpy(smooth(n, SIZE, SIZE)).permute(2, 0, 1) / 255 for n in range(4)])
    released.calibrate(batch)
    calibrate(model, [batch])
    for name, layer in model.layers.items():
        other = released.layers[name]
        ours = [layer.activation.lower, layer.activation.upper, layer.weight_quantizer.scale]
        torch.testing.assert_close(ours, [other.lower, other.upper, other.scale], rtol=1e-5, atol=1e-5)
        assert layer.layer2bit is None or layer.layer2bit.factor == other.factor
    torch.testing.assert_close([model.image2bit.lower, model.image2bit.upper], list(released.thresholds))
    released.clip(batch[:2])
    clip_ranges(model, batch[:2])
    for name, layer in model.layers.items():
        torch.testing.assert_close(layer.activation.upper, released.layers[name].upper, rtol=1e-4, atol=1e-4)
    loss = released.step("activation", batch[:2])
    step = FineTuner(model, model.config.step("tune")).step("activation", batch[:2])
    assert loss == pytest.approx(step.pixel + step.structure, rel=1e-2)


def test_quantizing(network, tmp_path, monkeypatch):
    pictures(tmp_path / "pictures")
    monkeypatch.setattr(quantizing, "peaks", lambda args: [{"part": "calibration", "way": "released", "mib": 7}])
    command = ["quantizing", "--network", str(network), "--pictures", str(tmp_path / "pictures"), "--patches", "2"]
    monkeypatch.setattr(sys, "argv", [*command, "--size", "12", "--repeats", "1", "--out", str(tmp_path / "out")])
    quantizing.main()
    rows = pd.read_csv(tmp_path / "out" / quantizing.SECONDS)
    ways = {"released", *quantizing.OURS}
    assert set(zip(rows["part"], rows["way"])) == {
        *((part, way) for part in ("calibration", "clipping") for way in ("released", "adabm")),
        *((f"{group} step", way) for group in quantizing.GROUPS for way in ways),
    }
    assert "| clipping" in (tmp_path / "out" / "README.md").read_text()


@pytest.mark.slow
def test_a_gpus_script_on_the_cpu(tmp_path):
    gpu.main(["--device", "cpu", "--tiny", "--out", str(tmp_path)])
    rows = pd.read_csv(tmp_path / "gpu.csv")
    assert not (rows["result"] == "failed").any() and len(rows) == 6
    assert "Tiny settings" in (tmp_path / "README.md").read_text()
    assert runs_of(tmp_path / "gpu.csv")[0]["device"] == "cpu"


def test_without_a_gpu_its_script_says_so(monkeypatch, capsys):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(SystemExit) as ended:
        gpu.main([])
    assert ended.value.code == 2 and "--device cpu --tiny tries everything out" in capsys.readouterr().err


def test_ratios_are_of_the_fastest_and_of_pairs():
    rows = [("a", 0, 2.0), ("a", 1, 4.0), ("b", 0, 1.0), ("b", 1, 1.0)]
    samples = pd.DataFrame([{"part": "p", "way": w, "repeat": r, "seconds": s} for w, r, s in rows])
    (row,) = ratios(samples, ["part"], "way", "a").to_dict("records")
    assert row == {"part": "p", "a": "2000 ms", "b": "2.0 / 3.0"}
    assert np.isclose(float(row["b"].split(" / ")[1]), np.median([2.0, 4.0]))
