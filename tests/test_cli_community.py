"""The command line with a .pth of each architecture of the community: read, quantized, evaluated, used to enlarge."""

import cv2
import pytest
import torch

from adabm.networks import build_network
from helpers.cli_files import run, smooth
from helpers.community_networks import scale_of, write_community
from helpers.slow import slow_among

SIDE = 16
NAMES = ("SwinIR", "RCAN", "Compact", "ESRGAN", "SPAN", "SAFMN")
RECIPES = {
    "adabm": ["--rounds", 1, "--steps-per-round", 1, "--set", "tune.batch_size=1"],
    "minmax": [],
}


def write(folder, name):
    """Write a file as its authors publish it; return its path, title and scale."""
    if name != "Compact":
        return write_community(folder, name)[0], f"{name} (spandrel)", scale_of(name)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = build_network("SRVGGNetCompact", num_feat=4, num_conv=2, upscale=2)
    torch.save({"params": network.state_dict()}, folder / "compact.pth")
    return folder / "compact.pth", "SRVGGNetCompact", 2


@pytest.mark.parametrize("name", slow_among(NAMES, ("RCAN", "ESRGAN", "SPAN", "SAFMN", "SwinIR")))
def test_a_file_is_used_from_the_command_line(tmp_path, capsys, recwarn, name):
    path, title, scale = write(tmp_path, name)
    for index in range(2):
        for folder, side in (("HR", SIDE * scale), ("LR", SIDE)):
            (tmp_path / folder).mkdir(exist_ok=True)
            cv2.imwrite(str(tmp_path / folder / f"{index}.png"), smooth(index, side, side))
    assert run("info", path) == 0
    assert capsys.readouterr().out.startswith(f"{title}: x{scale}")
    made = []
    for recipe, more in RECIPES.items():
        made.append(tmp_path / f"{recipe}.safetensors")
        command = ["quantize", "--network", path, "--images", tmp_path / "LR", "--patch-size", SIDE]
        assert run(*command, "--recipe", recipe, *more, "--output", made[-1]) == 0
        assert f"{made[-1]}: {title} x{scale} W4A4 FQ" in capsys.readouterr().out
    assert run("evaluate", path, *made, "--hr", tmp_path / "HR", "--lr", tmp_path / "LR") == 0
    assert capsys.readouterr().out.count(f"{title} x{scale}") == 1 + len(made)
    for checkpoint in made:
        assert (
            run("upscale", tmp_path / "LR" / "0.png", tmp_path / "out.png", "--checkpoint", checkpoint, "--overwrite")
            == 0
        )
        assert cv2.imread(str(tmp_path / "out.png")).shape == (SIDE * scale, SIDE * scale, 3)
    assert not [str(warning.message) for warning in recwarn if "guessed" in str(warning.message)]
