"""Rounding rules of weights, and the least squares that go before them."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from ..errors import ConfigError
from ..own_functions import codes_and_bias
from ..quantization.channel_weights import straight_through_codes
from ..support.registry import Registry

# f(weight (O, K), bias (O,), gram (K + 1, K + 1), step (O, 1), bits) -> (codes (O, K), bias): rounding of a layer's weight for
# inputs (with a one behind them, for the bias) of which ``gram`` is the mean outer product, its diagonal raised
ROUNDING_RULES = Registry("rounding rule", codes_and_bias, "codes shaped like the weight, and a bias")
_BLOCK = 64  # columns whose corrections are applied at once to the columns behind them
_BIAS_RIDGE = 1e-6  # against a column of ones


@ROUNDING_RULES.register("nearest")
def nearest(weight: Tensor, bias: Tensor, gram: Tensor, step: Tensor, bits: int) -> tuple[Tensor, Tensor]:
    """Each weight to the nearest code."""
    return straight_through_codes(weight / step, bits), bias


@ROUNDING_RULES.register("gptq")
def gptq(weight: Tensor, bias: Tensor, gram: Tensor, step: Tensor, bits: int) -> tuple[Tensor, Tensor]:
    """Column by column, each error made up for by the columns that are still to be rounded, the bias last and unrounded.

    Source: E. Frantar et al., "GPTQ: Accurate Post-Training Quantization for Generative Pre-trained Transformers", ICLR
    2023, section 3 (algorithm 1).
    """
    columns = weight.shape[1]
    values, codes = torch.cat([weight, bias[:, None]], 1), torch.empty_like(weight)
    with _solvable():
        inverse = torch.cholesky_inverse(torch.linalg.cholesky(gram))
        upper = torch.linalg.cholesky(inverse, upper=True)
    for begin in range(0, columns, _BLOCK):
        end = min(begin + _BLOCK, columns)
        block = values[:, begin:end].T.contiguous()
        errors, rows = torch.empty_like(block), upper[begin:end, begin:end]
        for index in range(end - begin):
            code = straight_through_codes(block[index] / step[:, 0], bits)
            errors[index] = (block[index] - code * step[:, 0]) / rows[index, index]
            codes[:, begin + index] = code
            block[index + 1 :].addr_(rows[index, index + 1 :], errors[index], alpha=-1)
        values[:, end:] -= errors.T @ upper[begin:end, end:]
    return codes, values[:, columns]


def ridged(gram: Tensor, ridge: float) -> Tensor:
    """Raise the diagonal of a Gram matrix (K + 1, K + 1) by ``ridge`` times its mean; the bias is almost free."""
    diagonal = gram.diagonal()[:-1].mean() * ridge
    raised = torch.full_like(gram.diagonal(), float(diagonal.clamp_min(torch.finfo(gram.dtype).tiny * 1e8)))
    raised[-1] = _BIAS_RIDGE
    return gram + torch.diag(raised)


def least_squares(weight: Tensor, bias: Tensor, inputs: Tensor, targets: Tensor, gram: Tensor) -> tuple[Tensor, Tensor]:
    """Move a weight (O, K) and a bias (O,) to where they give ``targets`` (n, O) from ``inputs`` (n, K + 1).

    Args:
        gram: of the inputs, its diagonal raised by what moving costs.
    """
    joined = torch.cat([weight, bias[:, None]], 1)
    residual = targets - inputs @ joined.T
    with _solvable():
        joined = joined + torch.linalg.solve(gram, inputs.T @ residual / len(inputs)).T
    return joined[:, :-1], joined[:, -1]


@contextmanager
def _solvable() -> Iterator[None]:
    try:
        yield
    except torch.linalg.LinAlgError:
        raise ConfigError(
            "round_weights.ridge is too small for these pictures, whose inputs of a layer are all alike; take a larger one, such "
            "as 1, or more and other pictures"
        ) from None
