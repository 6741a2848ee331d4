"""``adabm quantize``: reproducible checkpoints, and what is refused."""

import argparse
import json

import pytest
import torch
from safetensors.torch import save_file

from adabm.checkpoints.checkpoint import load_quantized
from adabm.cli.options import whole
from helpers.cli_files import OPTIONS, TINY, fails, quantize, replacing, run, save_network, smooth, write_files


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return write_files(tmp_path_factory.mktemp("cli"))


def test_quantize_is_reproducible_and_reports(files, tmp_path, capsys):
    assert quantize(files, tmp_path / "again.safetensors") == 0
    shown = capsys.readouterr()
    assert (
        "EDSR: x2" in shown.out
        and "thresholds:" in shown.out
        and "mapping" in shown.out
        and "theoretical size" in shown.out
    )
    assert (tmp_path / "again.safetensors").read_bytes() == (files / "q.safetensors").read_bytes()
    assert quantize(files, tmp_path / "other.safetensors", "--seed", "1", "--quiet") == 0
    assert capsys.readouterr().out == ""
    assert (tmp_path / "other.safetensors").read_bytes() != (files / "q.safetensors").read_bytes()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["again.safetensors", "other.safetensors"]


def test_quantize_json_and_settings(files, tmp_path, capsys):
    more = [
        "--json",
        "--recipe",
        "omse",
        "--weight-bits",
        "6",
        "--activation-bits",
        "5",
        "--body-only",
        "--set",
        "calibrate.ema=0.5",
        "--patches",
        "7",
    ]
    command = [
        "quantize",
        "--images",
        files / "HR",
        "--hr",
        "--network",
        files / "fp.safetensors",
        "--output",
        tmp_path / "q.safetensors",
    ]
    assert run(*command, "--patch-size", "16", "--threads", "1", *more) == 0
    report = json.loads(capsys.readouterr().out)
    assert (
        report["config"]["weight_bits"] == 6
        and report["config"]["recipe"]["steps"]["calibrate"]["ema"] == 0.5
        and not report["config"]["fully_quantized"]
    )
    assert report["feature_average_bits"] == 5 and report["patches"] == 7 and report["fine_tuning"] == []
    assert report["recipe"] == "omse (changed)"
    assert load_quantized(tmp_path / "q.safetensors").config.step("calibrate").activation == "omse"


def test_reported_bits_are_the_models(files):
    from adabm.quantization.bit_rule import expected_average_bits

    model = load_quantized(files / "q.safetensors")
    images = torch.stack([torch.from_numpy(smooth(s)).permute(2, 0, 1).float() / 255 for s in range(6)])
    expected = model.infer(images).feature_average_bits
    factors = model.image2bit(model.complexity(images)).tolist()
    assert expected_average_bits(list(model.layers.values()), factors) == pytest.approx(expected.tolist(), abs=1e-5)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--preset", "adabn"], "unknown recipe 'adabn'; did you mean 'adabm'?"),
        (["--preset", "minmax-tune", "--rounds", "1"], "did you mean 'minmax-tuned'?"),
        (["--preset", "xyz"], "unknown recipe 'xyz'; known are minmax, percentile, omse"),
        (["--set", "emma=0.5"], "did you mean 'calibrate.ema' or 'map_bits.ema'"),
        (["--set", "tune.lr_wait=1"], "did you mean 'lr_weight'"),
        (["--set", "calibrate.ema"], "expected step.setting=value"),
        (["--set", "calibrate.ema=much"], "must be a number"),
        (["--set", "fixed_bits=8.5"], "must be a whole number"),
        (["--set", "tune.relative_lr=maybe"], "must be true or false"),
        (["--set", "calibrate.ema=2"], "calibrate.ema = 2.0"),
        (["--set", "weight_bits=3", "--weight-bits", "3"], "set twice"),
        (["--set", "tune=some"], "only none"),
        (["--preset", "minmax"], "does not fine-tune"),
        (
            ["--preset", "adabm", "--set", "equalize=none"],
            "equalize=none has no effect: 'adabm' has no step 'equalize'; leave it out",
        ),
        (["--weight-bits", "20"], "weight_bits = 20"),
        (["--set", "weight_bits=1_0"], "--set weight_bits=1_0: must be a whole number"),
        (["--set", "calibrate.ema=0.9_5"], "--set calibrate.ema=0.9_5: must be a number"),
        (["--patch-size", "500"], "p0.png: 28x24"),
        (["--images", "nowhere"], "nowhere is not a folder"),
        (["--network", "nowhere.safetensors"], "no such file"),
        (["--output", "q.pt"], "must end in .safetensors"),
    ],
)
def test_quantize_refuses(files, tmp_path, capsys, more, message):
    command = [
        "quantize",
        "--images",
        files / "LR",
        "--network",
        files / "fp.safetensors",
        "--output",
        tmp_path / "q.safetensors",
    ]
    assert message in fails(capsys, *replacing([*command, *TINY], *more))
    assert list(tmp_path.iterdir()) == []


