"""What does it look like?"""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from ...engines.evaluation import Picture
from ...engines.metrics import psnr_y
from ...engines.tiles import round_to_uint8, upscale
from ...errors import ConfigError
from ..pages.comparison import plot_differences, worst_block
from ..plan.cells import Run
from ..running.bench import Bench, Trial
from ..tables.conclusion import answer, evidence
from ..tables.question import Question
from ..tables.wording import several
from .calibration import FULL_PRECISION
from .measured import measured
from .probing import Probe, bench_scale

QUESTION = Question(
    "pictures",
    18,
    "What does it look like?",
    "Photographs upscaled by the same network at the same bits; below each picture, its difference from full precision.",
    "Crops side by side, and their differences from full precision",
    gallery=True,
)
_SEEN = 3.0  # dB lost; noise is then plain in the pictures
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
    """Upscale: (H, W, 3) of 8 bits by picture, setting and series; full precision stands at each setting."""
    made = {}
    for trial in trials:
        model = Probe(bench, trial.run, trial.calibration).task.load()[0].to(bench.device)
        for picture in pictures:
            place = (picture.name, trial.run.setting)
            if (*place, FULL_PRECISION) not in made:
                with model.full_precision():
                    made[*place, FULL_PRECISION] = round_to_uint8(upscale(model, picture.low).image)
            made[*place, trial.series] = round_to_uint8(upscale(model, picture.low).image)
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
    """Tell which method comes nearest at each setting; in a table what each loses, least first."""
    rows = measured(table, "setting")
    nearest, farthest = {}, {}
    for setting, here in rows.groupby("setting", sort=False):
        best = here.sort_values("loss_db", kind="stable")
        nearest.setdefault(best["series"].iloc[0], []).append(setting)
        farthest[setting] = (best["series"].iloc[-1], best["loss_db"].iloc[-1])
    setting, (worst, loss) = list(farthest.items())[-1]
    first = several([f"{name} at {several(settings)}" for name, settings in nearest.items()])
    return [
        answer(
            f"Nearest to full precision comes {first}; what {worst} does at {setting} ({loss:.2f} dB lost) is seen at once."
            if loss > _SEEN
            else f"Nearest to full precision comes {first}; {worst} at {setting} loses most, {loss:.2f} dB."
        ),
        f"Drawn are the blocks of {several(list(pictures))} where {rows['series'].iloc[_HARMED]} does most harm.",
        *evidence(_losses(rows)),
    ]


def _losses(rows: pd.DataFrame) -> list[dict[str, str]]:
    """Rows by method, least loss at the last setting first: its loss at each setting, mean over photographs."""
    losses = rows.pivot_table(index="series", columns="setting", values="loss_db", sort=False)
    pictures = rows["pictures"].iloc[0]
    return [
        {"method": series} | {f"loss at {s}, mean of {pictures} photographs (dB)": f"{v:.2f}" for s, v in here.items()}
        for series, here in losses.sort_values(losses.columns[-1], kind="stable").iterrows()
    ]
