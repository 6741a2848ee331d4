"""Checkpoints: what is loaded computes the same bits, and everything else is refused by name."""

import json
import os
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from adabm.checkpoints.checkpoint import load_quantized, read_metadata, save_quantized
from adabm.errors import CheckpointError
from adabm.quantization.bit_rule import Policy
from adabm.quantization.model import QuantizedSR
from adabm.recipes import QuantizationConfig, calibrate
from adabm.steps.clip import clip_ranges
from helpers.changes import CHANGES
from helpers.configurations import configured
from helpers.slow import slow_among
from helpers.tiny_networks import TINY, tiny

pytestmark = pytest.mark.filterwarnings("ignore:.*layout was guessed")


def pictures(model: QuantizedSR, seed: int = 0) -> Tensor:
    return torch.rand(3, 3, 10, 10, generator=torch.Generator().manual_seed(seed)) * model.descriptor.value_range


def quantized(network: nn.Module | str = "EDSR", **settings) -> QuantizedSR:
    model = QuantizedSR(tiny(network) if isinstance(network, str) else network, configured(**settings))
    calibrate(model, [pictures(model, 1)])
    if not model.clipped:
        clip_ranges(model, pictures(model, 2))
    return model


@pytest.fixture
def path(tmp_path) -> Path:
    return tmp_path / "model.safetensors"


def rewrite(path: Path, change) -> None:
    """Apply ``change(tensors, metadata)`` to a checkpoint in place."""
    with safe_open(path, "pt") as file:
        metadata = json.loads(file.metadata()["adabm"])
    tensors = load_file(path)
    change(tensors, metadata)
    save_file(tensors, path, {"adabm": json.dumps(metadata)})


def refused(path: Path, message: str, network: nn.Module | None = None) -> None:
    with pytest.raises(CheckpointError, match=message) as caught:
        load_quantized(path, network)
    assert str(path) in str(caught.value)


# -- round trips -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", slow_among(TINY, ("RRDBNet", "RCAN")))
@pytest.mark.parametrize("fully", [False, True], ids=["body", "FQ"])
def test_round_trip_is_bit_exact(name, fully, path):
    model = quantized(name, fully_quantized=fully)
    save_quantized(model, path, preset="adabm", seed=3)
    state = torch.get_rng_state()
    loaded = load_quantized(path)
    assert torch.equal(torch.get_rng_state(), state)
    ours, theirs = model.infer(pictures(model)), loaded.infer(pictures(model))
    assert torch.equal(ours.image, theirs.image)
    assert torch.equal(ours.feature_average_bits, theirs.feature_average_bits)
    assert loaded.descriptor == model.descriptor and list(loaded.layers) == list(model.layers)
    assert loaded.config == model.config and loaded.clipped
    with loaded.full_precision(), model.full_precision():
        assert torch.equal(loaded(pictures(model)), model(pictures(model)))


def test_metadata_tells_how_it_was_made(path):
    config = configured(activation_bits=6, fine_tuning=None)
    model = quantized(activation_bits=6, fine_tuning=None)
    save_quantized(model, path, preset="adabm-notune", seed=7)
    metadata = read_metadata(path)
    assert (metadata["preset"], metadata["seed"], metadata["clipped"]) == ("adabm-notune", 7, True)
    assert QuantizationConfig.from_dict(metadata["config"]) == config
    assert metadata["network"]["name"] == "EDSR" and len(metadata["network"]["sha256"]) == 64
    save_quantized(model, path)
    assert (read_metadata(path)["preset"], read_metadata(path)["seed"]) == ("adabm", None)


def test_a_loaded_model_can_be_saved_again(path):
    save_quantized(quantized(), path)
    first = path.read_bytes()
    save_quantized(load_quantized(path), path)
    assert path.read_bytes() == first


def test_not_yet_clipped_is_remembered(path):
    model = QuantizedSR(tiny("EDSR"), configured())
    calibrate(model, [pictures(model)])
    save_quantized(model, path)
    assert not load_quantized(path).clipped


class Homemade(nn.Sequential):
    """A network that no name can build, with a convolution that is used twice."""

    def __init__(self, seed: int = 0) -> None:
        torch.manual_seed(seed)
        twice = nn.Conv2d(4, 4, 3, padding=1)
        first, last = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 12, 3, padding=1)
        super().__init__(first, twice, nn.ReLU(), twice, last, nn.PixelShuffle(2))


def test_an_unknown_network_must_be_given(path):
    model = quantized(Homemade())
    save_quantized(model, path)
    refused(path, r"Homemade cannot be built by name, .*; pass the network: load_quantized\(path, network\)")
    loaded = load_quantized(path, Homemade())
    assert torch.equal(loaded(pictures(model)), model(pictures(model)))
    refused(path, "made from another Homemade: the weights differ", Homemade(seed=1))


