"""How tables call the ways of meeting a budget of bits."""

AS_CALIBRATED, MULTIPLIER = "as calibrated", "multiplier"
QUANTILES, OWN_QUANTILES = "quantiles of the calibration pictures", "quantiles of the set's own pictures"
RELEASED_WEIGHT = 50


def loss_of(weight: float) -> str:
    """How a weight of the bit loss is called in tables."""
    return f"bit loss, weight {weight:g}"


RELEASED = loss_of(RELEASED_WEIGHT)


def weighted(method: str) -> bool:
    """Whether a method tunes with the bit loss."""
    return method.startswith("bit loss, ")


def targeted(method: str) -> bool:
    """Whether a method tunes towards a target."""
    return method == MULTIPLIER or (weighted(method) and method != loss_of(0))
