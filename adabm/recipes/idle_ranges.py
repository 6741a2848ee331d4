"""Ranges that a later step sets anew before any other has used them, and settings that change nothing but those."""

from collections.abc import Iterator, Mapping

from ..steps import Step

# Of this package's observers: those that take no percentile, and those whose range is the same at all bits.
OBSERVERS = ("minmax", "omse", "omse_absmax", "mse")
SAME_AT_ALL_BITS = ("minmax", "percentile")
# Steps that neither use the ranges that are there nor leave anything that depends on them; and those that do nothing but set ranges.
_KEEP_RANGES = ("map_bits", "deal_factors", "start_thresholds", "allocate_bits")
_SET_RANGES = ("calibrate", "search_bounds", "clip_outliers", "clip")
_ANEW = {
    "round_weights": "round_weights sets all ranges anew (round_weights.ranges)",
    "search_bounds": "search_bounds sets all ranges anew",
    "clip_outliers": "clip_outliers sets all activation ranges anew",
}


def idle_searches(steps: Mapping[str, Step]) -> Iterator[tuple[str, str]]:
    """Yield the steps, and their settings, whose ranges no step uses before they are set anew, and why."""
    calibrate = steps.get("calibrate")
    for name, by in _replaced(steps).items():
        # of weights by tensor it sets the ranges, too, which nothing but itself sets anew
        if name == "search_bounds" and (calibrate is None or calibrate.granularity == "tensor"):
            continue
        if name != "calibrate":
            yield from (
                (idle, _ANEW[by]) for idle in (name, *(f"{name}.{setting}" for setting in steps[name].settings))
            )


def idle_calibration(steps: Mapping[str, Step]) -> Iterator[tuple[str, str]]:
    """Yield the settings of ``calibrate`` that change nothing but ranges which are set anew, and why.

    ``patches`` is none of them: it saves time.
    """
    calibrate, by = steps.get("calibrate"), _replaced(steps).get("calibrate")
    if calibrate is None:
        return
    if calibrate.granularity == "tensor" and {calibrate.activation, calibrate.weight} <= {*SAME_AT_ALL_BITS}:
        yield "calibrate.weight_search", "ranges of calibrate.activation and calibrate.weight are the same at all bits"
    if by is None:
        return
    yield "calibrate.ema", _ANEW[by]
    if by == "round_weights":  # which takes the observers, for each layer's own bits
        yield "calibrate.weight_search", _ANEW[by]
        return
    weights = _weights_replaced(steps)
    if weights:
        yield "calibrate.weight", _ANEW["search_bounds"]
    if weights or (calibrate.granularity == "tensor" and calibrate.weight in SAME_AT_ALL_BITS):
        yield "calibrate.weight_search", _ANEW[by]
    rounding = steps.get("round_weights")
    if "allocate_bits" in steps or (rounding is not None and rounding.ranges):
        return  # which take the observer of activations
    yield "calibrate.activation", _ANEW[by]
    if weights or calibrate.granularity == "channel" or calibrate.weight in OBSERVERS:
        yield "calibrate.percentile", _ANEW[by]


def _replaced(steps: Mapping[str, Step]) -> dict[str, str]:
    """Return the steps whose activation ranges are set anew before any step has used them, and by which one."""
    unused: list[str] = []
    found: dict[str, str] = {}
    for name, step in steps.items():
        if name in ("search_bounds", "clip_outliers") or (name == "round_weights" and step.ranges):
            found |= dict.fromkeys(unused, name)
            unused = []
        if name in _SET_RANGES:
            unused.append(name)
        elif name not in _KEEP_RANGES:
            unused = []
    return found


def _weights_replaced(steps: Mapping[str, Step]) -> bool:
    """Whether ``search_bounds`` sets the ranges of weights anew, which are by tensor, before any step has used them."""
    names = list(steps)
    if "search_bounds" not in steps or steps["calibrate"].granularity != "tensor":
        return False
    between = names[names.index("calibrate") : names.index("search_bounds")]
    return all(name in (*_KEEP_RANGES, *_SET_RANGES) for name in between)
