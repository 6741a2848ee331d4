"""The runner of the pipeline's notebooks: strict about parameters, silent about time and place."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook
from papermill.exceptions import PapermillExecutionError

from adabm.errors import ConfigError
from adabm.study.origin.provenance import notebook_code_hash
from adabm.study.variables import EXECUTOR_VARIABLE, STAGE_VARIABLE
from pipelines.stages import notebook_kernel, run_notebook
from pipelines.stages.canonical_notebook import canonical
from pipelines.stages.notebook_parameters import read_executor
from pipelines.stages.run_notebook import ROOT, main

PARAMETERS = """steps: int = 3
rate: float = 0.5  # papermill's own inspection misses this line, since a = b
bits: list[int] = [4]
limit: int | None = None"""
BLOCK = "x:\n  steps: 5\n  rate: 1e-3\n  bits: [4, 8]\n  limit: null\nempty:\n"


def write_notebook(folder: Path, *sources: str, parameters: str | None = PARAMETERS) -> Path:
    cells = [new_markdown_cell("# Title")]
    if parameters is not None:
        cells.append(new_code_cell(parameters, metadata={"tags": ["parameters"]}))
    cells += [new_code_cell(source) for source in sources]
    path = folder / "x.ipynb"
    nbformat.write(new_notebook(cells=cells), path)
    return path


@pytest.fixture
def params(tmp_path: Path) -> Path:
    path = tmp_path / "params.yaml"
    path.write_text(BLOCK)
    return path


@pytest.mark.slow
def test_two_runs_are_byte_identical(tmp_path, params, monkeypatch):
    foreign = tmp_path / "jupyter" / "kernels" / "python3"
    foreign.mkdir(parents=True)
    (foreign / "kernel.json").write_text(
        json.dumps({"argv": ["/bin/false"], "display_name": "Python 3", "language": "python"})
    )
    monkeypatch.setenv("JUPYTER_PATH", str(foreign.parents[1]))  # a kernel of the same name
    notebook = write_notebook(
        tmp_path,
        "import os, sys\nprint(steps, rate, bits, limit)\nprint('warning', file=sys.stderr)\nprint('end')",
        "print({'one', 'two', 'three', 'four'})\nobject()",
        "print(sys.executable, os.getcwd())",
    )
    stale = tmp_path / "first.failed.ipynb"
    stale.touch()
    for name in ("first", "second"):
        assert (
            main(
                [
                    str(notebook),
                    str(tmp_path / f"{name}.ipynb"),
                    "--params",
                    str(params),
                    "--block",
                    "x",
                    "-p",
                    "steps",
                    "7",
                ]
            )
            == 0
        )
    text = (tmp_path / "first.ipynb").read_text()
    assert text == (tmp_path / "second.ipynb").read_text()
    assert not stale.exists() and not list(tmp_path.glob(".*"))
    executed = nbformat.reads(text, as_version=4)
    nbformat.validate(executed)
    code = [c for c in executed.cells if c.cell_type == "code"]
    assert [c.execution_count for c in code] == [1, 2, 3, 4, 5]
    assert [o.text for o in code[2].outputs] == ["7 0.001 [4, 8] None\nend\n"]
    assert code[3].outputs[1].data["text/plain"] == "<object at 0x0>"
    assert code[4].outputs[0].text == f"{sys.executable} {ROOT}\n"
    assert "papermill" not in str(executed.metadata) and str(tmp_path) not in text


@pytest.mark.slow
def test_failing_cell(tmp_path, params, capsys):
    notebook = write_notebook(tmp_path, "ratio = 1 / (steps - 5)", "print('never')")
    out = tmp_path / "new" / "out.ipynb"
    assert main([str(notebook), str(out), "--params", str(params), "--block", "x"]) == 1
    message = capsys.readouterr().err
    assert f"{notebook}: cell 3 of 4 (In [3]) failed: ZeroDivisionError: division by zero" in message
    assert "\nratio = 1 / (steps - 5)\n" in message and "\x1b" not in message
    assert not out.exists()
    assert "ZeroDivisionError" in (tmp_path / "new" / "out.failed.ipynb").read_text()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--block", "x", "-p", "stepz", "1"], "no parameter 'stepz' (did you mean 'steps'?)"),
        (["--block", "empty", "-p", "steps", "1"], "missing value for 'rate': float; missing value"),
        (["--block", "x", "-p", "steps", "1.5"], "'steps: int' cannot take 1.5 (float)"),
        (["--block", "x", "-p", "steps", "true"], "'steps: int' cannot take True (bool)"),
        (["--block", "x", "-p", "rate", "fast"], "'rate: float' cannot take 'fast' (str)"),
        (["--block", "x", "-p", "bits", "[4, x]"], "'bits: list[int]' cannot take [4, 'x'] (list)"),
        (["--block", "x", "-p", "limit", "low"], "'limit: int | None' cannot take 'low' (str)"),
        (["--block", "x", "-p", "bits", "[4"], "-p bits: '[4' is no YAML"),
        (["--block", "y"], "has no block 'y'; it has: x, empty"),
        (["--block", "xx"], "has no block 'xx' (did you mean 'x'?)"),
        (["--params", "absent.yaml", "--block", "x"], "absent.yaml: cannot be read (No such file or directory)"),
    ],
)
def test_parameters_that_do_not_fit(tmp_path, params, capsys, arguments, message):
    notebook, out = write_notebook(tmp_path, "1 / 0"), tmp_path / "out.ipynb"
    own = [] if "--params" in arguments else ["--params", str(params)]
    assert main([str(notebook), str(out), *own, *arguments]) == 2
    assert message in capsys.readouterr().err
    assert not out.exists()


@pytest.mark.parametrize("source, out", [("x.ipynb", "x.ipynb"), ("x.failed.ipynb", "x.ipynb")])
def test_the_source_is_never_overwritten_or_deleted(tmp_path, params, capsys, source, out):
    notebook = write_notebook(tmp_path, "print(steps)").rename(tmp_path / source)
    before = notebook.read_bytes()
    assert main([str(notebook), str(tmp_path / out)]) == 2
    assert f"{notebook}: would be overwritten or deleted, as {tmp_path / out} is written" in capsys.readouterr().err
    assert notebook.read_bytes() == before


def test_without_a_block_the_notebook_keeps_its_defaults(tmp_path, params):
    notebook, out = write_notebook(tmp_path, "print(steps, bits)"), tmp_path / "out.ipynb"
    assert main([str(notebook), str(out), "-p", "steps", "17"]) == 0
    assert "17 " in str(nbformat.read(out, as_version=4).cells[-1].outputs)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x: [1", "is no YAML"),
        ("- x", "must hold named blocks"),
        ("x: 3", "block 'x' must hold `name: value` pairs"),
    ],
)
def test_bad_params_file(tmp_path, params, capsys, text, message):
    params.write_text(text)
    notebook = write_notebook(tmp_path)
    assert main([str(notebook), str(tmp_path / "o.ipynb"), "--params", str(params), "--block", "x"]) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("cell", "message"),
    [
        (None, "has no cell tagged 'parameters' that could take steps, rate, bits, limit"),
        ("%matplotlib inline", "the parameters cell is not plain Python"),
        ("steps: int = 1\nprint(steps)", "may hold assignments only, move `print(steps)`"),
        ("steps = other\nrate = 1.0\nbits = []\nlimit = 1", "'steps: type of `other`' cannot take 5 (int)"),
        ("steps: Path = 1\nrate = 1.0\nbits = []\nlimit = 1", "'steps: Path' cannot take 5 (int); a type is int"),
    ],
)
def test_bad_parameters_cell(tmp_path, params, capsys, cell, message):
    notebook = write_notebook(tmp_path, parameters=cell)
    assert main([str(notebook), str(tmp_path / "o.ipynb"), "--params", str(params), "--block", "x"]) == 2
    assert message in capsys.readouterr().err


def test_not_a_notebook(tmp_path, capsys):
    (tmp_path / "x.ipynb").write_text("text")
    for name, message in (("x.ipynb", "is not a notebook"), ("y.ipynb", "No such file")):
        assert main([str(tmp_path / name), str(tmp_path / "o.ipynb")]) == 2
        assert message in capsys.readouterr().err


def test_canonical_drops_widgets_and_joins_streams():
    cell = new_code_cell("f()", execution_count=9, metadata={"execution": {"a": "2020"}, "tags": ["keep"]})
    widget = {"application/vnd.jupyter.widget-view+json": {"model_id": "1f"}, "text/plain": "0%"}
    cell.outputs = [
        nbformat.v4.new_output(kind, **fields)
        for kind, fields in (
            ("stream", {"name": "stdout", "text": "a"}),
            ("display_data", {"data": widget}),
            ("stream", {"name": "stderr", "text": "50%"}),
            ("stream", {"name": "stdout", "text": "b\n"}),
        )
    ]
    notebook = new_notebook(cells=[cell], metadata={"widgets": {"state": {}}, "title": "kept"})
    result = canonical(notebook)
    assert [o.text for o in result.cells[0].outputs] == ["ab\n"]
    assert result.cells[0].metadata == {"tags": ["keep"]} and result.cells[0].execution_count == 1
    assert set(result.metadata) == {"title", "kernelspec", "language_info"}
    assert notebook.cells[0].execution_count == 9 and len(notebook.cells[0].outputs) == 4


@pytest.mark.slow
@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("import os\nos._exit(3)", "failed: the kernel died"),
        ("import sys\nsys.exit()", "(In [1]) failed: SystemExit"),
    ],
)
def test_cell_that_ends_the_kernel(tmp_path, capsys, source, message):
    notebook = write_notebook(tmp_path, source, "print('never')", parameters=None)
    assert main([str(notebook), str(tmp_path / "o.ipynb")]) == 1
    told = capsys.readouterr().err
    assert "cell 2 of 3" in told and message in told
    assert not (tmp_path / "o.ipynb").exists() and (tmp_path / "o.failed.ipynb").exists()


def test_a_failure_that_tells_its_remedy_has_no_traceback(tmp_path, capsys):
    source = "from adabm.errors import StudyError\nraise StudyError('net, adabm at W4A4: disk full. What was completed is kept')"
    notebook = write_notebook(tmp_path, source, parameters=None)
    assert main([str(notebook), str(tmp_path / "o.ipynb")]) == 1
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].endswith("failed: net, adabm at W4A4: disk full. What was completed is kept")
    assert lines[1:] == ["", f"kept as {tmp_path / 'o.failed.ipynb'}"]


def test_a_full_disk_is_told_without_a_traceback(tmp_path, monkeypatch):
    """Whether a cell met it, or the copy up to the cell that failed cannot be kept."""
    failed = tmp_path / "o.failed.ipynb"
    cell = nbformat.v4.new_code_cell("write()", metadata={"papermill": {"start_time": "now"}})
    error = PapermillExecutionError(0, 1, "write()", "OSError", "[Errno 28] No space left on device: 'a.csv'", ["line"])
    told = run_notebook._describe(error, nbformat.v4.new_notebook(cells=[cell]), Path("n.ipynb"))
    assert told.endswith("cell 1 of 1 failed: [Errno 28] No space left on device: 'a.csv'; make room and run it again")

    def full(path: Path, data: bytes) -> None:
        raise OSError(28, "No space left on device", str(path))

    monkeypatch.setattr(run_notebook, "write_atomically", full)
    (tmp_path / "copy").touch()
    told = run_notebook._kept(tmp_path / "copy", failed)
    assert told == f"not kept: {failed}: No space left on device; make room and run it again" and not failed.exists()


def is_there(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.slow
@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_interruption_leaves_nothing(tmp_path, number, status):
    flag = tmp_path / "pid"
    notebook = write_notebook(
        tmp_path,
        f"import os, pathlib, time\npathlib.Path({str(flag)!r}).write_text(str(os.getpid()))\ntime.sleep(60)",
        parameters=None,
    )
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    process = subprocess.Popen(
        [sys.executable, "-m", "pipelines.stages.run_notebook", str(notebook), str(tmp_path / "o.ipynb")],
        cwd=ROOT,
        env={**os.environ, "TMPDIR": str(scratch)},
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 60
    while not (flag.exists() and flag.read_text()) and time.monotonic() < deadline:
        time.sleep(0.1)
    process.send_signal(number)
    error = process.communicate(timeout=30)[1]
    assert process.returncode == status and "Traceback" not in error, error
    assert not list(scratch.iterdir()) and not list(tmp_path.glob("o.*"))
    deadline = time.monotonic() + 30
    while is_there(int(flag.read_text())) and time.monotonic() < deadline:  # init may take a moment to bury it
        time.sleep(0.05)
    assert not is_there(int(flag.read_text())), "the kernel is gone"


# -- where parameters come from --------------------------------------------------------------------


@pytest.fixture
def project(tmp_path, monkeypatch) -> Path:
    """A project of its own, which the kernel starts in."""
    monkeypatch.setattr(run_notebook, "ROOT", tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.delenv(STAGE_VARIABLE, raising=False)
    (tmp_path / "params.yaml").write_text(BLOCK)
    (tmp_path / "notebooks").mkdir()
    return tmp_path


@pytest.mark.slow
def test_tables_know_the_stage_that_wrote_them(project):
    notebook = write_notebook(
        project / "notebooks",
        "import os\nfrom pathlib import Path\nfrom adabm.study.origin.provenance import write_provenance",
        f"print(os.environ[{STAGE_VARIABLE!r}])",
        "table = Path('results/test/x/x.csv')\ntable.parent.mkdir(parents=True)\ntable.write_text('a\\n1\\n')\n"
        "write_provenance(table, Path(), dict(steps=steps), [Path('params.yaml')], 3)",
    )
    assert (
        main([str(notebook), str(project / "o.ipynb"), "--params", str(project / "params.yaml"), "--block", "x"]) == 0
    )
    told = nbformat.read(project / "o.ipynb", as_version=4).cells[-2].outputs[0].text
    told = json.loads(told)
    values, code = told.pop("values"), told.pop("notebook_code_sha256")
    assert told == {"params_file": "params.yaml", "block": "x", "notebook": "notebooks/x.ipynb"}
    record = json.loads((project / "results/test/x/x.provenance.json").read_text())
    assert (record["params_file"], record["block"], record["notebook"]) == ("params.yaml", "x", "notebooks/x.ipynb")
    assert record["block_values"] == values == {"steps": 5, "rate": "1e-3", "bits": [4, 8], "limit": None}, (
        "as in the file"
    )
    assert record["notebook_code_sha256"] == code == notebook_code_hash(notebook)
    assert STAGE_VARIABLE not in os.environ


@pytest.mark.parametrize(
    ("notebook", "params", "block", "expected"),
    [
        ("notebooks/x.ipynb", "params.yaml", None, {"notebook": "notebooks/x.ipynb"}),
        ("notebooks/x.ipynb", None, None, {"notebook": "notebooks/x.ipynb"}),
        ("notebooks/x.ipynb", "../elsewhere/params.yaml", "x", {"notebook": "notebooks/x.ipynb"}),
        ("../elsewhere/x.ipynb", "params.yaml", "x", {"params_file": "params.yaml", "block": "x"}),
    ],
    ids=["no block", "no file", "file outside", "notebook outside"],
)
def test_what_lies_outside_is_not_told(project, monkeypatch, notebook, params, block, expected):
    monkeypatch.setattr(run_notebook, "notebook_code_hash", lambda path: "")  # there is none
    told = json.loads(run_notebook._stage(project / notebook, params and project / params, block, {}))
    assert {name: of for name, of in told.items() if name not in ("values", "notebook_code_sha256")} == expected


def test_the_stage_of_the_caller_is_restored(project, monkeypatch):
    monkeypatch.setenv(STAGE_VARIABLE, "outer")
    with notebook_kernel.kernel_environment(str(project), "inner"):
        assert os.environ[STAGE_VARIABLE] == "inner"
    assert os.environ[STAGE_VARIABLE] == "outer"


def test_the_kernel_is_told_where_tasks_run(tmp_path, monkeypatch):
    for kept, profile, expected in ((None, "dask", "dask"), ("slurm", "dask", "slurm"), (None, None, None)):
        monkeypatch.delenv(EXECUTOR_VARIABLE, raising=False) if kept is None else monkeypatch.setenv(
            EXECUTOR_VARIABLE, kept
        )
        (tmp_path / str(kept) / str(profile)).mkdir(parents=True)
        with notebook_kernel.kernel_environment(str(tmp_path / str(kept) / str(profile)), "{}", profile):
            assert os.environ.get(EXECUTOR_VARIABLE) == expected
        assert os.environ.get(EXECUTOR_VARIABLE) == kept


def test_where_a_profile_runs_its_tasks(tmp_path):
    params = tmp_path / "params.yaml"
    for text, expected in (("a: {}", None), ("profile: {}", None), ("profile: {executor: dask}", "dask")):
        params.write_text(text)
        assert read_executor(params) == expected
    params.write_text("profile: {executor: 3}")
    with pytest.raises(ConfigError, match="executor = 3 of block 'profile'"):
        read_executor(params)
