"""What tunings gain on thresholds by quantiles at equal bits, network by network, and how sure that is."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from ..tables.wording import several
from .bit_loss_gains import at_equal_bits
from .bit_loss_measures import FACTORS, factors_at, thresholds
from .bit_loss_methods import MULTIPLIER, targeted
from .draws import drawn, one_sided
from .measured import signed
from .probing import psnr

_KINDS = ("fp", "truth")
_ALONE = " (which leave layers alone)"
MEAN = "mean of networks"
_ROUNDING = 1e-9  # bits


@dataclass(frozen=True)
class Gain:
    """What one tuning gains on one network, or in their mean, in dB at the first target.

    Attributes:
        runs: the gain of each seed, to the full-precision output; none of the mean.
        fp, truth: mean over seeds, to the full-precision output and to ground truth; with what draws make of them.
    """

    network: str
    method: str
    runs: tuple[float, ...]
    fp: float
    truth: float
    drawn_fp: np.ndarray
    drawn_truth: np.ndarray

    @property
    def sure(self) -> bool:
        return one_sided(self.drawn_fp)

    @property
    def helps(self) -> bool:
        """Whether it clearly gains."""
        return self.sure and self.fp > 0

    @property
    def helps_both(self) -> bool:
        """Whether it clearly gains to full precision and to ground truth."""
        return self.helps and one_sided(self.drawn_truth) and self.truth > 0


def gains(units: pd.DataFrame) -> list[Gain]:
    """Return what each method gains on quantiles at equal bits, at each network's first target, of those that have a gain in every run."""
    found = []
    for network, here in units.groupby("backbone", sort=False):
        here = here[here["target"] == here["target"].iloc[0]]
        fp, truth = (at_equal_bits(here, kind).pivot(index="seed", columns="method", values="gain") for kind in _KINDS)
        methods = [name for name in fp.columns if fp[name].notna().all()]
        draws = _drawn(here, methods)
        for place, method in enumerate(methods):
            means, runs = (float(fp[method].mean()), float(truth[method].mean())), tuple(fp[method])
            found.append(Gain(network, method, runs, *means, draws[:, place, 0], draws[:, place, 1]))
    return found


def in_the_mean(found: Sequence[Gain]) -> dict[str, Gain]:
    """Return the gains in the mean of the networks, by method; of those that have one on every network."""
    networks, means = {gain.network for gain in found}, {}
    for method in dict.fromkeys(gain.method for gain in found):
        of = [gain for gain in found if gain.method == method]
        if len(of) == len(networks):
            fp, truth = (float(np.mean([getattr(gain, kind) for gain in of])) for kind in _KINDS)
            draws = (np.mean([getattr(gain, f"drawn_{kind}") for gain in of], axis=0) for kind in _KINDS)
            means[method] = Gain(MEAN, method, (), fp, truth, *draws)
    return means


def _drawn(here: pd.DataFrame, methods: Sequence[str]) -> np.ndarray:
    """What draws of patches and seeds of one network make of the gains: (draws, methods, to full precision and to ground truth)."""
    columns = [f"factor {factor:+d}" for factor in FACTORS] + list(methods)
    wide = here.pivot_table(index=["seed", "dataset", "patch"], columns="method", values=["fab", *_KINDS])
    known = here[here["method"] == columns[0]].set_index(["seed", "dataset", "patch"])["complexity"]
    parts = [wide[name][columns].to_numpy() for name in ("fab", *_KINDS)]
    rows = np.hstack([known.reindex(wide.index).to_numpy()[:, None], parts[0], psnr(parts[1]), psnr(parts[2])])
    seeds = here["seed"].nunique()
    shown = rows.reshape(seeds, -1, rows.shape[1])
    dealt = _dealt(shown.shape[1])
    return drawn([shown], lambda rows: _gains(rows, dealt, len(columns)))[:, 0]


def _dealt(number: int) -> np.ndarray:
    """Which factor patches have in the order of their complexities, from -1 to 1 bit: (changes, patches, factors) of 0 and 1."""
    ranks = np.arange(number)
    chosen = [factors_at(ranks, *thresholds(ranks, change)) for change in np.linspace(-1, 1, 2 * number + 1)]
    return (np.array(chosen)[..., None] == np.array(FACTORS)).astype(float)


def _gains(rows: np.ndarray, dealt: np.ndarray, width: int) -> np.ndarray:
    """Gains on quantiles of the drawn patches, (methods, kinds), mean over seeds; NaN where a seed has bits that no quantiles have."""
    count, found = len(FACTORS), []
    for own in rows:
        own = own[np.argsort(own[:, 0], kind="stable"), 1:].reshape(len(own), 3, width)
        fab, *values = (np.tensordot(dealt, own[:, kind, :count], 2) / len(own) for kind in range(3))
        means = own[:, :, count:].mean(0)
        reached = means[0].clip(fab[0], fab[-1])
        beyond = np.where(np.abs(reached - means[0]) > _ROUNDING, np.nan, 0.0)  # no quantiles have these bits
        found.append([means[1 + kind] - np.interp(reached, fab, value) + beyond for kind, value in enumerate(values)])
    return np.mean(found, axis=0).T


def told_worth(found: Sequence[Gain]) -> str:
    """Tell on which networks tuning towards a target clearly gains on quantiles, to full precision and to ground truth."""
    networks: dict[str, list[Gain]] = {}
    for gain in found:
        if targeted(gain.method):
            networks.setdefault(gain.network, []).append(gain)
    several_networks = len(networks) > 1
    every = [name for name, of in networks.items() if all(gain.helps for gain in of)]
    told = []
    if every:
        of = [gain for name in every for gain in networks[name]]
        by = " by network and way of tuning" if len(every) > 1 else " by way of tuning"
        on = f" on {several(every)}" if several_networks else ""
        told.append(
            f"At equal bits any tuning towards a target clearly gains over quantiles{_ALONE}{on}: {_both(of)}{by if len(of) > 1 else ''}."
        )
    for name in [name for name in networks if name not in every]:
        alone = "" if told else _ALONE
        text = f"{'' if told else 'at equal bits '}{f'on {name} ' * several_networks}{_only(networks[name], alone)}"
        told.append(f"{text[0].upper()}{text[1:]}.")
    return " ".join(told)


def _only(of: Sequence[Gain], alone: str) -> str:
    """Which tunings of a network clearly gain, and which do not; or that none does."""
    helped, others = ([gain for gain in of if gain.helps == wanted] for wanted in (True, False))
    if not helped:
        return f"no tuning towards a target clearly gains over quantiles{alone}: {_both(of)}"
    gain = "gains" if len(helped) == 1 else "gain"
    return f"only {_methods(helped)} clearly {gain} over quantiles{alone}: {_both(helped)}; not {_methods(others)} ({_span(others, 'fp')} dB)"


def _methods(of: Sequence[Gain]) -> str:
    return several([short(gain.method) for gain in of])


def short(method: str) -> str:
    """How a sentence calls a way of tuning: ``weight 5``, ``the multiplier``."""
    return f"the {method}" if method == MULTIPLIER else method.rpartition(", ")[2]


def _both(of: Sequence[Gain]) -> str:
    return f"{_span(of, 'fp')} dB to the full-precision output and {_span(of, 'truth')} dB to ground truth"


def _span(of: Sequence[Gain], kind: str) -> str:
    values = sorted(getattr(gain, kind) for gain in of)
    return " to ".join(dict.fromkeys(signed(value, 1) for value in (values[0], values[-1])))
