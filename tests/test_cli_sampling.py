"""``adabm quantize --sampling --pictures`` calibrates on the pictures that the library would choose."""

import json
import subprocess
import sys

import numpy as np
import pytest
import torch
from test_networks import tiny

from adabm import load_network, load_quantized, preset, quantize, save_network
from adabm.cli import main
from adabm.cli.sampling import NAMES
from adabm.networks.placing import placed
from adabm.pictures.reading import read_rgb
from adabm.pictures.writing import write_image
from adabm.sampling import STRATEGIES, Pool, select

NOISE = (4, 60, 20, 1, 100)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("sampling")
    rng = np.random.default_rng(0)
    for name, noise in zip("abcde", NOISE):
        write_image(
            root / "LR" / f"{name}.png", (128 + rng.normal(0, noise, (20, 18, 3))).clip(0, 255).astype(np.uint8)
        )
    save_network(tiny("EDSR"), root / "net.safetensors")
    return root


def run(folder, output, *more: object) -> int:
    command = ["quantize", "--images", folder / "LR", "--network", folder / "net.safetensors", "--output", output,
               "--preset", "minmax", "--patch-size", "12", "--json"]  # fmt: skip
    return main([str(part) for part in (*command, *more)])


@pytest.mark.parametrize("name", NAMES)
def test_the_choice_is_the_librarys(folder, tmp_path, capsys, name):
    assert run(folder, tmp_path / "q.safetensors", "--sampling", name, "--pictures", 4, "--seed", 3) == 0
    report = json.loads(capsys.readouterr().out)
    paths = sorted((folder / "LR").iterdir())
    images, network = [read_rgb(path) for path in paths], placed(load_network(folder / "net.safetensors"), "cpu")
    chosen = select(name, Pool(images, network, config=preset("minmax")), 4, seed=3)
    assert report["files"] == [paths[i].name for i in chosen]
    assert report["pictures"] == report["patches"] == len(chosen)
    expected, _, _ = quantize(network, [images[i] for i in chosen], preset("minmax"), patch_size=12, seed=3)
    model = load_quantized(tmp_path / "q.safetensors")
    assert all(torch.equal(value, expected.state_dict()[key]) for key, value in model.state_dict().items())


def test_extremes_choose_the_flattest_and_the_busiest(folder, tmp_path, capsys):
    assert run(folder, tmp_path / "q.safetensors", "--sampling", "extremes", "--pictures", 2) == 0
    assert json.loads(capsys.readouterr().out)["files"] == ["d.png", "e.png"]


def test_all_pictures_in_order_by_default(folder, tmp_path, capsys):
    assert run(folder, tmp_path / "q.safetensors") == 0
    assert json.loads(capsys.readouterr().out)["files"] == ["a.png", "b.png", "c.png", "d.png", "e.png"]


def test_pictures_alone_are_random_ones(folder, tmp_path, capsys):
    files = []
    for name, more in (("a", ()), ("b", ("--sampling", "random")), ("c", ("--seed", 1))):
        assert run(folder, tmp_path / f"{name}.safetensors", "--pictures", 3, *more) == 0
        files.append(json.loads(capsys.readouterr().out)["files"])
    assert files[0] == files[1] != files[2] and len(set(files[0])) == 3


def test_adaptive_needs_no_number(folder, tmp_path, capsys):
    assert run(folder, tmp_path / "q.safetensors", "--sampling", "adaptive") == 0
    assert 1 <= len(json.loads(capsys.readouterr().out)["files"]) <= 5


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--sampling", "divers", "--pictures", 2], "unknown sampling strategy 'divers': did you mean 'diverse'?"),
        (["--sampling", "diverse"], "--sampling diverse: say how many pictures to choose with --pictures N"),
        (
            ["--sampling", "single_scene", "--pictures", 2],
            "--sampling single_scene: the command does not know which scene",
        ),
        (["--pictures", 6], "LR holds 5"),
        (["--pictures", 0], "0 is less than 1"),
    ],
)
def test_refusals(folder, tmp_path, capsys, more, message):
    assert run(folder, tmp_path / "q.safetensors", *more) == 2
    told = capsys.readouterr()
    assert message in told.err and told.out == "" and list(tmp_path.iterdir()) == []


def test_help_names_the_strategies_without_loading_them():
    assert set(NAMES) == set(STRATEGIES) - {"single_scene"}
    code = "import sys; from adabm.cli import main; main(['quantize', '--help']); print({'torch', 'sklearn'} & set(sys.modules), file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stderr.strip() == "set()" and all(name in done.stdout for name in NAMES)
