"""Importing weights: converted networks compute what the source computes."""

import json
import zipfile

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

import adabm
from adabm.errors import CheckpointError
from adabm.networks import IMPORT_KINDS, SRResNet, build_network, describe, import_weights, load_network, save_network
from helpers.foreign_forwards import (
    MEAN,
    edsr_pytorch,
    edsr_pytorch_weights,
    esrgan_rrdbnet,
    esrgan_weights,
    krasserm_edsr,
    krasserm_weights,
    tutorial_srresnet,
    tutorial_weights,
)
from helpers.weight_files import params, tensors_folder


def picture(height: int = 10, width: int = 12) -> torch.Tensor:
    return torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(5))


def output(network: torch.nn.Module, x: torch.Tensor) -> torch.Tensor:
    with torch.no_grad():
        return network(x)


def same(found: torch.Tensor, expected: torch.Tensor) -> None:
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5 * float(expected.abs().max().clamp_min(1)))


# -- each source ----------------------------------------------------------------------------------


@pytest.mark.parametrize(("features", "blocks", "steps"), [(4, 2, (2,)), (6, 1, (2, 2)), (5, 3, (3,))])
def test_krasserm_edsr(tmp_path, features, blocks, steps):
    weights = krasserm_weights(features, blocks, steps)
    network = import_weights(params(tmp_path / "edsr.params", weights))
    same(output(network, picture()), krasserm_edsr(weights, picture(), blocks, steps))
    assert network.adabm_options["img_range"] == 2 and network.adabm_options["rgb_mean"] == [0.4488, 0.4371, 0.404]
    descriptor = describe(network)
    assert (descriptor.scale, descriptor.value_range) == (np.prod(steps), 1.0)


@pytest.mark.parametrize(("features", "blocks", "steps"), [(4, 2, 2), (6, 1, 1)])
def test_tutorial_srresnet(tmp_path, features, blocks, steps):
    """The converted network works on 0 to 255, as describe says of every SRResNet."""
    weights = tutorial_weights(features, blocks, steps)
    network = import_weights(params(tmp_path / "srresnet.params", weights))
    assert isinstance(network, SRResNet) and not network.training
    same(output(network, picture() * 255) / 255, tutorial_srresnet(weights, picture(), blocks, steps))
    descriptor = describe(network)
    assert (descriptor.scale, descriptor.value_range, len(descriptor.blocks)) == (2**steps, 255.0, blocks)
    with pytest.raises(AssertionError):  # the biases and slopes of single channels matter
        same(output(network.train(), picture() * 255) / 255, tutorial_srresnet(weights, picture(), blocks, steps))


@pytest.mark.parametrize("container", ["folder", "pth", "params_ema", "safetensors"])
def test_esrgan(tmp_path, container):
    weights = esrgan_weights(5, 2, 3)
    if container == "folder":
        path = tensors_folder(tmp_path / "rrdb", weights)
    elif container == "safetensors":
        save_file(dict(weights), path := tmp_path / "rrdb.safetensors")
    else:
        found = dict(weights)
        path = tmp_path / "rrdb.pth"
        torch.save({"params_ema": found, "params": {}} if container == "params_ema" else found, path)
    network = import_weights(path)
    same(output(network, picture()), esrgan_rrdbnet(weights, picture(), 2))
    options = {name: network.adabm_options[name] for name in ("scale", "num_feat", "num_block", "num_grow_ch")}
    assert options == {"scale": 4, "num_feat": 5, "num_block": 2, "num_grow_ch": 3}


@pytest.mark.parametrize(("steps", "rgb_range"), [((2,), 255), ((3,), 255), ((2, 2), 255), ((2,), 1)])
def test_edsr_pytorch(tmp_path, steps, rgb_range):
    weights = edsr_pytorch_weights(4, 2, steps, rgb_range)
    torch.save(dict(weights), tmp_path / "edsr.pt")
    network = import_weights(tmp_path / "edsr.pt")
    same(output(network, picture()), edsr_pytorch(weights, picture() * rgb_range, 2, steps) / rgb_range)
    assert network.adabm_options["img_range"] == rgb_range


