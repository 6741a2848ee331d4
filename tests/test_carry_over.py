"""Tables of earlier code are carried over where it computed the same, and left where it did not, unless evidence is given."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest

import adabm
from adabm.cli import main as adabm_main
from adabm.study.origin.dependencies import CodeTree
from adabm.study.origin.fingerprint import NEUTRAL, definitions_hash
from adabm.study.origin.named_recipes import recipe_hashes
from adabm.study.origin.provenance import ALL_CODE
from adabm.study.origin.verification import verify_results
from helpers.study_tables import write_results
from pipelines.stages import carry_over
from pipelines.stages.carry_over import FLAT, _renamed_parameters, differing, layout_at, tree_at

PACKAGE = Path(adabm.__file__).parent
METRICS, API = "adabm/engines/metrics.py", "adabm/api.py"  # the first is measured with alone, the other quantized with


def git(root: Path, *words: str) -> str:
    identity = ("-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false")
    return subprocess.run(
        ["git", *identity, *words], cwd=root, check=True, capture_output=True, text=True
    ).stdout.strip()


def commit(root: Path) -> str:
    git(root, "add", "-A")
    git(root, "commit", "-q", "-m", "x")
    return git(root, "rev-parse", "HEAD")


def records(root: Path) -> dict[str, dict]:
    paths = sorted((root / "results").rglob("*.provenance.json"))
    return {path.name.split(".")[0]: json.loads(path.read_text()) for path in paths}


def written_by(root: Path, commit: str | None, **changes) -> None:
    """Let the tables be those of a commit, whose code had other hashes."""
    for path in (root / "results").rglob("*.provenance.json"):
        record = json.loads(path.read_text())
        old = dict.fromkeys(record["code_sha256"], "0" * 64)
        path.write_text(json.dumps(record | dict(git_commit=commit, git_dirty=False, code_sha256=old) | changes))


@pytest.fixture
def root(tmp_path, monkeypatch) -> Path:
    """A repository with a copy of this package and two tables."""
    monkeypatch.chdir(tmp_path)
    git(tmp_path, "init", "-q")
    shutil.copytree(
        PACKAGE, tmp_path / "adabm", ignore=lambda folder, names: [n for n in names if n in ("weights", "__pycache__")]
    )
    write_results(tmp_path, "set_size", "timing")
    return tmp_path


def run(monkeypatch, *words: str) -> int:
    monkeypatch.setattr("sys.argv", ["carry_over", *words])
    return carry_over.main()


def change(root: Path, file: str, before: str, after: str) -> None:
    path = root / file
    assert before in path.read_text()
    path.write_text(path.read_text().replace(before, after))


@pytest.mark.slow
def test_equal_code_is_carried_over(root, monkeypatch, capsys):
    change(root, METRICS, "\n\ndef ", "\n\n# a remark\ndef ")
    written_by(root, first := commit(root))
    assert not any(verdict.verified for verdict in verify_results())
    assert run(monkeypatch) == 0 and capsys.readouterr().out.count("carried over") == 2
    for record in records(root).values():
        assert record["carried_over"] == {"from_commit": first, "reason": "equal syntax trees"}
    assert all(verdict.verified for verdict in verify_results()) and adabm_main(["verify-results"]) == 0
    assert f"note (code): it was carried over from the code of commit {first[:10]}" in capsys.readouterr().out
    before = records(root)
    assert run(monkeypatch) == 0 and capsys.readouterr().out.count("fits") == 2 and records(root) == before


@pytest.mark.slow
def test_code_that_differs_is_listed_and_left(root, monkeypatch, capsys):
    change(root, METRICS, "def psnr_y(", "EXTRA = 1\n\n\ndef psnr_y(")
    change(root, API, "def quantize(", "class Other:\n    x = 1\n\n\ndef quantize(")
    written_by(root, first := commit(root))
    before = records(root)
    assert run(monkeypatch) == 1 and records(root) == before
    out = capsys.readouterr().out
    assert f"differs from that of commit {first[:10]}" in out
    assert "quantizing: Other (api.py); measuring: EXTRA (engines/metrics.py)" in out
    assert run(monkeypatch, "results/test", "--evidence", "computed again, byte-identical") == 0
    for record in records(root).values():
        assert record["carried_over"] == {
            "from_commit": first,
            "reason": "computed again, byte-identical",
            "differing": {"quantizing": 1, "measuring": 1},
        }
    assert all(verdict.verified for verdict in verify_results())
    assert (
        "byte-identical (definitions that differ: 1 of quantizing, 1 of measuring)"
        in verify_results()[0].findings[0].what
    )


@pytest.mark.slow
@pytest.mark.parametrize("recorded", [True, False])
def test_a_recipe_that_lists_something_else_differs(root, monkeypatch, capsys, recorded):
    """Whether the provenance tells what it listed, or was written before provenances did."""
    parameters = records(root)["timing"]["parameters"] | {"method": "adabm"}
    change(root, "adabm/recipes/adabm.yaml", "clip: {share: 0.5}", "clip: {share: 0.6}")
    written_by(root, first := commit(root), parameters=parameters, recipes_sha256={"adabm": "0"} if recorded else {})
    assert run(monkeypatch) == 1 and f"commit {first[:10]}. recipes: adabm" in capsys.readouterr().out
    assert run(monkeypatch, "--evidence", "computed again") == 0
    for record in records(root).values():
        assert record["recipes_sha256"] == recipe_hashes(["adabm"]) and record["carried_over"]["differing"] == {
            "recipes": 1
        }


@pytest.mark.slow
def test_a_definition_that_is_gone_differs(root, monkeypatch, capsys):
    change(root, METRICS, "def ssim_y(", "def another_ssim_y(")
    written_by(root, commit(root))
    assert run(monkeypatch) == 1
    assert "another_ssim_y (engines/metrics.py), ssim_y (engines/metrics.py)" in capsys.readouterr().out


MODEL, RULE = "def model():\n    return 1\n", "def rule():\n    return model()\n"
FLAT_FILES = {
    "__init__.py": "",
    "bit_mapping.py": "",
    "config.py": "OLD = 1\n",
    "model.py": f"from .config import OLD\n\n\n{MODEL}",
    "study/__init__.py": "",
    "study/interventions.py": f"from ..model import model\n\n\n{RULE}",
}
FILES_NOW = {
    "__init__.py": "",
    "quantization/__init__.py": "",
    "recipes/config.py": "NEW = 2\n",
    "quantization/model.py": f"from ..recipes.config import NEW\n\n\n{MODEL}",
    "steps/deal_factors.py": f"from ..quantization.model import model\n\n\n{RULE}",
}


@pytest.mark.parametrize(
    "file, before, after, expected",
    [
        ("config.py", "1", "3", []),
        ("model.py", "return 1", "return 2", ["model (model.py)", "model (quantization/model.py)"]),
        ("study/interventions.py", "def rule", "MORE = 1\n\n\ndef rule", ["MORE (study/interventions.py)"]),
    ],
)
def test_a_flat_package_of_earlier_times_is_compared_too(tmp_path, file, before, after, expected):
    git(tmp_path, "init", "-q")
    for name, text in FLAT_FILES.items():
        (tmp_path / "adabm" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "adabm" / name).write_text(text)
    now = CodeTree(FILES_NOW, FILES_NOW.__getitem__)
    written = commit(tmp_path)
    assert layout_at(tmp_path, written) is FLAT
    assert differing(tree_at(tmp_path, written), "interventions", now, layout=FLAT) == []
    change(tmp_path, f"adabm/{file}", before, after)
    assert differing(tree_at(tmp_path, commit(tmp_path)), "interventions", now, layout=FLAT) == expected


@pytest.mark.parametrize(
    "commit_of, changes, told",
    [
        (lambda first: "0" * 40, {}, "cannot be read; the history may have been rewritten"),
        (lambda first: None, {}, "it was not made from a commit"),
        (lambda first: first, dict(git_dirty=True), "it was not made from a commit"),
        (lambda first: first, dict(python="3.1.4"), "it ran on Python 3.1.4"),
        (lambda first: first, dict(code_sha256={"other": "0"}), "its code of 'other' is unknown"),
        (lambda first: first, dict(table_sha256=0), "its provenance is damaged"),
    ],
)
def test_what_cannot_be_compared_is_left_whatever_the_evidence(root, monkeypatch, capsys, commit_of, changes, told):
    written_by(root, commit_of(commit(root)), **changes)
    before = records(root)
    assert run(monkeypatch, "--evidence", "computed again") == 1 and records(root) == before
    assert told in capsys.readouterr().out


GONE = "0" * 40
EARLIER = {"from_commit": GONE, "reason": "computed again", "differing": {"quantizing": 3}}


def hashes(root: Path) -> dict[str, str]:
    """The hashes of the code in the copy of the package, as a provenance has them."""
    tree, record = CodeTree.of_folder(root / "adabm"), records(root)["timing"]
    reached = {name: tree.reached(ALL_CODE[name], NEUTRAL) for name in record["code_sha256"]}
    return {n: definitions_hash(tree.definitions(found), record["packages"]["torch"]) for n, found in reached.items()}


@pytest.mark.slow
def test_a_table_whose_commit_is_gone_is_compared_with_what_it_was_carried_over_to(root, monkeypatch, capsys):
    change(root, METRICS, "def psnr_y(", "_SHOWN = 5\n\n\ndef psnr_y(")  # which stands elsewhere in the package, too
    written_by(root, GONE, carried_over=EARLIER, code_sha256=hashes(root))
    recorded = commit(root)
    change(root, METRICS, "_SHOWN = 5", "EXTRA = 1")
    for path in (root / "results").rglob("*.provenance.json"):
        path.write_text(path.read_text() + "\n")
    commit(root)  # changes code and provenance, and not what that says of the code
    assert run(monkeypatch) == 0 and capsys.readouterr().out.count("carried over") == 2
    for record in records(root).values():
        assert record["carried_over"] == {
            "from_commit": recorded,
            "reason": "equal syntax trees",
            "earlier": EARLIER,
        }
    assert all(verdict.verified for verdict in verify_results())
    assert verify_results()[0].findings[0].what == (
        f"it was carried over from the code of commit {recorded[:10]}: equal syntax trees; before that "
        "from the code of commit 0000000000: computed again (definitions that differ: 3 of quantizing)"
    )


@pytest.mark.slow
@pytest.mark.parametrize("evidence", [(), ("--evidence", "computed again")])
def test_code_that_is_not_the_recorded_one_stands_for_none(root, monkeypatch, capsys, evidence):
    """As in a clone without history, where the one commit changed all files."""
    written_by(root, GONE, carried_over=EARLIER)
    commit(root)
    before = records(root)
    assert run(monkeypatch, *evidence) == 1 and records(root) == before
    told = capsys.readouterr().out
    assert "test/set_size: commit 0000000000, which wrote it, is not in this clone" in told
    assert "git fetch --unshallow" in told


def test_a_commit_without_the_package_is_told(root, monkeypatch, capsys):
    shutil.rmtree(root / "adabm")
    written_by(root, commit(root))
    assert run(monkeypatch) == 1 and "holds no package adabm" in capsys.readouterr().out


def test_wrong_calls_are_told(root, tmp_path, monkeypatch, capsys):
    (tmp_path / "empty").mkdir()
    for wrong in ("empty", "resluts"):
        assert run(monkeypatch, "results/test/timing", wrong) == 1
        captured = capsys.readouterr()
        assert f"carry_over: {wrong}: no table with a provenance there" in captured.err and not captured.out
    with pytest.raises(SystemExit, match="2"):
        run(monkeypatch, "--evidence", " ")
    assert "--evidence must tell something" in capsys.readouterr().err


def test_parameters_get_the_names_that_they_have_now(tmp_path):
    (tmp_path / "params.yaml").write_text("question:\n  sizes: [1]\n  draw: false\n")
    runs = {"plain": {"preset": "adabm", "changes": {"fine_tuning": None, "fine_tuning.rounds": 3, "ema": 0.5}}}
    record = {
        "parameters": {"runs": runs, "recipe": {"rounds": 3}, "fine_tuning": "a question"},
        "params_file": "params.yaml",
        "block": "question",
        "block_values": {"sizes": [2], "runs": runs},
    }
    renamed = {"plain": {"preset": "adabm", "changes": {"tune": None, "tune.rounds": 3, "calibrate.ema": 0.5}}}
    assert _renamed_parameters(tmp_path, record) == {
        "parameters": {"runs": renamed, "effort": {"rounds": 3}, "fine_tuning": "a question"},
        "block_values": {"sizes": [2], "runs": renamed, "draw": False},
    }
