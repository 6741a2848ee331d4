"""No entry of a file's header can be changed unnoticed, and none makes loading fail otherwise than by one clear error."""

import copy
import json
import random
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from adabm.checkpoints.checkpoint import load_quantized, network_hash, read_metadata, save_quantized
from adabm.cli import main
from adabm.errors import CheckpointError
from adabm.networks import build_network, load_network, save_network
from adabm.networks.backbones import default_backbone
from adabm.quantization.model import QuantizedSR
from adabm.recipes import calibrate, preset
from adabm.support.metadata import NETWORK_FORMAT, content_sha256
from helpers.configurations import configured

ODD = (None, "", "4", -1, 0, 3, 10**7, 10**30, 1e300, 2.5, True, False, [], {}, ["x"], {"x": 1})


@pytest.fixture(scope="module")
def written(tmp_path_factory) -> Path:
    """A folder with a quantized and a full-precision file."""
    folder = tmp_path_factory.mktemp("written")
    torch.manual_seed(0)
    network = build_network("EDSR", num_feat=4, num_block=1, upscale=4)
    save_network(network, folder / "network.safetensors")
    model = QuantizedSR(network, configured())
    calibrate(model, [torch.rand(2, 3, 8, 8)])
    save_quantized(model, folder / "quantized.safetensors", preset="adabm", seed=3)
    return folder


def header(path: Path) -> dict[str, str]:
    with safe_open(path, "pt") as file:
        return file.metadata()


def places(value: object, *path: object) -> Iterator[tuple]:
    """The way to every entry inside nested objects and lists."""
    if path:
        yield path
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, inner in items:
        yield from places(inner, *path, name)


def edits(metadata: dict, values=ODD) -> Iterator[tuple[str, dict]]:
    """The metadata with one entry replaced, removed, renamed or added."""
    for path in places(metadata):
        for value in (*values, ...):
            changed = copy.deepcopy(metadata)
            parent = changed
            for step in path[:-1]:
                parent = parent[step]
            if value is ...:
                del parent[path[-1]]
            elif json.dumps(parent[path[-1]]) == json.dumps(value):
                continue
            else:
                parent[path[-1]] = value
            yield f"{'.'.join(map(str, path))}: {value}", changed
    yield "an entry more", metadata | {"more": 1}


def earlier(metadata: dict, tensors: dict, format: str) -> dict:
    """The metadata as an earlier version of the package wrote it."""
    changed = metadata | {"format": format, "sha256": network_hash(tensors)}
    if format == "adabm-quantized-1":
        del changed["sha256"], changed["layer_bits"]
        changed["config"] = {name: value for name, value in metadata["config"].items() if name != "recipe"}
        changed["config"] |= {"ema": 0.8, "fine_tuning": None}
    return changed


def refused(path: Path, message: str | None = None) -> None:
    with pytest.raises(CheckpointError, match=message) as caught:
        load_quantized(path)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


# -- quantized -------------------------------------------------------------------------------------


@pytest.mark.slow
def test_every_edit_of_a_checkpoint_is_refused(written, tmp_path):
    source, path = written / "quantized.safetensors", tmp_path / "edited.safetensors"
    metadata, tensors, rng = read_metadata(source), load_file(source), random.Random(0)
    by_place = {}
    for name, changed in edits(metadata):
        by_place.setdefault(name.partition(":")[0], []).append(changed)
    for found in by_place.values():
        for changed in rng.sample(found, min(2, len(found))):
            save_file(tensors, path, {"adabm": json.dumps(changed)})
            refused(path)
            with pytest.raises(CheckpointError):
                read_metadata(path)


EDITS = (
    (("config", "weight_bits"), 8),
    (("network", "value_range"), 255.0),
    (("network", "scale"), 2),
    (("network", "options", "rgb_mean"), [0.5, 0.5, 0.5]),
    (("network", "options", "img_range"), 1.0),
    (("network", "options", "res_scale"), 0.1),
    (("network", "options", "upscale"), 2),
    (("network", "roles", "body.0.conv1"), "skip"),
    (("layer_bits", "body.0.conv1", 0), 8),
    (("config", "recipe", "steps", "calibrate", "ema"), 0.5),
    (("seed",), 4),
    (("preset",), "other"),
    (("clipped",), True),
    (("version",), "0.0.1"),
    (("sha256",), "0" * 64),
    (("format",), "adabm-quantized-2"),
)


