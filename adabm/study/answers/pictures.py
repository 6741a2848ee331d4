"""What does it look like?"""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from ...engines.evaluation import Picture
from ...engines.metrics import psnr_y
from ...engines.tiles import round_to_uint8, upscale
from ...errors import ConfigError, FineTuningError, StudyError
from ..pages.comparison import plot_differences, worst_block
from ..plan.cells import Run
from ..running.bench import Bench, Trial
from ..tables.conclusion import answer, evidence, practice
from ..tables.methods import label
from ..tables.question import Question
from ..tables.wording import several, told_count
from .calibration import FULL_PRECISION
from .diverged import check_measured, tell_diverged
from .measured import measured
from .probing import Probe, bench_scale

QUESTION = Question(
    "pictures",
    18,
    "What does it look like?",
    "Photographs upscaled by the same network at the same bits; AdaBM is fine-tuned (for how many steps: below), MinMax and Fast are not. Drawn is the "
    "block where MinMax does most harm at the fewest bits: elsewhere less is seen. PSNR above a picture is that of this whole photograph; "
    "the answer tells means over all. Below each picture stands its difference from full precision.",
    "One photograph: crops side by side, and their differences from full precision, a pair of rows for each number of bits",
    gallery=True,
)
_SEEN, _HARDLY = 3.0, 0.5  # dB lost, noise is then plain in the pictures; dB apart, which one has to look for
_SIDE = 88  # of a crop, pixels of the upscaled picture
_HARMED = 0  # the first method tells where to look


def trials(bench: Bench, settings: Sequence[str], methods: Mapping[str, str], count: int, seed: int) -> list[Trial]:
    """Return the models to look at: each method (by the name to show) at each setting, from random calibration pictures."""
    runs = [(name, Run.at(method, setting, seed)) for setting in settings for name, method in methods.items()]
    return [Trial(name, "setting", run.setting, run, bench.choose("random", count, run)) for name, run in runs]


def shown(bench: Bench, names: Sequence[str]) -> list[Picture]:
    """Read the pictures of the first set that are to be drawn.

    Raises:
        ConfigError: the set has no picture of that name.
    """
    files = {file.name: file for file in bench.sets[0].files}
    unknown = [name for name in names if name not in files]
    if unknown:
        raise ConfigError(f"{bench.sets[0].name} has no picture {', '.join(unknown)}; it has {', '.join(files)}")
    return [files[name].read(bench_scale(bench)) for name in names]


def outputs(
    bench: Bench, trials: Sequence[Trial], pictures: Sequence[Picture]
) -> dict[tuple[str, str, str], np.ndarray]:
    """Upscale: (H, W, 3) of 8 bits by picture, setting and series; full precision stands at each setting.

    Models that diverged are left out.

    Raises:
        StudyError: all did.
    """
    made = {}
    for trial in trials:
        try:
            model = Probe(bench, trial.run, trial.calibration).task.load()[0].to(bench.device)
        except FineTuningError:
            continue
        for picture in pictures:
            place = (picture.name, trial.run.setting)
            if (*place, FULL_PRECISION) not in made:
                with model.full_precision():
                    made[*place, FULL_PRECISION] = round_to_uint8(upscale(model, picture.low).image)
            made[*place, trial.series] = round_to_uint8(upscale(model, picture.low).image)
    if not made:
        raise StudyError(
            "all models diverged, so that there is nothing to look at; lower the learning rates of the methods"
        )
    return made


def figures(made: Mapping[tuple[str, str, str], np.ndarray], pictures: Sequence[Picture]) -> dict[str, Figure]:
    """Draw one figure a picture: the block of which the first method at the last setting makes most harm.

    The first picture is drawn at all settings, the others at the last.
    """
    drawn = {}
    for number, picture in enumerate(pictures):
        by_setting = _by_setting(made, picture.name)
        last = by_setting[list(by_setting)[-1]]
        crop = worst_block(list(last.values())[1 + _HARMED], last[FULL_PRECISION], _SIDE)
        if number:
            by_setting = dict([list(by_setting.items())[-1]])
        rows = {setting: {"original": picture.high, **images} for setting, images in by_setting.items()}
        quality = {
            setting: {name: psnr_y(image, picture.high, picture.scale) for name, image in images.items()}
            for setting, images in by_setting.items()
        }
        drawn[picture.name if number else ""] = plot_differences(rows, quality, FULL_PRECISION, crop)
    return drawn


def _by_setting(made: Mapping[tuple[str, str, str], np.ndarray], picture: str) -> dict[str, dict[str, np.ndarray]]:
    sorted_out: dict[str, dict[str, np.ndarray]] = {}
    for (name, setting, series), image in made.items():
        if name == picture:
            sorted_out.setdefault(setting, {})[series] = image
    return sorted_out


