"""The strategies that the study compares; each is a small function of (pool, count, rng)."""

import warnings

import numpy as np
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist

from ..errors import ConfigError
from .pool import Pool
from .registry import strategy


def standardized(features: np.ndarray) -> np.ndarray:
    """Return (n, d) features with mean 0 and standard deviation 1 over the pool; a constant one becomes 0."""
    spread = features.std(0)
    return (features - features.mean(0)) / np.where(spread > 0, spread, 1)


@strategy("random", description="pictures drawn at random")
def random(pool: Pool, count: int, rng: np.random.Generator) -> list[int]:
    """The beginning of a random order, so that fewer pictures are part of more."""
    return rng.permutation(len(pool))[:count].tolist()


@strategy("stratified", description="one random picture from each of equally filled bins of complexity")
def stratified(pool: Pool, count: int, rng: np.random.Generator) -> list[int]:
    """``count`` bins, in random order."""
    bins = np.array_split(np.argsort(pool.complexities, kind="stable"), count)
    return rng.permutation([rng.choice(members) for members in bins]).tolist()


@strategy("extremes", description="half the least and half the most complex pictures")
def extremes(pool: Pool, count: int, rng: np.random.Generator) -> list[int]:
    """Alternately the least and the most complex picture that is left, so that every calibration batch holds both."""
    order = np.argsort(pool.complexities, kind="stable")
    alternating = np.stack([order, order[::-1]], axis=1).ravel()  # each picture twice; the first half holds each once
    return alternating[:count].tolist()


@strategy(
    "diverse", description="pictures whose features represent those of the whole pool best (greedy facility location)"
)
def diverse(pool: Pool, count: int, rng: np.random.Generator) -> list[int]:
    """Add the picture that raises the sum over the pool of the similarity to the nearest chosen one most; no chance is involved.

    Similarity is the greatest distance in the pool minus the Euclidean distance of standardized features.
    """
    points = standardized(pool.features)
    distances = cdist(points, points)
    similarity = distances.max() - distances
    nearest, chosen = np.zeros(len(pool)), []
    for _ in range(count):
        gains = np.maximum(similarity - nearest, 0).sum(1)
        gains[chosen] = -1
        chosen.append(int(gains.argmax()))
        nearest = np.maximum(nearest, similarity[chosen[-1]])
    return chosen


@strategy("kmeans", description="the pictures nearest to the centres of as many k-means clusters of features")
def kmeans(pool: Pool, count: int, rng: np.random.Generator) -> list[int]:
    """In random order. Two centres get two pictures, at the least sum of squared distances, even if one is nearest to both."""
    from sklearn.cluster import KMeans  # takes a second, for this strategy alone
    from sklearn.exceptions import ConvergenceWarning

    points = standardized(pool.features)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # fewer distinct pictures than centres
        clusters = KMeans(count, n_init=4, random_state=int(rng.integers(2**31))).fit(points)
    _, chosen = linear_sum_assignment(cdist(clusters.cluster_centers_, points, "sqeuclidean"))
    return rng.permutation(chosen).tolist()


@strategy("hardest", description="the pictures of greatest error under uniform quantization, greatest first")
def hardest(pool: Pool, count: int, rng: np.random.Generator) -> list[int]:
    """By :attr:`Pool.errors`; no chance is involved."""
    return np.argsort(-pool.errors, kind="stable")[:count].tolist()


@strategy("single_scene", description="all pictures from one randomly chosen scene, a worst case", repeats=True)
def single_scene(pool: Pool, count: int, rng: np.random.Generator) -> list[int]:
    """In random order; too few of them are repeated in turn, where each repetition gives another random patch later.

    Raises:
        ConfigError: the pool does not know its scenes.
    """
    if pool.scenes is None:
        raise ConfigError(
            "single_scene needs to know which scene each picture shows: Pool(images, network, scenes=[...])"
        )
    scene = rng.choice(sorted(set(pool.scenes)))
    members = rng.permutation([index for index, name in enumerate(pool.scenes) if name == scene])
    return np.resize(members, count).tolist()
