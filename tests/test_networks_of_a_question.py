"""The networks of a question: what each has of its own, and what is refused."""

import shutil

import pytest

from adabm.errors import ConfigError
from adabm.study import Effort
from adabm.study.running.networks import by_network, inputs, open_networks, seeds
from helpers.study_files import enter_study_of_two

EFFORT = Effort(patch_size=12, patches=None, rounds=3, steps_per_round=2)
WHERE = ("data", ["First"], "data/pool", EFFORT, "W4A4 FQ")


@pytest.fixture
def root(tmp_path, monkeypatch):
    return enter_study_of_two(tmp_path, monkeypatch)


def test_a_network_has_patches_seeds_and_what_differs_of_its_own(root):
    other = {"patches": 1, "seeds": [3], "setting": "W6A6 FQ", "side": 6, "patch_size": 8, "targets": [6.0]}
    backbones = {"net.safetensors": {"patches": 4, "seeds": [0, 1]}, "other.safetensors": other}
    units = open_networks(backbones, *WHERE, 10, ["targets"])
    told = [(u.bench.backbone.stem, u.setting, u.patches, u.side, u.seed, u.bench.effort.patch_size) for u in units]
    assert told == [
        ("net", "W4A4 FQ", 4, 10, 0, 12),
        ("net", "W4A4 FQ", 4, 10, 1, 12),
        ("other", "W6A6 FQ", 1, 6, 3, 8),
    ]
    assert [unit.own for unit in units] == [{}, {}, {"targets": [6.0]}]
    assert [len(of) for of in by_network(units)] == [2, 1] and seeds(units) == [0, 1, 3]
    assert {"net.safetensors", "other.safetensors"} <= {path.name for path in inputs(units)}


def test_whole_pictures_have_neither_patches_nor_side(root):
    (unit,) = open_networks({"net.safetensors": {"seeds": [2]}}, *WHERE)
    assert (unit.patches, unit.side, unit.seed) == (None, None, 2)
    with pytest.raises(ConfigError, match="unknown key 'patches'"):
        open_networks({"net.safetensors": {"seeds": [2], "patches": 3}}, *WHERE)


def test_a_network_may_have_data_and_a_pool_of_its_own(root):
    shutil.copytree(root / "data", root / "more")
    shutil.copytree(root / "data" / "pool", root / "others")
    backbones = {
        "net.safetensors": {"seeds": [0]},
        "other.safetensors": {"seeds": [0], "data": "more", "pool": "others"},
    }
    one, other = open_networks(backbones, *WHERE)
    assert {path.parent.parent.name for path in one.bench.pool} == {"pool"}
    assert {path.parent.parent.name for path in other.bench.pool} == {"others"}
    folders = [
        {path.relative_to(root).parts[0] for path in unit.bench.inputs if path.is_relative_to(root)}
        for unit in (one, other)
    ]
    assert "more" in folders[1] and "more" not in folders[0]


def test_a_network_is_named_once_and_no_other_has_its_name(root):
    (root / "b").mkdir()
    shutil.copy(root / "other.safetensors", root / "b" / "net.safetensors")
    for second, told in (
        ("./net.safetensors", "backbones: ./net.safetensors is the same network as net.safetensors; name it once"),
        ("b/net.safetensors", "backbones: net.safetensors and b/net.safetensors have the same name net"),
    ):
        with pytest.raises(ConfigError) as caught:
            open_networks({"net.safetensors": {"seeds": [0]}, second: {"seeds": [1], "setting": "W6A6 FQ"}}, *WHERE)
        assert told in str(caught.value)


@pytest.mark.parametrize(
    "backbones, told",
    [
        ({}, "backbones = {}: must be networks, each with patches and seeds, not empty"),
        ({"net.safetensors": 3}, "backbones = "),
        ({"net.safetensors": {"patches": 3}}, "backbones, net.safetensors: 'seeds' is missing"),
        ({"net.safetensors": {"patches": 3, "seeds": []}}, "backbones, net.safetensors: seeds"),
        ({"net.safetensors": {"patches": 0, "seeds": [0]}}, "backbones, net.safetensors: patches"),
        ({"net.safetensors": {"patches": 3, "seeds": [0], "sides": 3}}, "unknown key 'sides'"),
        ({"net.safetensors": {"patches": 3, "seeds": [0], "pool": 3}}, "backbones, net.safetensors: pool"),
    ],
)
def test_what_is_no_network_is_refused_before_anything_opens(root, backbones, told):
    with pytest.raises(ConfigError) as caught:
        open_networks(backbones, *WHERE, 10)
    assert told in str(caught.value)
