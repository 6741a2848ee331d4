"""Threads that share a model or an engine wait for each other, and tiles of two pictures may come in turns."""

import copy
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

import adabm
from adabm.engines.protocol import EngineOutput
from adabm.engines.seamless import seamless_tiles, upscale
from adabm.pictures.picture import Picture
from adabm.quantization.model import QuantizedSR
from adabm.recipes import calibrate
from adabm.turns import turn
from helpers.cli_files import smooth
from helpers.configurations import configured
from helpers.tiny_networks import tiny

SCALE = 2
FLAT = np.full((90, 180, 3), 100, np.uint8)
BUSY = np.random.default_rng(0).integers(0, 256, (90, 180, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def model() -> QuantizedSR:
    model = QuantizedSR(tiny("SRVGGNetCompact"), configured(clipping=False))
    noise = torch.rand(6, 3, 16, 16, generator=torch.Generator().manual_seed(0)) - 0.5
    calibrate(model, [(0.5 + noise * torch.linspace(0, 1, 6).view(-1, 1, 1, 1)) * model.descriptor.value_range])
    return model


def opened(name: str, model: QuantizedSR):
    if name == "torch-int8":
        try:
            return adabm.open_engine(name, model)
        except adabm.AdabmError as error:
            pytest.skip(str(error))
    return adabm.open_engine(name, model) if name == "engine" else model


def pictures() -> list[np.ndarray]:
    """Flat and rough ones of two sizes in turns, which get different bits."""
    rng = np.random.default_rng(1)
    sizes = [(16, 24), (24, 20)]
    return [
        (rng.integers(0, 256, (*sizes[n % 2], 3)) if n % 2 else np.full((*sizes[n % 2], 3), 90 + n)).astype(np.uint8)
        for n in range(24)
    ]


def in_threads(do, things: list) -> list:
    with ThreadPoolExecutor(2) as threads:
        return list(threads.map(do, things))


@pytest.mark.parametrize("kind", ["model", "torch-int8"])
def test_two_threads_get_what_one_gets(model, kind):
    shared, given = opened(kind, copy.deepcopy(model)), pictures()
    expected = [upscale(shared, picture, 17) for picture in given]
    if kind == "model":  # other threads come in where this one waits
        for layer in list(shared.layers.values())[:2]:
            layer.register_forward_pre_hook(lambda *_: time.sleep(1e-4))
    found = in_threads(lambda picture: upscale(shared, picture, 17), given)
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one.image, other.image)
        assert one.tile_bits == other.tile_bits


def test_an_integer_engine_itself_takes_turns(model):
    engine = opened("torch-int8", model)
    run, running = engine._run, []

    def alone(picture, factor):
        running.append(factor)
        time.sleep(1e-3)
        assert len(running) == 1
        made = run(picture, factor)
        running.pop()
        return made

    engine._run = alone
    assert len(in_threads(lambda picture: engine.upscale(picture[None]), pictures()[:10])) == 10


def test_saving_takes_turns(model, tmp_path):
    """Saving switches the model to full precision and back: several at once would leave it there."""
    shared, given = copy.deepcopy(model), pictures()[:3]
    expected = [upscale(model, picture).image for picture in given]

    def both(number: int) -> np.ndarray:
        adabm.save_quantized(shared, tmp_path / f"{number}.safetensors")
        return upscale(shared, given[number]).image

    for layer in list(shared.layers.values())[:2]:  # other threads come in where this one waits
        layer.register_forward_pre_hook(lambda *_: time.sleep(1e-3))
    for found, right in zip(in_threads(both, list(range(len(given)))), expected):
        np.testing.assert_array_equal(found, right)
    assert shared.context.quantizing


def test_evaluating_takes_turns(model):
    shared = copy.deepcopy(model)
    sets = [[Picture("p", smooth(n, 16 * SCALE, 20 * SCALE), (FLAT, BUSY)[n % 2][:16, :20])] for n in range(8)]
    expected = [adabm.evaluate(shared, given).pictures for given in sets]
    next(iter(shared.layers.values())).register_forward_pre_hook(lambda *_: time.sleep(1e-3))  # others come in
    for one, other in zip(in_threads(lambda given: adabm.evaluate(shared, given).pictures, sets), expected):
        assert one.equals(other)


def test_threads_wait_for_their_own_model_alone(model):
    with ThreadPoolExecutor(2) as threads:
        with turn(model):
            waiting = threads.submit(upscale, model, FLAT[:9, :9])
            assert threads.submit(upscale, copy.deepcopy(model), FLAT[:9, :9]).result(10).image.size
            assert upscale(model, FLAT[:9, :9]).image.size and not waiting.done()
        assert waiting.result(10).image.size


def test_an_engine_that_cannot_be_remembered_takes_turns_too():
    class Slotted:
        __slots__ = ()
        name, scale, channels, size_multiple = "slotted", 1, 3, 1

        def upscale(self, pictures: np.ndarray) -> EngineOutput:
            return EngineOutput(pictures.astype(np.float32), np.full(len(pictures), 4.0), {})

    assert turn(Slotted()) is turn(Slotted())
    np.testing.assert_array_equal(upscale(Slotted(), BUSY).image, BUSY)


@pytest.mark.parametrize("kind", ["model", "torch-int8"])
def test_between_two_tiles_the_model_is_free(model, kind):
    shared = opened(kind, model)
    flat, busy = (upscale(shared, picture, 67) for picture in (FLAT, BUSY))
    assert flat.feature_average_bits < upscale(shared, BUSY).feature_average_bits == busy.feature_average_bits
    tiles = seamless_tiles(shared, FLAT, 67), seamless_tiles(shared, BUSY, 67)
    together = list(zip(*tiles, strict=True))
    assert len(together) > 2
    for found in together:
        assert [part.feature_average_bits for part in found] == [flat.tile_bits[0][4], busy.tile_bits[0][4]]
        assert upscale(shared, BUSY[:30, :30]).feature_average_bits == busy.feature_average_bits
        for part, whole in zip(found, (flat, busy)):
            np.testing.assert_array_equal(part.pixels, whole.image[part.place(SCALE)])
    if kind == "model":
        going = seamless_tiles(shared, FLAT, 67)
        next(going)
        assert upscale(copy.deepcopy(shared), BUSY).feature_average_bits == busy.feature_average_bits
