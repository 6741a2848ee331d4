"""Settings without any effect at the bits that are asked for."""

from collections.abc import Iterable, Iterator, Mapping

from ..full_precision import FULL_PRECISION_BITS
from ..steps import Step
from .idle_ranges import OBSERVERS

_BITS_OF = {"weights": "weight_bits", "activations": "activation_bits"}  # by the settings of allocate_by_gradient
_NO_WEIGHTS = "no weights are quantized at these bits"
_NO_ACTIVATIONS = "no activations are quantized at these bits"


def idle_at_bits(steps: Mapping[str, Step], bits: Mapping[str, object]) -> Iterator[tuple[str, str]]:
    """Yield each setting, and each step, that changes nothing at the bits, and why.

    Args:
        steps: by name, in their order.
        bits: as :attr:`adabm.QuantizationConfig.bits` has them.
    """
    weights, activations = _quantized(bits, "weight_bits"), _quantized(bits, "activation_bits")
    yield from _of_calibration(steps, bool(weights), bool(activations))
    if not weights:
        yield from _all_of(steps, "reconstruct", _NO_WEIGHTS)
        yield from _some_of(steps, "round_weights", ("by", "ridge", "repair", "rows"), _NO_WEIGHTS)
        yield from _some_of(steps, "refine", ("lr_steps", "lr_rounding", "lr_bias"), _NO_WEIGHTS)
    if not activations:
        yield from _all_of(steps, "clip_outliers", _NO_ACTIVATIONS)
        yield from _some_of(steps, "search_bounds", ("one_sided",), _NO_ACTIVATIONS)
        yield from _some_of(steps, "refine", ("lr_ranges",), _NO_ACTIVATIONS)
    else:
        yield from _of_outliers(steps, activations)
    yield from _of_bits_and_levels(steps, bits)


def _quantized(bits: Mapping[str, object], name: str) -> set[int]:
    """Return the bits, fewer than those of full precision, that layers have before any step changes them."""
    found = {bits[name], *([bits["fixed_bits"]] if bits["fully_quantized"] else [])}
    return {each for each in found if each < FULL_PRECISION_BITS}


def _of_calibration(steps: Mapping[str, Step], weights: bool, activations: bool) -> Iterator[tuple[str, str]]:
    calibrate = steps.get("calibrate")
    if calibrate is None:
        return
    if not weights:
        yield "calibrate.weight", _NO_WEIGHTS
    if not activations:
        yield "calibrate.activation", _NO_ACTIVATIONS
        yield "calibrate.ema", _NO_ACTIVATIONS
    if not weights and (not activations or calibrate.activation in OBSERVERS):
        yield "calibrate.percentile", _NO_WEIGHTS
    elif not activations and (calibrate.granularity == "channel" or calibrate.weight in OBSERVERS):
        yield "calibrate.percentile", _NO_ACTIVATIONS
    if not (weights or activations):
        yield "calibrate.weight_search", _NO_WEIGHTS


def _of_outliers(steps: Mapping[str, Step], activations: Iterable[int]) -> Iterator[tuple[str, str]]:
    """Of the shares outside, that of bits which no layer has; steps that change bits may give a layer any."""
    if not any(name in steps for name in ("map_bits", "allocate_bits", "allocate_by_gradient")):
        if all(each >= 8 for each in activations):
            yield from _some_of(steps, "clip_outliers", ("outliers",), "no layer has activations of less than 8 bits")
        if all(each < 8 for each in activations):
            yield from _some_of(
                steps, "clip_outliers", ("outliers_8_bits",), "no layer has activations of 8 bits or more"
            )


def _of_bits_and_levels(steps: Mapping[str, Step], bits: Mapping[str, object]) -> Iterator[tuple[str, str]]:
    """Steps that look at the layers of base bits alone."""
    base, by_gradient = bits["activation_bits"], steps.get("allocate_by_gradient")
    if base == FULL_PRECISION_BITS:
        why = f"activation_bits is {base}"
        yield from _all_of(steps, "allocate_bits", why)
        yield from _all_of(steps, "choose_levels", why)
    elif "choose_levels" in steps:
        from ..steps.choose_levels import universal_set

        if 2**base >= len(universal_set()):
            why = f"activations of {base} bits have all levels of the universal set"
            yield from _some_of(steps, "choose_levels", steps["choose_levels"].settings, why)
    if by_gradient is not None:
        yield from _of_gradients(steps, bits, by_gradient)


def _of_gradients(steps: Mapping[str, Step], bits: Mapping[str, object], step: Step) -> Iterator[tuple[str, str]]:
    """Of a step that changes few bits alone, unless a setting of its own says that it does not."""
    from ..steps.allocate_by_gradient import MOST_BITS

    many = {setting for setting in ("weights", "activations") if bits[_BITS_OF[setting]] >= MOST_BITS}
    why = f"bits of {MOST_BITS} and more stay as they are"
    if len(many) == 2:
        yield from _all_of(steps, "allocate_by_gradient", why)
    elif all(setting in many for setting in ("weights", "activations") if getattr(step, setting)):
        idle = (setting for setting in step.settings if setting not in _BITS_OF or setting in many)
        yield from _some_of(steps, "allocate_by_gradient", idle, why)


def _all_of(steps: Mapping[str, Step], name: str, why: str) -> Iterator[tuple[str, str]]:
    if name in steps:
        yield name, why
        yield from _some_of(steps, name, steps[name].settings, why)


def _some_of(steps: Mapping[str, Step], name: str, settings: Iterable[str], why: str) -> Iterator[tuple[str, str]]:
    if name in steps:
        yield from ((f"{name}.{setting}", why) for setting in settings)
