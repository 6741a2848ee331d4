"""An interrupted fine-tuning continues behind its last whole round, to the same result."""

import dataclasses

import numpy as np
import pytest
import torch
from test_fine_tuning import calibrated, recipe, state_of, stream_of

import adabm
from adabm.errors import ConfigError
from adabm.recipes import preset
from adabm.steps import Progress
from adabm.steps.tuner import fine_tune
from helpers.cli_files import smooth
from helpers.slow import slow
from helpers.tiny_networks import tiny


def interrupted(model, config, progress, at):
    count = iter(range(1000))

    def stop(step):
        if next(count) == at:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fine_tune(model, stream_of(model), config, stop, progress)


@pytest.mark.parametrize("at", [1, slow(3), slow(8)])
@pytest.mark.parametrize("relative", [False, True])
def test_interruption_changes_nothing(tmp_path, at, relative):
    config = recipe(rounds=5, relative_lr=relative)
    whole = calibrated(fine_tuning=config)
    expected = fine_tune(whole, stream_of(whole))
    interrupted(calibrated(fine_tuning=config), config, tmp_path / "state.pt", at)
    assert (tmp_path / "state.pt").exists() == (at >= 2)
    resumed, taken = calibrated(fine_tuning=config), []
    steps = fine_tune(resumed, stream_of(resumed), on_step=taken.append, progress=tmp_path / "state.pt")
    assert steps == expected and len(taken) == 10 - at // 2 * 2
    assert all(torch.equal(value, whole.state_dict()[name]) for name, value in state_of(resumed).items())
    assert (
        fine_tune(calibrated(fine_tuning=config), stream_of(whole), progress=tmp_path / "state.pt") == expected
    )  # a finished one


def test_for_want_of_memory_no_state_is_called_another_kind_of_file(tmp_path, monkeypatch):
    """Who was told so would delete it."""

    def lacking(*_, **__):
        raise MemoryError

    model = calibrated()
    fine_tune(model, stream_of(model), recipe(), progress=tmp_path / "state.pt")
    monkeypatch.setattr(torch, "load", lacking)
    with pytest.raises(MemoryError):
        Progress(tmp_path / "state.pt").check()


def test_state_of_another_run_or_a_damaged_one_is_refused(tmp_path):
    model, config, path = calibrated(), recipe(), tmp_path / "state.pt"
    fine_tune(model, stream_of(model), config, progress=path)
    for other, settings in ((calibrated("RDN"), config), (calibrated(), dataclasses.replace(config, lr_weight=0.5))):
        with pytest.raises(ConfigError, match="another model or fine-tuning recipe"):
            fine_tune(other, stream_of(other), settings, progress=path)
    other, before = calibrated(), state_of(calibrated())
    with pytest.raises(ConfigError, match="state.pt: belongs to other fine-tuning batches"):
        fine_tune(other, stream_of(other, seed=1), config, progress=path)
    assert all(torch.equal(value, before[name]) for name, value in state_of(other).items())
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(ConfigError, match="not a readable"):
        fine_tune(calibrated(), stream_of(model), config, progress=path)


@pytest.mark.parametrize("changed", [{"seed": 1}, {"images": 1}])
def test_quantize_goes_on_with_the_same_pictures_and_seed_alone(tmp_path, changed):
    """Min/max ranges of patches as large as the pictures are the same whatever the seed: nothing else would tell."""
    images = [smooth(index, 24, 24) for index in range(3)]
    config = preset("minmax-tuned", {"tune.rounds": 2, "tune.steps_per_round": 1})
    settings = dict(config=config, patch_size=24, progress=tmp_path / "state.pt")
    adabm.quantize(tiny("EDSR"), images, **settings)
    again = images if "seed" in changed else images[::-1]
    with pytest.raises(ConfigError, match="belongs to other fine-tuning batches"):
        adabm.quantize(tiny("EDSR"), again, **settings, seed=changed.get("seed", 0))


@pytest.mark.filterwarnings("error::UserWarning")
@pytest.mark.parametrize(
    ("recipe", "changes", "kept"),
    [
        ("minmax", {}, False),
        ("adabm", {"tune.rounds": 0}, False),
        ("minmax-tuned", {"tune.rounds": 1, "tune.steps_per_round": 1}, True),
    ],
)
def test_a_file_in_which_nothing_would_be_kept_is_told_of(tmp_path, recipe, changes, kept):
    images = [np.random.default_rng(0).integers(0, 256, (12, 12, 3), dtype=np.uint8)]
    given = dict(config=preset(recipe, changes), patch_size=12, progress=tmp_path / "state.pt")
    if kept:
        adabm.quantize(tiny("EDSR"), images, **given)  # a warning would be an error
    else:
        told = f"progress: nothing is kept of an interrupted run of {recipe}.*, which does not fine-tune"
        with pytest.warns(UserWarning, match=told) as warned:
            adabm.quantize(tiny("EDSR"), images, **given)
        assert warned[0].filename == __file__  # the line of whoever asked
    assert (tmp_path / "state.pt").exists() == kept
