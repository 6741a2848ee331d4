"""Training the backbone: an interrupted run continues to the same weights; the export loads and agrees."""

import json

import numpy as np
import pytest
import torch
from safetensors import safe_open

from adabm.errors import NetworkError
from adabm.networks import build_network, load_network, save_network
from adabm.pictures.writing import write_image
from pipelines.training import train_backbone
from pipelines.training.growing import grow_edsr


@pytest.fixture
def photos(tmp_path):
    rng = np.random.default_rng(0)
    for index in range(3):
        write_image(tmp_path / "photos" / f"{index}.png", rng.integers(0, 256, (48, 64, 3), dtype=np.uint8))
    return tmp_path / "photos"


def train(monkeypatch, photos, work, steps=6, stop_at=None, export=None):
    arguments = [
        "--photos",
        photos,
        "--work",
        work,
        "--features",
        4,
        "--blocks",
        1,
        "--scale",
        2,
        "--batch",
        2,
        "--patch",
        8,
        "--steps",
        steps,
        "--warmup",
        2,
        "--threads",
        1,
        "--save-seconds",
        0,
    ]
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


def test_grown_network_starts_as_the_small_one_enlarged(tmp_path):
    """With a last convolution that reads its centre pixel alone, the start is the x2 output, each pixel repeated."""
    torch.manual_seed(0)
    small = build_network("EDSR", num_feat=8, num_block=2, upscale=2, img_range=2.0)
    with torch.no_grad():
        kernel = small.conv_last.weight
        kernel.copy_(kernel * torch.tensor([[0, 0, 0], [0, 1, 0], [0, 0, 0]]))
    save_network(small, tmp_path / "small.safetensors")
    large = train_backbone.build_edsr(8, 5, 4, 1.0)
    grow_edsr(tmp_path / "small.safetensors", large)
    x = torch.rand(1, 3, 10, 12)
    with torch.no_grad():
        expected = small(x).repeat_interleave(2, 2).repeat_interleave(2, 3)
        torch.testing.assert_close(large(x), expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("options", [dict(upscale=4), dict(num_feat=16, upscale=2), dict(num_block=9, upscale=2)])
def test_growing_from_an_unfit_network_is_refused(tmp_path, options):
    save_network(build_network("EDSR", **{"num_feat": 8, "num_block": 2, **options}), tmp_path / "small.safetensors")
    with pytest.raises(NetworkError, match="not an EDSR x2 of 8 features"):
        grow_edsr(tmp_path / "small.safetensors", train_backbone.build_edsr(8, 5, 4, 1.0))
