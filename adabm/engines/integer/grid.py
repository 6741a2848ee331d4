"""Where the levels of an activation quantizer lie in the codes of a byte, and what zero is there."""

from dataclasses import dataclass

CODES = 255  # the largest code


@dataclass(frozen=True)
class Grid:
    """The levels of a quantizer of ``bits`` bits on [lower, upper], as every ``multiple``-th code of a byte.

    Level k has the code ``offset + k * multiple``, and a code the value ``remainder + step * (code - zero)``. Taking as
    many codes as there are puts one of them, ``zero``, within half of such a small step of the value 0, with which
    convolutions fill up at the border; ``remainder`` is what is left of the difference.

    Attributes:
        near: whether ``remainder`` is at most half a step; else the border has to be made up for.
    """

    lower: float
    upper: float
    bits: int
    multiple: int
    offset: int
    zero: int

    @property
    def levels(self) -> int:
        """2 to the power of ``bits``."""
        return 2**self.bits

    @property
    def step(self) -> float:
        """Difference of the values of two neighbouring codes."""
        return (self.upper - self.lower) / (self.levels - 1) / self.multiple

    @property
    def remainder(self) -> float:
        """Value of the code ``zero``."""
        return self.lower + self.step * (self.zero - self.offset)

    @property
    def near(self) -> bool:
        return abs(self.remainder) <= 0.5001 * self.step


def grid(lower: float, upper: float, bits: int) -> Grid:
    """Lay the levels out, as far apart as leaves a code for zero, of up to 8 bits.

    >>> grid(-1.0, 2.0, 2)
    Grid(lower=-1.0, upper=2.0, bits=2, multiple=85, offset=0, zero=85)
    """
    steps = 2**bits - 1
    for multiple in range(CODES // steps, 0, -1):
        below = round(-lower / ((upper - lower) / steps / multiple))  # codes from the lowest level up to zero
        offset, zero = max(-below, 0), max(below, 0)
        if max(offset + steps * multiple, zero) <= CODES:
            return Grid(lower, upper, bits, multiple, offset, zero)
    return Grid(lower, upper, bits, CODES // steps, 0, 0 if lower > 0 else CODES)
