"""The sentences about what fine-tuning makes of where thresholds start."""

from collections.abc import Mapping, Sequence

from ..tables.wording import least_to_most, several
from .significance import Difference, paired_difference, share_seeds
from .threshold_gains import Moved
from .threshold_starts import RELEASED
from .threshold_telling import NOTICEABLE


def tuned(found: Sequence[Moved], tunings: Mapping[str, str]) -> str:
    """Tell of other methods than the first what they span with the same starts, and what they make of the released start.

    Networks whose models a method clearly damages are left out of the spans.

    Args:
        tunings: by method, how it fine-tunes.
    """
    first = {(moved.network, moved.which): moved for moved in found if moved.name == found[0].name}
    texts = []
    for name in list(dict.fromkeys(moved.name for moved in found))[1:]:
        pairs = [
            (first[moved.network, moved.which], moved)
            for moved in found
            if moved.name == name and (moved.network, moved.which) in first
        ]
        how = f" ({tunings[name]})" if tunings.get(name) else ""
        changes = _changes(pairs)
        damaged = [network for network, change in changes.items() if change.sure and change.mean <= -NOTICEABLE]
        told = [_spanned(found[0].name, [pair for pair in pairs if pair[1].network not in damaged])]
        many = len({moved.network for _, moved in pairs}) > 1
        changed = [change.told() + f" on {network}" * many for network, change in changes.items()]
        told += [f"at the released start it changes PSNR by {several(changed)}"] if changed else []
        if damaged:
            models = f"models of {several(damaged)}" if many else "models"
            told.append(f"{models} are clearly damaged and left out of the spans")
        if any(told):
            texts.append(f'With the method "{name}"{how} {"; ".join(filter(None, told))}.')
    return " ".join(texts)


def _changes(pairs: Sequence[tuple[Moved, Moved]]) -> dict[str, Difference]:
    """What a method makes of the released start, by network."""
    at_released = {
        after.network: (after.values[RELEASED[after.which]], before.values[RELEASED[before.which]])
        for before, after in pairs
    }
    return {network: paired_difference(*pair) for network, pair in at_released.items() if share_seeds(*pair)}


def _spanned(first: str, pairs: Sequence[tuple[Moved, Moved]]) -> str:
    """What the same starts span, of images and of layers, and in how many cases that is less than with the first method."""
    spans = [(before.which, *_spans(before, after)) for before, after in pairs]
    parts = [
        f"{least_to_most([after for of, _, after in spans if of == which])} dB for {which} "
        f"({first}: {least_to_most([before for of, before, _ in spans if of == which])})"
        for which in dict.fromkeys(of for of, *_ in spans)
    ]
    if not parts:
        return ""
    less = sum(after < before for _, before, after in spans)
    cases = {0: "in no case less", len(spans): "less in every case"}.get(less, f"less in {less} of {len(spans)} cases")
    by_network = ", by network" * (len({moved.network for _, moved in pairs}) > 1)
    return f"the same starts span {several(parts)}{by_network}: {cases}"


def _spans(before: Moved, after: Moved) -> tuple[float, float]:
    """From the worst to the best of the starts that both have, in dB."""
    levels = before.psnr.index.intersection(after.psnr.index)
    starts = [start for start in before.starts if start in after.starts]
    values = [
        [*(moved.psnr[RELEASED[moved.which]] - moved.psnr[levels]), *(moved.starts[start].mean for start in starts)]
        for moved in (before, after)
    ]
    return tuple(max(lost) - min(lost) for lost in values)
