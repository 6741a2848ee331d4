"""What is published is compared with the manifest: files, cells, definitions of the code, and what pages show."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from adabm.cli import main
from adabm.errors import DataError
from adabm.study import write_provenance
from adabm.study.origin.manifest import MANIFEST, read_manifest, write_manifest
from adabm.study.origin.published import SHOWN
from adabm.study.origin.table_changes import sums_of, tell_changes
from helpers.study_tables import write_results
from pipelines.stages import manifest as stage
from pipelines.stages.sums import write_sums

TABLE = "results/test/set_size/set_size.csv"


@pytest.fixture(scope="module")
def written(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("written")
    write_manifest(write_results(folder, "set_size", "timing"))
    return folder


@pytest.fixture
def root(written, tmp_path, monkeypatch) -> Path:
    """A repository, in the working directory, with two tables and a manifest."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(written, tmp_path, dirs_exist_ok=True)
    return tmp_path


def commit(root: Path) -> None:
    for words in (("init", "-q"), ("add", "."), ("commit", "-q", "-m", "x")):
        subprocess.run(["git", "-c", "user.name=a", "-c", "user.email=a@b", *words], cwd=root, check=True)


def replace(path: Path, before: str, after: str, count: int = 1) -> None:
    text = path.read_text()
    assert before in text
    path.write_text(text.replace(before, after, count))


def verify(capsys, *more: str, status: int = 1) -> str:
    assert main(["verify-results", *more]) == status
    return capsys.readouterr().out


def test_untouched_results_verify_in_few_lines(root, capsys):
    out = verify(capsys, status=0).splitlines()
    assert out[0] == "2 of 2 tables verified; 10 published files and parts of pages compared, 0 problems with them"
    assert out[1:] == [
        "note (manifest): git has no results/test/manifest.json to compare it with; "
        "results that were changed together with it are not noticed"
    ]
    commit(root)
    assert verify(capsys, status=0).splitlines() == out[:1]
    out = verify(capsys, "--verbose", status=0)
    assert f"ok        {TABLE}  " in out and "ok        results/test/timing/timing.csv" in out


def test_a_changed_cell_is_named_with_its_earlier_value(root, capsys):
    commit(root)
    replace(root / TABLE, "30.0", "31.0")
    out = verify(capsys)
    assert "the table was changed after it was written: row 1, column psnr_y_db: 31.0 was 30.0;" in out
    assert f"{TABLE} is not the published one: row 1, column psnr_y_db: 31.0 was 30.0;" in out
    assert out.startswith(
        "1 of 2 tables verified; 10 published files and parts of pages compared, 1 problems with them"
    )


def test_without_git_the_manifest_tells_the_cell(root, capsys):
    replace(root / TABLE, "30.0", "31.0")
    assert "row 1, column psnr_y_db: 31.0 is new" in verify(capsys)


def test_a_table_changed_together_with_its_provenance_is_noticed(root, capsys):
    replace(root / TABLE, "30.0", "31.0")
    parameters = dict(params_file="params.yaml", block="set_size", notebook=root / "notebooks" / "set_size.ipynb")
    write_provenance(root / TABLE, root, dict(seeds=[0, 1]), [root / "input.txt"], [0, 1], **parameters)
    out = verify(capsys)
    assert out.startswith("2 of 2 tables verified; 10 published files and parts of pages compared, 2 problems")
    assert f"problem (file): {TABLE} is not the published one: row 1, column psnr_y_db: 31.0 is new" in out
    assert "results/test/set_size/set_size.provenance.json is not the published one" in out


@pytest.mark.parametrize("line", ['"cpu": "', '"date": "', '"git_commit"', '"threads_per_run"'])
def test_every_entry_of_a_provenance_counts(root, capsys, line):
    replace(root / TABLE.replace(".csv", ".provenance.json"), line, line.replace('"', '"x', 1))
    assert "problem (file): results/test/set_size/set_size.provenance.json is not the published one" in verify(capsys)


@pytest.mark.parametrize("name", ["set_size.png", "set_size.svg", "conclusion.md"])
@pytest.mark.parametrize("how", ["changed", "missing"])
def test_every_file_counts(root, capsys, name, how):
    path = root / "results/test/set_size" / name
    path.write_bytes(path.read_bytes() + b" ") if how == "changed" else path.unlink()
    out = verify(capsys)
    told = "is not the published one" if how == "changed" else "is missing"
    assert f"problem (file): results/test/set_size/{name} {told}" in out and out.count("problem (") == 1
    verify(capsys, "results/test/timing", status=0)  # other folders are not concerned