def test_the_large_edsr_scales_its_residuals(tmp_path):
    weights = edsr_pytorch_weights(256, 1, (2,))
    torch.save(dict(weights), tmp_path / "edsr.pt")
    network = import_weights(tmp_path / "edsr.pt")
    same(output(network, picture(6, 6)), edsr_pytorch(weights, picture(6, 6) * 255, 1, (2,), 0.1) / 255)
    assert import_weights(tmp_path / "edsr.pt", res_scale=1).adabm_options["res_scale"] == 1


@pytest.mark.parametrize("factors", [(1, 1, 1.01), (0, 0, 0), (-1, -1, -1), (float("nan"),) * 3, (float("inf"),) * 3])
def test_edsr_pytorch_with_another_shift_is_refused(tmp_path, factors):
    weights = edsr_pytorch_weights(4, 1, (2,)) | {"sub_mean.bias": -255 * MEAN.flatten() * torch.tensor(factors)}
    torch.save(dict(weights), tmp_path / "edsr.pt")
    with pytest.raises(CheckpointError, match="sub_mean does not shift by a multiple of DIV2K's mean"):
        import_weights(tmp_path / "edsr.pt")


BASICSR = [
    ("EDSR", dict(num_feat=4, num_block=3, upscale=4)),
    ("EDSR", dict(num_feat=4, num_block=1, upscale=3)),
    ("EDSR", dict(num_feat=256, num_block=1, upscale=2, res_scale=0.1)),
    ("RCAN", dict(num_feat=8, num_group=2, num_block=3, squeeze_factor=4, upscale=2)),
    ("RRDBNet", dict(scale=4, num_feat=4, num_block=2, num_grow_ch=3)),
    ("RRDBNet", dict(scale=2, num_feat=4, num_block=1, num_grow_ch=2)),
    ("RRDBNet", dict(scale=1, num_feat=4, num_block=1, num_grow_ch=2)),
    ("MSRResNet", dict(num_feat=4, num_block=2, upscale=2)),
    ("MSRResNet", dict(num_feat=4, num_block=2, upscale=3)),
    ("MSRResNet", dict(num_feat=4, num_block=1, upscale=4)),
    ("SRVGGNetCompact", dict(num_feat=4, num_conv=3, upscale=3)),
]


@pytest.mark.parametrize(
    ("container", "name", "options"),
    [
        (container, *network)
        for container in ("params", "plain", "parallel")
        for network in BASICSR
        if container == "plain" or network[1].get("num_feat") != 256  # the large one comes once
    ],
)
def test_basicsr_options_are_deduced(tmp_path, container, name, options):
    torch.manual_seed(0)
    network = build_network(name, **options).eval()
    state = network.state_dict()
    if container == "parallel":
        state = {f"module.{key}": value for key, value in state.items()}
    torch.save({"params": state} if container == "params" else state, tmp_path / "network.pth")
    random = torch.get_rng_state()
    imported = import_weights(tmp_path / "network.pth")
    assert torch.equal(torch.get_rng_state(), random)
    assert imported.adabm_options == network.adabm_options and not imported.training
    same(output(imported, picture(8, 8)), output(network, picture(8, 8)))
    save_network(imported, tmp_path / "network.safetensors")
    same(output(load_network(tmp_path / "network.safetensors"), picture(8, 8)), output(network, picture(8, 8)))


def test_what_no_tensor_tells_can_be_given(tmp_path):
    network = build_network("SRVGGNetCompact", num_feat=4, num_conv=2, upscale=2, act_type="leakyrelu").eval()
    torch.save(network.half().state_dict(), tmp_path / "srvgg.pth")
    with pytest.raises(CheckpointError, match="srvgg.pth: .*no tensor tells act_type of SRVGGNetCompact"):
        import_weights(tmp_path / "srvgg.pth")
    imported = adabm.import_weights(tmp_path / "srvgg.pth", act_type="leakyrelu")
    assert all(parameter.dtype == torch.float32 for parameter in imported.parameters())
    same(output(imported, picture()), output(network.float(), picture()))


# -- refused --------------------------------------------------------------------------------------


