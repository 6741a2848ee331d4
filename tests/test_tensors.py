"""Pictures become batches of the type, place and range that a network wants."""

import numpy as np
import pytest
import torch

from adabm.pictures.tensors import to_batch

PICTURES = np.random.default_rng(0).integers(0, 256, (2, 5, 7, 3), dtype=np.uint8)


@pytest.mark.parametrize("value_range", [1.0, 255.0])
def test_values_and_layout(value_range):
    batch = to_batch(PICTURES, value_range)
    assert batch.shape == (2, 3, 5, 7) and batch.dtype == torch.float32 and batch.is_contiguous()
    for n, y, x, c in np.ndindex(PICTURES.shape):
        assert batch[n, c, y, x] == np.float32(PICTURES[n, y, x, c]) * np.float32(value_range / 255)
    assert torch.equal(batch, to_batch(list(PICTURES), value_range))


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16])
def test_like_another_tensor(dtype):
    batch = to_batch(PICTURES, 1.0, torch.zeros((), dtype=dtype))
    assert batch.dtype == dtype
    assert torch.allclose(batch.double(), to_batch(PICTURES, 1.0).double(), atol=0.004)


def test_fractions_and_views():
    views = PICTURES[:, ::-1, ::2]
    assert torch.equal(to_batch(views), torch.from_numpy(views.transpose(0, 3, 1, 2).copy()).float())
    assert torch.equal(to_batch(PICTURES / np.float32(2)), to_batch(PICTURES) / 2)
