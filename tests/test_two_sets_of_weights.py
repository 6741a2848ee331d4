"""Files that hold two sets of weights of one network: which is meant is known, or asked for."""

import pytest
import torch

import adabm
from adabm.errors import CheckpointError


def weights(seed: int) -> dict[str, torch.Tensor]:
    torch.manual_seed(seed)
    return dict(adabm.build_network("EDSR", num_feat=4, num_block=1, upscale=2).state_dict())


def wrapped(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {f"module.{name}": value for name, value in state.items()} | {"n_averaged": torch.tensor(9)}


@pytest.mark.parametrize(
    "parts",
    [
        {"state_dict": weights(0), "ema_state_dict": weights(1)},
        {"model": weights(0), "swa": wrapped(weights(1))},
        {"params_ema": weights(0), "model_state_dict": weights(1)},
        {"net": {f"module.{name}": value for name, value in weights(0).items()}, "teacher": weights(1)},
    ],
)
def test_a_file_of_two_sets_of_weights_is_refused(tmp_path, parts):
    path = tmp_path / "x.pth"
    torch.save(parts | {"epoch": 3, "optimizer": {"state": {}}}, path)
    taken, other = parts
    with pytest.raises(
        CheckpointError, match=f"two sets of weights of one network, {taken!r} and {other!r}; save the one"
    ):
        adabm.load_network(path)


@pytest.mark.parametrize(
    "parts",
    [
        {"state_dict": weights(0), "best": weights(0)},
        {"model": weights(0), "discriminator": {"conv_first.weight": torch.zeros(1)}},
    ],
)
def test_which_weights_are_meant_may_be_known(tmp_path, parts):
    torch.save(parts, path := tmp_path / "x.pth")
    network = adabm.load_network(path)
    assert all(torch.equal(value, network.state_dict()[name]) for name, value in weights(0).items())


def test_which_of_averaged_weights_and_others_are_taken_is_told(tmp_path):
    torch.save({"params": weights(1), "params_ema": weights(0)}, path := tmp_path / "x.pth")
    with pytest.warns(UserWarning, match="holds weights 'params_ema' and 'params'; those of 'params_ema' are taken"):
        network = adabm.load_network(path)
    assert all(torch.equal(value, network.state_dict()[name]) for name, value in weights(0).items())