def edsr_state() -> dict[str, torch.Tensor]:
    return build_network("EDSR", num_feat=4, num_block=2, upscale=2).state_dict()


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (
            lambda s: s.pop("body.1.conv2.bias"),
            "not of kind basicsr-edsr: does not fit EDSR: body.1.conv2.bias is miss",
        ),
        (lambda s: s.update(extra=torch.ones(1)), "extra is not part of the network"),
        (lambda s: s["conv_last.bias"].fill_(float("nan")), "conv_last.bias holds NaN"),
        (lambda s: s.update({"upsample.0.weight": torch.ones(20, 4, 3, 3)}), "makes 20 channels of 4"),
        (lambda s: s.update({"conv_first.weight": torch.ones(4)}), r"conv_first.weight has the shape \(4,\)"),
        (lambda s: s.pop("conv_after_body.weight"), "of no known architecture. Known are .* edsr-krasserm.* SwinIR"),
        (lambda s: s.update(epoch=3), "'epoch' is no tensor"),
        (lambda s: s.clear(), "holds no named tensors"),
    ],
)
def test_spoilt_state_dicts(tmp_path, spoil, message):
    state = dict(edsr_state())
    spoil(state)
    torch.save(state, tmp_path / "edsr.pth")
    with pytest.raises(CheckpointError, match=message) as caught:
        import_weights(tmp_path / "edsr.pth")
    assert str(tmp_path / "edsr.pth") in str(caught.value)


def test_unreadable_files(tmp_path):
    path = tmp_path / "file.pth"
    refused = pytest.raises(CheckpointError, match="file.pth: damaged, or no PyTorch state dict.*save its state_dict")
    torch.save(edsr_state(), path)
    whole = path.read_bytes()
    for data in (b"", b"text", whole[:-200], whole[:100]):
        path.write_bytes(data)
        with refused:
            import_weights(path)
    torch.save(torch.nn.Conv2d(1, 1, 1), path)  # a pickled module could run code
    with refused:
        import_weights(path)
    torch.save(torch.ones(2), path)
    with pytest.raises(CheckpointError, match="holds no named tensors but a Tensor"):
        import_weights(path)
    with pytest.raises(CheckpointError, match="nowhere.pth: no such file"):
        import_weights(tmp_path / "nowhere.pth")
    (tmp_path / "bad.safetensors").write_bytes(b"no")
    with pytest.raises(CheckpointError, match="bad.safetensors: damaged"):
        import_weights(tmp_path / "bad.safetensors")


def test_own_files_are_not_guessed_at(tmp_path):
    """The file says img_range 2; a guess would make it 255."""
    network = build_network("EDSR", num_feat=4, num_block=2, upscale=2, img_range=2.0)
    save_network(network, tmp_path / "own.safetensors")
    with pytest.raises(CheckpointError, match="own.safetensors: was written by adabm already"):
        import_weights(tmp_path / "own.safetensors")


def test_kinds(tmp_path):
    weights = params(tmp_path / "edsr.params", krasserm_weights(4, 2, (2,)))
    assert len(set(IMPORT_KINDS)) == 10
    with pytest.raises(CheckpointError, match="unknown kind 'edsr'; known are edsr-krasserm, .*basicsr-srvgg"):
        import_weights(weights, "edsr")
    for kind in set(IMPORT_KINDS) - {"edsr-krasserm", "spandrel"}:
        with pytest.raises(CheckpointError, match=f"edsr.params: not of kind {kind}: .*missing"):
            import_weights(weights, kind)


def test_other_networks_of_the_same_sources_are_refused(tmp_path):
    wider = krasserm_weights(4, 2, (2,)) | {"arg:convolution1_weight": torch.ones(8, 4, 3, 3)}
    with pytest.raises(CheckpointError, match="0 convolutions of 4 features are not two a block and a closing one"):
        import_weights(params(tmp_path / "wdsr.params", wider))
    odd = tutorial_weights(4, 2, 1)
    del odd["arg:batchnorm4_gamma"]
    with pytest.raises(CheckpointError, match="batch norms are not those of an SRResNet"):
        import_weights(params(tmp_path / "srresnet.params", odd))


