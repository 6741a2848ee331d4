"""What a pool knows of its pictures, and that the network stays as it is."""

import copy

import numpy as np
import pytest
import torch
from test_networks import TINY, tiny
from test_sampling import ALL, PICTURE, known, noisy

from adabm.errors import ConfigError, DataError, ImageError, NetworkError
from adabm.pictures.tensors import to_batch
from adabm.quantization.model import QuantizedSR
from adabm.recipes import calibrate, preset
from adabm.sampling import Pool, Statistics, select, strategy


@pytest.mark.parametrize("name", TINY)
@pytest.mark.parametrize("fully", [False, True], ids=["body", "FQ"])
def test_statistics_are_those_of_the_layers_inputs(name, fully):
    network, images = tiny(name), noisy([2, 40, 90])
    pool = Pool(images, network, config=preset("adabm", fully_quantized=fully))
    model = QuantizedSR(network, pool.config)
    assert pool.statistics.layers.tolist() == list(model.layers)
    for index, image in enumerate(images):
        inputs = {}
        with torch.no_grad(), model.full_precision(), model.visiting(lambda layer, x: inputs.update({layer.name: x})):
            batch = to_batch([image], model.descriptor.value_range)
            model(batch)
        expected = [[x.min().item(), x.max().item()] for x in inputs.values()]
        assert np.allclose(pool.ranges[index], expected, rtol=1e-6)
        assert np.allclose(pool.spreads[index], [x.std().item() for x in inputs.values()], rtol=1e-5)
        assert pool.complexities[index] == pytest.approx(model.complexity(batch).item(), rel=1e-5)
    assert pool.features.shape[0] == 3 and pool.features.shape[1] > 0


def test_features_are_the_energy_of_the_channels_of_four_body_layers():
    network, image = tiny("EDSR"), noisy([40])[0]
    pool = Pool([image], network)  # conv1 and conv2 of two blocks, and the layer that closes the body
    expected = []
    names = ("body.0.conv1", "body.0.conv2", "body.1.conv1", "conv_after_body")
    hooks = [
        network.get_submodule(name).register_forward_hook(lambda _m, x, _o: expected.append(x[0])) for name in names
    ]
    with torch.no_grad():
        network(to_batch([image], 1.0))
    for hook in hooks:
        hook.remove()
    assert np.allclose(pool.features[0], torch.cat([x.abs().mean((0, 2, 3)) for x in expected]), rtol=1e-5)


def test_each_picture_runs_once(monkeypatch):
    images, calls = noisy([2, 40, 90]), []
    infer = QuantizedSR.infer
    monkeypatch.setattr(QuantizedSR, "infer", lambda self, batch: calls.append(batch.shape) or infer(self, batch))
    pool = Pool(images, tiny("EDSR"))
    select("extremes", pool, 2)
    assert calls == []  # complexity needs no network
    assert len(pool.ranges) == len(pool.spreads) == len(pool.features) == len(pool.complexities) == 3
    assert calls == [(1, 3, *image.shape[:2]) for image in images]
    assert pool.errors is pool.errors and len(calls) == 3 + 2 * 3
    again = Pool(images, tiny("EDSR"), statistics=pool.statistics, errors=pool.errors)
    for name in ("random", "stratified", "diverse", "kmeans", "hardest", "adaptive"):
        assert select(name, again, 2) == select(name, pool, 2)
    assert len(calls) == 3 + 2 * 3


@pytest.mark.parametrize("name", ["EDSR", "SRResNet"])  # pixel values 0 to 1 and 0 to 255
def test_errors_are_those_of_uniform_quantization(name):
    """On the 0..255 scale; a layer's range is the mean of those that each picture alone would calibrate."""
    network, images, config = tiny(name), noisy([40, 5, 80]), preset("minmax", activation_bits=3)
    model = QuantizedSR(network, config)
    batches = [to_batch([image], model.descriptor.value_range) for image in images]
    ranges = []
    for batch in batches:
        calibrate(model, [batch])
        ranges.append(
            {n: torch.stack([q.activation.lower, q.activation.upper]).detach().clone() for n, q in model.layers.items()}
        )
    for key, layer in model.layers.items():
        layer.activation.set_range(*torch.stack([r[key] for r in ranges]).mean(0))
    expected = []
    with torch.no_grad():
        for batch in batches:
            quantized = model(batch)
            with model.full_precision():
                expected.append((quantized - model(batch)).abs().mean().item() * 255 / model.descriptor.value_range)
    errors = Pool(images, network, config=preset("adabm", activation_bits=3)).errors
    assert errors.tolist() == pytest.approx(expected, rel=1e-3)


