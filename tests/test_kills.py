"""``kill -9``, Ctrl-C, SIGTERM and SIGHUP at any moment: what stands under a final name is complete, and a second run completes to the same bytes.

``make fuzz`` kills for longer.
"""

import random
import re
import signal
import time
from collections import Counter
from pathlib import Path

import nbformat
import pytest
import yaml
from nbformat.v4 import new_code_cell, new_notebook

from adabm.pictures.writing import write_image
from helpers.cli_files import TINY, smooth, write_files
from helpers.downloads import write_downloads, write_test_manifest, write_weights
from helpers.forked import Forked
from helpers.fuzzing import times, told
from helpers.study_tables import write_results

ROOT = Path(__file__).parents[1]
_DATE = re.compile(rb"20\d\d-\d\d-\d\d(T\d\d:\d\d:\d\d\+00:00)?")
_SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
_LONGEST_S = 120  # of a run that is not killed


class Command:
    """``python -m MODULE WORDS`` in a folder, with variables of the environment."""

    def __init__(self, folder: Path, module: str, *words: object, **variables: str) -> None:
        self.folder, self.module, self.words, self.variables = folder, module, words, variables

    def started(self) -> Forked:
        return Forked(self.folder, self.module, *self.words, **self.variables)

    def completed(self) -> float:
        """Let it end; return how long it took."""
        begun = time.monotonic()
        process = self.started()
        _, errors = process.communicate(_LONGEST_S)
        assert process.returncode == 0, errors[-3000:]
        return time.monotonic() - begun


def visible(folder: Path) -> dict[str, bytes]:
    """By name, the files that a user sees, but for dates: none that a killed run was writing under another name."""
    paths = [path for path in folder.rglob("*") if path.is_file()]
    names = {path.relative_to(folder).as_posix(): path for path in paths}
    shown = {name: path for name, path in names.items() if ".adabm-tmp" not in name and ".partial" not in name}
    return {name: _DATE.sub(b"", path.read_bytes()) for name, path in shown.items()}


def survives(request, command: Command, output: Path, kills: int, whole: bool = False) -> None:
    """Kill a command at random moments.

    Args:
        output: the folder that it writes.
        whole: its files appear together or not at all.
    """
    lasts = command.completed()
    expected = visible(output)
    assert expected
    rng, counts = random.Random(0), Counter()
    for turn in times(kills):
        if turn % 2:  # else over what the run before wrote
            for path in sorted(output.rglob("*"), reverse=True):
                path.unlink() if path.is_file() else path.rmdir()
        process = command.started()
        time.sleep(rng.uniform(0, lasts))
        number = _SIGNALS[turn % len(_SIGNALS)]
        process.send_signal(number)
        _, errors = process.communicate()
        assert not process.begun or process.returncode in (0, -number, 128 + number), (number, errors[-3000:])
        if process.returncode == 128 + number:
            assert not [*output.rglob("*.adabm-tmp"), *output.parent.glob("*.replaced")], "a temporary file is left"
        left = visible(output)
        for name, content in left.items():
            assert content == expected.get(name), f"{name} is half-written"
        assert not whole or left in ({}, expected), f"{len(left)} of {len(expected)} files"
        command.completed()
        assert visible(output) == expected, "two runs differ"
        counts["recomputed"] += 1
    told(request, counts)


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> Path:
    return write_files(tmp_path_factory.mktemp("files"))


@pytest.mark.slow
def test_quantize(request, files, tmp_path):
    words = ["quantize", "--images", files / "LR", "--network", files / "fp.safetensors", *TINY, "--overwrite"]
    command = Command(tmp_path, "adabm", *words, "--output", tmp_path / "out" / "q.safetensors")
    survives(request, command, tmp_path / "out", kills=1)


@pytest.mark.slow
def test_upscale_a_folder(request, files, tmp_path):
    for index in range(4):
        write_image(tmp_path / "in" / f"p{index}.png", smooth(index, 40, 40))
    command = Command(tmp_path, "adabm", "upscale", "in", "out", "--checkpoint", files / "q.safetensors", "--overwrite")
    survives(request, command, tmp_path / "out", kills=1)


@pytest.mark.slow
def test_prepare_the_demo(request, tmp_path):
    manifest = yaml.safe_load((ROOT / "data" / "demo_photos.yaml").read_text())
    small = manifest | {split: manifest[split][1:2] for split in ("calibration", "evaluation")}
    (tmp_path / "small.yaml").write_text(yaml.safe_dump(small))
    words = "--manifest small.yaml --tile 24 --tiles 2 --crop 24 --output out".split()
    survives(request, Command(tmp_path, "pipelines.prepare.demo", *words), tmp_path / "out", kills=2, whole=True)


@pytest.mark.slow
def test_prepare_benchmarks(request, tmp_path):
    write_downloads(tmp_path / "downloads")
    words = "--scale 4 --downloads downloads --output out --calibration-pictures 3 --manifest".split()
    command = Command(tmp_path, "pipelines.prepare.benchmarks", *words, write_test_manifest(tmp_path / "manifest"))
    survives(request, command, tmp_path / "out", kills=2, whole=True)


@pytest.mark.slow
def test_prepare_weights(request, tmp_path):
    words = ["edsr_baseline_x4", *"--downloads downloads --output out --manifest".split(), write_weights(tmp_path)]
    survives(request, Command(tmp_path, "pipelines.prepare.weights", *words), tmp_path / "out", kills=2)


@pytest.mark.slow
def test_fetch_from_a_mirror(request, tmp_path):
    write_downloads(tmp_path / "mirror")
    (tmp_path / "out").mkdir()
    words = ["--all", "--offline", "--downloads", "out", "--manifest", write_test_manifest(tmp_path / "manifest")]
    command = Command(tmp_path, "pipelines.downloads.fetch", *words, ADABM_MIRROR=str(tmp_path / "mirror"))
    survives(request, command, tmp_path / "out", kills=2)


@pytest.mark.slow
def test_collect(request, tmp_path):
    results = write_results(tmp_path, "set_size")
    command = Command(tmp_path, "pipelines.stages.collect", "--results", results, "--title", "A study")
    survives(request, command, results / "report", kills=1)


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
    command = Command(tmp_path, "pipelines.stages.run_notebook", "study.ipynb", tmp_path / "out" / "study.ipynb")
    survives(request, command, tmp_path / "out", kills=1)