@pytest.mark.parametrize("name", ["body.3.conv1.weight", "body.123456789012.conv1.weight"])
def test_a_gap_in_the_numbers_is_refused_before_anything_is_built(tmp_path, name):
    torch.save(dict(edsr_state()) | {name: torch.ones(4, 4, 3, 3)}, tmp_path / "edsr.pth")
    with pytest.raises(CheckpointError, match="body.<number>.: number 2 is missing"):
        import_weights(tmp_path / "edsr.pth")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda f: (f / "modelinfo.json").unlink(), "rrdb: holds no modelinfo.json"),
        (lambda f: (f / "modelinfo.json").write_text("{"), "modelinfo.json: not a list of layers"),
        (lambda f: (f / "modelinfo.json").write_text('{"layers": [{"name": "a"}]}'), "not a list of layers .KeyError"),
        (lambda f: (f / "HRconv.bias.bin").unlink(), "HRconv.bias.bin: cannot be read"),
        (lambda f: (f / "HRconv.bias.bin").write_bytes(bytes(15)), "HRconv.bias.bin: has 15 bytes, not the 16"),
    ],
)
def test_damaged_folders(tmp_path, change, message):
    folder = tensors_folder(tmp_path / "rrdb", esrgan_weights(4, 1, 2))
    change(folder)
    with pytest.raises(CheckpointError, match=message):
        import_weights(folder)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"is_quantized": True}, "says that the tensors are quantized"),
        ({"layers": [{"name": "../../etc/passwd", "wshape": [1], "bshape": [1]}]}, "is not a tensor's name"),
        ({"layers": [{"name": "a", "wshape": [-1, 2], "bshape": [1]}]}, r"a.weight has the shape \(-1, 2\)"),
        ({"layers": [{"name": "a", "wshape": [2**62, 8], "bshape": [1]}]}, "a.weight.bin: cannot be read"),
    ],
)
def test_odd_indexes(tmp_path, more, message):
    with pytest.raises(CheckpointError, match=message):
        import_weights(tensors_folder(tmp_path / "rrdb", esrgan_weights(4, 1, 2), **more))


# -- and then -------------------------------------------------------------------------------------


def test_an_imported_srresnet_quantizes_with_its_batch_norm_frozen(tmp_path):
    network = import_weights(params(tmp_path / "srresnet.params", tutorial_weights(4, 2, 2)))
    roles = {name: role.value for name, role in describe(network).roles.items()}
    body = [f"body.{i}.conv{j}" for i in range(2) for j in (1, 2)]
    ends = {"body.2": "after_body", "tail.0.0": "upsampler", "tail.0.3": "upsampler", "tail.1": "last"}
    assert roles == {"head.0": "first"} | dict.fromkeys(body, "body") | ends
    images = [(picture(16, 16)[0].permute(1, 2, 0) * 255).byte().numpy()]
    config = adabm.preset("minmax", weight_bits=8, activation_bits=8, fully_quantized=False)
    model, _, _ = adabm.quantize(network, images, config, patch_size=16)
    norms = [module for module in model.modules() if isinstance(module, torch.nn.BatchNorm2d)]
    assert set(model.layers) == set(body) and len(norms) == 5
    assert not any(norm.training or norm.num_batches_tracked for norm in norms)
    adabm.save_quantized(model, tmp_path / "q.safetensors")
    assert adabm.load_quantized(tmp_path / "q.safetensors").descriptor.options["prelu_per_channel"] is True


def test_an_archive_that_would_fill_the_disk_is_refused_at_once(tmp_path):
    path = tmp_path / "x.pth"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", bytes(2**24))
    with pytest.raises(CheckpointError, match="would unpack to 16,777,216 bytes; it holds no weights"):
        import_weights(path)


def test_numbers_of_four_bits_are_refused(tmp_path):
    header = json.dumps({"a.weight": {"dtype": "F4", "shape": [2], "data_offsets": [0, 1]}}).encode()
    path = tmp_path / "x.safetensors"
    path.write_bytes(len(header).to_bytes(8, "little") + header + b"0")
    with pytest.raises(CheckpointError, match="a.weight is no plain tensor of real numbers"):
        import_weights(path)
