"""Training the backbone: an interrupted run continues to the same weights; the export loads and agrees."""

import json

import numpy as np
import pytest
import torch
from safetensors import safe_open

from adabm.images import write_image
from adabm.networks import load_network
from pipelines import train_backbone


@pytest.fixture
def photos(tmp_path):
    rng = np.random.default_rng(0)
    for index in range(3):
        write_image(tmp_path / "photos" / f"{index}.png", rng.integers(0, 256, (48, 64, 3), dtype=np.uint8))
    return tmp_path / "photos"


def train(monkeypatch, photos, work, steps=6, stop_at=None, export=None):
    arguments = ["--photos", photos, "--work", work, "--features", 4, "--blocks", 1, "--scale", 2, "--batch", 2,
                 "--patch", 8, "--steps", steps, "--warmup", 2, "--threads", 1, "--save-seconds", 0]
    arguments += ["--export", export] if export else []
    monkeypatch.setattr("sys.argv", ["train_backbone", *map(str, arguments)])
    rate = train_backbone.learning_rate

    def interrupted(step, args):
        if step == stop_at:
            raise KeyboardInterrupt
        return rate(step, args)

    with monkeypatch.context() as patch:
        patch.setattr(train_backbone, "learning_rate", interrupted)
        if stop_at is None:
            train_backbone.main()
        else:
            with pytest.raises(KeyboardInterrupt):
                train_backbone.main()
    return torch.load(work / "train.pt", weights_only=True)


def test_interrupted_run_continues_alike(monkeypatch, photos, tmp_path):
    whole = train(monkeypatch, photos, tmp_path / "whole")
    train(monkeypatch, photos, tmp_path / "cut", stop_at=3)
    cut = train(monkeypatch, photos, tmp_path / "cut")
    assert cut["step"] == whole["step"] == 6
    for kind in ("network", "average"):
        assert all(torch.equal(cut[kind][name], value) for name, value in whole[kind].items())


def test_export_is_the_trained_function(monkeypatch, photos, tmp_path):
    state = train(monkeypatch, photos, tmp_path / "work", export=tmp_path / "edsr.safetensors")
    trained = train_backbone.build_edsr(4, 1, 2, 1.0)
    trained.load_state_dict(state["average"])
    exported = load_network(tmp_path / "edsr.safetensors")
    x = torch.rand(1, 3, 12, 12)
    with torch.no_grad():
        torch.testing.assert_close(exported(x), trained(x), rtol=0, atol=1e-6)
    with safe_open(tmp_path / "edsr.safetensors", "pt") as file:
        assert json.loads(file.metadata()["recipe"])["schedule"] == [[0, 6]]


def test_changed_schedule_is_recorded_and_other_recipes_are_refused(monkeypatch, photos, tmp_path):
    train(monkeypatch, photos, tmp_path / "work", stop_at=3)
    assert train(monkeypatch, photos, tmp_path / "work", steps=5)["schedule"] == [[0, 6], [3, 5]]
    write_image(photos / "new.png", np.zeros((48, 64, 3), np.uint8))
    with pytest.raises(SystemExit, match="other"):
        train(monkeypatch, photos, tmp_path / "work")
