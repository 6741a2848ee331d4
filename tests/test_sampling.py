"""Choosing calibration pictures: each strategy where the answer is known, own strategies, misuse."""

import itertools
from functools import partial

import numpy as np
import pytest
import torch
from test_networks import tiny

from adabm.errors import ConfigError
from adabm.sampling import STRATEGIES, Pool, Statistics, adaptive_trace, select, strategy
from adabm.sampling.adaptive import adaptive

ALL = ("random", "stratified", "extremes", "diverse", "kmeans", "hardest", "single_scene", "adaptive")
PICTURE = np.zeros((4, 4, 3), np.uint8)


def noisy(strengths, seed: int = 0) -> list[np.ndarray]:
    """Pictures of different sizes, from flat to busy with the strength."""
    rng = np.random.default_rng(seed)
    sizes = [(12 + i % 3, 14 - i % 2) for i in range(len(strengths))]
    return [(128 + rng.normal(0, s, (*size, 3))).clip(0, 255).astype(np.uint8) for s, size in zip(strengths, sizes)]


def known(count: int, **given) -> Pool:
    """A pool of blank pictures with given statistics, others at random; its network cannot run."""
    rng = np.random.default_rng(0)
    scenes, errors = given.pop("scenes", None), given.pop("errors", None)
    arrays = dict(
        layers=np.array(["a", "b"]),
        complexities=rng.random(count),
        spreads=rng.random((count, 2)),
        ranges=np.stack([-rng.random((count, 2)), rng.random((count, 2))], 2),
        features=rng.random((count, 3)),
    )
    return Pool(
        [PICTURE] * count, torch.nn.Identity(), scenes, statistics=Statistics(**(arrays | given)), errors=errors
    )


@pytest.fixture
def registered():
    """Forget what a test registers."""
    before = dict(STRATEGIES)
    yield
    STRATEGIES.clear()
    STRATEGIES.update(before)


# -- strategies where the answer is known ----------------------------------------------------------


def test_extremes_alternate_between_flat_and_busy():
    pool = Pool(noisy([30, 1, 90, 10, 60]), tiny("EDSR"))
    assert select("extremes", pool, 2) == [1, 2]
    assert select("extremes", pool, 4) == [1, 2, 3, 4]
    assert select("extremes", pool, 5) == [1, 2, 3, 4, 0]


