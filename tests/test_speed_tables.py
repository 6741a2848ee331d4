"""The tables of speed and equality (results/speed): how they are added to, and what pages cite of them."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import adabm
from adabm.pictures.picture import Picture
from adabm.study.origin.verification import verify_published, verify_results
from benchmarks import engine_pages, engine_runs, engines, quantizing
from benchmarks.recording import RESULTS, ROOT, runs_of

ENGINES = RESULTS / "engines"


@pytest.fixture
def out(tmp_path, monkeypatch) -> Path:
    """A folder of results, and engines that differ by nothing from a simulation that is not run."""

    def equal(model, args):
        for name in args.sets:
            for engine in args.compared:
                cell = {"set": name, "picture": "a", "engine": engine, "difference_db": 1 / 3, "rms": 0.0}
                yield cell | {"equal": 1.0, "same_bits": True}

    monkeypatch.setattr(engines, "MEASURES", {"equality": equal})
    monkeypatch.setattr(engines, "checkpoint", lambda *_: None)
    monkeypatch.setattr(adabm, "load_quantized", lambda _: None)
    return tmp_path / "results" / "speed" / "engines"


def run(out: Path, monkeypatch, *words: str) -> pd.DataFrame:
    monkeypatch.setattr("sys.argv", ["engines", "--out", str(out), "--networks", "RRDBNet x4", *words])
    engines.main()
    return pd.read_csv(out / engine_pages.EQUALITY)


@pytest.mark.slow
def test_rows_are_added_and_the_table_stays_one_of_the_earliest_code(out, monkeypatch):
    first = run(out, monkeypatch, "--sets", "Set14", "Set5", "--compared", "openvino", "--note", "busy")
    path = out / "engines_equality.provenance.json"
    record = json.loads(path.read_text())
    path.write_text(json.dumps(record | {"code_sha256": {"engines": "0" * 64}}))
    both = run(out, monkeypatch, "--sets", "Set5", "--compared", engine_runs.DOUBLE)
    assert list(zip(both["set"], both["engine"])) == [
        ("Set5", "openvino"),
        ("Set5", "simulated, float64"),
        ("Set14", "openvino"),
    ]
    assert both.merge(first).shape == first.shape  # to the last digit
    record = json.loads(path.read_text())
    assert record["code_sha256"] == {"engines": "0" * 64}
    assert [run["arguments"]["compared"] for run in runs_of(out / engine_pages.EQUALITY)] == [
        ["openvino"],
        ["simulated, float64"],
    ]
    (verdict,) = verify_results([out])
    assert [finding.what for finding in verdict.findings if finding.severity == "problem"] == [
        "the code of engines changed since"
    ]
    assert " busy." in (out / "README.md").read_text()
    run(out, monkeypatch, "--sets", "Set5", "Set14", "--compared", "openvino", engine_runs.DOUBLE)  # all anew
    assert not [f for v in verify_results([out]) for f in v.findings if f.severity == "problem"]
    assert len(runs_of(out / engine_pages.EQUALITY)) == 1


def test_the_middle_of_a_picture():
    low = np.arange(5 * 8 * 3, dtype=np.uint8).reshape(5, 8, 3)
    picture = Picture("a", low.repeat(2, 0).repeat(2, 1), low)
    middle = engine_runs._middle(picture, 4, 2)
    assert np.array_equal(middle.low, low[:4, 2:6]) and np.array_equal(middle.high[::2, ::2], middle.low)
    assert engine_runs._middle(picture, None, 2).low.shape == low.shape
    assert engine_runs._middle(picture, 7, 2).low.shape == (5, 7, 3)


def test_the_committed_tables_and_the_pages_that_show_them_are_the_published_ones():
    found = verify_published([RESULTS])
    assert sum(part.compared for part in found) > 10
    assert not [finding.what for part in found for finding in part.findings if finding.severity == "problem"]
    assert (ENGINES / "README.md").read_text() == engine_pages.page(ENGINES)
    assert (RESULTS / "quantizing" / "README.md").read_text() == quantizing.page(RESULTS / "quantizing")


def times_as_fast(way: str, tile: int | None) -> str:
    """The least and the most over networks and threads, by the fastest run."""
    samples = pd.read_csv(ENGINES / engine_pages.SECONDS)
    samples = samples if tile is None else samples[samples["tile"] == tile]
    best = samples.groupby(["network", "threads", "tile", "engine"])["seconds"].min().unstack()
    ratio = best[engine_runs.BASE] / best[way]
    return f"{ratio.min():.1f} to {ratio.max():.1f} times"


def test_numbers_of_speed_in_the_text_are_those_of_the_table():
    text = (ROOT / "docs" / "engines.md").read_text()
    fast = {name: times_as_fast(f"{name} (int8)", 256) for name in engine_runs.ENGINES}
    assert (
        f"`openvino` is {fast['openvino']} as fast as torch in float32, `torch-int8` {fast['torch-int8']}, "
        f"`onnx` {fast['onnx']}, which" in text
    )
    assert f"no low-bit network, reaches {times_as_fast('OpenVINO bf16', None)}, and" in text
    assert f"`openvino` on a CPU {fast['openvino']} as fast" in (ROOT / "README.md").read_text()
    memory = pd.read_csv(RESULTS / "quantizing" / quantizing.MEMORY).set_index(["part", "way"])["mib"]
    assert (
        f"Calibration takes {memory['calibration', 'released'] / memory['calibration', 'adabm']:.1f} times less" in text
    )


def test_numbers_of_equality_in_the_text_are_those_of_the_table():
    text = (ROOT / "docs" / "engines.md").read_text()
    rows = engine_pages.differences(pd.read_csv(ENGINES / engine_pages.EQUALITY)).reset_index()
    integer = rows[rows["engine"].isin(engine_runs.ENGINES)]
    near, far = integer[integer["network"] != "RRDBNet x4"], rows[rows["network"] == "RRDBNet x4"]
    bias = near["engine"] == "onnx"
    assert near["mean_db"].abs().max() < 0.01  # the target
    assert f"is within {near['mean_db'].abs().max():.4f} dB of" in text
    largest = [f"{near.loc[rows, 'largest_db'].max():.3f}" for rows in (~bias, bias)]
    assert f"by at most {largest[0]} dB with `openvino` and `torch-int8`, by {largest[1]} with `onnx`." in text
    far = far.set_index(["set", "engine"])
    mean, equal = far["mean_db"].abs(), far["equal_values"] * 100
    assert f"differs by {mean['Set5', 'openvino']:.2f} dB on Set5 and {mean['Set14', 'openvino']:.2f} on Set14." in text
    double = engine_runs.DOUBLE
    assert f"{mean['Set5', double]:.2f} dB on Set5, with {equal['Set5', double]:.0f} % of equal values" in text
    assert f"(`openvino`: {equal['Set5', 'openvino']:.0f} %)" in text