@pytest.mark.parametrize("place, value", EDITS)
def test_plausible_edits_too_whatever_command_reads_the_file(written, tmp_path, capsys, place, value):
    source, path = written / "quantized.safetensors", tmp_path / "edited.safetensors"
    metadata, tensors = read_metadata(source), load_file(source)
    parent = metadata
    for step in place[:-1]:
        parent = parent[step]
    assert parent[place[-1]] != value
    parent[place[-1]] = value
    save_file(tensors, path, {"adabm": json.dumps(metadata)})
    refused(path)
    assert main(["info", str(path)]) == 2
    told = capsys.readouterr().err
    assert told.startswith("adabm: error: ") and told.count("\n") == 1 and str(path) in told and "defect" not in told


def test_an_untouched_header_written_by_another_tool_is_the_same_file(written, tmp_path):
    source, path = written / "quantized.safetensors", tmp_path / "again.safetensors"
    save_file(load_file(source), path, {"adabm": json.dumps(read_metadata(source), indent=1)})
    assert load_quantized(path).config == load_quantized(source).config
    swapped = read_metadata(source)
    swapped["config"]["recipe"]["steps"] = dict(reversed(swapped["config"]["recipe"]["steps"].items()))
    save_file(load_file(source), path, {"adabm": json.dumps(swapped)})
    refused(path)


@pytest.mark.slow
@pytest.mark.parametrize("format", ["adabm-quantized-2", "adabm-quantized-1"])
def test_edits_of_earlier_formats_are_refused_or_harmless(written, tmp_path, format):
    """Nothing but a CheckpointError may come out, and at once; what contradicts the network or other entries is refused."""
    source, path = written / "quantized.safetensors", tmp_path / "edited.safetensors"
    tensors = load_file(source)
    metadata = earlier(read_metadata(source), tensors, format)
    save_file(tensors, path, {"adabm": json.dumps(metadata)})
    model = load_quantized(path)
    assert torch.equal(model(torch.ones(1, 3, 8, 8)), load_quantized(source)(torch.ones(1, 3, 8, 8)))
    for name, changed in random.Random(0).sample(list(edits(metadata)), 120):
        save_file(tensors, path, {"adabm": json.dumps(changed)})
        try:
            load_quantized(path)
        except CheckpointError as error:
            assert str(path) in str(error) and "\n" not in str(error), name
    contradicting = [e for e in EDITS if e[0][0] == "network" and e[0][1] in ("value_range", "scale")]
    contradicting += [(("network", "options", "upscale"), 2)]
    if format == "adabm-quantized-2":
        contradicting += [
            (("config", "weight_bits"), 8),
            (("layer_bits", "body.0.conv1", 0), 8),
            (("sha256",), "0" * 64),
        ]
    for place, value in contradicting:
        changed = copy.deepcopy(metadata)
        parent = changed
        for step in place[:-1]:
            parent = parent[step]
        parent[place[-1]] = value
        save_file(tensors, path, {"adabm": json.dumps(changed)})
        refused(path)


@pytest.mark.parametrize("option, value", [("num_block", 10**7), ("num_feat", 10**6), ("num_feat", 10**12)])
def test_a_network_larger_than_its_file_is_not_built(written, tmp_path, option, value):
    """Ten million blocks took all memory; where it ends at once, the test ends at all."""
    source, path = written / "quantized.safetensors", tmp_path / "edited.safetensors"
    tensors = load_file(source)
    metadata = earlier(read_metadata(source), tensors, "adabm-quantized-2")
    metadata["network"]["options"][option] = value
    save_file(tensors, path, {"adabm": json.dumps(metadata)})
    refused(path)
    options = json.loads(header(written / "network.safetensors")["options"]) | {option: value}
    save_file(load_file(written / "network.safetensors"), path, {"network": "EDSR", "options": json.dumps(options)})
    with pytest.raises(CheckpointError):
        load_network(path)
    assert (
        build_network("EDSR", num_feat=4, num_block=2).adabm_options["num_block"] == 2
    )  # nothing is left of the limit


# -- full precision --------------------------------------------------------------------------------