@pytest.mark.parametrize("seed", range(5))
def test_stratified_takes_one_picture_of_every_bin(seed):
    complexities = np.random.default_rng(1).permutation(40) ** 3.0
    chosen = select("stratified", known(40, complexities=complexities), 8, seed)
    ranks = np.argsort(np.argsort(complexities))
    bins = [int(ranks[i]) // 5 for i in chosen]
    assert sorted(bins) == list(range(8)) and bins != sorted(bins)
    assert len({int(ranks[i]) % 5 for i in chosen}) > 1  # any member of a bin, not always the least complex


def clusters(sizes: tuple[int, ...], seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Features in far apart groups, and the group of each picture."""
    rng = np.random.default_rng(seed)
    groups = np.repeat(np.arange(len(sizes)), sizes)
    return rng.normal(0, 10, (len(sizes), 4))[groups] + rng.normal(0, 0.05, (len(groups), 4)), groups


@pytest.mark.parametrize("name", ["diverse", "kmeans"])
def test_rare_groups_are_covered(name):
    features, groups = clusters((60, 20, 3, 2, 1))
    pool = known(86, features=features)
    covered = {seed: len(set(groups[select(name, pool, 5, seed)])) for seed in range(5)}
    assert set(covered.values()) == {5}
    assert all(len(set(groups[select("random", pool, 5, seed)])) < 5 for seed in range(5))


def test_diverse_takes_the_most_representative_first_and_no_chance():
    features, groups = clusters((60, 20, 3))
    pool = known(83, features=features)
    assert groups[select("diverse", pool, 1)[0]] == 0
    assert select("diverse", pool, 30, 0) == select("diverse", pool, 30, 1)
    assert select("diverse", pool, 10) == select("diverse", pool, 30)[:10]


def test_features_count_alike_whatever_their_scale():
    """A group that differs in a feature of small numbers is found beside one of large numbers that is noise."""
    rng = np.random.default_rng(0)
    small = np.where(np.arange(20) < 3, 1e-3, 0.0)
    pool = known(20, features=np.stack([small, 1e3 * rng.normal(size=20) * 0.1 + 1e6, np.full(20, 7.0)], 1))
    assert any(i < 3 for i in select("diverse", pool, 3))


@pytest.mark.parametrize("name", ["diverse", "kmeans", "stratified"])
def test_identical_pictures_are_not_repeated(name, recwarn):
    pool = known(6, features=np.ones((6, 3)), complexities=np.ones(6))
    assert sorted(select(name, pool, 6)) == list(range(6))
    assert not recwarn.list


def test_kmeans_takes_the_nearest_to_the_centre():
    features = np.array([[-1.0], [0.0], [0.9], [100.0], [101.2], [102.0]])
    assert set(select("kmeans", known(6, features=features), 2)) == {1, 4}


def test_hardest_orders_by_error():
    assert select("hardest", known(5, errors=np.array([3.0, 9.0, 1.0, 9.0, 4.0])), 4) == [1, 3, 4, 0]


def test_hardest_asks_the_network():
    images = noisy([1, 90, 30, 5])
    pool = Pool(images, tiny("EDSR"))
    assert select("hardest", pool, 4) == np.argsort(-pool.errors).tolist()


def test_single_scene_repeats_its_pictures_in_turn():
    scenes = ["a", "b", "a", "b", "a", "c", "c", "c"]
    pool, seen = known(8, scenes=scenes), set()
    for seed in range(12):
        chosen = select("single_scene", pool, 7, seed)
        (scene,) = {scenes[i] for i in chosen}
        seen.add(scene)
        size = scenes.count(scene)
        assert len(set(chosen)) == size and chosen[size:] == chosen[:-size]
    assert seen == {"a", "b", "c"}
    assert len(set(select("single_scene", pool, 2, 1))) == 2


def test_single_scene_needs_scenes():
    with pytest.raises(ConfigError, match=r"single_scene needs .* scenes=\["):
        select("single_scene", known(4), 2)


# -- adaptive --------------------------------------------------------------------------------------


def test_adaptive_stops_early_on_identical_pictures():
    pool = Pool([noisy([30])[0]] * 30, tiny("EDSR"))
    trace = adaptive_trace(pool)
    assert (
        select("adaptive", pool, 30) == trace.order[:4].tolist()
    )  # the first has nothing to compare with, three do not move
    assert trace.movements[0] == np.inf and (trace.movements[1:] < 1e-9).all() and len(trace.movements) == 30


@pytest.mark.parametrize("what", ["ranges", "complexities"])
def test_adaptive_goes_on_while_something_moves(what):
    """A pool in which one thing grows geometrically, in whatever order, and the other stays."""
    growth = 3.0 ** np.arange(20)
    constant = np.broadcast_to(np.array([-1.0, 1.0]), (20, 2, 2))
    given = dict(complexities=np.ones(20), ranges=constant)
    given[what] = growth if what == "complexities" else constant * growth[:, None, None]
    pool = known(20, **given)
    trace = adaptive_trace(pool, 20, tolerance=1e-3)
    still = trace.thresholds if what == "ranges" else trace.ranges
    assert (still[1:] < 1e-9).all() and trace.movements[1:].max() > 0.1
    assert trace.size == 20


def test_adaptive_stops_later_for_a_smaller_tolerance_or_more_patience():
    rng = np.random.default_rng(0)
    ranges = np.stack([-1 - 0.3 * rng.random((200, 6)), 1 + 0.3 * rng.random((200, 6))], 2)
    pool = known(
        200, layers=np.array(list("abcdef")), spreads=np.ones((200, 6)), ranges=ranges, complexities=5 + rng.random(200)
    )
    sizes = [adaptive_trace(pool, tolerance=t).size for t in (0.05, 0.02, 0.005)]
    assert 4 <= sizes[0] < sizes[1] < sizes[2] < 200
    assert adaptive_trace(pool, patience=10).size >= sizes[1] + 7
    trace = adaptive_trace(pool)
    assert (trace.movements[trace.size - 3 : trace.size] < 0.02).all() and trace.movements[trace.size - 4] >= 0.02


def test_adaptive_movements_by_hand():
    ranges = np.array([[[0.0, 1.0]], [[0.0, 2.0]], [[-3.0, 3.0]]])
    pool = known(
        3, layers=np.array(["a"]), spreads=np.ones((3, 1)), ranges=ranges, complexities=np.array([10.0, 20.0, 60.0])
    )
    seed = next(s for s in range(50) if adaptive_trace(pool, seed=s).order.tolist() == [0, 1, 2])
    trace = adaptive_trace(pool, seed=seed)
    # widths after two and three pictures: 1.5, then -1 to 2; thresholds 10 10, then 11 19, then 12 52
    assert trace.ranges.tolist() == pytest.approx([np.inf, 0.5 / 1.5, 1 / 3])
    assert trace.thresholds.tolist() == pytest.approx([np.inf, 9 / 8, 33 / 40])
    assert trace.size == 3 and trace.movements[1] == trace.thresholds[1]


def test_adaptive_stops_in_spite_of_one_unruly_layer_among_many():
    ranges = np.broadcast_to(np.array([-1.0, 1.0]), (20, 30, 2)).copy()
    given = dict(layers=np.arange(30).astype(str), spreads=np.ones((20, 30)), complexities=np.ones(20))
    ranges[:, 0] *= 3.0 ** np.arange(20)[:, None]
    assert adaptive_trace(known(20, ranges=ranges, **given)).size == 4
    ranges[:, :6] = ranges[:, :1]  # a fifth of the layers counts
    assert adaptive_trace(known(20, ranges=ranges, **given), tolerance=1e-3).size == 20


def test_adaptive_is_the_beginning_of_random_and_keeps_to_count(registered):
    pool = known(40)
    assert select("adaptive", pool, 12, 5) == select("random", pool, 12, 5)[: len(select("adaptive", pool, 12, 5))]
    assert len(select("adaptive", pool, 2)) == 2
    strategy("loose", description="at once", variable_size=True)(partial(adaptive, tolerance=10.0, patience=1))
    assert select("loose", pool, 40, 5) == select("random", pool, 2, 5)


# -- select ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ALL)
def test_the_seed_fixes_the_choice(name):
    pool = known(30, scenes=[f"scene {i % 4}" for i in range(30)], errors=np.arange(30.0))
    choices = [select(name, pool, 9, seed) for seed in (3, 3, 4)]
    assert choices[0] == choices[1] and all(type(i) is int for i in choices[0]) and len(choices[0]) <= 9
    assert (choices[0] == choices[2]) == (name in ("extremes", "diverse", "hardest"))


@pytest.mark.parametrize("name", sorted(set(ALL) - {"single_scene", "adaptive"}))
def test_all_pictures_or_one_can_be_chosen(name):
    pool = known(7, errors=np.arange(7.0))
    assert sorted(select(name, pool, 7)) == list(range(7))
    assert len(select(name, pool, 1)) == 1


def test_every_strategy_is_described():
    assert set(ALL) == set(STRATEGIES)
    assert all(entry.name == name and len(entry.description.split()) > 3 for name, entry in STRATEGIES.items())


def test_an_own_strategy(registered):
    @strategy("darkest", description="the darkest pictures")
    def darkest(pool, count, rng):
        return np.argsort([image.mean() for image in pool.images])[:count]

    images = [np.full((4, 4, 3), value, np.uint8) for value in (90, 10, 200, 40)]
    assert select("darkest", Pool(images, tiny("EDSR")), 2) == [1, 3]
    assert darkest(Pool(images, tiny("EDSR")), 1, None).tolist() == [1]
    with pytest.raises(ConfigError, match="'darkest' exists already"):
        strategy("darkest", description="again")
    strategy("darkest", description="again", replace=True)(darkest)
    assert STRATEGIES["darkest"].description == "again"
    with pytest.raises(ConfigError, match="needs a name"):
        strategy("", description="nameless")


@pytest.mark.parametrize(
    ("result", "options", "message"),
    [
        ([0, 1], {}, "returned 2 pictures instead of 3; register it with variable_size=True"),
        ([0, 1, 2, 3], dict(variable_size=True), "returned 4 pictures; expected 1 to 3"),
        ([], dict(variable_size=True), "returned 0 pictures; expected 1 to 3"),
        ([0, 1, 1], {}, "returned picture 1 more than once; register it with repeats=True"),
        ([0, 1, 5], {}, "returned the index 5; the pool has 0 to 4"),
        ([0, 1, -1], {}, "returned the index -1"),
        ([0, 1, 2.0], {}, "expected whole numbers"),
        (None, {}, "returned None; expected whole numbers"),
        ([True, False, 2], {}, "expected whole numbers"),
    ],
)
def test_what_a_strategy_returns_is_checked(registered, result, options, message):
    strategy("own", description="of a test", **options)(lambda pool, count, rng: result)
    with pytest.raises(ConfigError, match=f"strategy 'own' {message}" if "returned" in message else message):
        select("own", known(5), 3)


def darkening(pool, count, rng):
    pool.images[0][:] //= 2
    return range(count)


CALLS = itertools.count()


def turning(pool, count, rng):
    return np.roll(range(len(pool)), next(CALLS))[:count]


@pytest.mark.parametrize(
    ("own", "message"),
    [
        (darkening, "changes the pool's pictures"),
        (turning, "other pictures each time for the same seed"),
        (
            lambda pool, count, rng: np.random.permutation(len(pool))[:count],
            "other pictures each time for the same seed",
        ),
    ],
)
def test_a_strategy_that_changes_pictures_or_draws_elsewhere_is_refused(registered, own, message):
    np.random.seed(0)
    strategy("own", description="of a test")(own)
    with pytest.raises(ConfigError, match=f"strategy 'own' .*{message}"):
        select("own", Pool(noisy([30, 1, 90, 10, 60]), tiny("EDSR")), 3)


def test_what_options_allow(registered):
    strategy("own", description="of a test", variable_size=True, repeats=True)(
        lambda pool, count, rng: np.array([4, 4])
    )
    assert select("own", known(5), 3) == [4, 4]


def test_progress_is_told_of_each_pass():
    passes = []

    def watched(pictures, what):
        for done, picture in enumerate(pictures, 1):
            yield picture
            passes.append((what, done, len(pictures)))

    images = noisy([30, 1, 90])
    pool, silent = Pool(images, tiny("EDSR"), progress=watched), Pool(images, tiny("EDSR"))
    assert select("hardest", pool, 2) == select("hardest", silent, 2)
    told = ("looking at the pictures", "measuring quantization errors")
    assert passes == [(what, done, 3) for what in told for done in (1, 2, 3)]
    select("diverse", pool, 2)
    assert len(passes) == 6, "what was looked at is known"


def test_misuse_of_select():
    pool = known(5)
    with pytest.raises(ConfigError, match="unknown sampling strategy 'divers': did you mean 'diverse'"):
        select("divers", pool, 2)
    with pytest.raises(ConfigError, match="'qqq': known are random, stratified"):
        select("qqq", pool, 2)
    for count in (0, 6, -1, 2.0):
        with pytest.raises(ConfigError, match=rf"count = {count}: must be a whole number from 1 to 5"):
            select("random", pool, count)
    with pytest.raises(ConfigError, match="count = 6"):
        adaptive_trace(pool, 6)
    for seed in (-1, 0.5):
        with pytest.raises(ConfigError, match=rf"seed = {seed}: must be a whole number >= 0"):
            select("random", pool, 2, seed)


@pytest.mark.parametrize("name", ["random", "extremes", "diverse", "hardest", "single_scene", "adaptive"])
def test_fewer_pictures_are_the_beginning_of_more(name):
    pool = known(20, scenes=["a", "b"] * 10, errors=np.random.default_rng(2).random(20))
    many = select(name, pool, 15, 1)
    assert select(name, pool, 6, 1) == many[:6]
