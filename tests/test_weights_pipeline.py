"""The stage that converts downloaded weights."""

import pytest

from adabm.errors import DataError
from adabm.networks import IMPORT_KINDS, load_network
from helpers.downloads import write_weights
from pipelines.downloads.sources import backbones, read_sources
from pipelines.prepare import weights

BACKBONES = backbones(read_sources())


def test_every_backbone_has_its_file_and_a_known_format(tmp_path):
    assert {"edsr_f64b8_x2", "srresnet_bn_x4", "rrdbnet_psnr_x4", "edsr_baseline_x2", "edsr_baseline_x4"} <= set(
        BACKBONES
    )
    for name, source in BACKBONES.items():
        place = weights.location(name, tmp_path).relative_to(tmp_path).as_posix()
        paths = {file.path for file in source.files}
        assert place in paths or f"{place}/modelinfo.json" in paths, name
        assert source.backbone.format in IMPORT_KINDS, name


def test_unknown_backbones_are_told_in_one_line(tmp_path, capsys):
    assert weights.main(["srresnet_bn_x2", "--downloads", str(tmp_path)]) == 1
    assert capsys.readouterr().err == "weights: unknown backbone 'srresnet_bn_x2'; did you mean 'srresnet_bn_x4'?\n"


def written(folder) -> list[str]:
    """Downloads of both formats in a folder, as arguments that name their places and where networks go."""
    places = {"--manifest": write_weights(folder), "--downloads": folder / "downloads", "--output": folder / "out"}
    return [str(part) for pair in places.items() for part in pair]


def test_convert_writes_what_the_study_loads(tmp_path, monkeypatch, capsys):
    arguments = ["weights", "edsr_baseline_x4", "rrdbnet_psnr_x4", *written(tmp_path)]
    monkeypatch.setattr("sys.argv", arguments)
    assert weights.main() == 0
    assert capsys.readouterr().out.split() == [str(tmp_path / "out" / f"{name}.safetensors") for name in arguments[1:3]]
    assert load_network(tmp_path / "out" / "edsr_baseline_x4.safetensors").adabm_options["num_block"] == 2
    assert load_network(tmp_path / "out" / "rrdbnet_psnr_x4.safetensors").adabm_options["num_grow_ch"] == 2
    assert len(list((tmp_path / "out").iterdir())) == 2


@pytest.mark.parametrize("name, file", [("edsr_baseline_x4", "EDSR/edsr.pt"), ("rrdbnet_psnr_x4", "RRDBNet/*.bin")])
def test_a_file_other_than_the_manifest_names_is_not_converted(tmp_path, capsys, name, file):
    places = written(tmp_path)
    path = min((tmp_path / "downloads").glob(file))
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    assert weights.main([name, *places]) == 1 and not (tmp_path / "out").exists()
    told = capsys.readouterr().err
    assert f"{path}: sha256 " in told and "run `python -m pipelines.downloads.fetch " in told


@pytest.mark.parametrize("name", BACKBONES)
def test_missing_downloads_are_named(tmp_path, name):
    remedy = f"not there; run `python -m pipelines.downloads.fetch {BACKBONES[name].id}` first"
    with pytest.raises(DataError, match=remedy) as caught:
        weights.convert(name, tmp_path, tmp_path / "out")
    assert str(weights.location(name, tmp_path)) in str(caught.value) and not (tmp_path / "out").exists()


def test_main_reports_one_line(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["weights", "edsr_f64b8_x2", "--downloads", str(tmp_path)])
    assert weights.main() == 1
    assert capsys.readouterr().err.count("\n") == 1
