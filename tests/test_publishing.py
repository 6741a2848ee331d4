"""What the notebook of a question leaves behind: table, provenance, figures, conclusion."""

import json
from pathlib import Path

import pandas as pd
import pytest

from adabm.errors import DataError
from adabm.study import publish, read_study_table
from adabm.study.origin.provenance import provenance_path
from adabm.study.origin.verification import verify_table
from adabm.study.pages import publishing
from adabm.study.pages.publishing import write_tables
from adabm.study.pages.question_figures import plot_levels, plot_sweep
from adabm.study.pages.telling import tell_anew
from adabm.study.tables.schema import study_table
from adabm.study.tables.writing import write_table
from helpers.study_tables import row

TABLE = study_table(row(level=level, seed=seed, psnr_y_db=30 + 0.1 * seed) for level in ("5", "20") for seed in (3, 1))


def publish_to(root: Path, **changes) -> str:
    (root / "input.txt").write_text("input")
    figures = {
        "": plot_sweep(TABLE, ["psnr_y_db"], "pictures"),
        "levels": plot_levels(TABLE, "psnr_y_db", "PSNR-Y (dB)"),
    }
    return publish(**{**dict(
        results=root / "results" / "test", question="set_size", table=TABLE, figures=figures, conclusion=["**Five** are enough.", "More do not harm."],
        root=root, parameters={"sizes": [5, 20]}, inputs=[root / "input.txt"], device="cuda",
    ), **changes})  # fmt: skip


def contents(root: Path) -> dict[str, bytes]:
    results = root / "results" / "test"
    return {path.relative_to(results).as_posix(): path.read_bytes() for path in results.rglob("*") if path.is_file()}


def test_every_file_is_written(tmp_path):
    assert publish_to(tmp_path) == "**Five** are enough.\n\nMore do not harm."
    written = contents(tmp_path)
    figures = {f"set_size/set_size{suffix}.{kind}" for suffix in ("", "_levels") for kind in ("png", "svg")}
    tables = {"set_size/set_size.csv", "set_size/set_size.provenance.json"}
    assert set(written) == tables | {"set_size/conclusion.md"} | figures, "all in the folder of the question"
    assert written["set_size/conclusion.md"] == b"**Five** are enough.\n\nMore do not harm.\n"
    pd.testing.assert_frame_equal(read_study_table(tmp_path / "results/test/set_size/set_size.csv"), TABLE)
    assert all(written[name].startswith(b"\x89PNG" if name.endswith("png") else b"<?xml") for name in figures)
    record = json.loads(written["set_size/set_size.provenance.json"])
    assert (record["table"], record["seed"], record["device"]) == ("test/set_size", [1, 3], "cuda")
    assert record["parameters"] == {"sizes": [5, 20]} and list(record["inputs_sha256"]) == ["input.txt"]


@pytest.fixture
def earlier(tmp_path, monkeypatch) -> Path:
    """The folder of a question that was told before, with figures of two suffixes and one of the user's; nothing is recorded or drawn."""
    folder = tmp_path / "results" / "test" / "set_size"
    write_table(TABLE, folder / "set_size.csv")
    for name in (
        "conclusion.md",
        "set_size.png",
        "set_size.svg",
        "set_size_levels.png",
        "set_size_levels.svg",
        "set_sizes.png",
    ):
        (folder / name).write_bytes(b"earlier")
    for name in ("write_provenance", "study_code"):
        monkeypatch.setattr(publishing, name, lambda *_, **__: None)
    monkeypatch.setattr(
        publishing, "save_figure", lambda _, path: [path.with_suffix(s).write_bytes(b"") for s in (".png", ".svg")]
    )
    return folder


def tell(how: str, folder: Path, figures: dict | None) -> str:
    given = folder.parent, "set_size", TABLE, figures, ["**Six** are."]
    return publish(*given, folder, {}, []) if how == "publish" else tell_anew(*given)


@pytest.mark.parametrize("how", ["publish", "anew"])
def test_what_is_interrupted_has_no_conclusion_of_before(earlier, how, monkeypatch):
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(publishing, "save_figure", interrupted)
    with pytest.raises(KeyboardInterrupt):
        tell(how, earlier, {"": None})
    assert not (earlier / "conclusion.md").exists(), "nothing is collected without"


@pytest.mark.parametrize("how", ["publish", "anew"])
def test_figures_that_are_drawn_no_more_go(earlier, how):
    tell(how, earlier, {"": None})
    pictures = {path.name for path in earlier.iterdir() if path.suffix in (".png", ".svg")}
    assert pictures == {"set_size.png", "set_size.svg", "set_sizes.png"}


def test_figures_that_cannot_be_told_anew_stay(earlier):
    assert tell("anew", earlier, None) == "**Six** are."
    assert (earlier / "set_size_levels.png").read_bytes() == (earlier / "set_size.png").read_bytes() == b"earlier"
    assert (earlier / "conclusion.md").read_text() == "**Six** are.\n"


@pytest.mark.slow
def test_the_same_bytes_again(tmp_path):
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        publish_to(tmp_path / name)
    one, two = (contents(tmp_path / name) for name in ("one", "two"))
    assert {name for name in one if one[name] != two[name]} <= {
        "set_size/set_size.provenance.json"
    }  # it holds the date
    assert not [name for name, data in one.items() if name.endswith("svg") and b"<dc:date>" in data]


def test_other_tables_withdraw_the_conclusion_and_tell_the_code_of_the_answer(tmp_path):
    """They were recorded with the code that quantizes and measures alone, so that a change of what computes them went untold."""
    folder = tmp_path / "results" / "test" / "set_size"
    write_table(TABLE, folder / "set_size.csv")
    (folder / "conclusion.md").write_text("of before")
    write_tables(folder, {"set_size_patches": TABLE}, tmp_path, {}, [], 0)
    assert not (folder / "conclusion.md").exists(), "until the tables are complete"
    table = folder / "set_size_patches.csv"
    assert "answer" in json.loads(provenance_path(table).read_text())["code_sha256"]
    assert [found for found in verify_table(table, tmp_path).findings if found.kind == "code"] == []


@pytest.mark.parametrize("lacking", [dict(figures={}), dict(conclusion=[])])
def test_a_question_needs_a_figure_and_a_conclusion(tmp_path, lacking):
    with pytest.raises(DataError, match="set_size: a question needs a figure and a conclusion"):
        publish_to(tmp_path, **lacking)
    assert not (tmp_path / "results").exists()


@pytest.mark.slow
def test_the_provenance_holds_the_code_of_the_answer(tmp_path):
    publish_to(tmp_path)
    publish_to(tmp_path, question="tried_by_hand")
    of = {
        question: json.loads((tmp_path / f"results/test/{question}/{question}.provenance.json").read_text())[
            "code_sha256"
        ]
        for question in ("set_size", "tried_by_hand")
    }
    assert set(of["set_size"]) - set(of["tried_by_hand"]) == {"answer"}
