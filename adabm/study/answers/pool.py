"""How sensitive is the result to the calibration set?"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from ...validation import Count
from ..pages.pool_figures import plot_pools
from ..plan.cells import Run
from ..plan.options import check_choices, check_keys
from ..running.bench import Bench
from ..tables.conclusion import answer, evidence, practice
from ..tables.question import Question
from .measured import measured, several
from .pool_measures import ALIKE, IMAGES_ALIKE, OWN, quality
from .pool_outliers import ADAPTIVE, ALONE, CLEAN, OUTLIERS, POOLS, calibration
from .probing import Probe, mapping_table
from .significance import Difference, adjust, paired_difference

QUESTION = Question(
    "pool",
    17,
    "How sensitive is the result to the calibration set?",
    "Photographs to calibrate on, some or all of them replaced by drawings, text, noise or night; and pictures chosen by the adaptive strategy.",
    "PSNR lost against a pool of photographs alone, by what else the pool holds",
)
_LITTLE = 0.05  # dB; smaller losses are none
_MOSTLY = 0.75  # of a loss
_POOL = "pool"  # the variable of the table, at the bits that a model chooses


def measure(
    benches: Mapping[str, Bench],
    backbones: Mapping[str, Mapping],
    setting: str,
    pools: Sequence[str],
    methods: Mapping[str, Mapping],
    number: int,
    share: float,
    side: int,
    folder: Path,
) -> pd.DataFrame:
    """Return the question's table: PSNR to ground truth on patches and FAB, by network, method, bits, pool and seed.

    Args:
        benches: by the names of ``backbones``.
        backbones: of each, ``patches`` of each set, ``seeds`` and, where they differ, ``pools``.
        pools: of ``POOLS``; photographs alone, the reference, come first in any case.
        methods: by series: ``method`` and, where they differ, ``changes``; ``backbones``, ``pools`` and ``seeds``, which
            limit it to some of them.
        number: calibration pictures; the adaptive strategy takes as many as it needs.
        share: of the pictures that outliers replace.
        side: of an evaluated patch, LR pixels.
        folder: where outliers are written.

    Raises:
        ConfigError: a pool or network is unknown, or an entry has an unknown key or lacks one.
    """
    _check(backbones, pools, methods)
    rows, full = [], {}
    for name, bench in benches.items():
        given = backbones[name]
        for series, method in methods.items():
            if name not in method.get("backbones", backbones):
                continue
            wanted = [pool for pool in given.get("pools", pools) if pool in method.get("pools", POOLS)]
            seeds = [seed for seed in given["seeds"] if seed in method.get("seeds", given["seeds"])]
            for pool in dict.fromkeys([CLEAN, *wanted]):
                for seed in seeds:
                    run = Run.at(method["method"], setting, seed, method.get("changes"))
                    chosen = calibration(bench, run, pool, number, share, folder)
                    where = dict(backbone=bench.backbone.stem, setting=setting, series=series)
                    where |= dict(level=pool, seed=seed, calibration_pictures=len(chosen))
                    for found in Probe(bench, run, chosen).found(quality, side, given["patches"])["rows"]:
                        told = dict(variable=_variable(found["bits"]), dataset=found["dataset"])
                        told |= dict(psnr_y_db=found["psnr_y_db"], fab=found["fab"], pictures=found["patches"])
                        rows.append(where | told)
                        full[bench.backbone.stem, found["dataset"]] = found["full_db"]
    return mapping_table(QUESTION.id, rows, full)


def _check(backbones: Mapping, pools: Sequence[str], methods: Mapping) -> None:
    check_choices("pools", pools, POOLS)
    for name, given in backbones.items():
        check_keys(f"backbones, {name}", given, ["patches", "seeds"], ["pools"], {"patches": Count})
        check_choices(f"backbones, {name}: pools", given.get("pools", ()), POOLS)
    for name, method in methods.items():
        check_keys(f"methods, {name}", method, ["method"], ["changes", "backbones", "pools", "seeds"])
        check_choices(f"methods, {name}: backbones", method.get("backbones", ()), backbones)
        check_choices(f"methods, {name}: pools", method.get("pools", ()), POOLS)


def _variable(bits: str) -> str:
    return _POOL if bits == OWN else f"{_POOL}, {bits}"


@dataclass(frozen=True)
class Lost:
    """What a method loses on a network with a pool, against photographs alone, over seeds.

    Attributes:
        psnr, fab: means.
        clean_fab: with photographs alone.
        pictures: least and most calibration pictures.
        loss: dB, at the bits that the model chooses; its p value is adjusted for the number of pools.
        images_alike, alike: likewise at the same bits for all images, and for all layers too, where FAB is equal and only
            ranges differ; None for a method without bit mappings.
    """

    backbone: str
    series: str
    pool: str
    psnr: float
    fab: float
    clean_fab: float
    pictures: tuple[int, int]
    seeds: int
    loss: Difference
    images_alike: Difference | None
    alike: Difference | None

    @property
    def hurts(self) -> bool:
        """Whether the loss is clear and not too small to matter."""
        return self.loss.sure and self.loss.mean > _LITTLE


def compared(table: pd.DataFrame) -> list[Lost]:
    """Compare every pool with photographs alone, by network, method and pool; seeds are paired, sets count alike."""
    found = []
    own = measured(table, _POOL)
    for (backbone, series), here in own.groupby(["backbone", "series"], sort=False):
        losses = {bits: _losses(table, backbone, series, bits) for bits in (OWN, IMAGES_ALIKE, ALIKE)}
        clean_fab = here.loc[here["level"] == CLEAN, "fab"].mean()
        for pool, rows in here.groupby("level", sort=False):
            counts = rows["calibration_pictures"]
            means = (rows["psnr_y_db"].mean(), rows["fab"].mean(), clean_fab)
            sizes = ((int(counts.min()), int(counts.max())), rows["seed"].nunique())
            found.append(Lost(backbone, series, pool, *means, *sizes, *(of.get(pool) for of in losses.values())))
    return found


def _losses(table: pd.DataFrame, backbone: str, series: str, bits: str) -> dict[str, Difference]:
    """Loss by pool at these bits; nothing where they were not measured."""
    here = measured(table, _variable(bits))
    here = here[(here["backbone"] == backbone) & (here["series"] == series)]
    if here.empty:
        return {}
    psnr = here.pivot_table(index="seed", columns="level", values="psnr_y_db", sort=False)  # mean over sets
    pools = [pool for pool in psnr.columns if pool != CLEAN]
    lost = adjust({pool: paired_difference(psnr[CLEAN], psnr[pool]) for pool in pools})
    return {CLEAN: paired_difference(psnr[CLEAN], psnr[CLEAN])} | lost


def losses(table: pd.DataFrame) -> pd.DataFrame:
    """Return what :func:`compared` finds as numbers, a row a network, method and pool: dB, means over seeds.

    ``bits`` is what bits add to the loss that remains at the same bits for all, ``ranges``; NaN for a method without mappings.
    """
    rows = []
    for lost in compared(table):
        told = dict(backbone=lost.backbone, series=lost.series, pool=lost.pool, psnr_y_db=lost.psnr, fab=lost.fab)
        told |= dict(loss=lost.loss.mean, spread=lost.loss.spread, p=lost.loss.p_value, hurts=lost.hurts)
        if lost.alike is not None:
            told |= dict(ranges=lost.alike.mean, bits=lost.loss.mean - lost.alike.mean)
        rows.append(told)
    return pd.DataFrame(rows)


def figures(table: pd.DataFrame) -> dict[str, Figure]:
    """Draw what each pool loses: a row a network, a column a method, and one where all images and layers have the same bits."""
    rows = []
    for lost in compared(table):
        kinds = {lost.series: lost.loss, f"{lost.series},\n{ALIKE}": lost.alike}
        for column, loss in kinds.items():
            if loss is not None:
                fab = f"FAB {lost.fab:.2f}" if loss is lost.loss else ""
                told = dict(network=lost.backbone, column=column, pool=lost.pool, loss=loss.mean, spread=loss.spread)
                rows.append(told | dict(sure=loss.sure and loss.mean > _LITTLE, fab=fab))
    return {"": plot_pools(pd.DataFrame(rows))}


def conclusion(table: pd.DataFrame, share: float) -> list[str]:
    """Tell which pools clearly hurt which method, whether by ranges or by bits, and whether the adaptive strategy is better."""
    found = [lost for lost in compared(table) if lost.pool != CLEAN]
    pools = [lost for lost in found if lost.pool != ADAPTIVE]
    adaptive = [lost for lost in found if lost.pool == ADAPTIVE]
    return [
        answer(_first(pools)),
        *_sizes(pools),
        *_parts(pools),
        *_adaptive(adaptive),
        f"Outliers are {share:.0%} of the calibration pictures; {_alone()}. Models are not fine-tuned. A loss is called clear if it "
        "exceeds its spread over seeds and p, adjusted for the number of pools, is below 0.05.",
        practice(_advice(pools, adaptive)),
        *evidence([_row(lost) for lost in found]),
    ]


def _alone() -> str:
    return several([f"*{name}* is {several(list(kinds))} and nothing else" for name, kinds in ALONE.items()])


def _by(pools: Sequence[Lost], value: str) -> dict[str, list[Lost]]:
    grouped: dict[str, list[Lost]] = {}
    for lost in pools:
        grouped.setdefault(getattr(lost, value), []).append(lost)
    return grouped


def _first(pools: Sequence[Lost]) -> str:
    if not any(lost.hurts for lost in pools):
        return "What the calibration set holds hardly matters: no pool is clearly worse than photographs alone."
    told = []
    for series, here in _by(pools, "series").items():
        names = []
        for pool, of in _by(here, "pool").items():
            hurt = [lost.backbone for lost in of if lost.hurts]
            if hurt:
                names.append(pool + f" (on {several(hurt)})" * (len(hurt) < len(of)))
        told.append(f"{series}: {several(names)}" if names else f"{series}: none of its pools")
    return f"What the calibration set holds matters; clearly worse than photographs alone are, with {'; with '.join(told)}."


def _sizes(pools: Sequence[Lost]) -> list[str]:
    """The worst pool of each method, with its FAB, and where a pool is clearly better than photographs."""
    told = []
    for series, here in _by(pools, "series").items():
        worst = max(here, key=lambda lost: lost.loss.mean)
        told.append(
            f"With {series} the worst is {worst.pool} on {worst.backbone}: {worst.loss.mean:.2f} dB less, at FAB {worst.fab:.2f} "
            f"against {worst.clean_fab:.2f} with photographs alone."
        )
    better = [f"{lost.pool} with {lost.series} on {lost.backbone}" for lost in pools if _gains(lost)]
    return [" ".join(told + ([f"Clearly better than photographs alone: {several(better)}."] if better else []))]


def _gains(lost: Lost) -> bool:
    return lost.loss.sure and lost.loss.mean < -_LITTLE


def _parts(pools: Sequence[Lost]) -> list[str]:
    """How far FAB drifts, and what remains of the losses at the same bits for all, by method with bit mappings."""
    told = []
    for series, here in _by([lost for lost in pools if lost.alike is not None], "series").items():
        drifted = max(here, key=lambda lost: abs(lost.fab - lost.clean_fab))
        moved = f"{series} chooses bits by what it was calibrated on, so FAB on the same pictures moves by up to {abs(drifted.fab - drifted.clean_fab):.2f} ({drifted.pool} on {drifted.backbone})"
        hurt = [lost for lost in here if lost.hurts]
        if not hurt:
            told.append(f"{moved}, without a clear loss.")
            continue
        loss, ranges = (
            sum(d.mean for d in kind) / len(hurt) for kind in ([h.loss for h in hurt], [h.alike for h in hurt])
        )
        told.append(
            f"{moved}. But where it is clearly hurt ({loss:.2f} dB in the mean) {_blame(ranges / loss)}: at equal FAB, the same bits "
            f"for all images and layers, it loses {ranges:.2f} dB."
        )
    return told


def _blame(part: float) -> str:
    if part >= _MOSTLY:
        return "the ranges are to blame, not the bits"
    if part <= 1 - _MOSTLY:
        return "the bits are to blame, not the ranges"
    return "both ranges and bits are to blame"


def _adaptive(adaptive: Sequence[Lost]) -> list[str]:
    if not adaptive:
        return []
    least, most = min(lost.pictures[0] for lost in adaptive), max(lost.pictures[1] for lost in adaptive)
    better, worse = [lost for lost in adaptive if _gains(lost)], [lost for lost in adaptive if lost.hurts]
    verdicts = [f"clearly {word} for {_where(some)}" for word, some in (("better", better), ("worse", worse)) if some]
    if len(better) + len(worse) < len(adaptive):
        verdicts.append(f"{'not clearly different for the others' if verdicts else 'nowhere clearly different'}")
    return [
        f"The adaptive strategy takes {least} to {most} photographs, the first of the same random order. It is {several(verdicts)} "
        "from a fixed number of them."
        if verdicts == ["nowhere clearly different"]
        else f"The adaptive strategy takes {least} to {most} photographs, the first of the same random order. Against a fixed number "
        f"of them it is {several(verdicts)}."
    ]


def _where(found: Sequence[Lost]) -> str:
    return several([f"{lost.series} on {lost.backbone}" for lost in found])


def _advice(pools: Sequence[Lost], adaptive: Sequence[Lost]) -> str:
    hurt = {series: {lost.pool for lost in here if lost.hurts} for series, here in _by(pools, "series").items()}
    any_hurt = set().union(*hurt.values())
    if not any_hurt:
        told = "take the pictures that are at hand."
    else:
        mixed, alone = ([name for name in kinds if name in any_hurt] for kinds in (OUTLIERS, ALONE))
        keep = [f"keep {several(mixed)} out of the calibration set"] if mixed else []
        keep += ["calibrate on pictures like those to come"] if alone else []
        told = f"{several(keep)}."
        for series, pool_names in hurt.items():
            borne = any_hurt & {lost.pool for lost in pools if lost.series == series}
            if borne and not pool_names:
                told += f" {series} bears {several([p for p in POOLS if p in borne])}."
    if adaptive and not any(_gains(lost) for lost in adaptive):
        told += " A fixed number of random photographs does; the adaptive strategy is not needed."
    return told


def _row(lost: Lost) -> dict[str, str]:
    cells = {
        "network": lost.backbone,
        "method": lost.series,
        "pool": lost.pool,
        "PSNR-Y (dB)": f"{lost.psnr:.2f}",
        "FAB": f"{lost.fab:.2f}",
        "FAB, photographs": f"{lost.clean_fab:.2f}",
        **{name.replace("difference", "loss"): value for name, value in lost.loss.cells("p (adjusted)").items()},
    }
    if lost.alike is not None:
        cells |= {"at the same bits for images (dB)": f"{lost.images_alike.mean:+.2f}"}
        cells |= {"of it by ranges (dB)": f"{lost.alike.mean:+.2f}"}
        cells |= {"by bits (dB)": f"{lost.loss.mean - lost.alike.mean:+.2f}"}
    return cells | {"seeds": str(lost.seeds)}