def test_errors_fall_with_bits_and_vanish_without_quantization():
    images = noisy([2, 20, 40, 90])
    errors = [
        Pool(images, tiny("EDSR"), config=preset("minmax", weight_bits=b, activation_bits=b)).errors for b in (3, 6)
    ]
    assert (errors[0] > errors[1]).all() and (errors[1] > 0).all()
    none = preset("minmax", weight_bits=32, activation_bits=32, fixed_bits=32)
    assert (Pool(images, tiny("EDSR"), config=none).errors == 0).all()


@pytest.mark.parametrize("name", ["EDSR", "SRResNet"])
def test_the_network_stays_as_it_is(name):
    network = tiny(name).train()
    before = copy.deepcopy(network.state_dict())
    types, gradients = [type(m) for m in network.modules()], [p.requires_grad for p in network.parameters()]
    pool = Pool(noisy([2, 20, 40]), network, scenes=["a", "b", "c"])
    for strategy_name in ALL:
        select(strategy_name, pool, 2)
    assert [type(m) for m in network.modules()] == types and all(m.training for m in network.modules())
    assert [p.requires_grad for p in network.parameters()] == gradients
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16])
def test_other_dtypes(dtype):
    images = noisy([2, 20, 40])
    single, other = Pool(images, tiny("EDSR")), Pool(images, tiny("EDSR").to(dtype))
    assert np.allclose(single.ranges, other.ranges, rtol=0.02, atol=0.02)
    assert np.allclose(single.errors, other.errors, rtol=0.3) and np.allclose(
        single.features, other.features, rtol=0.02, atol=0.02
    )


def test_statistics_round_trip(tmp_path):
    pool = Pool(noisy([2, 20, 40]), tiny("EDSR"))
    np.savez(tmp_path / "s.npz", **pool.statistics.to_arrays())
    read = Statistics.from_arrays(np.load(tmp_path / "s.npz", allow_pickle=False))
    assert len(read) == 3
    for name, array in pool.statistics.to_arrays().items():
        assert np.array_equal(getattr(read, name), array), name
    assert np.array_equal(Pool(pool.images, pool.network, statistics=read).errors, pool.errors)


def test_impossible_statistics_are_refused():
    arrays = known(3).statistics.to_arrays()
    with pytest.raises(DataError, match="lack spreads, features"):
        Statistics.from_arrays({name: arrays[name] for name in ("layers", "complexities", "ranges")})
    with pytest.raises(DataError, match=r"3 pictures and 2 layers: spreads has shape \(3, 1\)"):
        Statistics.from_arrays(arrays | {"spreads": np.zeros((3, 1))})
    with pytest.raises(DataError, match="features has shape"):
        Statistics.from_arrays(arrays | {"features": np.zeros(3)})
    with pytest.raises(DataError, match="complexities holds <U1, not numbers"):
        Statistics.from_arrays(arrays | {"complexities": np.array(["1", "2", "3"])})
    with pytest.raises(DataError, match="ranges holds NaN"):
        Statistics.from_arrays(arrays | {"ranges": np.full((3, 2, 2), np.nan)})
    with pytest.raises(DataError, match="name the layer 'a', which is not quantized"):
        _ = Pool(noisy([1, 2, 3]), tiny("EDSR"), statistics=Statistics(**arrays)).errors


