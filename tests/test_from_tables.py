"""Telling anew from published tables: what a notebook still does, that it comes to the same, and what it refuses."""

import ast
import json
import os
import re
import shutil
from pathlib import Path

import nbformat
import pandas as pd
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from adabm.errors import ConfigError, TableError
from adabm.study import write_provenance, write_table
from adabm.study.pages.telling import check_tables, read_table, read_tables, tell_anew
from pipelines.stages import run_notebook
from pipelines.stages.canonical_notebook import canonical
from pipelines.stages.from_tables import check_measured_with, told_from_tables
from pipelines.stages.notebook_parameters import read_block
from pipelines.stages.run_notebook import main, read_notebook
from pipelines.stages.statements import used

ROOT = Path(__file__).parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
MEASURING = {
    "Bench",
    "ModelTask",
    "run_plan",
    "read_plan",
    "open_networks",
    "publish",
    "write_tables",
    "save_quantized",
}


def code_of(notebook: nbformat.NotebookNode) -> list[str]:
    return [
        c.source for c in notebook.cells if c.cell_type == "code" and "parameters" not in c.metadata.get("tags", [])
    ]


def plain(source: str) -> str:
    return re.sub(r"^%.*$", "", source, flags=re.MULTILINE)


def notebook_of(*cells: tuple[str, list[str]]) -> nbformat.NotebookNode:
    """A notebook of cells, each with its tags."""
    parameters = new_code_cell('results: str = "results/x"', metadata={"tags": ["parameters"]})
    rest = [new_code_cell(source, metadata={"tags": tags}) for source, tags in cells]
    return new_notebook(cells=[new_markdown_cell("# Title"), parameters, *rest])


def told(*cells: tuple[str, list[str]]) -> list[str]:
    """The code cells that are left, without that of the imports."""
    return code_of(told_from_tables(notebook_of(*cells), "n.ipynb", "here").notebook)[1:]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_each_notebook_can_be_told_without_measuring(path):
    found = told_from_tables(read_notebook(path), path.name, "results/demo/x")
    source = "\n".join(map(plain, code_of(found.notebook)))
    assert not MEASURING & used(ast.parse(source))
    assert not re.search(r"\.(measure|trace|timed|model|choose|trials)\(", source)
    assert re.search(r"\bread_tables?\(", source)
    expected = {"01_calibration": ("model", "record"), "07_timing": ("loaded_mib",), "18_pictures": ("figures",)}
    assert found.lacking == expected.get(path.stem, ()), "what no table holds"


@pytest.mark.slow
@pytest.mark.parametrize("question", ["sampling", "stopping"])
def test_it_comes_to_what_was_published_and_touches_no_table(question, tmp_path):
    (path,) = (ROOT / "notebooks").glob(f"*_{question}.ipynb")
    committed, folder = ROOT / "results" / "demo" / question, tmp_path / question
    folder.mkdir()
    for file in [*committed.glob("*.csv"), *committed.glob("*.json")]:
        shutil.copy(file, folder)
    before = {file.name: file.read_bytes() for file in folder.iterdir()}
    shown: list = []
    names = read_block(ROOT / "params.yaml", question) | {"results": str(tmp_path), "display": shown.append}
    for source in code_of(told_from_tables(read_notebook(path), path.name, str(folder)).notebook):
        exec(plain(source), names)
    assert (folder / "conclusion.md").read_bytes() == (committed / "conclusion.md").read_bytes()
    after = {file.name: file.read_bytes() for file in folder.iterdir()}
    figures = {file.name for file in committed.iterdir() if file.suffix in (".png", ".svg")}
    assert after.keys() == {*before, *figures, "conclusion.md"}
    assert {name: after[name] for name in before} == before


