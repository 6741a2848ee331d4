"""Draws of patches and seeds: between what ends a mean lies, and what is the same for all seeds."""

import numpy as np
import pytest

from adabm.study.answers.draws import drawn, drawn_means, ends, from_to, one_sided, with_ends

RNG = np.random.default_rng(0)


def mean(rows: np.ndarray) -> np.ndarray:
    return rows.mean((0, 1))


def test_draws_have_the_spread_of_the_mean():
    many = drawn([RNG.standard_normal((1, 100, 1))], mean)[:, 0, 0]
    few = drawn([RNG.standard_normal((1, 25, 1))], mean)[:, 0, 0]
    assert many.shape == (400,) and 0.07 < many.std() < 0.13 < few.std() < 0.3
    least, most = ends(many)
    assert np.isclose(((many >= least) & (many <= most)).mean(), 0.95, atol=0.01)


def test_patches_are_those_of_all_seeds():
    rows = np.stack([np.arange(10.0), -np.arange(10.0)])[
        ..., None
    ]  # what a patch does to one seed cancels in the other

    def sums(drawn_rows: np.ndarray) -> np.ndarray:
        return drawn_rows[0] + drawn_rows[-1] if (drawn_rows[0] != drawn_rows[-1]).any() else np.zeros((10, 1))

    assert (drawn([rows], sums) == 0).all()


def test_seeds_are_drawn_too():
    steady = drawn([np.tile(np.array([0.0, 1.0])[:, None, None], (1, 10, 1))], mean)
    assert set(np.unique(steady)) == {0.0, 0.5, 1.0}


def test_networks_of_other_sizes_stand_side_by_side():
    values = drawn([np.zeros((2, 3, 1)), np.ones((1, 7, 1))], mean)
    assert values.shape == (400, 2, 1) and (values.mean(0).ravel() == [0, 1]).all()


def test_how_ends_are_told():
    above = np.linspace(1.0, 2.0, 401)
    assert from_to(above) == "+1.02 to +1.98" and with_ends(1.5, above) == "+1.50 (+1.02 to +1.98)"
    assert with_ends(0.8, np.linspace(-0.0404, 1.6, 401), 1) == "+0.800 (+0.001 to +1.559)"
    assert from_to(np.linspace(-0.02, 1.6, 401), 1) == "+0.02 to +1.56"
    assert from_to(np.zeros(3), 1) == "+0.0 to +0.0"
    assert one_sided(above) and one_sided(-above) and not one_sided(above - 1.5)


@pytest.mark.parametrize("missing", [False, True])
def test_means_are_those_of_the_drawn_numbers(missing):
    rng = np.random.default_rng(0)
    networks = [rng.normal(size=(5, 8)), rng.normal(size=(1, 3))]
    if missing:
        networks[0][2, 5] = np.nan
    expected = drawn(networks, np.mean)
    assert (
        expected.shape == (400, 2) and 0 < np.isnan(expected).mean() < 0.5 if missing else np.isfinite(expected).all()
    )
    assert np.allclose(drawn_means(networks), expected, rtol=0, atol=1e-12, equal_nan=True)
