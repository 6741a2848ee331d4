"""``adabm evaluate``: tables, and pictures paired by their names."""

import csv
import json
import shutil

import numpy as np
import pytest
import torch
from torch._subclasses.fake_tensor import DataDependentOutputException

from adabm.pictures.reading import read_raw
from adabm.pictures.writing import write_image
from helpers.cli_files import OPTIONS, fails, run, save_network, smooth, write_files


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return write_files(tmp_path_factory.mktemp("cli"))


@pytest.mark.parametrize("name", ["a.png", "net.safetensors", "net.pth", "plan.yaml", "table"])
def test_a_table_replaces_tables_alone(tmp_path, capsys, name):
    other = tmp_path / name
    other.write_bytes(b"other")
    line = fails(capsys, "evaluate", tmp_path / "q.safetensors", "--hr", tmp_path, "--csv", other, "--overwrite")
    assert f"--csv {other}: the name must end in .csv" in line
    assert other.read_bytes() == b"other"


@pytest.mark.parametrize("option", ["--engine {}", "--engine {}:mine", "--import {}", "checkpoint"])
def test_a_table_does_not_replace_a_file_of_the_command(tmp_path, capsys, option):
    own = tmp_path / "own.py"
    own.write_text("# mine\n")
    words = [own] if option == "checkpoint" else [tmp_path / "q.safetensors", *option.format(own).split()]
    line = fails(capsys, "evaluate", *words, "--hr", tmp_path, "--csv", own, "--overwrite")
    assert f"{own}: is an input of this command; name another output" in line
    assert own.read_text() == "# mine\n"


def test_evaluate_table_json_and_csv(files, tmp_path, capsys):
    command = [
        "evaluate",
        files / "fp.safetensors",
        files / "q.safetensors",
        "--hr",
        files / "HR",
        "--lr",
        files / "LR",
    ]
    assert run(*command, "--csv", tmp_path / "r.csv") == 0
    out = capsys.readouterr().out
    assert "FP32" in out and "W4A4 FQ" in out and out.count("theoretical BitOPs") == 2 and "simulated bits" in out
    rows = list(csv.DictReader((tmp_path / "r.csv").open()))
    assert [row["picture"] for row in rows] == ["p0", "p1", "p2", "mean"] * 2
    assert rows[3]["fab"] == "32.0" and 2 <= float(rows[7]["fab"]) <= 6
    assert float(rows[3]["theoretical_relative_bitops"]) == 1 and float(rows[7]["theoretical_relative_bitops"]) < 0.2
    assert "exists; add --overwrite" in fails(capsys, *command, "--csv", tmp_path / "r.csv")
    assert run(*command, "--json", "--tile", "16") == 0
    report = json.loads(capsys.readouterr().out)
    assert report["failures"] == {} and report["results"][1]["tile"] == 16
    assert report["results"][0]["mean"]["psnr_y_db"] == pytest.approx(float(rows[3]["psnr_y_db"]), abs=1)


def test_a_network_that_cannot_be_counted_is_evaluated_without_its_cost(files, capsys, monkeypatch):
    def uncounted(*_, **__):
        raise DataDependentOutputException(torch.ops.aten._local_scalar_dense.default)

    monkeypatch.setattr("adabm.engines.evaluation.cost", uncounted)
    command = ["evaluate", files / "fp.safetensors", "--hr", files / "HR", "--lr", files / "LR"]
    assert run(*command, "--json") == 0
    assert json.loads(capsys.readouterr().out)["results"][0]["mean"]["theoretical_bitops_g"] is None
    assert run(*command) == 0 and "theoretical" not in capsys.readouterr().out


def test_what_was_measured_is_written_where_another_scale_has_no_pictures(files, tmp_path, capsys):
    save_network(tmp_path / "x3.safetensors", OPTIONS | {"upscale": 3})
    command = ["evaluate", files / "fp.safetensors", tmp_path / "x3.safetensors", "--hr", files / "HR"]
    assert run(*command, "--lr", files / "LR", "--csv", tmp_path / "r.csv") == 1
    assert "a x3 input of p0.png" in capsys.readouterr().err
    rows = list(csv.DictReader((tmp_path / "r.csv").open()))
    assert [row["picture"] for row in rows] == ["p0", "p1", "p2", "mean"]


def test_evaluate_pairs_by_name(files, tmp_path, capsys):
    high, low = read_raw(files / "HR" / "p0.png"), read_raw(files / "LR" / "p0.png")
    both = tmp_path / "both"
    write_image(both / "img_001_SRF_2_HR.png", high)
    write_image(both / "img_001_SRF_2_LR.png", low)
    write_image(both / "img_001_SRF_4_HR.png", high)
    write_image(tmp_path / "h" / "max2.png", np.pad(high, ((0, 1), (0, 1), (0, 0))))
    write_image(tmp_path / "l" / "max2X2.png", low)
    write_image(tmp_path / "l" / "other_x2.png", low)
    values = []
    for folders in ((both, both), (tmp_path / "h", tmp_path / "l")):
        assert run("evaluate", files / "q.safetensors", "--hr", folders[0], "--lr", folders[1], "--json") == 0
        (row,) = json.loads(capsys.readouterr().out)["results"][0]["pictures"]
        values.append(row["psnr_y_db"])
    assert values[0] == values[1]
    assert run("evaluate", files / "q.safetensors", "--hr", both, "--json") == 0
    assert len(json.loads(capsys.readouterr().out)["results"][0]["pictures"]) == 1


