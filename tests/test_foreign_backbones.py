"""Plans with weight files of others as backbones: what is measured, and what the keys of kept results depend on."""

import warnings

import pytest
import torch

import adabm
from adabm.networks import build_network
from adabm.networks.backbones import backbone_path
from adabm.recipes import read_recipe
from adabm.study import ResultCache, evaluation_tables, read_plan, run_plan
from adabm.study.running import keys
from helpers.community_networks import write_community
from helpers.study_files import EFFORT, Counted, compute_here, forget, part, write_study


@pytest.fixture
def root(tmp_path):
    forget()
    root = write_study(tmp_path)
    write_community(root, "SPAN")
    adabm.save_network(adabm.load_network(root / "span.pth"), root / "own.safetensors")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = build_network("MSRResNet", num_feat=4, num_block=2, upscale=2)
    torch.save({"params": network.state_dict()}, root / "msr.pth")
    return root


@pytest.mark.slow
def test_a_plan_measures_files_of_others(root, monkeypatch):
    compute_here(monkeypatch)
    counted = Counted(monkeypatch)
    plan = [part(backbone=name) for name in ("span.pth", "own.safetensors", "msr.pth")]
    cells = read_plan(plan, root, EFFORT)
    assert [cell.scale for cell in cells] == [2] * 6
    cache = ResultCache(root / "cache")
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        _, summary = evaluation_tables(run_plan(cells, EFFORT, cache, 1))
    guessed = [f"{name}: the layout of SPAN (spandrel) was guessed" for name in ("span.pth", "own.safetensors")]
    texts = [str(warning.message).partition(";")[0] for warning in told]
    assert texts == guessed, "once each, before the tasks, which warn of nothing"
    assert set(summary["backbone"]) == {"span", "own", "msr"} and (summary["status"] == "measured").all()
    spans = [summary[summary["backbone"] == name]["psnr_y_db"].tolist() for name in ("span", "own")]
    assert spans[0] == spans[1], "the same network in another file"
    before = dict(vars(counted))
    evaluation_tables(run_plan(read_plan(plan, root, EFFORT), EFFORT, cache, 1))
    assert vars(counted) == before, "nothing is computed twice"


def test_keys_depend_on_spandrel_where_it_made_the_network(root, monkeypatch):
    files = [root / name for name in ("span.pth", "own.safetensors", "msr.pth", "net.safetensors")]

    def told() -> list[tuple[str, str]]:
        return [(keys.quantizing_code(read_recipe("minmax"), file), keys.measuring_code(file)) for file in files]

    before = told()
    monkeypatch.setattr(keys, "version", lambda: "1.0")
    assert [old == new for old, new in zip(before, told())] == [False, False, True, True]


def test_keys_depend_on_what_a_reader_makes_of_a_file(root, monkeypatch):
    before = keys.measuring_code(root / "msr.pth")
    keys._foreign.cache_clear()
    halved = adabm.load_network(root / "msr.pth")
    halved.conv_last.weight.data /= 2
    monkeypatch.setattr(keys, "load_network", lambda path: halved)
    assert keys.measuring_code(root / "msr.pth") != before
    keys._foreign.cache_clear()


@pytest.mark.slow
def test_dat_light_is_a_backbone_of_a_plan(root):
    (cell,) = read_plan([part(backbone="dat_light_x2", settings=[], methods=[])], root, EFFORT)
    assert (cell.scale, cell.backbone) == (2, backbone_path("dat_light_x2"))
