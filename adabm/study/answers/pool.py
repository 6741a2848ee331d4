"""How sensitive is the result to the calibration set?"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from ..pages.pool_figures import plot_pools
from ..plan.cells import Run
from ..plan.options import check_choices, check_keys
from ..running.at_once import at_once
from ..running.bench import Bench
from ..running.networks import Unit
from ..tables.conclusion import answer, evidence, practice
from ..tables.networks import named
from ..tables.question import Question
from ..tables.wording import several
from .asked import check_all_asked, check_backbones, check_known, check_seeds, union
from .diverged import check_measured, tell_diverged
from .pool_hurt import advice, blamed, by, told_hurt
from .pool_losses import Lost, clear, compared, differs, variable
from .pool_measures import ALIKE, quality
from .pool_outliers import ADAPTIVE, ALONE, CLEAN, OUTLIERS, POOLS, calibration
from .probing import Probe, mapping_table

QUESTION = Question(
    "pool",
    17,
    "How sensitive is the result to the calibration set?",
    "Photographs to calibrate on, some or all of them replaced: by drawings, text, noise or night (the photographs darkened), or by documents "
    "(drawings and text); and photographs chosen by the adaptive strategy. What is upscaled are photographs always. No model is fine-tuned.",
    "PSNR lost against a pool of photographs alone, by what else the pool holds",
)


def measure(
    units: Sequence[Unit], pools: Sequence[str], methods: Mapping[str, Mapping], number: int, share: float, folder: Path
) -> pd.DataFrame:
    """Return the question's table: PSNR to ground truth on patches and FAB, by network, method, bits, pool and seed.

    Args:
        units: networks and seeds; a network may have ``pools`` of its own.
        pools: of ``POOLS``; photographs alone, the reference, come first in any case.
        methods: by series: ``method`` and, where they differ, ``changes``; ``backbones`` (names of the files), ``pools``
            and ``seeds``, which limit it to some of them.
        number: calibration pictures; the adaptive strategy takes as many as it needs.
        share: of the pictures that outliers replace.
        folder: where outliers are written, those of a unit in a folder of its own.

    Raises:
        ConfigError: a pool or network is unknown or not asked for, a network has no method, or an entry's keys are wrong.
    """
    _check(units, pools, methods)
    given = (pools, methods, number, share)
    found = at_once(_rows, [(unit.bench, unit, *given, folder / str(place)) for place, unit in enumerate(units)])
    full = {key: value for _, of_unit in found for key, value in of_unit.items()}
    return mapping_table(QUESTION.id, [row for rows, _ in found for row in rows], full)


def _rows(
    bench: Bench,
    unit: Unit,
    pools: Sequence[str],
    methods: Mapping[str, Mapping],
    number: int,
    share: float,
    folder: Path,
) -> tuple[list[dict], dict[tuple[str, str], float]]:
    """Return the rows of one network and seed, and PSNR in full precision by network and set.

    Args:
        folder: of this unit alone, where outliers are written.
    """
    rows, full, network = [], {}, bench.backbone.stem
    folder.mkdir(parents=True, exist_ok=True)
    for series, method in methods.items():
        if network not in method.get("backbones", [network]) or unit.seed not in method.get("seeds", [unit.seed]):
            continue
        run = Run.at(method["method"], unit.setting, unit.seed, method.get("changes"))
        wanted = [pool for pool in unit.own.get("pools", pools) if pool in method.get("pools", POOLS)]
        for pool in dict.fromkeys([CLEAN, *wanted]):
            chosen = calibration(bench, run, pool, number, share, folder)
            where = dict(backbone=network, setting=unit.setting, series=series, level=pool, seed=unit.seed)
            for found in Probe(bench, run, chosen).found(quality, unit.side, unit.patches)["rows"]:
                told = dict(variable=variable(found["bits"]), dataset=found["dataset"], pictures=found["patches"])
                told |= dict(psnr_y_db=found["psnr_y_db"], fab=found["fab"], calibration_pictures=len(chosen))
                rows.append(where | told)
                full[network, found["dataset"]] = found["full_db"]
    return rows, full


def _check(units: Sequence[Unit], pools: Sequence[str], methods: Mapping) -> None:
    check_choices("pools", pools, POOLS)
    networks = {unit.bench.backbone.stem for unit in units}
    for unit in units:
        check_choices(f"backbones, {unit.bench.backbone.stem}: pools", unit.own.get("pools", ()), POOLS)
    for name, method in methods.items():
        check_keys(f"methods, {name}", method, ["method"], ["changes", "backbones", "pools", "seeds"])
        check_backbones(f"methods, {name}", method, networks)
        check_choices(f"methods, {name}: pools", method.get("pools", ()), POOLS)
        own = [unit for unit in units if unit.bench.backbone.stem in method.get("backbones", networks)]
        there = union([[CLEAN], *(unit.own.get("pools", pools) for unit in own)])
        check_known(f"methods, {name}: pools", method.get("pools", ()), there)
        check_seeds(f"methods, {name}", method.get("seeds", ()), {unit.seed for unit in own})
    check_all_asked(units, methods)


def figures(table: pd.DataFrame) -> dict[str, Figure]:
    """Draw what each pool loses, by network: at the method's own bits, and where all images and layers have the same bits.

    Pools of methods beside the first, of which there are few, stand below those of the first and have its name.
    """
    check_measured(table)
    rows, found = [], compared(_named(table))
    for lost in sorted(found, key=lambda lost: lost.series != found[0].series):
        other = lost.series != found[0].series
        if other and lost.pool == CLEAN:
            continue
        kinds = {f"{_heading(found)}bits as mapped": lost.loss, f"{_heading(found)}{ALIKE}": lost.alike}
        pool = f"{lost.pool}, {lost.series}" if other else lost.pool
        for column, loss in kinds.items():
            if loss is not None:
                fab = f"FAB {lost.fab:.2f}" if loss is lost.loss else ""
                told = dict(network=lost.backbone, column=column, pool=pool, loss=loss.mean, spread=loss.spread)
                rows.append(told | dict(sure=differs(loss), fab=fab))
    return {"": plot_pools(pd.DataFrame(rows))}


def _named(table: pd.DataFrame) -> pd.DataFrame:
    """The table with the names that people read, of networks and of methods."""
    return named(table).assign(series=lambda rows: rows["series"].str.replace("(untuned)", "(not fine-tuned)"))


def _heading(found: Sequence[Lost]) -> str:
    """The method's name above its panels; nothing where rows of others, which have theirs, stand in them."""
    return f"{found[0].series},\n" if all(lost.series == found[0].series for lost in found) else ""


