"""Plans: parts in order of value become cells, and whatever is wrong with a part is told before anything is computed."""

import json
import shutil

import pytest
from safetensors.torch import load_file, save_file

from adabm.errors import AdabmError, CheckpointError, ConfigError, DataError, ImageError
from adabm.study import Effort, Run, plan_inputs, read_plan
from adabm.study.plan.cells import Cell
from helpers.community_networks import write_community
from helpers.study_files import EFFORT, part, write_network, write_pictures, write_study


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return write_study(tmp_path_factory.mktemp("study"))


def told(cells: list[Cell]) -> list[str]:
    """The cells as text: set, tile, method, setting and seed."""
    return [f"{c.pictures.name} {c.pictures.tile} {c.run.method} {c.run.setting} {c.run.seed}" for c in cells]


# -- runs and recipes ------------------------------------------------------------------------------


def test_settings_by_name():
    assert Run.at("adabm", "W4A4 FQ", 3) == Run("adabm", 4, 4, True, 3)
    assert Run.at("minmax", "W8A6") == Run("minmax", 8, 6, False, 0)
    for setting in ("W4A4 FQ", "W8A6", "W16A16"):
        assert Run.at("minmax", setting).setting == setting
    assert Run("fp32").setting == "FP32"


@pytest.mark.parametrize("setting", ["W4A4FQ", "w4a4", "W4", "W4A4 ", "W4A4 FQ FQ", "4", "", "W-4A4", "W4A4 fq"])
def test_misspelt_settings_are_refused(setting):
    with pytest.raises(ConfigError, match="expected such as 'W4A4 FQ'") as error:
        Run.at("minmax", setting)
    assert repr(setting) in str(error.value)


def test_the_recipe_changes_fine_tuning_only_where_there_is_some():
    recipe = Effort(48, None, 3, 7)
    tuned = Run.at("adabm", "W4A6 FQ").config(recipe)
    assert (tuned.weight_bits, tuned.activation_bits, tuned.fully_quantized) == (4, 6, True)
    tune = tuned.step("tune")
    assert (tune.patch_size, tune.rounds, tune.steps_per_round) == (48, 3, 7)
    assert Run.at("minmax", "W4A4").config(recipe).step("tune") is None


@pytest.mark.parametrize(
    "name, value",
    [("patch_size", 0), ("patch_size", "48"), ("patches", 0), ("patches", 1.5), ("rounds", -1), ("steps_per_round", 0)],
)
def test_impossible_recipes_are_refused(name, value):
    with pytest.raises(ConfigError, match=f"{name} = {value!r}"):
        Effort(**{name: value})


# -- cells -----------------------------------------------------------------------------------------


def test_order_and_full_precision_once_a_set(root):
    parts = [
        part(sets=["First", "Second"], settings=["W4A4 FQ", "W8A6"], methods=["minmax", "omse"], seeds=[0, 3]),
        part(settings=["W6A6"]),
    ]
    cells = read_plan(parts, root, EFFORT)
    of_a_set = ["fp32 FP32 0"] + [
        f"{m} {s} {seed}" for s in ("W4A4 FQ", "W8A6") for m in ("minmax", "omse") for seed in (0, 3)
    ]
    assert told(cells) == [f"{name} None {run}" for name in ("First", "Second") for run in of_a_set] + [
        "First None minmax W6A6 0"
    ]
    assert all(cell.wanted and cell.scale == 2 and cell.backbone == root / "net.safetensors" for cell in cells)
    assert [files.name for files in cells[0].pictures.files] == ["a", "b"]
    assert [path.name for path in cells[1].calibration] == ["a.png", "b.png", "c.png"]


def test_full_precision_alone_needs_no_calibration_pictures(root, tmp_path):
    write_pictures(tmp_path / "Mine", 1)
    alone = dict(backbone=str(root / "net.safetensors"), data=".", sets=["Mine"], settings=[], methods=[])
    (cell,) = read_plan([alone], tmp_path, EFFORT)
    assert cell.run == Run("fp32") and cell.calibration == ()