@pytest.mark.parametrize(
    ("images", "more", "message"),
    [
        ([], {}, "no pool picture was given"),
        (np.zeros((4, 16, 16, 3), np.uint8), {}, "expected a list"),
        ([PICTURE, np.zeros((16, 16), np.uint8)], {}, r"pool picture 1 is uint8 \(16, 16\)"),
        ([np.zeros((16, 16, 3))], {}, "float64"),
        ([np.zeros((0, 16, 3), np.uint8)], {}, r"\(0, 16, 3\)"),
        (["picture.png"], {}, "is str"),
        ([PICTURE], dict(scenes=["a", "b"]), "scenes of 2 pictures were given for a pool of 1"),
        ([PICTURE], dict(statistics=known(2).statistics), "statistics of 2 pictures"),
        ([PICTURE], dict(errors=[]), "errors of 0 pictures"),
        ((PICTURE for _ in range(2)), {}, "pool pictures are a generator; give a list"),
        (None, {}, "pool pictures are a NoneType"),
        ([np.ma.masked_array(PICTURE, PICTURE > 0)], {}, "pool picture 0 is a masked array"),
        ([PICTURE, PICTURE[..., :1]], {}, "pool picture 1 has 1 channels, the first one 3"),
        ([PICTURE], dict(errors=["a"]), r"errors = \['a'\]: must be a list of numbers"),
        ([PICTURE] * 2, dict(errors=[[1.0], [1.0, 2.0]]), "errors = .*: must be a list of numbers"),
        ([PICTURE], dict(errors=[float("nan")]), "errors holds NaN or infinite values"),
        ([PICTURE], dict(errors=np.ma.masked_array([1.0], [True])), "errors = .*: must be a list of numbers"),
        ([PICTURE], dict(scenes="a"), "scenes = 'a': must be a list of names"),
        ([PICTURE], dict(scenes=[3]), "scenes holds 3; must be a list of names"),
    ],
)
def test_impossible_pools_are_refused(images, more, message):
    with pytest.raises((DataError, ImageError), match=message):
        Pool(images, tiny("EDSR"), **more)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (dict(statistics=[1.0]), r"statistics = \[1.0\]: must be an adabm.sampling.Statistics"),
        (dict(config="adbm"), "did you mean 'adabm'"),
        (dict(descriptor="EDSR"), "descriptor = 'EDSR': must be NetworkDescriptor"),
        (dict(progress=3), "progress = 3: must be"),
    ],
)
def test_other_arguments_of_another_kind_are_refused(given, message):
    with pytest.raises(ConfigError, match=message):
        Pool([PICTURE], tiny("EDSR"), **given)
    with pytest.raises(NetworkError, match="the network is a str; give a torch.nn.Module"):
        Pool([PICTURE], "EDSR")


def test_a_plan_by_its_name():
    assert Pool([PICTURE], tiny("EDSR"), config="minmax").config == preset("minmax")


def test_measures_are_read_only():
    images, given = noisy([2, 20, 40]), known(3, errors=[1.0, 2.0, 3.0])
    for pool in (Pool(images, tiny("EDSR")), given):
        for name in ("complexities", "errors", "features", "ranges", "spreads"):
            with pytest.raises(ValueError, match="read-only"):
                getattr(pool, name)[:] = 0
    mine = np.ones(3)
    Pool(images, tiny("EDSR"), errors=mine)
    mine[:] = 2  # what was given stays its owner's


def sorting(pool, count, rng):
    pool.complexities.sort()
    return range(count)


def blotting(pool, count, rng):
    pool.features[:] = 0
    return range(count)


def renaming(pool, count, rng):
    pool.scenes[0] = "other"
    return range(count)


def replacing(pool, count, rng):
    pool.errors = -pool.errors
    return range(count)


@pytest.mark.parametrize(
    ("own", "message"),
    [
        (sorting, "changes what the pool knows .*read-only"),
        (blotting, "changes what the pool knows .*read-only"),
        (renaming, "changes the pool's scenes"),
        (replacing, "changes the pool's errors"),
    ],
)
def test_a_strategy_that_changes_measures_is_refused(monkeypatch, own, message):
    monkeypatch.setattr("adabm.sampling.registry.STRATEGIES", {})
    strategy("own", description="of a test")(own)
    with pytest.raises(ConfigError, match=f"strategy 'own' {message}.*; let it work on copies"):
        select("own", known(4, scenes=["a", "b", "c", "d"], errors=np.arange(4.0)), 2)


def test_a_network_that_gives_nan_is_refused():
    network = tiny("EDSR")
    with torch.no_grad():
        network.body[0].conv1.bias[0] = float("nan")
    with pytest.raises(NetworkError, match="the input of body.0.conv2 is not finite"):
        select("diverse", Pool(noisy([1, 2]), network), 1)