@pytest.mark.parametrize("change", CHANGES)
def test_a_network_that_was_changed_after_it_was_built_comes_back_as_it_was_or_not_at_all(change, path):
    network = tiny("EDSR")
    CHANGES[change](network)
    model = quantized(network)
    with pytest.warns(UserWarning, match="this EDSR was changed after it was built"):
        save_quantized(model, path)
    refused(path, "EDSR cannot be built by name, or was changed after it was built; pass the network")
    refused(path, "the network given has its weights, but computes something else", tiny("EDSR"))
    assert torch.equal(load_quantized(path, network)(pictures(model)), model(pictures(model)))


def test_a_block_that_differs_little_in_full_precision_counts_as_changed(path):
    network = tiny("EDSR")
    network.body[0].relu = nn.GELU()
    model = quantized(network)
    with pytest.warns(UserWarning, match="this EDSR was changed after it was built"):
        save_quantized(model, path)
    assert torch.equal(load_quantized(path, network)(pictures(model)), model(pictures(model)))


def test_a_model_that_was_changed_after_quantizing_does_not_come_back_without_a_word(path):
    model = quantized()
    model.network.mean = model.network.mean + 0.1
    with pytest.warns(UserWarning, match="changed after it was built"):
        save_quantized(model, path)
    refused(path, "computes something else", tiny("EDSR"))


def test_a_network_of_ones_own_with_other_settings_is_refused(path):
    class Scaled(Homemade):
        def __init__(self, factor: float = 1.0) -> None:
            super().__init__()
            self.factor = factor

        def forward(self, images: Tensor) -> Tensor:
            return self.factor * super().forward(images)

    save_quantized(quantized(Scaled()), path)
    load_quantized(path, Scaled())
    refused(path, "made from another Scaled: .* computes something else", Scaled(1.1))


@pytest.mark.parametrize(
    "change",
    [
        lambda model: setattr(model.image2bit, "measure", lambda images, value_range: torch.full((len(images),), 1e9)),
        lambda model: setattr(model.layers["body.0.conv1"], "policy", Policy.FIXED),
        lambda model: setattr(model.layers["body.0.conv1"].activation, "forward", lambda x, *_: 0 * x),
    ],
    ids=["measure", "policy", "quantizer"],
)
def test_a_model_that_was_changed_by_hand_is_not_written(change, path):
    model = quantized()
    change(model)
    with pytest.raises(
        CheckpointError, match="is not written, since the model that would be loaded from it chooses other"
    ):
        save_quantized(model, path)
    assert not path.exists()


def test_a_hook_of_the_model_is_not_lost_without_a_word(path):
    model = quantized()
    model.register_forward_hook(lambda _m, _i, output: output + 1)
    with pytest.warns(UserWarning, match="changed after it was built"):
        save_quantized(model, path)


def test_a_change_that_acts_on_larger_or_brighter_pictures_is_noticed(path):
    for act in (lambda x: x.shape[-1] > 40, lambda x: x.mean() > 0.7):
        network = tiny("EDSR")
        network.register_forward_hook(lambda _m, given, output, act=act: output * 2 if act(given[0]) else output)
        with pytest.warns(UserWarning, match="changed after it was built"):
            save_quantized(quantized(network), path)


def test_a_given_network_must_compute_what_the_file_gives_alone(path):
    save_quantized(quantized(), path)
    for change in ("mean", "img_range", "a hook"):
        network = tiny("EDSR")
        CHANGES[change](network)
        refused(path, "the network given has its weights, but computes something else", network)


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16, torch.float64])
def test_a_model_whose_type_was_changed_comes_back_in_it(kind, path):
    model = quantized().to(kind)
    save_quantized(model, path)
    loaded = load_quantized(path)
    assert all(a.dtype == b.dtype for a, b in zip(model.state_dict().values(), loaded.state_dict().values()))
    assert torch.equal(loaded(pictures(model).to(kind)), model(pictures(model).to(kind)))


def test_random_numbers_are_as_before_after_saving(path):
    model, before = quantized(), torch.get_rng_state()
    save_quantized(model, path)
    assert torch.equal(torch.get_rng_state(), before)


def test_a_known_network_may_be_given(path):
    model = quantized()
    save_quantized(model, path)
    assert torch.equal(load_quantized(path, tiny("EDSR"))(pictures(model)), model(pictures(model)))


# -- what is refused -------------------------------------------------------------------------------


def test_missing_file(path):
    refused(path, "no such file")
    path.mkdir()
    refused(path, "no such file")


def test_why_a_file_cannot_be_opened_is_told(path, monkeypatch):
    def no_more(path):
        raise OSError(24, "Too many open files", str(path))

    path.touch()
    monkeypatch.setattr("adabm.support.serialization.open_regular_file", no_more)
    refused(path, r"model\.safetensors: cannot be read \(Too many open files\)$")


