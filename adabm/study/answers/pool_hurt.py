"""Which pools clearly hurt which method, and which to keep out, in short sentences."""

from collections.abc import Iterator, Sequence

from ..tables.wording import several
from .pool_losses import Lost
from .pool_outliers import ALONE, OUTLIERS, POOLS

_MOSTLY = 0.75  # of a loss
_RANGES = "mostly ranges"


def by(pools: Sequence[Lost], value: str) -> dict[str, list[Lost]]:
    """Sort pools out by an attribute, in their order."""
    grouped: dict[str, list[Lost]] = {}
    for lost in pools:
        grouped.setdefault(getattr(lost, value), []).append(lost)
    return grouped


def told_hurt(pools: Sequence[Lost], share: float) -> list[str]:
    """Tell which pools clearly hurt the first method, and by how much; then, apart, each other; ``share`` of the pictures are outliers."""
    if not pools:
        return ["No pool but photographs alone was measured, so that there is nothing to compare."]
    if all(lost.alone for lost in pools):
        return ["One seed cannot tell whether it matters what the calibration set holds."]
    if not any(lost.hurts for lost in pools):
        better = list(by([lost for lost in pools if lost.gains], "pool"))
        if better:
            verb = "is" if len(better) == 1 else "are"
            return [
                f"What the calibration set holds matters: {several(better)} {verb} clearly better than photographs alone, and no pool is clearly worse."
            ]
        return [
            f"What the calibration set holds hardly matters: no pool is clearly worse than photographs alone{_of_one_seed(pools)}."
        ]
    by_method = list(_hurt_by_method(pools, share))
    told = [["what the calibration set holds matters", *by_method[0]], *by_method[1:]]
    return [" ".join(f"{text[0].upper()}{text[1:]}." for text in texts) for texts in told]


def _of_one_seed(pools: Sequence[Lost]) -> str:
    """Name the methods of which one seed cannot tell that, where there are such."""
    alone = [series for series, here in by(pools, "series").items() if all(lost.alone for lost in here)]
    return f" (of {several(alone)} one seed cannot tell)" if alone else ""


def _hurt_by_method(pools: Sequence[Lost], share: float) -> Iterator[list[str]]:
    """Yield for each method which pools clearly hurt it, outliers and then domains, or that none does."""
    shared = False
    for series, here in by(pools, "series").items():
        outliers, alone = ([lost for lost in here if lost.pool in kinds] for kinds in (OUTLIERS, ALONE))
        mixed, tried = _hurting(outliers), _tried(here, pools)
        told = []
        if mixed:
            of_them = f" ({share:.0%} of them)" * (not shared)
            shared = True
            told.append(
                f"{several(mixed)} among the photographs{of_them} clearly {_hurt(outliers)} {series}, by {_span(outliers)} dB{tried}"
            )
        domains = [
            f"{pool} ({_span(of)} dB{_untried(of, here)})" for pool, of in by(alone, "pool").items() if _hurting(of)
        ]
        if domains:
            also = "also " * bool(mixed)
            told.append(
                f"in place of photographs, {several(domains)} {also}clearly {_hurt(alone)} {'it' if mixed else series + tried}"
            )
        if all(lost.alone for lost in here):
            told.append(f"one seed cannot tell whether a pool hurts {series}{tried}")
        elif not mixed and not domains:
            told.append(f"none of its pools clearly hurts {series}{tried}")
        yield told


def _hurt(pools: Sequence[Lost]) -> str:
    return "hurts" if len({lost.pool for lost in pools if lost.hurts}) == 1 else "hurt"


def _span(pools: Sequence[Lost]) -> str:
    """Least and most of the clear losses, in dB."""
    ends = sorted({f"{lost.loss.mean:.1f}" for lost in pools if lost.hurts}, key=float)
    return ends[0] if len(ends) == 1 else f"{ends[0]} to {ends[-1]}"


def _untried(of: Sequence[Lost], here: Sequence[Lost]) -> str:
    """Name the networks of a method that a pool was not tried on, or did not clearly hurt."""
    tried, hurt = ({lost.backbone for lost in some} for some in (of, [lost for lost in of if lost.hurts]))
    without = [name for name in by(here, "backbone") if name not in tried]
    unhurt = [name for name in by(here, "backbone") if name in tried - hurt]
    told = [f"not tried on {several(without)}"] if without else []
    told += [f"not clearly on {several(unhurt)}"] if unhurt else []
    return "".join(f", {text}" for text in told)


