"""Equal weights give equal files, in every process; files of any order are read."""

import json
import os
import subprocess
import sys

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load

import adabm
from adabm.errors import ConfigError
from adabm.networks import build_network, load_network, save_network
from adabm.support.serialization import safetensors_bytes

# Saves one network and one quantized model several times, since an order by chance may be right by chance, and prints the sha256.
SAVING = """
import hashlib, pathlib, sys, torch, adabm
from adabm.networks import build_network, save_network
torch.manual_seed(0)
network = build_network("SRResNet", num_feat=4, num_block=1, upscale=2).eval()
model = adabm.QuantizedSR(network, adabm.preset("minmax"))
adabm.calibrate(model, [255 * torch.rand(2, 3, 8, 8)])
folder, digests = pathlib.Path(sys.argv[1]), set()
for index in range(5):
    save_network(network, folder / "network.safetensors")
    adabm.save_quantized(model, folder / "model.safetensors")
    digests.add(tuple(hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.iterdir())))
print(sorted(digests))
"""


@pytest.mark.slow
def test_files_are_the_same_in_every_process(tmp_path, capsys, monkeypatch):
    """Here, and in one that puts texts into sets in another order."""
    monkeypatch.setattr(sys, "argv", ["", str(tmp_path)])
    exec(SAVING, {})
    first = capsys.readouterr().out
    environment = {**os.environ, "PYTHONHASHSEED": "2" if os.environ.get("PYTHONHASHSEED") == "1" else "1"}
    second = subprocess.run(
        [sys.executable, "-c", SAVING, tmp_path], capture_output=True, text=True, check=True, env=environment
    ).stdout
    assert first == second and first.count("(") == 1


def test_any_reader_reads_what_was_written(tmp_path):
    tensors = {"b": torch.arange(3), "a.weight": torch.randn(2, 2), "é": torch.ones(5, dtype=torch.float64)}
    metadata = {"z": 'ü\n"', "a": "{}", "m": ""}
    data = safetensors_bytes(tensors, metadata)
    assert data == safetensors_bytes(dict(reversed(tensors.items())), dict(reversed(metadata.items())))
    assert int.from_bytes(data[:8], "little") % 8 == 0
    found = load(data)
    assert found.keys() == tensors.keys() and all(torch.equal(found[name], value) for name, value in tensors.items())
    (tmp_path / "file").write_bytes(data)
    with safe_open(tmp_path / "file", "pt") as file:
        assert file.metadata() == metadata


def test_files_with_metadata_in_another_order_are_read(tmp_path):
    """As files written before were, half of them."""
    network = build_network("EDSR", num_feat=4, num_block=1, upscale=2)
    path = tmp_path / "network.safetensors"
    save_network(network, path)
    data = path.read_bytes()
    end = 8 + int.from_bytes(data[:8], "little")
    header = json.loads(data[8:end])
    assert list(header["__metadata__"]) == ["format", "network", "options", "sha256"]
    header["__metadata__"] = dict(reversed(header["__metadata__"].items()))
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + data[end:])
    state = network.state_dict()
    assert all(torch.equal(value, state[name]) for name, value in load_network(path).state_dict().items())


@pytest.mark.parametrize("name", ["m", "m.st", "m.pth", "m.safetensors.bak"])
def test_files_are_not_written_by_a_name_by_which_they_are_not_read(tmp_path, name):
    network = build_network("EDSR", num_feat=4, num_block=1, upscale=2).eval()
    model = adabm.QuantizedSR(network, adabm.preset("minmax"))
    adabm.calibrate(model, [torch.rand(1, 3, 8, 8)])
    for call in (lambda path: save_network(network, path), lambda path: adabm.save_quantized(model, path)):
        with pytest.raises(ConfigError, match=f"{name}: the name must end in .safetensors"):
            call(tmp_path / name)
    assert list(tmp_path.iterdir()) == []
