"""How long does it take?"""

from collections.abc import Sequence

import pandas as pd
from matplotlib.figure import Figure

from ...pictures.reading import read_rgb
from ..pages import question_figures
from ..pages.timing_figure import plot_parts, plot_recipes
from ..running.runs import MEASURED
from ..running.timing import LOADED, WHOLE, Part, Workload, linear_fit, peak_memory, time_parts
from ..tables.conclusion import answer, evidence, practice
from ..tables.methods import RELEASED_RECIPE, UNTUNED_RECIPE, label
from ..tables.question import Question
from ..tables.schema import study_table
from ..tables.times import Parts
from ..tables.times import parts as timed_parts
from ..tables.wording import several

QUESTION = Question(
    "timing",
    7,
    "How long does it take?",
    "Measured time and memory of the parts of quantizing a network, on the machine that the provenance names. Upscaling is "
    "simulated; the picture that is upscaled is named with its size in pixels.",
    "Measured time of the parts of quantizing with AdaBM, and of upscaling",
    others={
        "pictures": "Measured time by the number of calibration pictures",
        "recipes": "Measured time of whole recipes",
        "steps": "Measured time by the number of fine-tuning steps",
    },
)
_IMAGE2BIT = "of which Image2Bit"  # the level of the part that is timed beside upscaling
_BESIDE = ("minmax", "fast", "best")  # recipes
_ALIKE = 0.05  # of a ratio of times; less is the machine's noise
_FEW = 15  # steps, an example: as many as most questions that fine-tune take
_COUNTED = {
    "pictures": "calibration pictures",
    "steps": "fine-tuning steps",
}  # variables, by the suffix of their figure


def measure(workload: Workload, repeats: int) -> tuple[pd.DataFrame, float]:
    """Time all parts, then measure their peak memory, each in a process of its own.

    Returns:
        The table of the question, all samples kept; and the memory in MiB of a process that has only loaded the network.
    """
    rows, parts = [], {}
    for part, sample, seconds in time_parts(workload, repeats):
        parts[part.series, part.level] = part
        rows.append(_row(workload, part, sample, seconds=seconds))
    measured_in = [
        ("calibration", str(max(workload.sizes))),
        *(name for name, part in parts.items() if part.variable == "part"),
    ]
    peaks = peak_memory(workload, [LOADED, *measured_in])
    rows += [_row(workload, parts[name], repeats, peak_mib=peaks[name]) for name in measured_in]
    return study_table(rows), peaks[LOADED]


def upscaled(workload: Workload) -> str:
    """Return the name of the picture that is upscaled, with its size."""
    height, width = read_rgb(workload.picture).shape[:2]
    return f"{workload.picture.stem}, {width}x{height}"


def _row(workload: Workload, part: Part, sample: int, **values: float) -> dict:
    size = workload.effort.patch_size
    return dict(
        question=QUESTION.id,
        backbone=workload.backbone.stem,
        dataset=upscaled(workload) if part.series == "upscale" else f"patches of {size}x{size}",
        setting=workload.run.setting,
        series=part.series,
        variable=part.variable,
        level=part.level,
        seed=0,
        sample=sample,
        status=MEASURED,
        **values,
    )


def figures(table: pd.DataFrame) -> dict[str, Figure]:
    """Draw time by part of quantizing and of upscaling, then against the number of pictures and of steps, and whole recipes."""
    timed = table[table["seconds"].notna()]
    drawn = {"": plot_parts(_parts(timed))}
    drawn |= {
        suffix: question_figures.plot_sweep(timed[timed["variable"] == variable], ["seconds"], variable, log=False)
        for suffix, variable in _COUNTED.items()
    }
    whole = timed[timed["series"] == WHOLE]
    if len(whole):
        drawn["recipes"] = plot_recipes({name: list(of["seconds"]) for name, of in whole.groupby("level", sort=False)})
    return drawn


def _parts(timed: pd.DataFrame) -> dict[str, dict[str, list[float]]]:
    """Samples in seconds by part: calibration with the most pictures, clipping and single steps; then upscaling."""
    samples = lambda here: {name: list(rows["seconds"]) for name, rows in here.groupby("level", sort=False)}
    calibration = samples(timed[timed["series"] == "calibration"])
    most = max(calibration, key=int)
    upscaling = timed[timed["series"] == "upscale"]
    return {
        "quantizing": {
            f"calibration, {most} pictures": calibration[most],
            **samples(timed[timed["series"] == "quantize"]),
        },
        f"upscaling {upscaling['dataset'].iloc[0]}": samples(upscaling),
    }


def _times(ratio: float) -> str:
    return "as long as" if abs(ratio - 1) < _ALIKE else f"{ratio:.2f} times as long as"


