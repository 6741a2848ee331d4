"""Whether a difference between two sets of seeds is more than their spread."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from scipy import stats

from ...errors import ConfigError
from ..tables.wording import SIGNIFICANT

_ROUNDING = 1e-9  # dB; less is how sums of equal values are rounded


@dataclass(frozen=True)
class Difference:
    """Mean of one sample minus the mean of another.

    Attributes:
        mean: the difference, in the samples' unit.
        spread: over seeds: root mean square of the two standard deviations (n - 1), or the standard deviation of paired
            differences; 0 where each has one value.
        p_value: of Welch's or the paired t-test, two-sided, not adjusted for other comparisons; NaN where a sample has fewer than two values or neither varies.
        seeds: values of the smaller sample, or pairs.
    """

    mean: float
    spread: float
    p_value: float
    seeds: int = 1

    @property
    def clear(self) -> bool:
        """Whether the difference exceeds the spread over seeds."""
        return bool(abs(self.mean) > self.spread)

    @property
    def sure(self) -> bool:
        """Whether the difference exceeds the spread over seeds and its p value is below 0.05: "clearly" is said of these alone.

        One that several seeds give alike has no p value, and is sure without: nothing is left in doubt.
        """
        return self.clear and (bool(self.p_value < SIGNIFICANT) or (self._untested_and_alike and self.seeds > 1))

    @property
    def _untested_and_alike(self) -> bool:
        """Whether there is no spread to tell of: of one seed, or of several that give the same."""
        return self.spread == 0 and bool(np.isnan(self.p_value))

    @property
    def certainty(self) -> str:
        """How sure the difference is: ``clearly``, ``not clearly``, ``within the spread over seeds``, or what seeds cannot tell."""
        if self._untested_and_alike:
            return "one seed" if self.seeds == 1 else "the same with every seed"
        return "clearly" if self.sure else "not clearly" if self.clear else "within the spread over seeds"

    def cells(self, test: str = "p") -> dict[str, str]:
        """Return the cells of a row of evidence; ``test`` heads the p value, which is empty where there is none."""
        p_value = "" if np.isnan(self.p_value) else f"{self.p_value:.2g}"
        return {"difference (dB)": f"{self.mean:+z.2f}", "spread over seeds (dB)": f"{self.spread:.2f}", test: p_value}

    def told(self, sign: int = 1) -> str:
        """Return ``+0.12 ± 0.03 dB``, without a spread where there is none; ``sign`` -1 is of the other against this one."""
        return f"{sign * self.mean:+z.2f}{self._beside()} dB"

    def amount(self) -> str:
        """Return :meth:`told` without its sign: ``0.12 ± 0.03 dB``."""
        return f"{abs(self.mean):.2f}{self._beside()} dB"

    def _beside(self) -> str:
        return "" if self._untested_and_alike else f" ± {self.spread:.2f}"

    def in_words(self) -> str:
        """Return e.g. ``+0.12 ± 0.03 dB, clearly`` or ``-0.01 ± 0.10 dB, within the spread over seeds``, for prose."""
        return f"{self.told()}, {self.certainty}"


def difference(sample: Sequence[float], reference: Sequence[float]) -> Difference:
    """Compare the values of two settings over seeds.

    >>> difference([2.0, 2.2], [1.0, 1.2]).in_words()
    '+1.00 ± 0.14 dB, clearly'
    """
    a, b = (np.asarray(values, dtype=float) for values in (sample, reference))
    variances = [float(x.var(ddof=1)) if len(x) > 1 else 0.0 for x in (a, b)]
    spread = _unrounded(np.sqrt(np.mean(variances)))
    testable = min(len(a), len(b)) > 1 and spread > 0
    p_value = float(stats.ttest_ind(a, b, equal_var=False).pvalue) if testable else float("nan")
    return Difference(_unrounded(a.mean() - b.mean()), spread, p_value, min(len(a), len(b)))


def paired_difference(sample: pd.Series, reference: pd.Series) -> Difference:
    """Compare two settings that share their seeds, value by value: what the seed does to both cancels.

    ``spread`` is the standard deviation (n - 1) of the differences, ``p_value`` that of the paired t-test.

    Args:
        sample, reference: values by seed; seeds that one of them lacks, or has NaN of, because it diverged there, are left out.

    Raises:
        ConfigError: no seed is in both.

    >>> paired_difference(pd.Series({0: 2.0, 1: 3.1, 2: 4.0}), pd.Series({0: 1.0, 1: 2.0, 2: 3.0})).in_words()
    '+1.03 ± 0.06 dB, clearly'
    """
    sample, reference = sample.dropna(), reference.dropna()
    shared = sample.index.intersection(reference.index)
    if shared.empty:
        raise ConfigError(
            f"seeds {list(sample.index)} and {list(reference.index)} have none in common; nothing can be paired"
        )
    a, b = (values.loc[shared].to_numpy(dtype=float) for values in (sample, reference))
    differences = a - b
    spread = _unrounded(differences.std(ddof=1)) if len(a) > 1 else 0.0
    p_value = float(stats.ttest_rel(a, b).pvalue) if spread > 0 else float("nan")
    return Difference(_unrounded(differences.mean()), spread, p_value, len(a))


def share_seeds(sample: pd.Series, reference: pd.Series) -> bool:
    """Whether :func:`paired_difference` has a seed to compare two settings with: not where each diverged with the other's."""
    return not sample.dropna().index.intersection(reference.dropna().index).empty


def _unrounded(value: float) -> float:
    """A difference or a spread, 0 where it is rounding alone."""
    return 0.0 if abs(value) < _ROUNDING else float(value)


def adjust(differences: Mapping[str, Difference]) -> dict[str, Difference]:
    """Return differences by name with p values adjusted for their number (Benjamini and Hochberg).

    What has no p value, as that of one seed or that several seeds give alike, is left as it is, and not counted.
    """
    p_values = adjusted([d.p_value for d in differences.values()])
    return {name: replace(d, p_value=p) for (name, d), p in zip(differences.items(), p_values)}


def adjusted(p_values: Sequence[float]) -> list[float]:
    """Adjust p values of several comparisons by Benjamini and Hochberg's false discovery rate; NaN stays."""
    values = np.asarray(p_values, dtype=float)
    known = ~np.isnan(values)
    if known.any():
        values[known] = stats.false_discovery_control(values[known])
    return values.tolist()
