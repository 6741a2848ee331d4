"""Where the levels of an activation quantizer lie in the codes of a byte, and what zero is there."""

from dataclasses import dataclass

CODES = 255  # the largest code


@dataclass(frozen=True)
class Grid:
    """The levels of a quantizer of ``bits`` bits on [lower, upper], as codes of a byte.

    Level k has the code ``offset + k``, and a code the value ``remainder + step * (code - zero)``. Convolutions fill up with
    ``zero`` at the border, the code next to the value 0; ``remainder`` is what is left of the difference.

    Attributes:
        near: whether ``remainder`` is at most half a step.
    """

    lower: float
    upper: float
    bits: int
    offset: int
    zero: int

    @property
    def step(self) -> float:
        """Difference of the values of two neighbouring codes."""
        return (self.upper - self.lower) / (2**self.bits - 1)

    @property
    def remainder(self) -> float:
        """Value of the code ``zero``."""
        return self.lower + self.step * (self.zero - self.offset)

    @property
    def near(self) -> bool:
        return abs(self.remainder) <= 0.5001 * self.step


def grid(lower: float, upper: float, bits: int) -> Grid:
    """Lay out the levels of up to 8 bits, with a code next to zero where there is room for one.

    >>> grid(-1.0, 2.0, 2)
    Grid(lower=-1.0, upper=2.0, bits=2, offset=0, zero=1)
    """
    most = CODES - (2**bits - 1)  # codes that the levels leave free
    below = round(-lower / ((upper - lower) / (2**bits - 1)))  # codes from the lowest level up to zero
    if below < 0:  # zero lies below the levels
        offset = min(-below, most)
        return Grid(lower, upper, bits, offset, max(offset + below, 0))
    return Grid(lower, upper, bits, 0, min(below, CODES))