def test_a_file_more_is_told(root, capsys):
    (root / "results/test/set_size/more.md").write_text("x")
    assert "warning (file): results/test/set_size/more.md is not in manifest.json" in verify(capsys, status=0)
    commit(root)
    (root / ".gitignore").write_text("more.md\n")
    subprocess.run(["git", "rm", "-q", "--cached", "results/test/set_size/more.md"], cwd=root, check=True)
    assert "more.md" not in verify(capsys, status=0)


def test_without_a_manifest_the_sums_are_compared_and_its_absence_is_told(root, capsys):
    results = root / "results/test"
    (results / MANIFEST).unlink()
    write_sums(results / "set_size", results / "sums" / "set_size.sha256")
    out = verify(capsys, status=0)
    assert "warning (manifest): results/test/manifest.json is absent" in out
    assert "python -m pipelines.stages.manifest results/test" in out and "5 published files" in out
    (results / "set_size/conclusion.md").write_text("other")
    assert "problem (file): results/test/set_size/conclusion.md is not the published one" in verify(capsys)


def test_a_profile_without_any_record_is_not_passed_over(root, capsys):
    for path in (root / "results").rglob("*.provenance.json"):
        path.unlink()
    assert ".provenance.json is missing" in verify(capsys, status=1)


def test_a_profile_of_which_nothing_is_left_is_told(root, capsys):
    shutil.copytree(root / "results" / "test", root / "results" / "gone")
    commit(root)
    shutil.rmtree(root / "results" / "gone")
    for folders in ((), ("results",)):
        assert "problem (manifest): results/gone/manifest.json is missing; restore it" in verify(capsys, *folders)
    verify(capsys, "results/test", status=0)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"format": "other", "files": {}}', "[" * 100_000])
def test_a_damaged_manifest_is_a_problem(root, capsys, text):
    (root / "results/test" / MANIFEST).write_text(text)
    assert "problem (manifest): " in verify(capsys)


def test_bytes_that_are_no_text_and_endless_nesting_are_problems(root, capsys):
    """In a page, a provenance and a list of sums."""
    page = root / "README.md"
    source = root / SHOWN[("README.md", "short")][0]
    source.parent.mkdir(parents=True, exist_ok=True)
    source.write_text("| a |\n")
    page.write_bytes(b"\xff\xfe<!-- short:start -->\n| a |\n<!-- short:end -->\n")
    assert "problem (page): README.md cannot be read as text" in verify(capsys)
    page.unlink()
    (root / TABLE).with_suffix(".provenance.json").write_text("[" * 100_000)
    assert "its provenance is damaged" in verify(capsys)
    results = root / "results/test"
    (results / MANIFEST).unlink()
    (results / "sums").mkdir(exist_ok=True)
    (results / "sums" / "set_size.sha256").write_bytes(b"\xff\xfe  x\n")
    assert "missing" in verify(capsys)


def test_a_manifest_other_than_the_committed_one_is_told(root, capsys):
    commit(root)
    (root / "results/test/set_size/conclusion.md").write_text("other")
    assert stage.write_manifest(root / "results/test")
    told = (
        "(manifest): results/test/manifest.json is not the committed one: it has other sums of 'set_size/conclusion.md'"
    )
    assert f"problem {told}; restore it (git checkout), or commit what was made anew" in verify(capsys)
    assert f"warning {told}" in verify(capsys, "--regenerated", status=0)
    (root / "results/test" / MANIFEST).write_text("{}")
    assert "problem (manifest)" in verify(capsys, "--regenerated")


def test_a_table_its_provenance_and_the_manifest_changed_together_are_noticed(root, capsys):
    commit(root)
    replace(root / TABLE, "30.0", "31.0")
    parameters = dict(params_file="params.yaml", block="set_size", notebook=root / "notebooks" / "set_size.ipynb")
    write_provenance(root / TABLE, root, dict(seeds=[0, 1]), [root / "input.txt"], [0, 1], **parameters)
    write_manifest(root / "results/test")
    out = verify(capsys)
    assert "2 of 2 tables verified" in out and "1 problems with them" in out
    assert "it has other sums of 'set_size/set_size.csv', 'set_size/set_size.provenance.json'; restore it" in out


