"""Published tables that grow: what they lack is measured alone, and joined to them as if all had been measured at once."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import yaml

from adabm.errors import ConfigError, TableError
from adabm.study import write_provenance, write_table
from adabm.study.origin.provenance import provenance_path
from adabm.study.origin.reading import read_provenance
from adabm.study.origin.runs_of_table import (
    DERIVED_FROM,
    MEASURED_BY,
    numbers,
    run_of,
    runs_by_line,
    spans,
    told_by_line,
)
from adabm.study.origin.verification import verify_table
from adabm.support.files import file_sha256
from helpers.copied_project import environment_in
from pipelines.stages.joining import has_order, join, write_derived, write_joined
from pipelines.stages.lacking import lacking

ROOT = Path(__file__).parents[1]
OWN = {"seeds": [0, 1]}
BLOCK = {
    "backbones": {"edsr_f32b8_x4": OWN, "edsr_f64b16_x4": OWN},
    "setting": "W4A4 FQ",
    "methods": {"all": {"method": "adabm"}, "some": {"method": "fast", "backbones": ["edsr_f32b8_x4"]}},
    "workers": 0,
}


def test_lines_are_told_by_their_run():
    assert spans([3, 1, 2, 7]) == "1-3, 7" and list(numbers("1-3, 7")) == [1, 2, 3, 7]
    one, other = {"git_commit": "a"}, {"git_commit": "b"}
    told = told_by_line([one, other, other, one])
    assert told == [one | {"lines": "1, 4"}, other | {"lines": "2-3"}]
    assert runs_by_line({MEASURED_BY: told}, 4) == [one, other, other, one]
    assert runs_by_line({"git_commit": "a"}, 2) == [one, one]


@pytest.mark.parametrize(
    "lines, fault",
    [("1", "does not tell which run measured line 2"), ("1-3", "line 3, and it has 2"), ("1-2, 1", "by two runs"), ("x", "expected such as")],
)  # fmt: skip
def test_lines_of_no_run_are_found(lines, fault):
    with pytest.raises(TableError, match=fault):
        runs_by_line({MEASURED_BY: [{"git_commit": "a", "lines": lines}]}, 2)


def test_a_new_network_is_asked_alone():
    used = BLOCK | {"backbones": {"edsr_f32b8_x4": OWN}, "workers": 2}
    found = lacking(BLOCK, used, ROOT)
    assert found.wanted == (("edsr_f32b8_x4",), ("edsr_f64b16_x4",)) and found.new == {("edsr_f64b16_x4",)}
    assert found.block["backbones"] == {"edsr_f64b16_x4": OWN}
    assert found.block["methods"] == {"all": {"method": "adabm"}}, "some is asked of the other"
    assert lacking(BLOCK, BLOCK, ROOT).new == frozenset()
    methods = dict(reversed(BLOCK["methods"].items()))
    assert lacking(BLOCK, BLOCK | {"methods": methods}, ROOT).new == {("edsr_f32b8_x4",)}, "lines have their order"


@pytest.mark.parametrize(
    "methods, new",
    [
        ({"all": {"method": "adabm"}}, {"edsr_f32b8_x4"}),  # some is new for it alone
        ({**BLOCK["methods"], "some": {"method": "fast", "backbones": ["edsr_f64b16_x4"]}}, {"edsr_f32b8_x4", "edsr_f64b16_x4"}),
        ({**BLOCK["methods"], "all": {"method": "adabm", "seeds": [0]}}, {"edsr_f32b8_x4", "edsr_f64b16_x4"}),
    ],
)  # fmt: skip
def test_networks_of_which_something_else_is_asked_are_measured_anew(methods, new):
    assert lacking(BLOCK, BLOCK | {"methods": methods}, ROOT).new == {(name,) for name in new}


@pytest.mark.parametrize("change", [{"setting": "W8A8 FQ"}, {"pool": "elsewhere"}])
def test_what_all_lines_depend_on_must_be_as_it_was(change):
    with pytest.raises(ConfigError, match=f"{next(iter(change))} = .*: all its lines depend on it"):
        lacking(BLOCK, BLOCK | change, ROOT)
    with pytest.raises(ConfigError, match="neither `plan` nor `backbones`"):
        lacking({"setting": "W4A4 FQ"}, {}, ROOT)


def written(folder: Path, rows: list[tuple], **changes: object) -> Path:
    """A table of network, seed and PSNR, whose provenance tells the given things otherwise."""
    path = folder / "demo" / "sampling" / "sampling.csv"
    path.parent.mkdir(parents=True)
    write_table(pd.DataFrame(rows, columns=["backbone", "seed", "psnr_y_db"]), path)
    write_provenance(path, ROOT, {"count": 2, "backbones": {}}, [], [0])
    record = json.loads(provenance_path(path).read_text()) | {"git_dirty": False, "git_commit": folder.name} | changes
    provenance_path(path).write_text(json.dumps(record))
    return path


KEYS, WANTED, NEW = ("backbone",), (("b",), ("a",)), {("b",)}


def test_joined_lines_stand_in_the_order_of_the_whole(tmp_path):
    published = written(tmp_path / "then", [("a", 0, 30.0), ("a", 1, 30.125), ("b", 0, 1.0)])
    measured = written(tmp_path / "now", [("b", 0, 31.5), ("b", 1, 31.0)])
    lines = join(published, measured, KEYS, WANTED, NEW)
    write_joined(published, lines, {"backbones": {"b": OWN, "a": OWN}, "workers": 0}, [1, 0])
    assert published.read_text() == "backbone,seed,psnr_y_db\nb,0,31.5\nb,1,31.0\na,0,30.0\na,1,30.125\n"
    record = read_provenance(provenance_path(published))
    assert [(run["git_commit"], run["lines"]) for run in record[MEASURED_BY]] == [("now", "1-2"), ("then", "3-4")]
    assert record["parameters"] == {"count": 2, "backbones": {"b": OWN, "a": OWN}} and record["seed"] == [0, 1]
    assert record["table_sha256"] == file_sha256(published) and record["git_commit"] == "now"
    (note,) = [f for f in verify_table(published, ROOT).findings if f.kind == "runs"]
    assert "lines 1-2 by the run of" in note.what and "lines 3-4" in note.what


def test_a_joined_table_is_joined_again_and_keeps_the_run_of_each_line(tmp_path):
    published = written(tmp_path / "then", [("a", 0, 30.0)])
    write_joined(published, join(published, written(tmp_path / "now", [("b", 0, 31.5)]), KEYS, WANTED, NEW), {}, [0])
    later = written(tmp_path / "later", [("a", 0, 29.0)])
    lines = join(published, later, KEYS, (*WANTED[::-1],), {("a",)})
    assert [run["git_commit"] for run in lines.runs] == ["later", "now"]


def test_lines_that_are_not_asked_for_any_more_go_and_others_change_places(tmp_path):
    published = written(tmp_path / "then", [("a", 0, 30.0), ("b", 0, 31.0), ("c", 0, 32.0)])
    assert has_order(published, KEYS, [("a",), ("b",), ("c",)]) and not has_order(published, KEYS, [("c",), ("a",)])
    lines = join(published, None, KEYS, [("c",), ("a",)], ())
    assert lines.table["backbone"].tolist() == ["c", "a"] and [run["git_commit"] for run in lines.runs] == ["then"] * 2


def test_what_is_computed_from_a_joined_table_fits_it(tmp_path):
    published = written(tmp_path / "then", [("a", 0, 30.0)])
    write_joined(published, join(published, written(tmp_path / "now", [("b", 0, 31.5)]), KEYS, WANTED, NEW), {}, [0])
    summary = published.with_name("sampling_summary.csv")
    write_derived(summary, pd.DataFrame({"mean": [30.75]}), published, {}, [0])
    record = read_provenance(provenance_path(summary))
    assert record[DERIVED_FROM] == {"demo/sampling": file_sha256(published)} and MEASURED_BY not in record
    assert record["table"] == "demo/sampling_summary" and record["table_sha256"] == file_sha256(summary)
    told = lambda: [f.what for f in verify_table(summary, ROOT).findings if f.kind == "runs"]
    assert told() == []
    write_table(pd.DataFrame({"psnr_y_db": [30.0]}), published)
    assert told() == ["demo/sampling, which it was computed from, is another by now"]


def test_lines_that_are_told_of_no_run_are_a_problem(tmp_path):
    published = written(tmp_path / "then", [("a", 0, 30.0), ("b", 0, 1.0)])
    record = json.loads(provenance_path(published).read_text())
    run = run_of(record) | {"lines": "1"}
    provenance_path(published).write_text(json.dumps(record | {MEASURED_BY: [run]}))
    found = [f.what for f in verify_table(published, ROOT).findings if f.severity == "problem"]
    assert any("does not tell which run measured line 2" in what for what in found)
    provenance_path(published).write_text(json.dumps(record | {MEASURED_BY: [{"lines": 3}]}))
    with pytest.raises(TableError, match="measured_by.lines, measured_by.version"):
        read_provenance(provenance_path(published))


@pytest.mark.parametrize(
    "rows, changes, fault",
    [
        ([("b", 0, 31.5), ("a", 0, 30.1)], {}, "a came out otherwise than in the published table"),
        ([("c", 0, 31.5)], {}, "b was not measured"),
        ([("b", 0, 31.5)], {"code_sha256": {"quantizing": "0"}}, "measured with other code_sha256 of quantizing"),
        ([("b", 0, 31.5)], {"packages": {"torch": "1.0"}}, "measured with other packages"),
        ([("b", 0, 31.5)], {"inputs_sha256": {"pool": "1"}}, "its input pool changed since"),
        ([("b", 0, 31.5)], {"recipes_sha256": {"fast": "1"}}, "measured with other recipes_sha256 of fast"),
        ([("b", 0, 31.5)], {"git_dirty": True}, "changes that were not committed"),
    ],
)
def test_lines_that_do_not_belong_together_are_refused(tmp_path, rows, changes, fault):
    published = written(tmp_path / "then", [("a", 0, 30.0)], inputs_sha256={"pool": "0"}, recipes_sha256={"fast": "0"})
    with pytest.raises(TableError, match=fault):
        join(published, written(tmp_path / "now", rows, **changes), KEYS, WANTED, NEW)


def run(root: Path, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", *arguments], cwd=root, env=environment_in(root), capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    return done.stdout


def commit(root: Path) -> None:
    subprocess.run(["git", "add", "-A"], cwd=root, check=True)
    identity = ["-c", "user.name=x", "-c", "user.email=x@example.org"]
    subprocess.run(["git", *identity, "commit", "-qm", "x", "--allow-empty"], cwd=root, check=True)


def copied(root: Path) -> Path:
    """The code and the demo's pictures, made small, in a repository of their own."""
    for name in ("adabm", "pipelines", "notebooks"):
        shutil.copytree(ROOT / name, root / name, ignore=shutil.ignore_patterns("__pycache__"))
    (root / "data").mkdir()
    for name in ("demo_photos.yaml", "published.csv"):
        shutil.copy(ROOT / "data" / name, root / "data" / name)
    shutil.copy(ROOT / "adabm" / "weights" / "edsr_f32b8_x4.safetensors", root / "data" / "other.safetensors")
    shutil.copy(ROOT / "dvc.yaml", root / "dvc.yaml")  # marks the root
    subprocess.run(["git", "init", "-q"], cwd=root, check=True)
    (root / ".gitignore").write_text("__pycache__\nspared\ndata/cache\nresults\ndata/prepared\n")
    small = ("--tile", "16", "--tiles", "2", "--crop", "32", "--manifest", "data/demo_photos.yaml")
    run(root, "pipelines.prepare.demo", "--output", "data/prepared/demo", *small)
    return root


