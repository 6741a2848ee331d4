"""The stage that widens the ranges of the layers at fixed bits."""

import json
import sys

import numpy as np
import pandas as pd
import yaml

from adabm.networks import save_network
from adabm.pictures.resize import downscale
from adabm.pictures.writing import write_image
from helpers.tiny_networks import tiny
from pipelines.stages import weight_ranges


def test_each_fixed_layer_gets_its_largest_weight(tmp_path, monkeypatch):
    (tmp_path / "dvc.yaml").touch()
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("ADABM_CACHE", raising=False)
    network = tiny("EDSR")
    save_network(network, tmp_path / "net.safetensors")
    rng = np.random.default_rng(0)
    scale = network.adabm_options["upscale"]
    high = rng.integers(0, 256, (24 * scale, 24 * scale, 3), dtype=np.uint8)
    write_image(tmp_path / "data" / "Set5" / "x.png", high)
    write_image(tmp_path / "data" / "calibration" / "y.png", downscale(high[::-1], scale))
    block = dict(
        backbone="net.safetensors",
        data="data",
        weight_bits=4,
        activation_bits=4,
        fully_quantized=True,
        seed=0,
        patch_size=16,
        patches=2,
        rounds=1,
        steps_per_round=1,
    )
    (tmp_path / "params.yaml").write_text(yaml.safe_dump({"calibration": block}))
    monkeypatch.setattr(
        sys, "argv", ["weight_ranges", "--params", "params.yaml", "--output", "w/out.csv", "--sums", "sums/w.sha256"]
    )
    assert weight_ranges.main() == 0
    table = pd.read_csv(tmp_path / "w" / "out.csv", keep_default_na=True).set_index("max_range_in")
    weights = {name: float(value.abs().max()) for name, value in network.state_dict().items()}
    single = table.iloc[1:-1]
    assert set(single.index) >= {"conv_first", "conv_last"} and list(table.index[[0, -1]]) == [
        "none, as calibrated",
        "all fixed layers",
    ]
    for name, row in single.iterrows():
        assert abs(row["scale_max"] - weights[f"{name}.weight"]) < 1e-4
        assert row["scale_calibrated"] < row["scale_max"]
    assert table["gain_db"].iloc[0] == 0 and (table["gain_db"] != 0).any()
    record = json.loads((tmp_path / "w" / "out.provenance.json").read_text())
    assert (record["params_file"], record["block"], record["block_values"]) == ("params.yaml", "calibration", block)
    listed = (tmp_path / "sums" / "w.sha256").read_text().splitlines()
    assert [line.split("  ")[1] for line in listed] == ["w/out.csv", "w/out.provenance.json"]