def test_the_manifest_depends_on_files_and_code_alone(root, monkeypatch, capsys):
    path = root / "results/test" / MANIFEST
    before = path.read_bytes()
    monkeypatch.setattr("sys.argv", ["manifest", "results/test"])
    assert stage.main() == 0 and path.read_bytes() == before
    monkeypatch.setattr("sys.argv", ["manifest", "results/nowhere"])
    assert stage.main() == 1 and "nowhere: is no folder of results" in capsys.readouterr().err
    for text in ("", 'a,b\n"x'):
        (path.parent / "more.csv").write_text(text)
        with pytest.raises(DataError, match=r"more\.csv: is no CSV table; delete it, or"):
            write_manifest(path.parent)
    with pytest.raises(DataError, match="cannot be read"):
        path.write_bytes(b"\xff")
        read_manifest(path.parent)


@pytest.mark.slow
def test_a_changed_definition_is_named(root, capsys):
    """As if ``fine_tune`` had been another when tables and manifest were written."""
    path, record = root / "results/test" / MANIFEST, root / TABLE.replace(".csv", ".provenance.json")
    manifest = json.loads(path.read_text())
    named = manifest["definitions"]["steps/tuner.py"]
    digest = next(digest for digest, name in named.items() if name == "fine_tune")
    named["0" * 64] = named.pop(digest)
    then = manifest["code_sha256"]["quantizing"] = "1" * 64
    changed = json.loads(record.read_text())
    changed["code_sha256"]["quantizing"] = then
    record.write_text(json.dumps(changed))
    path.write_text(json.dumps(manifest))
    assert "the code of quantizing changed since: fine_tune (adabm/steps/tuner.py); run" in verify(capsys)


@pytest.mark.slow
def test_git_names_the_definition_without_a_manifest(root, capsys):
    package = Path(stage.__file__).parents[2] / "adabm"
    shutil.copytree(package, root / "adabm", ignore=shutil.ignore_patterns("*.safetensors", "__pycache__"))
    replace(root / "adabm/steps/tuner.py", "def decay(self, group: str) -> None:", "def decay(self, group) -> None:")
    (root / "results/test" / MANIFEST).unlink()
    commit(root)
    head = subprocess.run(["git", "rev-parse", "HEAD"], cwd=root, capture_output=True, text=True).stdout.strip()
    record = root / TABLE.replace(".csv", ".provenance.json")
    changed = json.loads(record.read_text())
    changed |= {"git_commit": head, "code_sha256": changed["code_sha256"] | {"quantizing": "1" * 64}}
    record.write_text(json.dumps(changed))
    assert "the code of quantizing changed since: FineTuner (adabm/steps/tuner.py); run" in verify(capsys)


# -- tables ----------------------------------------------------------------------------------------

OLD = "name,a,b\nx,1,2\ny,3,4\n"


@pytest.mark.parametrize(
    "now, told",
    [
        ("name,a,b\nx,1,2\ny,3,5\n", "row 2, column b: 5 is new"),
        ("name,a,b\nx,,2\ny,3,4\n", "row 1, column a: empty is new"),
        ("name,a,b\nx,1,2\n", "1 rows were 2"),
        ("name,a\nx,1\ny,3\n", "column b is gone"),
        ("name,b,a\nx,2,1\ny,4,3\n", "the columns have another order"),
        ("name,a,b,c\nx,1,2,0\ny,3,4,0\n", "column c is new"),
        ("", ""),
        ('name,a,b\n"x', ""),
    ],
)
def test_changes_of_a_table(tmp_path, now, told):
    (tmp_path / "t.csv").write_text(now)
    assert tell_changes(tmp_path / "t.csv", tmp_path, "0" * 64, sums_of(OLD.encode())) == told
    assert tell_changes(tmp_path / "t.csv", tmp_path, "0" * 64) == ""


# -- pages -----------------------------------------------------------------------------------------