def test_duplicates_are_merged_and_one_that_is_wanted_counts(root):
    unwanted = part(settings=["W4A4 FQ", "W6A6"], run=False)
    for parts in ([unwanted, part()], [part(), unwanted]):
        cells = read_plan(parts, root, EFFORT)
        wanted = {line: cell.wanted for line, cell in zip(told(cells), cells)}
        assert wanted == {
            "First None fp32 FP32 0": True,
            "First None minmax W4A4 FQ 0": True,
            "First None minmax W6A6 0": False,
        }
    assert len(read_plan([part(), part(seeds=[0, 0])], root, EFFORT)) == 2


def test_an_effort_of_its_own(root):
    own = dict(patch_size=8, patches=3, rounds=1, steps_per_round=2)
    cells = read_plan([part(methods=["adabm"], **own), part(settings=["W8A6"])], root, EFFORT)
    by_method = {cell.run.method: cell for cell in cells}
    tuned = by_method["adabm"]
    assert tuned.effort == Effort(**own) and by_method["minmax"].effort is None and by_method["fp32"].effort is None
    tune = tuned.run.config(tuned.effort).step("tune")
    assert (tune.patch_size, tune.rounds, tune.steps_per_round) == (8, 1, 2)
    with pytest.raises(ConfigError, match="part 2 of the plan: .* another effort already"):
        read_plan([part(), part(patches=3)], root, EFFORT)
    with pytest.raises(ConfigError, match="rounds = -1"):
        read_plan([part(rounds=-1)], root, EFFORT)


def test_a_patch_that_the_network_does_not_take(root, tmp_path):
    path, _ = write_community(tmp_path, "SwinIR")
    fitting = dict(backbone=str(path), patch_size=16)
    assert len(read_plan([part(**fitting)], root, EFFORT)) == 2
    with pytest.raises(ConfigError, match="part 1 of the plan: patch_size = 15: swinir takes .* the next is 16"):
        read_plan([part(**fitting | dict(patch_size=15))], root, EFFORT)
    assert read_plan([part(backbone=str(path), settings=[], methods=[])], root, EFFORT), (
        "of no concern to full precision"
    )


def test_sets_and_calibration_of_users(root):
    write_pictures(root / "mine" / "Photos", 1)
    write_pictures(root / "mine" / "inputs", 2, 16)
    cells = read_plan(
        [part(sets=["First", "./mine/Photos/", str(root / "data/Second")], calibration="mine/inputs")], root, EFFORT
    )
    assert [cell.pictures.name for cell in cells[::2]] == ["First", "Photos", "Second"]
    assert {path.parent for path in cells[1].calibration} == {root / "mine" / "inputs"}
    inputs = [
        root / "net.safetensors",
        root / "mine" / "inputs",
        root / "mine" / "Photos",
        root / "data" / "Second",
        root / "data" / "First" / "HR",
    ]
    assert plan_inputs(cells) == sorted(inputs)


def test_data_is_needed_only_for_what_it_holds(root):
    paths = dict(data=..., sets=["data/First", "./data/Second"])
    assert read_plan([part(**paths, calibration="data/calibration")], root, EFFORT) == read_plan(
        [part(sets=["First", "Second"])], root, EFFORT
    )
    assert len(read_plan([part(**paths, methods=[], settings=[])], root, EFFORT)) == 2


def test_paths_in_the_users_folder(root, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(root))
    expected = read_plan([part(sets=["First", "data/Second"], calibration="data/calibration")], root, EFFORT)
    of_user = dict(
        backbone="~/net.safetensors", data="~/data", sets=["First", "~/data/Second"], calibration="~/data/calibration"
    )
    assert read_plan([part(**of_user)], tmp_path, EFFORT) == expected
    monkeypatch.setenv("HOME", str(root / "data" / "Second"))
    assert read_plan([part(sets=["~"])], root, EFFORT)[0].pictures.name == "Second"


