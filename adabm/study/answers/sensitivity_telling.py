"""Sentences on the sensitivity of layers: what ranks them, where ranks fail, by what to deal bits and at what price."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from ..tables.wording import several
from .draws import DRAWN, from_to, one_sided, with_ends
from .measured import signed
from .ranking import is_clear
from .sensitivity_gains import Drawn, as_good, by_network, mean_of_networks
from .sensitivity_measures import LOCAL, ORACLE, OWN

_LITTLE = 0.3  # rank correlation
_NOTICED = 0.05  # dB


def told_ranks(names: list[str], agreed: pd.Series, own: pd.Series, more: Mapping[str, np.ndarray]) -> str:
    """How well the standard deviation ranks layers, and what does it better.

    Args:
        names: of the measures that do it best.
        agreed: rank correlations by measure, means of networks.
        own: that of the standard deviation, by network.
        more: draws of each measure's advantage over the standard deviation.
    """
    if names[0] == OWN:
        return (
            "A layer's bits should follow the standard deviation of its input, as AdaBM's do: nothing tells better which layers need "
            f"bits (rank correlation {agreed[OWN]:.2f})."
        )
    where, ranks = "", f"rank correlation {agreed[OWN]:.2f}"
    told = list(own[own >= _LITTLE].index)
    if len(told) < len(own):
        where = f" on {several(told)} alone" if told else ""
        ranks += f" in the mean, there {several([f'{own[name]:.2f}' for name in told])}" if told else ""
    hardly = "" if told else "hardly "
    sure = all(is_clear(more[name]) for name in names)
    others, verb = several(names), "tell" if len(names) > 1 else "tells"
    ends = several([from_to(more[name]) for name in names])
    better = "clearly better" if sure else "better, but not clearly"
    reached = several([f"{agreed[name]:.2f}" for name in names])
    return (
        f"AdaBM's standard deviation {hardly}tells{where} which layers need bits ({ranks}). "
        f"{others[:1].upper()}{others[1:]} {verb} it {better} ({reached}; in 95 % of draws of layers by {ends} more)."
    )


def told_hardly(name: str, ranks: pd.Series, gains: pd.Series, few: Mapping[str, str]) -> str:
    """Tell on which networks even the best measure hardly ranks layers, where it does on others, and what bits by it gain there.

    Args:
        ranks, gains: rank correlations of that measure and what it gives over equal bits (dB to full precision), by network.
        few: of networks that rest on few patches, how many.
    """
    weak = list(ranks.index[ranks < _LITTLE])
    if not weak or len(weak) == len(ranks):
        return ""
    reached, paid = (
        several([form(network) for network in weak])
        for form in (lambda network: f"{ranks[network]:.2f}", lambda network: signed(gains[network]))
    )
    surprising = min(gains[network] for network in weak) > 0
    told = "the standard deviation" if name == OWN else name
    linked, unexplained = ("and yet", "; why is not explained") if surprising else ("and", "")
    resting = "".join(
        f" (on {few[network]}{' of ' + network if len(weak) > 1 else ''})" for network in weak if network in few
    )
    return f" On {several(weak)} even {told} hardly ranks them ({reached}), {linked} bits dealt by it give {paid} dB there{resting}{unexplained}."


def told_not_most(fp: pd.Series, winner: str) -> str:
    """Explain why bits by a measure can gain more than those by the known worth, where they do."""
    if fp[winner] <= fp[ORACLE]:
        return ""
    less = "less" if fp[winner] - fp[ORACLE] >= _NOTICED else "no more"
    return (
        f" Bits by the known worth gain {less} than by {winner} ({signed(fp[ORACLE])} against {signed(fp[winner])} dB): what is known is the worth "
        "in each layer alone, not how layers act together."
    )


def told_practice(
    gained: pd.DataFrame, drawn: Drawn, winner: str, rivals: Sequence[str], few: Mapping[str, str]
) -> str:
    """By what to deal the bits of layers, and what that gains over the same bits for all.

    Args:
        gained, drawn: what measures give; of the standard deviation and the advised ones, what draws make of it.
        rivals: as good as the winner; advised beside it where each of them clearly gains on every network.
        few: of networks that rest on few patches, how many.
    """
    rivals = rivals if all(_gains_everywhere(drawn[way]) for way in [winner, *rivals]) else []
    fp, ways = mean_of_networks(gained, ["to_fp_db"])["to_fp_db"], [winner, *rivals]
    if fp[winner] <= 0:
        told = f"Give all layers the same bits: {winner} does best, and against them gives {_over_same(gained, winner, fp)}"
        ways = [winner]
    elif winner == OWN:
        told = f"Deal the bits of layers by the standard deviation: over the same bits for all it gives {_over_same(gained, OWN, fp)}"
        ways = [OWN]
    elif by_network(gained, OWN, "to_fp_db").min() > 0 and as_good(gained, OWN, winner):
        told = (
            "The standard deviation, which needs no backward pass, is good enough: over the same bits for all it gives "
        )
        told += f"{_over_same(gained, OWN, fp)}, {winner} {signed(fp[winner])} dB"
        ways = [OWN, winner]
    else:
        told, does = f"Deal the bits of layers by {' or '.join(ways)}{_price(ways)}", _where_it_does(gained, drawn)
        told += f"{'' if does else ', not by the standard deviation'}: over the same bits for all {'they give' if rivals else 'it gives'} "
        told += f"{several([_over_same(gained, way, fp) for way in ways])}{_doubt(drawn, ways, few)}"
        told += does or f", the standard deviation {_over_same(gained, OWN, fp)}"
        ways = [*ways, OWN]
    return f"{told}. This is PSNR to the full-precision output; to ground truth it is {_to_truth(gained, drawn, ways)}."


def _price(ways: Sequence[str]) -> str:
    """Which of some measures need backward passes."""
    costly = [way for way in ways if way not in LOCAL]
    if not costly:
        return ""
    need = f"need{'s' if len(costly) == 1 else ''} backward passes"
    return f" ({'which' if costly == list(ways) else several(costly)} {need})"


def _gains_everywhere(draws: Mapping[str, np.ndarray]) -> bool:
    """Whether bits by a measure clearly gain to the full-precision output on every network."""
    return all(is_clear(values[:, 0]) for values in draws.values())


def _doubt(drawn: Drawn, ways: Sequence[str], few: Mapping[str, str]) -> str:
    """On which networks what some measures give is not clear, and which of several rest on few patches."""
    networks = drawn[ways[0]]
    doubtful = [name for name in networks if not all(one_sided(drawn[way][name][:, 0]) for way in ways)]
    told = f",{f' on {several(doubtful)}' if len(networks) > 1 else ''} not clearly" if doubtful else ""
    resting = [f"on {name} from {few[name]} alone" for name in networks if name in few and len(networks) > 1]
    return told + (f", {several(resting)}" if resting else "")


def _where_it_does(gained: pd.DataFrame, drawn: Drawn) -> str:
    """On which of several networks bits by the standard deviation clearly lose, and on which not; nothing where they lose on none."""
    own = by_network(gained, OWN, "to_fp_db")
    loses = [name for name, values in drawn[OWN].items() if own[name] < 0 and one_sided(values[:, 0])]
    if not loses or len(own) == 1:
        return ""
    listed = lambda names: f"on {several(names)} ({several([signed(own[name]) for name in names])} dB)"
    others = [name for name in drawn[OWN] if name not in loses]
    return f". The standard deviation does {f'{listed(others)}, ' if others else ''}not {listed(loses)}"


def _to_truth(gained: pd.DataFrame, drawn: Drawn, ways: Sequence[str]) -> str:
    """What bits by some measures give to ground truth, with what draws make of it."""
    truth = mean_of_networks(gained, ["truth_db"])["truth_db"]
    draws = {way: np.mean([values[:, 1] for values in drawn[way].values()], axis=0) for way in ways}
    return f"{several([with_ends(truth[way], draws[way]) for way in ways])} dB ({DRAWN})"


def _over_same(gained: pd.DataFrame, name: str, fp: pd.Series) -> str:
    """What bits by a measure gain to the full-precision output, from the least to the most of networks, or of one network's seeds."""
    of, by = by_network(gained, name, "to_fp_db"), "network"
    if len(of) == 1:
        of, by = gained.loc[gained["measure"] == name, "to_fp_db"], "seed"
    return f"{signed(fp[name])} dB" + (f" ({signed(of.min())} to {signed(of.max())} by {by})" if len(of) > 1 else "")