def asked(question: str) -> tuple[dict, dict]:
    """What a question asks at first, and what it asks later."""
    if question == "sampling":
        shared = dict(strategies=["random", "diverse"], count=2, counts={})
        methods = {"one": {"method": "minmax"}, "two": {"method": "percentile", "backbones": ["other"]}}
        networks = {"data/other.safetensors": OWN, "edsr_f32b8_x4": OWN}
        first = shared | dict(backbones={"edsr_f32b8_x4": OWN}, methods={"one": methods["one"]})
        return first, shared | dict(backbones=networks, methods=methods)
    part = dict(data="data/prepared/demo", sets=["demo-photos-crops"], settings=["W4A4 FQ"])
    there, new = part | dict(backbone="edsr_f32b8_x4"), part | dict(backbone="data/other.safetensors")
    kept = [there | dict(methods=["percentile"]), there | dict(methods=["minmax"])]
    more = [new | dict(methods=["mse", "minmax"], seeds=[0, 1]), new | dict(methods=["minmax"], seeds=[2])]
    shared = dict(patches=4, same_as={"edsr_f32b8_x4": "EDSR-baseline"})
    return shared | dict(plan=kept), shared | dict(plan=[kept[1], more[0], kept[0], more[1]])


@pytest.mark.slow
@pytest.mark.parametrize(
    "question, notebook", [("evaluation", "02_evaluation.ipynb"), ("sampling", "04_sampling.ipynb")]
)
def test_an_extended_table_is_the_whole_one_to_the_byte(question, notebook, tmp_path):
    root, blocks = copied(tmp_path), yaml.safe_load((ROOT / "params.yaml").read_text())
    out = f"results/demo/{question}/{notebook}"
    stage = ("pipelines.stages.run_notebook", f"notebooks/{notebook}", out, "--block", question)
    for number, changes in enumerate(asked(question)):
        block = blocks[question] | dict(patch_size=12, rounds=1, steps_per_round=1, workers=1) | changes
        (root / "params.yaml").write_text(yaml.safe_dump({"questions": blocks["questions"], question: block}))
        commit(root)
        if number == 0:
            run(root, *stage)
    assert {"sampling": "1 of 2 networks", "evaluation": "6 of 9 cells"}[question] in run(
        root, "pipelines.stages.extend", question
    )
    if question == "sampling":
        assert "nothing was lacking" in run(root, "pipelines.stages.extend", question)
    extended = {path.name: path.read_bytes() for path in (root / out).parent.iterdir()}
    record = json.loads(extended[f"{question}.provenance.json"])
    assert len(record[MEASURED_BY]) == 2
    shutil.rmtree(root / "data" / "cache")
    shutil.rmtree(root / "results")
    run(root, *stage)
    at_once = {path.name: path.read_bytes() for path in (root / out).parent.iterdir()}
    assert extended.keys() == at_once.keys()
    same = {name for name in at_once if extended[name] == at_once[name]}
    assert same == {name for name in at_once if not name.endswith((".provenance.json", ".ipynb"))}
    whole = json.loads(at_once[f"{question}.provenance.json"])
    ours = {"git_commit", "date", MEASURED_BY}
    assert {k: v for k, v in record.items() if k not in ours} == {k: v for k, v in whole.items() if k not in ours}