def conclusion(table: pd.DataFrame, share: float) -> list[str]:
    """Tell which pools clearly hurt which method, whether by ranges or by bits, and whether the adaptive strategy is better.

    Raises:
        StudyError: no model was measured.
    """
    check_measured(table)
    found = compared(_named(table))
    pools = [lost for lost in found if lost.pool not in (CLEAN, ADAPTIVE)]
    adaptive = [lost for lost in found if lost.pool == ADAPTIVE]
    kinds = several([f"*{name}* are {several(list(of))} and nothing else" for name, of in ALONE.items() if len(of) > 1])
    first, *others = told_hurt(pools, share)
    return [
        answer(first),
        *filter(None, [" ".join([*others, *_sizes(pools)])]),
        *_parts(pools),
        *_adaptive(adaptive, found[0].pictures[0]),
        *tell_diverged(_named(table)),
        f"Outliers are {share:.0%} of the calibration pictures; {kinds}. No model is fine-tuned. A loss is clear if it exceeds its "
        "spread over seeds and p, adjusted for the number of pools, is below 0.05.",
        practice(advice(pools, adaptive)),
        *evidence([_row(lost) for lost in found]),
    ]


def _sizes(pools: Sequence[Lost]) -> list[str]:
    """The worst of each method, how methods compare, and what is clearly better than photographs."""
    told = []
    for series, here in by(pools, "series").items():
        worst = []
        for kind, names in (("outliers", OUTLIERS), ("another domain", ALONE)):
            of = [lost for lost in here if lost.pool in names]
            if of:
                most = max(of, key=lambda lost: lost.loss.mean)
                worst.append(f"{most.loss.mean:.2f} dB with {kind} ({most.pool} on {most.backbone})")
        told += _harmless(series, here)
        told.append(f"{series} loses at worst {several(worst)}.")
    better = [f"{lost.pool} for {lost.series} on {lost.backbone}" for lost in pools if lost.gains]
    told += [f"Clearly better than photographs alone: {several(better)}."] if better else []
    return [*told, *_side_by_side(pools)]


def _harmless(series: str, here: Sequence[Lost]) -> list[str]:
    """Which outliers clearly hurt one method nowhere, though others do: neither at its own bits nor at the same for all."""
    outliers = by([lost for lost in here if lost.pool in OUTLIERS], "pool")
    hurt = {pool for pool, of in outliers.items() if any(lost.hurts or lost.hurts_alike for lost in of)}
    names = [pool for pool, of in outliers.items() if pool not in hurt and not all(lost.alone for lost in of)]
    if not hurt or not names:
        return []
    told = several(names)
    return [
        f"{told[0].upper()}{told[1:]} among the photographs {'does' if len(names) == 1 else 'do'} {series} no clear harm."
    ]