def test_evaluate_tells_where_inputs_come_from_and_what_is_left_out(files, tmp_path, capsys):
    high, low = read_raw(files / "HR" / "p0.png"), read_raw(files / "LR" / "p0.png")
    write_image(tmp_path / "HR" / "a.png", high)
    write_image(tmp_path / "b_SRF_4_HR.png", high)
    write_image(tmp_path / "c.png", high)
    for name in ("a", "b", "a_x4"):
        write_image(tmp_path / "LR" / f"{name}.png", low)
    evaluate = ("evaluate", files / "q.safetensors", "--hr")
    assert run(*evaluate, tmp_path) == 0
    said = capsys.readouterr().out
    assert (
        f"x2 inputs: {tmp_path}/LR; left out, since their names call them of another kind or scale, or have no" in said
    )
    assert "no ground truth: a_x4.png, b.png\n" in said
    assert run(*evaluate, tmp_path / "HR") == 0
    assert f"x2 inputs: made from {tmp_path}/HR as MATLAB's imresize makes them\n" in capsys.readouterr().out
    (tmp_path / "HR" / "a.png").rename(tmp_path / "a.png")
    (tmp_path / "HR").rmdir()
    assert run(*evaluate, tmp_path, "--json") == 0
    (result,) = json.loads(capsys.readouterr().out)["results"]
    assert result["inputs"].endswith("ground truth: b_SRF_4_HR.png") and len(result["pictures"]) == 2


def evaluated(capsys, files, *folders: object) -> list[dict]:
    assert run("evaluate", files / "q.safetensors", *folders, "--json") == 0
    return json.loads(capsys.readouterr().out)["results"][0]["pictures"]


def test_evaluate_takes_a_folder_of_both(files, tmp_path, capsys, monkeypatch):
    given = evaluated(capsys, files, "--hr", files / "HR", "--lr", files / "LR")
    made = evaluated(capsys, files, "--hr", files / "HR")
    assert given != made
    assert evaluated(capsys, files, "--hr", files) == given
    assert evaluated(capsys, files, "--hr", files, "--lr", files) == given
    assert evaluated(capsys, files, "--hr", files / "HR", "--lr", files) == given
    shutil.copytree(files / "HR", tmp_path / "high" / "HR")
    assert evaluated(capsys, files, "--hr", tmp_path / "high") == made
    assert evaluated(capsys, files, "--hr", tmp_path / "high", "--lr", files / "LR") == given
    for index in range(3):
        write_image(tmp_path / "other" / "LR" / f"p{index}.png", smooth(9, 24, 28))
    shutil.copytree(files / "HR", tmp_path / "other" / "HR")
    assert evaluated(capsys, files, "--hr", tmp_path / "other", "--lr", files / "LR") == given  # the folder asked for
    monkeypatch.setenv("HOME", str(files))
    assert evaluated(capsys, files, "--hr=~/HR", "--lr=~/LR") == evaluated(capsys, files, "--hr=~") == given


def test_evaluate_refuses_folders_of_a_part(files, tmp_path, capsys):
    shutil.copytree(files / "LR", tmp_path / "low" / "LR")
    assert "low holds no picture" in fails(capsys, "evaluate", files / "q.safetensors", "--hr", tmp_path / "low")
    shutil.copytree(files / "HR", tmp_path / "low" / "HR")
    (tmp_path / "low" / "LR" / "p1.png").unlink()
    assert "LR: holds no x2 low-resolution picture for p1.png" in fails(
        capsys, "evaluate", files / "q.safetensors", "--hr", tmp_path / "low"
    )


def test_evaluate_refuses(files, tmp_path, capsys):
    command = ["evaluate", files / "q.safetensors", "--hr", files / "HR"]
    write_image(tmp_path / "lr" / "p0.png", smooth(0))
    assert "no x2 low-resolution picture for p1.png, p2.png" in fails(capsys, *command, "--lr", tmp_path / "lr")
    for index in range(3):
        write_image(tmp_path / "wrong" / f"p{index}.png", smooth(index, 12, 14))
    assert "p0.png: 14x12 pixels; a x2 input of p0.png (56x48, cropped) has 28x24" in fails(
        capsys, *command, "--lr", tmp_path / "wrong"
    )
    assert "is a x2 network, not x4" in fails(capsys, *command, "--scale", "4")
    write_image(tmp_path / "small" / "p.png", smooth(0, 12, 12))
    assert "p: a picture of 12x12 pixels is too small" in fails(
        capsys, "evaluate", files / "q.safetensors", "--hr", tmp_path / "small"
    )
    data = (files / "q.safetensors").read_bytes()
    (tmp_path / "cut.safetensors").write_bytes(data[:-100])
    assert "cut.safetensors: not a readable" in fails(
        capsys, "evaluate", tmp_path / "cut.safetensors", "--hr", files / "HR"
    )
    message = fails(
        capsys, "evaluate", tmp_path / "cut.safetensors", files / "q.safetensors", "--hr", files / "HR", status=1
    )
    assert "cut.safetensors" in message
    assert run("evaluate", tmp_path / "cut.safetensors", "x.safetensors", "--hr", files / "HR") == 2


@pytest.mark.parametrize("name", ["a_x2", "aX2", "a-x2"])
def test_two_inputs_that_may_be_meant_are_refused(files, tmp_path, capsys, name):
    write_image(tmp_path / "HR" / "a.png", read_raw(files / "HR" / "p0.png"))
    for each in ("a", name):
        write_image(tmp_path / "LR" / f"{each}.png", read_raw(files / "LR" / "p0.png"))
    line = fails(capsys, "evaluate", files / "q.safetensors", "--hr", tmp_path)
    assert f"{tmp_path}/LR: a.png and {name}.png may both be the x2 input of a.png; keep one" in line
