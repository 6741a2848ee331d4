"""The models that the question ``thresholds`` compares: percentiles, and starts that follow none."""

from collections.abc import Iterator, Mapping, Sequence

from ..plan.options import check_choices
from ..running.bench import Trial
from .asked import Asked

IMAGES, LAYERS = "images", "layers"
PERCENTILE, START = "percentile", "start"  # variables of the table
RELEASED = {IMAGES: 10, LAYERS: 30}
_ALWAYS = (0, *RELEASED.values())
RANDOM, CONSTANT = "random", "constant 15 to 50"
ALIKE = {-1: "all one bit fewer", 0: "all at the base bits", 1: "all one bit more"}  # by the factor of every image
_SETTINGS = {IMAGES: "map_bits.image_percentile", LAYERS: "map_bits.layer_percentile"}
_EXTREMES = {_SETTINGS[IMAGES]: 0.0}
# What each changes. Round numbers serve as constants, near which the released percentiles of natural pictures lie; no image is
# below -1 or above 1000.
_STARTS: dict[str, dict[str, dict[str, object]]] = {
    IMAGES: {
        RANDOM: _EXTREMES | {"start_thresholds": {}},
        CONSTANT: {"start_thresholds": {"at": (15.0, 50.0)}},
        ALIKE[-1]: {"start_thresholds": {"at": (1000.0, 1001.0)}},
        ALIKE[0]: {"start_thresholds": {"at": (-1.0, 1000.0)}},
        ALIKE[1]: {"start_thresholds": {"at": (-2.0, -1.0)}},
    },
    LAYERS: {RANDOM: {"deal_factors": {"by": "random"}}},
}
STARTS = list(_STARTS[IMAGES])


def trials(
    network: Asked, percentiles: Sequence[int], starts: Sequence[str], count: int, methods: Mapping[str, Mapping]
) -> list[Trial]:
    """Return the models of a network: the start of images' thresholds, then that of layers' factors, moved with all else as released.

    Args:
        percentiles: below 50; 0, the extremes of what calibration saw, and the released ones are there in any case.
        starts: that follow no percentile, of :data:`STARTS`; layers have ``random`` alone, which deals the released factors to
            other layers, since the extremes are their constant: all layers at the same bits.
        count: random calibration pictures, others for each seed.
        methods: by name, see :func:`.asked.open_asked`; ``percentiles`` and ``starts`` limit one to some of those given.

    Raises:
        ConfigError: an unknown start, or a method is limited to a percentile or start that none of its networks has.
    """
    check_choices("starts", starts, STARTS)
    found = []
    for name, method in network.methods(methods).items():
        moved = [
            network.levels("percentiles", percentiles, name, methods, _ALWAYS),
            network.levels("starts", starts, name, methods),
        ]
        for which in _STARTS:
            for variable, level, changed in _levels(which, *moved):
                for run in network.runs({**method, "changes": {**method.get("changes", {}), **changed}}):
                    chosen = network.bench.choose("random", count, run)
                    found.append(Trial(f"{which}, {name}", variable, level, run, chosen, method.get("run", True)))
    return found


def _levels(which: str, percentiles: Sequence[int], starts: Sequence[str]) -> Iterator[tuple[str, str, dict]]:
    """Variable and level of the table, and what they change."""
    for level in sorted({0, *percentiles, RELEASED[which]}):
        yield PERCENTILE, f"{level:g}", {_SETTINGS[which]: float(level)}
    for start in starts:
        if start in _STARTS[which]:
            yield START, start, _STARTS[which][start]