@pytest.mark.parametrize("tile, expected", [(0, None), (None, None), (..., None), (8, 8)])
def test_tiles(root, tile, expected):
    assert {cell.pictures.tile for cell in read_plan([part(tile=tile)], root, EFFORT)} == {expected}


def test_a_tile_makes_other_cells(root):
    cells = read_plan([part(), part(tile=8)], root, EFFORT)
    assert told(cells)[2:] == ["First 8 fp32 FP32 0", "First 8 minmax W4A4 FQ 0"]


# -- whatever is wrong -----------------------------------------------------------------------------

WRONG = {
    "key": (dict(seting=["W4A4"]), ConfigError, "unknown key 'seting'; did you mean 'settings'"),
    "strange key": (dict(xyz=1), ConfigError, "'xyz'; known are backbone, sets"),
    "no backbone": (dict(backbone=...), ConfigError, "'backbone' is missing"),
    "no data for a set": (dict(data=..., sets=["./data/First", "Second"]), ConfigError, "'data' is missing, the folder that holds 'Second'"),
    "no data for calibration": (dict(data=..., sets=["data/First"]), ConfigError, "'data' is missing, and 'calibration' too"),
    "no methods": (dict(methods=...), ConfigError, "'methods' is missing"),
    "preset": (dict(methods=["minmax", "adabmm"]), ConfigError, "unknown recipe 'adabmm'"),
    "full precision": (dict(methods=["fp32"]), ConfigError, "'fp32', which is always measured"),
    "setting": (dict(settings=["W4A4FQ"]), ConfigError, "setting 'W4A4FQ'"),
    "bits": (dict(settings=["W0A4"]), ConfigError, "weight_bits = 0"),
    "too few bits": (dict(settings=["W4A2"], methods=["adabm"]), ConfigError, "activation_bits = 2"),
    "folder": (dict(data="nowhere"), DataError, "nowhere"),
    "set": (dict(sets=["Frist"]), DataError, "Frist: no such folder"),
    "path of a set": (dict(sets=["data/Frist"]), DataError, "data/Frist: no such folder"),
    "empty set": (dict(sets=["data/none"]), ImageError, "none holds no picture"),
    "calibration": (dict(calibration="data/nothing"), DataError, "data/nothing"),
    "calibration with ground truth": (dict(calibration="data/First"), DataError, "calibration takes low-resolution pictures"),
    "backbone": (dict(backbone="edsr_f32b9_x4"), CheckpointError, "no such backbone; there are"),
    "weight file": (dict(backbone="nets.safetensors"), CheckpointError, "nets.safetensors: no such file"),
    "weights of another format": (dict(backbone="my/net.pth"), CheckpointError, "my/net.pth: no such file"),
    "shipped, in another format": (dict(backbone="edsr_f32b8_x4.pt"), CheckpointError, "edsr_f32b8_x4.pt: no such file"),
    "damaged backbone": (dict(backbone="damaged.safetensors"), CheckpointError, "damaged.safetensors: not a readable safetensors"),
    "backbone without metadata": (dict(backbone="bare.safetensors"), CheckpointError, "bare.safetensors: its tensors .* are of no known architecture"),
    "backbone with other metadata": (dict(backbone="odd.safetensors"), ConfigError, "odd.safetensors: its metadata does not tell"),
    "sets no list": (dict(sets="First"), ConfigError, "sets = 'First': must be a list"),
    "settings no list": (dict(settings="W4A4"), ConfigError, "settings = 'W4A4': must be a list"),
    "methods no list": (dict(methods="adabm"), ConfigError, "methods = 'adabm': must be a list"),
    "methods nothing": (dict(methods=None), ConfigError, "methods = None: must be a list"),
    "methods no names": (dict(methods=[1]), ConfigError, r"methods = \[1\]: must be a list of names"),
    "seeds no list": (dict(seeds=0), ConfigError, "seeds = 0: must be a list"),
    "seeds no numbers": (dict(seeds=["0"]), ConfigError, r"seeds = \['0'\]: must be a list of whole numbers"),
    "negative seed": (dict(seeds=[-1]), ConfigError, r"seeds = \[-1\]: must be"),
    "no seed": (dict(seeds=[]), ConfigError, r"seeds = \[\]: must be a list of .*, not empty"),
    "no set": (dict(sets=[]), ConfigError, r"sets = \[\]: must be a list of .*, not empty"),
    "methods without settings": (dict(settings=[]), ConfigError, r"settings = \[\]: must be empty where methods is"),
    "backbone no text": (dict(backbone=["a"]), ConfigError, r"backbone = \['a'\]: must be text"),
    "data no text": (dict(data=None), ConfigError, "data = None: must be text"),
    "tile no number": (dict(tile="96"), ConfigError, "tile = '96': must be at least 8"),
    "small tile": (dict(tile=4), ConfigError, "tile = 4: must be at least 8"),
    "negative tile": (dict(tile=-96), ConfigError, "tile = -96: must be at least 8"),
    "run no boolean": (dict(run="no"), ConfigError, "run = 'no': must be true or false"),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_what_is_wrong_is_told_with_its_part(root, case):
    changes, kind, message = WRONG[case]
    (root / "damaged.safetensors").write_bytes((root / "net.safetensors").read_bytes()[:100])
    save_file(load_file(root / "net.safetensors"), root / "bare.safetensors")
    save_file(
        load_file(root / "net.safetensors"),
        root / "odd.safetensors",
        {"network": "SRResNet", "options": json.dumps([2])},
    )
    (root / "data" / "none").mkdir(exist_ok=True)
    with pytest.raises(kind, match=message) as error:
        read_plan([part(), part(**changes)], root, EFFORT)
    assert str(error.value).startswith("part 2 of the plan: ") and "\n" not in str(error.value)


@pytest.mark.parametrize("plan", [[], "adabm", {"backbone": "net"}, None, 3])
def test_no_plan(root, plan):
    with pytest.raises(ConfigError, match="the plan is empty" if plan == [] else "plan = .*: must be a list of parts"):
        read_plan(plan, root, EFFORT)


def test_a_part_that_is_no_mapping(root):
    with pytest.raises(ConfigError, match="part 1 of the plan: a part = 'adabm': must have the keys backbone"):
        read_plan(["adabm"], root, EFFORT)


def test_names_that_tables_could_not_tell_apart(root, tmp_path, monkeypatch):
    write_pictures(root / "other" / "First", 1)
    (root / "copies").mkdir(exist_ok=True)
    write_network(root / "copies" / "net.safetensors", seed=1)
    shutil.copytree(root / "data" / "calibration", root / "other" / "calibration", dirs_exist_ok=True)
    for change, message in (
        (dict(sets=["other/First"]), "set First of backbone net: .*data/First and .*other/First have the same name"),
        (dict(backbone="copies/net.safetensors"), "backbone net: .* have the same name"),
        (
            dict(calibration="other/calibration"),
            "minmax at W4A4 FQ on First is planned with other calibration pictures",
        ),
    ):
        with pytest.raises(AdabmError, match=f"part 2 of the plan: {message}"):
            read_plan([part(), part(**change)], root, EFFORT)
    assert len(read_plan([part(), part(sets=["data/First"])], root, EFFORT)) == 2  # one folder, written in two ways
    (root / "NET.safetensors").write_bytes((root / "net.safetensors").read_bytes())
    with pytest.raises(AdabmError, match="part 2 of the plan: backbone net: .* have the same name"):
        read_plan([part(), part(backbone="NET.safetensors")], root, EFFORT)
    monkeypatch.chdir(root)  # what recipe files are relative to
    for folder in ("a", "b"):
        (root / folder).mkdir()
        (root / folder / "mine.yaml").write_text("steps: {calibrate: {activation: minmax, weight: minmax}}\n")
    with pytest.raises(AdabmError, match="label mine: a/mine.yaml and b/mine.yaml have the same name"):
        read_plan([part(methods=["a/mine.yaml", "b/mine.yaml"])], root, EFFORT)
