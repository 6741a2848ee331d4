"""The reader of MXNet .params files, on files written by weight_files.py."""

import struct

import numpy as np
import pytest

from adabm.errors import CheckpointError
from adabm.networks.mxnet_params import read_mxnet_params
from helpers.weight_files import MAGICS, array, content, write_params


def samples() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    return {
        "arg:weight": rng.normal(size=(2, 3, 1, 2)).astype(np.float32),
        "aux:mean": rng.normal(size=4),
        "größe": rng.normal(size=(1, 5)).astype(np.float16),
    }


@pytest.mark.parametrize("version", [0, 1, 2, 3])
def test_every_version(tmp_path, version):
    write_params(tmp_path / "a.params", samples(), version)
    found = read_mxnet_params(tmp_path / "a.params")
    assert list(found) == list(samples())
    for name, value in samples().items():
        assert found[name].dtype == value.dtype and np.array_equal(found[name], value)


def test_versions_may_mix_and_version_3_has_scalars(tmp_path):
    values = [np.float32([[1, 2]]), np.float32([3]), np.array(4, np.float32)]
    parts = [array(value, version) for value, version in zip(values, (0, 1, 3))]
    (tmp_path / "a.params").write_bytes(content(parts, ["a", "b", "c"]))
    found = read_mxnet_params(tmp_path / "a.params")
    assert [value.tolist() for value in found.values()] == [[[1, 2]], [3], 4]


def test_no_array_at_all(tmp_path):
    (tmp_path / "a.params").write_bytes(content([], []))
    assert read_mxnet_params(tmp_path / "a.params") == {}


ONE = np.float32([1, 2])
HUGE = struct.pack("<IiI2q", MAGICS[2], 0, 2, 2**62, 2**62) + struct.pack("<iii", 1, 0, 0)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "not an MXNet .params file"),
        (b"PK\3\4" + bytes(40), "not an MXNet .params file"),
        (struct.pack("<Q", 0x112), "truncated or damaged: header needs 16 bytes, 8 are left"),
        (struct.pack("<QQQ", 0x112, 0, 2**63), "arrays cannot fit into the file"),
        (content([array(ONE, 2)], ["a"]) + b"\0", "damaged: 1 bytes follow the last name"),
        (content([array(ONE, 2)], []), "holds 1 arrays but 0 names"),
        (content([array(ONE, 2), array(ONE, 2)], ["a", "a"]), "two arrays have the same name"),
        (content([array(ONE, 2, storage=1)], ["a"]), "array 0 is sparse"),
        (content([array(np.int32([1]), 2)], ["a"]), "array 0 is of int32; only float16"),
        (content([HUGE], ["a"]), "array 0 of shape .* are left"),
        (content([struct.pack("<I", 5_000_000)], ["a"]), "array 0 has 5000000 dimensions"),
        (content([struct.pack("<IiI", MAGICS[2], 0, 0)], ["a"]), "array 0 is empty"),
        (content([struct.pack("<IiIq", MAGICS[2], 0, 1, -4) + bytes(12)], ["a"]), r"array 0 has the shape \(-4,\)"),
        (content([array(ONE, 2)], ["a"])[:-1] + b"\xff", "name 0 is not UTF-8"),
    ],
)
def test_damaged_files_are_named(tmp_path, data, message):
    path = tmp_path / "broken.params"
    path.write_bytes(data)
    with pytest.raises(CheckpointError, match=message) as caught:
        read_mxnet_params(path)
    assert str(path) in str(caught.value)


def test_missing(tmp_path):
    with pytest.raises(CheckpointError, match="nowhere.params: cannot be read"):
        read_mxnet_params(tmp_path / "nowhere.params")


def test_every_truncation_is_refused(tmp_path):
    write_params(tmp_path / "a.params", samples())
    data = (tmp_path / "a.params").read_bytes()
    for length in range(len(data)):
        (tmp_path / "a.params").write_bytes(data[:length])
        with pytest.raises(CheckpointError):
            read_mxnet_params(tmp_path / "a.params")


@pytest.mark.parametrize("version", [0, 1, 2, 3])
def test_no_changed_byte_raises_anything_else(tmp_path, version):
    write_params(tmp_path / "a.params", {"a": ONE, "b": np.float64([[3]])}, version)
    data = (tmp_path / "a.params").read_bytes()
    for position in range(len(data)):
        for value in (0, 1, 0x7F, 0x80, 0xFF):
            (tmp_path / "a.params").write_bytes(data[:position] + bytes([value]) + data[position + 1 :])
            try:
                read_mxnet_params(tmp_path / "a.params")
            except CheckpointError:
                pass