def _side_by_side(pools: Sequence[Lost]) -> list[str]:
    """What two methods lose with the same pools of the same networks, where it hurts one of them."""
    one, *others = by(pools, "series").items() or [("", [])]
    told = []
    for series, here in others:
        pairs = [(a, b) for a in one[1] for b in here if (a.backbone, a.pool) == (b.backbone, b.pool)]
        pairs = [pair for pair in pairs if any(lost.hurts for lost in pair)]
        if pairs:
            own, other = (sum(lost.loss.mean for lost in side) / len(pairs) for side in zip(*pairs))
            names = several(list(dict.fromkeys(lost.pool for lost, _ in pairs)))
            told.append(
                f"With the same pictures ({names}) {series} loses {other:.2f} dB in the mean where {one[0]} loses {own:.2f}."
            )
    return told


def _parts(pools: Sequence[Lost]) -> list[str]:
    """How far FAB drifts, and what remains of clear losses at the same bits for all, by method with bit mappings."""
    told = []
    for series, here in by([lost for lost in pools if lost.alike is not None], "series").items():
        drifted = max(here, key=lambda lost: abs(lost.fab - lost.clean_fab))
        moved = (
            f"{series} chooses bits by what it was calibrated on: FAB on the same pictures moves by up to "
            f"{abs(drifted.fab - drifted.clean_fab):.2f} ({drifted.pool} on {drifted.backbone})."
        )
        hurt = [lost for lost in here if lost.hurts]
        groups = [
            [lost for lost in hurt if lost.pool in OUTLIERS],
            *by([lost for lost in hurt if lost.pool in ALONE], "pool").values(),
        ]
        parts = [_part(group) for group in groups if group]
        equal = (
            "With the same bits for all images and layers FAB is equal, and only ranges differ. "
            f"There {series} loses {several(parts)}. Only pools that clearly hurt it at bits of its own are told here."
            if parts
            else ""
        )
        told.append(" ".join(text for text in (moved, equal) if text))
    return told


def _part(hurt: Sequence[Lost]) -> str:
    """The mean of clear losses at the same bits for all, with the least and the most by pool and network."""
    pools, at_equal = list(dict.fromkeys(lost.pool for lost in hurt)), [lost.alike.mean for lost in hurt]
    by = " and ".join(["pool"] * (len(pools) > 1) + ["network"] * (len({lost.backbone for lost in hurt}) > 1))
    span = f"{min(at_equal):z.2f} to {max(at_equal):z.2f} by {by}; " if by else ""
    return f"{sum(at_equal) / len(hurt):z.2f} dB with {several(pools)} ({span}{blamed(hurt)})"


def _adaptive(adaptive: Sequence[Lost], number: int) -> list[str]:
    if not adaptive:
        return []
    least, most = min(lost.pictures[0] for lost in adaptive), max(lost.pictures[1] for lost in adaptive)
    better, worse = [lost for lost in adaptive if lost.gains], [lost for lost in adaptive if lost.hurts]
    takes = (
        f"The adaptive strategy takes {least} to {most} photographs of the same random order, the other pools {number}"
    )
    alike = _adaptive_alike(adaptive)
    if all(lost.alone for lost in adaptive):
        return [f"{takes}. One seed cannot tell whether that differs from {number} random photographs."]
    if not better and not worse:
        mapped = "With bits as mapped it" if alike else "It"
        return [f"{takes}. {mapped} is nowhere clearly different from {number} random photographs{alike}."]
    verdicts = [f"clearly {word} for {_where(some)}" for word, some in (("better", better), ("worse", worse)) if some]
    if len(better) + len(worse) < len(adaptive):
        verdicts.append("not clearly different for the others")
    return [f"{takes}. Against {number} random photographs it is {several(verdicts)}{alike}."]


def _adaptive_alike(adaptive: Sequence[Lost]) -> str:
    """What differs clearly at the same bits for all alone."""
    told = []
    for lost in adaptive:
        if lost.alike is not None and clear(lost.alike) and not lost.hurts:
            told.append(f"{lost.series} on {lost.backbone} by {lost.alike.mean:.2f} dB")
    return f"; with the same bits for all, by ranges alone, it is clearly worse for {several(told)}" if told else ""


def _where(found: Sequence[Lost]) -> str:
    return several([f"{lost.series} on {lost.backbone}" for lost in found])


def _row(lost: Lost) -> dict[str, str]:
    cells = {
        "network": f"{lost.backbone}, {lost.setting}",
        "method": lost.series,
        "pool": lost.pool,
        "PSNR-Y (dB)": f"{lost.psnr:.2f}",
        "FAB": f"{lost.fab:.2f}",
        "seeds": str(lost.seeds),
    }
    if lost.pool == CLEAN:
        return cells
    cells |= {name.replace("difference", "loss"): value for name, value in lost.loss.cells("p (adjusted)").items()}
    if lost.alike is not None:
        cells |= {"loss if all images had the same bits (dB)": f"{lost.images_alike.mean:+z.2f}"}
        cells |= {"loss if all images and layers had, by ranges alone (dB)": f"{lost.alike.mean:+z.2f}"}
        cells |= {"the rest of the loss, by bits (dB)": f"{lost.loss.mean - lost.alike.mean:+z.2f}"}
    return cells