def test_pages_show_what_the_results_say(root, capsys):
    table, other = "| a |\n| b |\n| c |\n", "\n### another network\n\n| a |\n| d |\n"
    for (page, marker), (name, section) in SHOWN.items():
        source, target = root / name, root / page
        source.parent.mkdir(parents=True, exist_ok=True)
        headings = [heading for of, heading in SHOWN.values() if of == name and heading is not None]
        source.write_text(("".join(f"{heading}\n\n{table}\n" for heading in headings) or table) + other)
        target.parent.mkdir(exist_ok=True)
        rows = "| a |\n| c |\n" if marker == "short" else source.read_text() if section is None else table
        before = target.read_text() if target.exists() else "# Page\n"
        target.write_text(f"{before}\n<!-- {marker}:start -->\n{rows}<!-- {marker}:end -->\n")
    assert "19 published files and parts of pages compared, 0 problems" in verify(capsys, status=0)
    for page, line, marker in (("README.md", 5, "short"), ("docs/results.md", 8, "results")):
        text = (root / page).read_text()
        replace(root / page, "| c |", "| d |")
        assert f"problem (page): {page}, line {line} ({marker}), is not what " in verify(capsys)
        (root / page).write_text(text)
    page = (root / "README.md").read_text()
    replace(root / "README.md", "| a |\n| c |\n", "| c |\n")  # a row that is no head
    assert "problem (page): README.md, line 4 (short), is not what " in verify(capsys)
    (root / "README.md").write_text(page)
    replace(root / "docs/results.md", "answers:end", "answer:end")
    assert "has no part between the markers answers:start and answers:end" in verify(capsys)
    replace(root / "docs/results.md", "answer:end", "answers:end")
    page = (root / "README.md").read_text()
    replace(root / "README.md", "| a |\n| c |\n", "")
    assert "problem (page): README.md, line 4 (short), is not what " in verify(capsys)
    (root / "README.md").write_text(page + "\n<!-- short:start -->\n| d |\n<!-- short:end -->\n")
    assert "README.md has 2 parts between the markers short:start and short:end" in verify(capsys)
    (root / "README.md").write_text(page)
    commit(root)
    (root / "README.md").unlink()
    assert "problem (page): README.md is missing; restore it (git checkout README.md)" in verify(capsys)
    (root / "README.md").write_text(page)
    (root / "results/paper/report/answers.md").write_text("| e |\n")
    assert "note (page): docs/results.md (answers) shows the committed results/paper/report/answers.md" in verify(
        capsys, status=0
    )


def linked(path: Path, to: str) -> None:
    path.unlink()
    path.symlink_to(to)


def pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


@pytest.mark.parametrize(
    "name", ["set_size/set_size.csv", "set_size/conclusion.md", "timing/timing.provenance.json", MANIFEST]
)
@pytest.mark.parametrize(
    "replaced",
    [
        lambda path: linked(path, "/etc/hostname"),
        lambda path: linked(path, "/dev/zero"),
        lambda path: linked(path, path.name),
        lambda path: linked(path, "nowhere"),
        lambda path: (path.unlink(), path.mkdir()),
        pipe,
    ],
    ids=["a link out", "a device", "a circle", "a link to nothing", "a folder", "a pipe"],
)
def test_what_is_no_file_any_more_is_a_problem(root, capsys, name, replaced):
    path = root / "results" / "test" / name
    assert path.is_file()
    replaced(path)
    assert "problem (" in verify(capsys)


@pytest.mark.parametrize("name", ["../../params.yaml", "/etc/hostname", "set_size/../../x", ".", "", "a\0b"])
def test_a_manifest_that_names_other_places_is_a_problem(root, capsys, name):
    manifest = root / "results" / "test" / MANIFEST
    content = json.loads(manifest.read_text())
    content["files"][name] = "0" * 64
    manifest.write_text(json.dumps(content))
    assert "which is no file of the profile" in verify(capsys)


def test_a_manifest_that_git_has_and_the_folder_lacks_is_a_problem(root, capsys):
    (root / "results" / "test" / MANIFEST).rename(root / "kept")
    assert "manifest.json is absent" in verify(capsys, status=0)
    (root / "kept").rename(root / "results" / "test" / MANIFEST)
    commit(root)
    (root / "results" / "test" / MANIFEST).unlink()
    assert "problem (manifest): results/test/manifest.json is missing" in verify(capsys)


@pytest.mark.parametrize("digest", [None, 5, []])
def test_a_digest_of_another_kind_is_a_problem(root, capsys, digest):
    manifest = root / "results" / "test" / MANIFEST
    content = json.loads(manifest.read_text())
    content["files"]["set_size/set_size.csv"] = digest
    manifest.write_text(json.dumps(content))
    assert "is damaged" in verify(capsys)
    record = root / "results" / "test" / "set_size" / "set_size.provenance.json"
    content = json.loads(record.read_text())
    content["inputs_sha256"] = dict.fromkeys(["nowhere", *content["inputs_sha256"]], digest)
    record.write_text(json.dumps(content))
    assert "a sha256 of inputs_sha256" in verify(capsys)