def test_quantize_refuses_bad_files(files, tmp_path, capsys):
    command = ["quantize", "--images", files / "LR", "--output", tmp_path / "q.safetensors", *TINY, "--network"]
    save_network(tmp_path / "nan.safetensors", OPTIONS, spoil=True)
    assert "conv_last.weight holds NaN" in fails(capsys, *command, tmp_path / "nan.safetensors")
    assert "is quantized already" in fails(capsys, *command, files / "q.safetensors")
    (tmp_path / "text.safetensors").write_text("not a network")
    assert "not a readable safetensors" in fails(capsys, *command, tmp_path / "text.safetensors")
    save_file({"a": torch.zeros(1)}, tmp_path / "bare.safetensors")
    assert "are of no known architecture" in fails(capsys, *command, tmp_path / "bare.safetensors")
    images = tmp_path / "images"
    images.mkdir()
    assert "holds no picture" in fails(capsys, *replacing([*command, files / "fp.safetensors"], "--images", images))
    (images / "a.png").write_text("hello")
    assert "a.png: not a readable picture" in fails(
        capsys, *replacing([*command, files / "fp.safetensors"], "--images", images)
    )


def test_existing_outputs_are_kept(files, tmp_path, capsys, monkeypatch):
    output = tmp_path / "q.safetensors"
    output.write_text("precious")
    command = ["quantize", "--images", files / "LR", *TINY, "--quiet"]
    assert "exists; add --overwrite" in fails(
        capsys, *command, "--network", files / "fp.safetensors", "--output", output
    )
    assert output.read_text() == "precious"
    network = tmp_path / "fp.safetensors"
    network.write_bytes((files / "fp.safetensors").read_bytes())
    assert "is an input" in fails(capsys, *command, "--network", network, "--output", network, "--overwrite")
    assert run(*command, "--network", network, "--output", output, "--overwrite") == 0
    assert output.read_bytes() == (files / "q.safetensors").read_bytes()
    step, recipe = tmp_path / "step.py", tmp_path / "own.yaml"
    step.write_text("")
    recipe.write_text("imports: [step.py]\nsteps: {calibrate: {}}\n")
    for number, input_file in enumerate((step, recipe)):
        link = tmp_path / f"{number}.safetensors"  # another name of the same file
        link.symlink_to(input_file)
        own = ["quantize", "--images", files / "LR", "--network", network, "--recipe", recipe, "--output", link]
        assert f"{link}: is an input of this command" in fails(capsys, *own, "--overwrite")
    link = tmp_path / "0.safetensors"
    monkeypatch.setenv("ADABM_ARCHITECTURES", f"{tmp_path / 'none.py'}:{step}")
    for own in (
        ["quantize", "--images", files / "LR", "--network", network, "--output", link],
        ["import", network, link],
    ):
        assert f"{link}: is an input of this command" in fails(capsys, *own, "--overwrite")


def test_underscores_in_numbers_are_slips():
    assert whole(1)("10") == 10
    for text in ("1_0", "1_0.5"):
        with pytest.raises(argparse.ArgumentTypeError, match=f"'{text}' is not a whole number"):
            whole(1)(text)