def test_every_edit_of_a_weight_file_is_refused(written, tmp_path):
    source, path = written / "network.safetensors", tmp_path / "edited.safetensors"
    metadata, tensors = header(source), load_file(source)
    assert metadata["format"] == NETWORK_FORMAT and metadata["sha256"] == content_sha256(tensors, metadata)
    options = json.loads(metadata["options"])
    changes = [metadata | {"options": json.dumps(changed)} for _, changed in edits(options)]
    changes += [metadata | {name: "other"} for name in metadata]
    changes += [{n: v for n, v in metadata.items() if n != name} for name in metadata]
    for changed in changes:
        save_file(tensors, path, changed)
        with pytest.raises(CheckpointError, match="edited.safetensors") as caught:
            load_network(path)
        assert "\n" not in str(caught.value)
    tensors["conv_last.bias"][0] += 1e-6
    save_file(tensors, path, metadata)
    with pytest.raises(CheckpointError, match="do not match their recorded sha256"):
        load_network(path)


def test_edits_of_weight_files_without_a_digest_end_in_one_error(written, tmp_path):
    source, path = written / "network.safetensors", tmp_path / "edited.safetensors"
    options, tensors = json.loads(header(source)["options"]), load_file(source)
    picture = torch.ones(1, 3, 8, 8)
    for name, changed in edits(options):
        save_file(tensors, path, {"network": "EDSR", "options": json.dumps(changed)})
        try:
            network = load_network(path)
        except CheckpointError as error:
            assert "edited.safetensors" in str(error), name
        else:
            assert name.startswith(
                ("img_range", "res_scale", "rgb_mean", "num_out_ch", "num_in_ch", "num_feat", "num_block", "upscale")
            ), name
            del network
    save_file(tensors, path, {"network": "EDSR", "options": json.dumps(options)})
    assert torch.equal(load_network(path)(picture), load_network(source)(picture))


def test_the_shipped_weights_have_none_and_load(tmp_path):
    for source in default_backbone().parent.glob("*.safetensors"):
        assert "sha256" not in header(source)
        shutil.copy(source, tmp_path)
        load_network(tmp_path / source.name)


def test_files_known_by_their_own_sha256_can_be_written_as_before(written, tmp_path):
    network = load_network(written / "network.safetensors")
    save_network(network, tmp_path / "plain.safetensors", digest=False)
    assert header(tmp_path / "plain.safetensors").keys() == {"network", "options"}


def test_weights_of_which_no_edit_can_be_told_are_shown_as_such(written, tmp_path, capsys):
    """Such as those of earlier versions, or whose digest was taken away: they load, and `adabm info` says so."""
    bare = tmp_path / "bare.safetensors"
    kept = {
        name: value
        for name, value in header(written / "network.safetensors").items()
        if name not in ("format", "sha256")
    }
    save_file(load_file(written / "network.safetensors"), bare, kept)
    for path, verified in ((written / "network.safetensors", True), (bare, False)):
        load_network(path)
        assert main(["info", str(path)]) == 0
        assert ("records no sha256 of its content" not in capsys.readouterr().out) == verified
        assert main(["info", str(path), "--json"]) == 0
        assert json.loads(capsys.readouterr().out)["verified"] == verified


def test_what_a_fitting_digest_does_not_excuse(tmp_path, monkeypatch):
    """A tool that writes nonsense may well compute the digest of it."""
    model = QuantizedSR(build_network("EDSR", num_feat=4, num_block=1, upscale=2), preset("fast"))
    for layer in model.layers.values():
        layer.weight_quantizer.decide(
            torch.zeros_like(layer.weight), layer.weight_quantizer.step, torch.zeros(len(layer.weight))
        )
        layer.activation.set_range(torch.tensor(0.0), torch.tensor(1.0))
    model.calibrated = True
    path = tmp_path / "q.safetensors"
    latent = model.layers["body.0.conv1"].weight_quantizer.latent
    for value, decided, bits, told in (
        (0.0, True, 20, "bits are 1 to 16, or 32"),
        (9.0, True, 4, "a code of the weights is beyond its bits of 'body.0.conv1'"),
        (1.0, False, 4, "codes of the weights that were not decided of 'body.0.conv1'"),
    ):
        model.layers["body.0.conv1"].weight_quantizer.decided.fill_(decided)
        model.layers["body.0.conv1"].activation_bits = bits
        latent.fill_(value)
        with monkeypatch.context() as tool:
            tool.setattr("adabm.checkpoints.checkpoint.unsound", lambda *_: iter(()))
            tool.setattr("adabm.checkpoints.checkpoint.check_quantized", lambda *_, **__: None)
            save_quantized(model, path)
        with pytest.raises(CheckpointError, match=told):
            load_quantized(path)
