"""``kill -9`` at any moment: what stands under a final name is complete, and a second run completes to the same bytes.

Commands run in processes that this one forks, so that a run costs no start of Python. ``make fuzz`` kills for longer.
"""

import os
import random
import re
import signal
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import nbformat
import pytest
import yaml
from nbformat.v4 import new_code_cell, new_notebook

from adabm.cli import main
from adabm.pictures.writing import write_image
from helpers.cli_files import TINY, smooth, write_files
from helpers.fuzzing import times, told
from helpers.study_tables import write_results
from pipelines.prepare import demo
from pipelines.stages import collect, run_notebook

ROOT = Path(__file__).parents[1]
_DATE = re.compile(rb"20\d\d-\d\d-\d\d(T\d\d:\d\d:\d\d\+00:00)?")


def started(run: Callable[[], int], folder: Path) -> int:
    """Start ``run`` in a forked process, a group of its own, in ``folder``; return its id."""
    sys.stdout.flush()
    if (child := os.fork()) == 0:
        status = 70
        try:
            os.setsid()
            os.chdir(folder)
            sys.stdout = sys.stderr = (folder / "log").open("w")
            status = run()
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(status)
    return child


def completed(run: Callable[[], int], folder: Path) -> float:
    """Let ``run`` end; return how long it took."""
    begun = time.monotonic()
    _, status = os.waitpid(started(run, folder), 0)
    assert os.waitstatus_to_exitcode(status) == 0, (folder / "log").read_text()[-3000:]
    return time.monotonic() - begun


def visible(folder: Path) -> dict[str, bytes]:
    """By name, the files that a user sees, but for dates: none that a killed run was writing under another name."""
    paths = [path for path in folder.rglob("*") if path.is_file()]
    names = {path.relative_to(folder).as_posix(): path for path in paths}
    shown = {name: path for name, path in names.items() if ".adabm-tmp" not in name and ".partial/" not in name}
    return {name: _DATE.sub(b"", path.read_bytes()) for name, path in shown.items() if name != "log"}


def survives(request, run: Callable[[], int], folder: Path, output: Path, kills: int, whole: bool = False) -> None:
    """Kill ``run`` at random moments.

    Args:
        output: the folder that it writes.
        whole: its files appear together or not at all.
    """
    completed(run, folder)
    expected = visible(output)
    lasts = completed(run, folder)
    assert expected and visible(output) == expected, "two runs differ"
    rng, counts = random.Random(0), Counter()
    for turn in times(kills):
        if turn % 2 == 0:  # else over what the run before wrote
            for path in sorted(output.rglob("*"), reverse=True):
                path.unlink() if path.is_file() else path.rmdir()
        child = started(run, folder)
        time.sleep(rng.uniform(0, lasts))
        os.killpg(child, signal.SIGKILL) if _is_leader(child) else os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        left = visible(output)
        for name, content in left.items():
            assert content == expected.get(name), f"{name} is half-written"
        assert not whole or left in ({}, expected), f"{len(left)} of {len(expected)} files"
        completed(run, folder)
        assert visible(output) == expected
        counts["recomputed"] += 1
    told(request, counts)


def _is_leader(child: int) -> bool:
    try:
        return os.getpgid(child) == child
    except ProcessLookupError:  # it has ended
        return False


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> Path:
    return write_files(tmp_path_factory.mktemp("files"))


def test_quantize(request, files, tmp_path):
    output = tmp_path / "out"
    words = ["quantize", "--images", files / "LR", "--network", files / "fp.safetensors", *TINY, "--overwrite"]
    run = lambda: main([*map(str, words), "--output", str(output / "q.safetensors")])
    survives(request, run, tmp_path, output, kills=3)


def test_upscale_a_folder(request, files, tmp_path):
    for index in range(4):
        write_image(tmp_path / "in" / f"p{index}.png", smooth(index, 40, 40))
    words = ["upscale", tmp_path / "in", tmp_path / "out", "--checkpoint", files / "q.safetensors", "--overwrite"]
    survives(request, lambda: main([*map(str, words)]), tmp_path, tmp_path / "out", kills=3)


def test_prepare_the_demo(request, tmp_path):
    manifest = yaml.safe_load((ROOT / "data" / "demo_photos.yaml").read_text())
    small = manifest | {split: manifest[split][1:2] for split in ("calibration", "evaluation")}
    (tmp_path / "small.yaml").write_text(yaml.safe_dump(small))
    words = ["--manifest", "small.yaml", "--tile", "24", "--tiles", "2", "--crop", "24", "--output", "out"]
    survives(request, lambda: demo.main(words), tmp_path, tmp_path / "out", kills=3, whole=True)


def test_collect(request, tmp_path, monkeypatch):
    results = write_results(tmp_path, "set_size")
    words = ["collect", "--results", str(results), "--title", "A study"]
    monkeypatch.setattr(sys, "argv", words)
    survives(request, collect.main, tmp_path, results / "report", kills=2)


@pytest.mark.slow
def test_run_a_notebook_of_a_study(request, tmp_path):
    """Models and measurements of the killed run are found again in the cache; the executed notebook appears at its end."""
    source = f"""
import sys
sys.path[:0] = [{str(ROOT)!r}, {str(ROOT / "tests")!r}]
from pathlib import Path
from helpers.study_files import EFFORT, part, write_study
from adabm.study import ResultCache, evaluation_tables, read_plan, run_plan, write_table
root = Path({str(tmp_path / "study")!r})
if not (root / "ready").exists():
    write_study(root, pictures=1)
    (root / "ready").touch()
results = run_plan(read_plan([part(methods=["adabm"])], root, EFFORT), EFFORT, ResultCache(root / "cache"), workers=1)
write_table(evaluation_tables(results)[0], Path({str(tmp_path / "out" / "evaluation.csv")!r}))
print(len(list(results)))
"""
    notebook = new_notebook(cells=[new_code_cell(source)])
    nbformat.write(notebook, tmp_path / "study.ipynb")
    words = [str(tmp_path / "study.ipynb"), str(tmp_path / "out" / "study.ipynb")]
    survives(request, lambda: run_notebook.main(words), tmp_path, tmp_path / "out", kills=1)