def conclusion(table: pd.DataFrame, pictures: Sequence[str]) -> list[str]:
    """Tell what each method loses at each setting in the mean, which looks like full precision, and which differences are hardly seen.

    Raises:
        StudyError: no model was measured.
    """
    check_measured(table)
    rows = measured(table, "setting")
    losses = _by_method(rows)
    first = rows.loc[rows["setting"] == losses.columns[-1], "series"].iloc[_HARMED]
    return [
        answer(_lost(losses, int(rows["pictures"].iloc[0]))),
        f"Drawn are the blocks of {several(list(pictures))} where {first} does most harm.{_best_left_out(table)}",
        *tell_diverged(table),
        practice(_advice(losses, rows["seed"].nunique())),
        *evidence(_losses(rows)),
    ]


def _by_method(rows: pd.DataFrame, ascending: bool = False) -> pd.DataFrame:
    """Losses in dB by method and setting, most at the last setting first, or last; NaN of what diverged."""
    losses = rows.pivot_table(index="series", columns="setting", values="loss_db", sort=False)
    return losses.sort_values(losses.columns[-1], kind="stable", ascending=ascending)


def _told(loss: float) -> str:
    return "diverged" if np.isnan(loss) else f"{loss:.2f}"


def _lost(losses: pd.DataFrame, count: int) -> str:
    """What methods lose, most at the last setting first; there they are named."""
    *others, last = losses.columns
    first = losses.index[0]
    told = [f"{name} {_told(loss)}" for name, loss in losses[last].items() if name != first]
    text = f"In the mean of {count} photographs {several([f'{first} loses {losses.loc[first, last]:.2f} dB at {last}', *told])}"
    return (
        text
        + "".join(f"; at {setting} {several([_told(loss) for loss in losses[setting]])}" for setting in others)
        + "."
    )


def _best_left_out(table: pd.DataFrame) -> str:
    """Why Best is not drawn, where Fast is, near to full precision at all settings, and it is not."""
    fast, best = label("fast"), label("best")
    losses = table.loc[table["series"] == fast, "loss_db"]  # NaN where it diverged, which is not near
    if losses.empty or best in set(table["series"]) or not losses.max(skipna=False) < _HARDLY:
        return ""
    return (
        f" {best}, which trains on from {fast}, is not drawn: {fast} loses {losses.max():.2f} dB at most in the mean of the photographs, so that "
        "one would hardly see a difference."
    )


def _advice(losses: pd.DataFrame, seeds: int) -> str:
    """What was seen; which recipe to use is told by what was measured with more seeds and on more pictures."""
    nearest: dict[tuple[str, str], dict[str, float]] = {}
    for setting, best in losses.idxmin().items():
        loss = losses.loc[best, setting]
        how = "is hardly told from full precision" if loss < _HARDLY else "comes nearest to full precision"
        nearest.setdefault((best, how), {})[setting] = loss
    seen = several([f"{name} {how} at {_with_losses(of)}" for (name, how), of in nearest.items()])
    told = [
        f"in the blocks drawn {seen} ({told_count(seeds, 'seed')}); which recipe to use is told on the page of what each method loses."
    ]
    for setting, best in losses.idxmin().items():
        apart = (losses[setting] - losses.loc[best, setting]).drop(best)
        close = apart[apart < _HARDLY]
        if len(close):
            names = several([f"{name} ({gap:.2f} dB more lost)" for name, gap in close.items()])
            told.append(f"At {setting} one has to look at the differences to tell {names} from {best}.")
    plain = {setting: list(here.index[here > _SEEN]) for setting, here in losses.items()}
    seen = [f"{several(names)} at {setting}" for setting, names in plain.items() if names]
    return " ".join(told + ([f"The noise of {several(seen)} is seen at once."] if seen else []))


def _with_losses(losses: Mapping[str, float]) -> str:
    """Settings, with what is lost at each in the mean of the photographs."""
    return several([f"{setting} ({loss:.2f} dB lost in the mean)" for setting, loss in losses.items()])


def _losses(rows: pd.DataFrame) -> list[dict[str, str]]:
    """Rows by method, least loss at the last setting first: its loss at each setting, mean over photographs."""
    pictures = rows["pictures"].iloc[0]
    return [
        {"method": series} | {f"loss at {s}, mean of {pictures} photographs (dB)": _told(v) for s, v in here.items()}
        for series, here in _by_method(rows, ascending=True).iterrows()
    ]
