"""Converted networks reach the PSNR that data/reference_psnr.csv states for them in full precision."""

import csv
import os
from pathlib import Path

import pytest

from adabm.engines.evaluation import evaluate
from adabm.networks import load_network
from adabm.pictures.picture import Picture
from adabm.pictures.reading import read_rgb
from adabm.quantization.model import QuantizedSR
from adabm.recipes import preset
from pipelines.downloads.sources import backbones, read_sources
from pipelines.prepare.references import TABLE, main, reference_table
from pipelines.prepare.weights import convert, location

# <mirror>/<owner>/<repository>/<commit>/<path>, as in the addresses of the data
PICTURES = "jbhuang0604/SelfExSR/8f6dd8c1d20cb7e8792a7177b4f6fd677633f598/data/{}/image_SRF_{}"
COUNTS = {"Set5": 5, "Set14": 14, "BSD100": 100, "Urban100": 100}
MIRROR = os.environ.get("ADABM_MIRROR")
ROWS = list(csv.DictReader(TABLE.open()))


def test_the_table_names_known_networks_and_sets():
    assert {row["network"] for row in ROWS} <= set(backbones(read_sources()))
    assert {row["dataset"] for row in ROWS} <= set(COUNTS)
    assert len({(row["network"], row["dataset"]) for row in ROWS}) == len(ROWS)
    assert all(row["network"].endswith(f"_x{row['scale']}") and row["source"] for row in ROWS)


def test_the_table_is_that_of_the_manifest(tmp_path):
    assert TABLE.read_text() == reference_table(read_sources()), "run `python -m pipelines.prepare.references`"
    assert main(["--output", str(tmp_path / "table.csv")]) == 0
    assert (tmp_path / "table.csv").read_bytes() == TABLE.read_bytes()


@pytest.mark.paper
@pytest.mark.skipif(not MIRROR, reason="no mirror of the published files (set ADABM_MIRROR)")
@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row['network']}-{row['dataset']}")
def test_full_precision_psnr(row, tmp_path):
    """Within 0.02 dB, on the complete set with its published low-resolution pictures."""
    folder = Path(MIRROR) / PICTURES.format(row["dataset"], row["scale"])
    paths = sorted(folder.glob("*_HR.png"))
    if len(paths) != COUNTS[row["dataset"]] or not location(row["network"], Path(MIRROR)).exists():
        pytest.skip(f"{row['dataset']} x{row['scale']} or the weights are not complete below ADABM_MIRROR")
    pictures = [Picture(p.stem, read_rgb(p), read_rgb(p.with_name(p.name.replace("_HR", "_LR")))) for p in paths]
    network = load_network(convert(row["network"], Path(MIRROR), tmp_path))
    model = QuantizedSR(network, preset("adabm"))
    with model.full_precision():
        measured = evaluate(model, pictures).pictures["psnr_y_db"].mean()
    print(f"{row['network']} {row['dataset']}: {measured:.3f} dB, reference {row['psnr_y_db']}")
    assert measured == pytest.approx(float(row["psnr_y_db"]), abs=0.02)