def test_what_only_measuring_needs_is_dropped_and_the_rest_stays_as_it_is():
    first = """%matplotlib inline
import pandas as pd
import style_of_figures
from a import Bench, find, publish

root = find()  # of the repository
bench = Bench()
print(f"{bench} opened")"""
    second = """parts = []
for unit in bench.units:
    parts.append(bench.measure(unit))
print(len(parts))
table = pd.concat(parts)
# rows by network
table.head()"""
    third = """extra = dict(side=1)
extra |= dict(more=2)
figures = {name: plot(table, name) for name in "ab"}
publish(root, "q", table, figures, conclusion=tell_it(table), root=root, parameters=extra, inputs=bench.inputs)"""
    assert told((first, ["measuring"]), (second, ["table:table=q"]), (third, [])) == [
        "%matplotlib inline\nimport style_of_figures\nfrom a import find\n\nroot = find()  # of the repository",
        'table = read_table("here/q.csv")\n# rows by network\ntable.head()',
        'figures = {name: plot(table, name) for name in "ab"}\ntell_anew(root, "q", table, figures, tell_it(table))',
    ]


def test_tables_are_read_as_a_tag_says():
    cell = "parts, by_name, other = measure()\nshow(parts, by_name)\nuse(other)"
    (source,) = told((cell, ["table:parts=[q_parts]", "table:by_name=q_*"]))
    assert source.splitlines() == [
        'parts = [read_table("here/q_parts.csv")]',
        'by_name = read_tables("here", "q_")',
        "show(parts, by_name)",
        "# left out: what needs other, which no table holds",
    ]


def test_what_no_table_holds_is_left_out_and_said():
    measured = ("model, table = run()\nshow(model)", ["no-table:model", "table:table=q"])
    drawn = ("figure = draw(model)\nsave(figure)", [])
    published = (
        'publish(root, "q", table, draw_all(model), tell_it(table), root, {}, [])\nfigure = plot(table)\nfigure',
        [],
    )
    found = told_from_tables(notebook_of(measured, drawn, published), "n.ipynb", "results/demo/q")
    assert code_of(found.notebook)[1:] == [
        'table = read_table("results/demo/q/q.csv")\n# left out: what needs model, which no table holds',
        "# left out: what needs model, which no table holds",
        'tell_anew(root, "q", table, None, tell_it(table))\nfigure = plot(table)\nfigure',
    ]
    said = found.notebook.cells[1].source
    assert (
        found.lacking == ("model",)
        and "nothing was measured" in said
        and "`results/demo/q`" in said
        and "`model`" in said
    )


@pytest.mark.parametrize(
    "cells, message",
    [
        ([("table = measure()", [])], "n.ipynb: cannot be told from tables: no cell has a tag such as `table:patches="),
        ([("x = 1", ["table:table=q"])], "cell 3 has a tag for table, which it does not assign"),
        ([("x = 1", ["table:x"])], "cell 3 has the tag 'table:x'; known are table:NAME=TABLE"),
        ([("x = (", ["table:x=q"])], "cell 3 is not plain Python"),
        ([("x = 1; y = 2", ["table:x=q"])], "cell 3, line 1: give each statement a line of its own"),
        ([("x = 1", ["table:x=q"]), ("write_provenance(x)", [])], "cell 4 writes tables by write_provenance"),
        ([("x = 1", ["table:x=q"]), ("publish(*x)", [])], "cell 4: publish needs results, question, table, figures"),
        (
            [("x, bits = measure()", ["table:x=q"]), ('publish(r, "q", x, plot(x), say(bits), r, {}, [])', [])],
            "n.ipynb: cannot be told from tables: its answer needs bits, which no table holds",
        ),
    ],
    ids=["no tag", "not assigned", "unknown tag", "no Python", "two in a line", "writes", "arguments", "answer"],
)
def test_what_cannot_be_told_is_refused_by_name(cells, message):
    with pytest.raises(ConfigError, match=re.escape(message)):
        told(*cells)


@pytest.fixture
def published(tmp_path, monkeypatch) -> Path:
    """A table of numbers that lose digits where they are read carelessly, texts that look like numbers, and none."""
    folder = tmp_path / "results" / "demo" / "q"
    table = pd.DataFrame({"a": [0.1 + 0.2, 1e-7 / 3, 2.0], "b": ["None", "x, y", None], "c": [1, 2, 3]})
    write_table(table, folder / "q_part.csv")
    write_provenance(folder / "q_part.csv", tmp_path, {}, [], 0)
    return folder