def _tried(here: Sequence[Lost], pools: Sequence[Lost]) -> str:
    """Name in brackets the pools and networks that one method was tried with, where they are not all that any was."""
    of = lambda some, value: list(by(some, value))
    kinds, networks = of(here, "pool"), of(here, "backbone")
    told = [f"only with {several(kinds)}"] if len(kinds) < len(of(pools, "pool")) else []
    told += [f"only on {several(networks)}"] if len(networks) < len(of(pools, "backbone")) else []
    return f" (tried {several(told)})" if told else ""


def _hurting(pools: Sequence[Lost]) -> list[str]:
    """Names of the pools that hurt, with their networks where not all suffer."""
    names: dict[str, list[str]] = {}  # by where
    for pool, of in by(pools, "pool").items():
        hurt = [lost.backbone for lost in of if lost.hurts]
        if hurt:
            names.setdefault(f" (on {several(hurt)})" if len(hurt) < len(of) else "", []).append(pool)
    return [several(some) + where for where, some in names.items()]


def blamed(hurt: Sequence[Lost]) -> str:
    """Whether clear losses come from ranges, from bits or from both, by what remains of their mean at the same bits for all."""
    loss, ranges = (sum(values) for values in zip(*[(lost.loss.mean, lost.alike.mean) for lost in hurt]))
    if ranges >= _MOSTLY * loss:
        return _RANGES
    return "mostly bits" if ranges <= (1 - _MOSTLY) * loss else "ranges and bits"


def advice(pools: Sequence[Lost], adaptive: Sequence[Lost]) -> str:
    """Which pools to keep out, what bears them, and whether the adaptive strategy is needed."""
    hurt = {series: {lost.pool for lost in here if lost.hurts} for series, here in by(pools, "series").items()}
    any_hurt = set().union(*hurt.values())
    better = list(by([lost for lost in pools if lost.gains], "pool"))
    if not pools:
        told = "measure other pools before one is chosen."
    elif all(lost.alone for lost in pools):
        told = "measure with several seeds before a pool is chosen."
    elif not any_hurt and better:
        told = f"calibrate with {' or '.join(better)}."
    elif not any_hurt:
        told = f"take the pictures that are at hand.{_at_equal_bits(pools, any_hurt).replace(', too', '')}"
    else:
        mixed, alone = ([name for name in kinds if name in any_hurt] for kinds in (OUTLIERS, ALONE))
        keep = [f"keep {several(mixed)} out of the calibration set"] if mixed else []
        listed = " or ".join(f"{name}{_why(name, pools)}" for name in alone)
        keep += [f"to upscale photographs calibrate on photographs, not on {listed}"] if alone else []
        told = f"{', and '.join(keep)}.{_at_equal_bits(pools, any_hurt)}"
        for series, pool_names in hurt.items():
            borne = any_hurt & {lost.pool for lost in pools if lost.series == series}
            if borne and not pool_names and not all(lost.alone for lost in pools if lost.series == series):
                told += f" {series} bears {several([p for p in POOLS if p in borne])}."
    if adaptive and not any(lost.gains for lost in adaptive) and not all(lost.alone for lost in adaptive):
        told += " A fixed number of random photographs does; the adaptive strategy is not needed."
    return told


def _why(pool: str, pools: Sequence[Lost]) -> str:
    """Why dark pictures alone hurt, where that is by ranges."""
    hurt = [lost for lost in pools if lost.pool == pool and lost.hurts and lost.alike is not None]
    dark = ALONE[pool] == ("night",) and hurt and blamed(hurt) == _RANGES
    return " (ranges of dark pictures are too narrow)" if dark else ""


def _at_equal_bits(pools: Sequence[Lost], any_hurt: set[str]) -> str:
    """Which further pools clearly hurt at the same bits for all alone, where ranges do it."""
    found = by([lost for lost in pools if lost.pool not in any_hurt and lost.hurts_alike], "pool")
    told = ""
    for pool, of in found.items():
        places = several([f"{lost.alike.mean:.2f} dB on {lost.backbone}" for lost in of])
        told += f" Keep {pool} out, too: with the same bits for all that clearly costs {places}."
    return told
