"""Options of `adabm upscale` that others make idle, and models that are not what their option is for."""

import shutil

import pytest

from adabm import preset, quantize, save_quantized
from adabm.engines.exporting import EXPORTERS
from helpers.cli_files import fails, run, smooth, write_files
from helpers.tiny_networks import tiny


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return write_files(tmp_path_factory.mktemp("cli"))


@pytest.mark.parametrize(
    ("model", "options", "message"),
    [
        ("--checkpoint", "--tile 0 --overlap 30", "--overlap 30: has no effect with --tile 0"),
        ("--checkpoint", "--tile 0 --overlap 0", "--overlap 0: has no effect with --tile 0"),
        ("--checkpoint", "--tile 0 --overlap 30 --bits-per tile", "--overlap 30: has no effect with --tile 0"),
        ("--checkpoint", "--tile 0 --bits-per tile", "--bits-per tile: has no effect with --tile 0"),
        ("--network", "--tile 16 --bits-per tile", "--bits-per tile: has no effect with --network"),
    ],
)
def test_options_without_effect_are_refused(files, tmp_path, capsys, model, options, message):
    weights = files / {"--checkpoint": "q.safetensors", "--network": "fp.safetensors"}[model]
    told = fails(capsys, "upscale", files / "LR", tmp_path / "out", model, weights, *options.split())
    assert message in told and not (tmp_path / "out").exists()


@pytest.mark.parametrize("options", ["--tile 8 --overlap 0", "--tile 8 --overlap 2 --bits-per tile", "--tile 0"])
def test_options_with_an_effect_are_taken(files, tmp_path, options):
    command = ["upscale", files / "LR", tmp_path / "out", "--checkpoint", files / "q.safetensors", *options.split()]
    assert run(*command) == 0


@pytest.mark.parametrize("engine", ["onnx", "openvino"])
def test_an_exported_model_is_no_network_in_full_precision(files, tmp_path, capsys, engine):
    pytest.importorskip("openvino")
    pytest.importorskip("onnxruntime")
    path = tmp_path / "q.zip"
    assert engine in EXPORTERS and run("export", files / "q.safetensors", path, "--engine", engine) == 0
    for option in (["--engine", engine], []):
        told = fails(capsys, "upscale", files / "LR", tmp_path / "out", "--network", path, *option)
        assert f"{path}: is quantized; give it as --checkpoint" in told and not (tmp_path / "out").exists()
    assert run("upscale", files / "LR", tmp_path / "out", "--checkpoint", path, "--engine", engine) == 0


def test_an_output_that_is_the_input_of_another_picture_is_refused_before_any_work(files, tmp_path, capsys):
    """The second would be the enlargement of the first one's."""
    for folder in ("in", "out"):
        (tmp_path / folder).mkdir()
    for path in (tmp_path / "in" / "a.png", tmp_path / "out" / "a.png"):
        shutil.copy(files / "LR" / "p0.png", path)
    (tmp_path / "in" / "b.png").symlink_to(tmp_path / "out" / "a.png")
    before = (tmp_path / "out" / "a.png").read_bytes()
    words = ["upscale", tmp_path / "in", tmp_path / "out", "--checkpoint", files / "q.safetensors", "--overwrite"]
    told = f"{tmp_path}/out/a.png: is an input of this command, {tmp_path}/in/b.png; name another output"
    assert told in fails(capsys, *words)
    assert (tmp_path / "out" / "a.png").read_bytes() == before and not (tmp_path / "out" / "b.png").exists()


@pytest.mark.parametrize("engine", ["simulated", "onnx"])
def test_bits_of_tiles_where_all_pictures_get_the_same(files, tmp_path, capsys, engine):
    path, more = tmp_path / "same.safetensors", []
    save_quantized(quantize(tiny("EDSR"), [smooth(0, 16, 16)], preset("minmax"), patch_size=16)[0], path)
    if engine == "onnx":
        pytest.importorskip("onnxruntime")
        assert run("export", path, tmp_path / "same.zip", "--engine", engine) == 0
        path, more = tmp_path / "same.zip", ["--engine", engine]
    options = ["--checkpoint", path, "--tile", 8, "--bits-per", "tile", *more]
    told = fails(capsys, "upscale", files / "LR", tmp_path / "out", *options)
    assert f"--bits-per tile: has no effect with {path}, whose bits follow no picture; drop it" in told
    assert not (tmp_path / "out").exists()