def test_a_table_is_read_as_it_was_written(published):
    table = read_table(published / "q_part.csv")
    assert list(table["a"]) == [0.1 + 0.2, 1e-7 / 3, 2.0] and list(table["b"].fillna("")) == ["None", "x, y", ""]
    assert list(read_tables(published, "q_")) == ["part"]
    check_tables(published, {"q_part": table})
    table.loc[0, "c"] = 0
    with pytest.raises(TableError, match=r"q_part\.csv: told from the published tables it would be another one"):
        check_tables(published, {"q_part": table})
    with pytest.raises(TableError, match=r"q\.csv: told from the published tables"):
        tell_anew(published.parent, "q", table, None, ["**It is.**"])
    assert not (published / "conclusion.md").exists()


def test_what_is_not_the_published_table_is_refused(published):
    with pytest.raises(TableError, match=r"other\.csv: is missing, and nothing is measured here"):
        read_table(published / "other.csv")
    with pytest.raises(TableError, match="has no table other_\\*"):
        read_tables(published, "other_")
    path = published / "q_part.csv"
    path.write_text(path.read_text().replace("2.0", "2.5"))
    with pytest.raises(TableError, match=r"q_part\.csv: was changed after it was written; restore it"):
        read_table(path)
    path.with_suffix(".provenance.json").unlink()
    with pytest.raises(TableError, match=r"q_part\.csv: has no provenance"):
        read_table(path)


def test_parameters_that_no_table_was_measured_with_are_refused(published):
    path = published / "q_part.provenance.json"
    record = json.loads(path.read_text()) | {"block_values": {"setting": "W4A4 FQ", "seeds": [0, 1], "sizes": {"1": 2}}}
    path.write_text(json.dumps(record))
    measured = {"setting": "W4A4 FQ", "seeds": (0, 1), "sizes": {1: 2}, "results": "results/demo", "wording": "new"}
    check_measured_with(measured, published, "q.ipynb")
    with pytest.raises(ConfigError, match=r"q\.ipynb: setting = 'W6A6 FQ', where q_part\.csv was measured with 'W4A4"):
        check_measured_with(measured | {"setting": "W6A6 FQ"}, published, "q.ipynb")
    record["parameters"] = {"setting": "W6A6 FQ"}  # which the run replaced
    path.write_text(json.dumps(record))
    check_measured_with(measured | {"setting": "W6A6 FQ"}, published, "q.ipynb")


def test_the_runner_closes_the_cache_and_gives_the_folder(tmp_path, monkeypatch, capsys):
    path = tmp_path / "03_q.ipynb"
    nbformat.write(notebook_of(("table, model = measure()\nshow(model)\ntable", ["table:table=q"])), path)
    seen: dict = {}

    def execute(notebook, *_, **__):
        seen.update(sources=code_of(notebook), cache=Path(os.environ["ADABM_CACHE"]).is_file())
        return notebook

    monkeypatch.setattr(run_notebook.papermill, "execute_notebook", execute)
    assert main([str(path), str(tmp_path / "out.ipynb"), "--from-tables", "-p", "results", "results/demo"]) == 0
    assert seen["cache"] and 'table = read_table("results/demo/q/q.csv")' in seen["sources"][1]
    assert "no table holds model; what needs it was left out" in capsys.readouterr().out
    assert "nothing was measured" in json.loads((tmp_path / "out.ipynb").read_text())["cells"][1]["source"][0]
    assert main([str(path), str(tmp_path / "out.ipynb"), "--from-tables"]) == 2
    assert "give --block, or -p results FOLDER" in capsys.readouterr().err


def test_an_executed_notebook_keeps_no_tag_of_tables():
    cells = canonical(notebook_of(("x = 1", ["table:x=q", "measuring", "own"]), ("y = 1", ["no-table:y"]))).cells
    assert [cell.metadata.get("tags") for cell in cells[2:]] == [["own"], None]
