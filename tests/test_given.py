"""What a model is given: images of its channels and its type, by one thread at a time."""

import copy
import pickle
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from adabm.errors import ImageError, NetworkError
from adabm.quantization.model import QuantizedSR
from adabm.recipes import calibrate
from helpers.configurations import configured
from helpers.tiny_networks import tiny


@pytest.fixture(scope="module")
def model() -> QuantizedSR:
    model = QuantizedSR(tiny("EDSR"), configured(clipping=False))
    calibrate(model, [pictures(4)])
    return model


def pictures(count: int) -> torch.Tensor:
    return torch.rand(count, 3, 9, 8, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(
    "images, told",
    [
        ((pictures(1) * 255).to(torch.uint8), r"torch\.uint8, the model computes in torch\.float32; give images\.to"),
        (pictures(1).double(), r"torch\.float64, the model computes in torch\.float32"),
        (pictures(1)[:, :1], r"shape \(N, 3, H, W\), got \(1, 1, 9, 8\)"),
        (pictures(1)[0], r"shape \(N, 3, H, W\), got \(3, 9, 8\)"),
        (pictures(1)[:0], r"empty, of shape \(0, 3, 9, 8\)"),
        (pictures(1)[..., :0], r"empty, of shape \(1, 3, 9, 0\)"),
        (pictures(1).numpy(), r"got a ndarray"),
    ],
)
@pytest.mark.parametrize("quantized", [True, False])
def test_other_images_are_refused_and_leave_no_trace(model, images, told, quantized):
    """EDSR keeps its mean as a plain tensor, which whole numbers would make zero for good."""
    expected = model(pictures(2))
    if quantized:
        with pytest.raises(ImageError, match=told):
            model(images)
    else:
        with model.full_precision(), pytest.raises(ImageError, match=told):
            model(images)
    assert torch.equal(model(pictures(2)), expected)


def test_a_second_thread_is_refused_while_a_pass_runs(model):
    model, reached, done = copy.deepcopy(model), threading.Event(), threading.Event()
    expected = model(pictures(2))

    def wait(*_: object) -> None:
        reached.set()
        assert done.wait(60)

    handle = model.network.body.register_forward_pre_hook(wait)
    with ThreadPoolExecutor(1) as thread:
        running = thread.submit(model, pictures(2))
        assert reached.wait(60)
        handle.remove()
        try:
            uses = [lambda: model(pictures(1)), model.full_precision().__enter__, model.visiting(print).__enter__]
            for use in uses:
                with pytest.raises(NetworkError, match="two threads use one model at once"):
                    use()
            for own in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
                assert torch.equal(own(pictures(2)), expected), "a copy is nobody else's"
        finally:
            done.set()
        assert torch.equal(running.result(), expected)
    assert torch.equal(model(pictures(2)), expected)


def test_a_pass_that_fails_leaves_the_model_to_others(model):
    model = copy.deepcopy(model)
    handle = model.network.body.register_forward_pre_hook(lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        model(pictures(1))
    handle.remove()
    with ThreadPoolExecutor(1) as thread:
        assert thread.submit(model, pictures(1)).result().shape == (1, 3, 36, 32)