def _part(row: pd.Series) -> str:
    """Name a part in a sentence."""
    series, level = row["series"], str(row["level"])
    if series == "calibration":
        return f"calibration on {level} {'picture' if level == '1' else 'pictures'}"
    if series == "upscale":
        return f"upscaling with {level}" if level != _IMAGE2BIT else "Image2Bit alone"
    return f"{level} of fine-tuning" if level.endswith(" step") else level


def _others(medians: pd.Series) -> str:
    """What the recipes take that stand beside AdaBM on the leaderboard, those that were timed."""
    told = [f"{label(name)} {_seconds(medians[name])} s" for name in _BESIDE if name in medians.index]
    return f"; {several(told)}" if told else ""


def _seconds(value: float) -> str:
    return f"{value:.0f}" if value >= 10 else f"{value:.1f}"


def _whole(medians: pd.Series, timed: Parts, pictures: int, steps: int) -> str:
    """What the released recipe takes, measured where it was timed as a whole, else put together from its parts; and what is fine-tuning of it."""
    if RELEASED_RECIPE not in medians.index:
        whole = timed.whole(steps)
        return (
            f"about {_seconds(whole)} s of one thread ({pictures} pictures, {steps} steps, extrapolated along a straight line fitted to "
            f"{timed.fitted_to}), {1 - (timed.calibration + timed.clipping) / whole:.0%} of them fine-tuning"
        )
    whole = medians[RELEASED_RECIPE]
    untuned = medians.get(UNTUNED_RECIPE, timed.calibration + timed.clipping)
    return f"{_seconds(whole)} s of one thread ({pictures} pictures, {steps} steps), {1 - untuned / whole:.0%} of them fine-tuning"


def conclusion(table: pd.DataFrame, sizes: Sequence[int], whole_steps: int) -> list[str]:
    """Tell the time of calibration, clipping and fine-tuning, of simulated inference, and the memory.

    Args:
        sizes: numbers of calibration pictures that were timed.
        whole_steps: of the recipe whose whole duration is told.
    """

    def median(series: str, level: object) -> float:
        return table.loc[(table["series"] == series) & (table["level"] == str(level)), "seconds"].median()

    _, per_picture = linear_fit(sizes, [median("calibration", n) for n in sizes])
    timed = timed_parts(table)
    most, clipping, step = timed.calibration, timed.clipping, timed.step
    full, uniform, adaptive, image2bit = (
        median("upscale", name)
        for name in ("full precision", "uniform bits, simulated", "adaptive bits, simulated", _IMAGE2BIT)
    )
    place = table.loc[table["series"] == "upscale", "dataset"].iloc[0]
    most_mib, least_mib = (table.loc[at] for at in (table["peak_mib"].idxmax(), table["peak_mib"].idxmin()))
    samples = table[table["seconds"].notna() & (table["series"] != WHOLE)]
    repeats = samples.groupby(["series", "level"])["sample"].nunique().min()
    recipes = table[(table["series"] == WHOLE) & table["seconds"].notna()]
    medians = recipes.groupby("level", sort=False)["seconds"].median().sort_values()
    told = [
        answer(
            f"AdaBM takes {_whole(medians, timed, max(sizes), whole_steps)}{_others(medians)}; upscaling in simulated low bits takes "
            f"{adaptive / full:.1f} times as long as in full precision."
        ),
        f"Adaptive bits take {_times(adaptive / uniform)} uniform simulated bits; Image2Bit itself is "
        f"{image2bit / adaptive:.1%} of it. Times are "
        + (f"medians of {repeats} repeats, with one seed." if repeats > 1 else "of one measurement, with one seed."),
        f"Memory peaks at {most_mib['peak_mib']:.0f} MiB, in {_part(most_mib)}; it is least in {_part(least_mib)}, with "
        f"{least_mib['peak_mib']:.0f} MiB.",
    ]
    advice = f"one step of fine-tuning costs as much as {step / per_picture:.0f} calibration pictures: save steps, not pictures."
    if whole_steps > _FEW:
        advice += f" With {_FEW} steps AdaBM takes about {timed.whole(_FEW):.0f} s ({max(sizes)} pictures)."
    parts = {
        "calibration, a picture": per_picture,
        f"calibration, {max(sizes)} pictures": most,
        "clipping": clipping,
        "fine-tuning, a step": step,
        f"fine-tuning, {whole_steps} steps": whole_steps * step,
        f"upscaling {place}: full precision": full,
        f"upscaling {place}: uniform bits, simulated": uniform,
        f"upscaling {place}: adaptive bits, simulated": adaptive,
        _IMAGE2BIT: image2bit,
    }
    return [
        *told,
        practice(advice),
        *evidence(
            [
                {"part": part, "seconds of one thread": f"{seconds:.{0 if seconds >= 100 else 3}f}"}
                for part, seconds in parts.items()
            ]
        ),
        *evidence([{"whole recipe": name, "seconds of one thread": f"{s:.1f}"} for name, s in medians.items()]),
    ]