def test_for_want_of_memory_no_network_is_taken_for_a_changed_one(path, monkeypatch):
    """Such a model's file could not be loaded without the network."""

    def lacking(*_):
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory")

    model = quantized()
    for place in ("adabm.checkpoints.trying_out.restored", "adabm.networks.sameness._waves"):
        with monkeypatch.context() as patch:
            patch.setattr(place, lacking)
            with pytest.raises(RuntimeError, match="can't allocate memory"):
                save_quantized(model, path)
    assert not path.exists()


def test_full_precision_weights_are_not_taken_for_quantized(path):
    save_file(tiny("EDSR").state_dict(), path, {"network": "EDSR", "options": "{}"})
    refused(path, "holds no quantization state; if it is of full-precision weights.*adabm quantize")
    torch.save(tiny("EDSR").state_dict(), path)
    refused(path, "not a readable safetensors file")


@pytest.mark.parametrize("keep", [0, 5, 100, 0.5, -1])
def test_truncated_file(path, keep):
    save_quantized(quantized(), path)
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * keep) if isinstance(keep, float) else keep])
    refused(path, "not a readable safetensors file")


def test_flipped_bits_in_the_weights(path):
    save_quantized(quantized(), path)

    def damage(tensors, metadata):
        tensors["network.body.0.conv1.weight"][0, 0, 0, 0] += 1e-3

    rewrite(path, damage)
    refused(path, "do not match their recorded sha256; the file is damaged")


def test_nan_and_missing_and_additional_tensors(path):
    model, name = quantized(), "network.body.0.conv1.activation.upper"
    for change, message in (
        (lambda t, _: t[name].fill_(float("nan")), "holds NaN or infinite values"),
        (lambda t, _: t.pop(name), f"does not fit EDSR.*{name}"),
        (lambda t, _: t.update(extra=torch.zeros(1)), "does not fit EDSR.*extra"),
    ):
        save_quantized(model, path)
        rewrite(path, change)
        refused(path, message)


def test_wrong_network(path):
    save_quantized(quantized(), path)
    refused(path, "is for EDSR, not for MSRResNet", tiny("MSRResNet"))
    other = tiny("EDSR")
    with torch.no_grad():
        other.conv_last.bias += 1e-4
    refused(path, "made from another EDSR: the weights differ from the network given", other)
    refused(path, "quantized already", quantized().network)


def test_foreign_metadata(path):
    model = quantized()
    for change, message in (
        (lambda _, m: m.update(format="adabm-quantized-99"), "format 'adabm-quantized-99' is not"),
        (lambda _, m: m["network"].update(name="VDSR"), "unknown network 'VDSR'"),
        (lambda _, m: m["network"]["options"].update(num_feats=3), "EDSR has no option 'num_feats'"),
        (lambda _, m: m["network"]["options"].update(num_block=1), "body.1"),
    ):
        save_quantized(model, path)
        rewrite(path, change)
        refused(path, message)
    save_file({"a": torch.zeros(1)}, path, {"adabm": "{"})
    refused(path, "metadata is damaged")


def test_an_uncalibrated_model_has_nothing_to_save(path):
    with pytest.raises(CheckpointError, match="not calibrated"):
        save_quantized(QuantizedSR(tiny("EDSR"), configured()), path)
    assert not path.exists()


def test_an_interrupted_write_leaves_the_old_file(path, monkeypatch):
    save_quantized(quantized(), path)
    before = path.read_bytes()

    def interrupted(*_args) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        save_quantized(quantized(weight_bits=8), path)
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]  # no temporary file either
    monkeypatch.undo()
    save_quantized(quantized(weight_bits=8), path)
    assert load_quantized(path).config.weight_bits == 8


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda layer: layer.activation.upper.fill_(float("nan")), "it holds NaN or infinite values"),
        (
            lambda layer: layer.activation.upper.copy_(layer.activation.lower),
            "the activation range is empty of 'body.0",
        ),
        (lambda layer: layer.weight_quantizer.scale.fill_(0), "the range of the weights is empty of 'body.0"),
    ],
    ids=["NaN", "range", "weights"],
)
def test_what_could_not_be_loaded_is_not_written(path, spoil, message):
    """As an extreme learning rate leaves it."""
    model = quantized()
    with torch.no_grad():
        spoil(model.layers["body.0.conv1"])
    with pytest.raises(CheckpointError, match=f"is not written, since {message}"):
        save_quantized(model, path)
    assert not list(path.parent.iterdir())


def test_crossed_thresholds_of_images_are_not_written(path):
    """All images would get a bit more and a bit fewer at once."""
    model = quantized()
    with torch.no_grad():
        model.image2bit.lower.copy_(model.image2bit.upper + 1)
    with pytest.raises(CheckpointError, match="since the lower threshold of images is above the upper one"):
        save_quantized(model, path)
    assert not path.exists()
