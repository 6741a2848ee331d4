"""How long a task takes: from the result cache where it was carried out, else estimated from the tables of a profile."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from adabm.errors import AdabmError, DataError
from adabm.full_precision import FULL_PRECISION
from adabm.networks.scale import file_scale
from adabm.pictures.pairs import PictureFiles
from adabm.pictures.reading import picture_size
from adabm.study import ModelTask, read_study_table
from adabm.study.running.tasks import MeasureTask
from adabm.study.running.timing import linear_fit
from adabm.study.running.traces import TraceTask


@dataclass(frozen=True)
class Durations:
    """Seconds of one core.

    Attributes:
        start, per_patch: of calibration, a line through the measured times.
        per_step: of fine-tuning, mean of its groups; ``clipping`` once a model.
        full, uniform, adaptive: upscaling to one pixel of output, in full precision and in simulated bits.
        scale: of the network that was timed.
        relative: how much more a network of another file has to compute for a pixel of its output, by its name.
        timed: one sample of everything that the timing question times.
    """

    start: float
    per_patch: float
    per_step: float
    clipping: float
    full: float
    uniform: float
    adaptive: float
    scale: int
    relative: dict[str, float]
    timed: float

    @classmethod
    def read(cls, root: Path, results: Path) -> "Durations":
        """Read the tables ``timing`` and ``evaluation`` of a profile's results.

        Raises:
            DataError, TableError: a table is not there, or is none.
        """
        evaluation, timing = (results / name / f"{name}.csv" for name in ("evaluation", "timing"))
        for path in (evaluation, timing):
            if not path.is_file():
                raise DataError(f"{path.relative_to(root)}: is not there; durations are estimated from it")
        whole = pd.read_csv(evaluation).query("method == @FULL_PRECISION and status == 'measured'")
        operations = whole.groupby("backbone")["bitops_g"].first()
        times = read_study_table(timing)
        times = times[times["seconds"].notna()]
        network = times["backbone"].iloc[0]
        medians = times.groupby(["series", "level"])["seconds"].median()
        calibration = medians["calibration"]
        start, per_patch = linear_fit([int(level) for level in calibration.index], calibration)
        steps = medians["fine-tuning"]
        most = max(steps.index, key=int)
        place = times.loc[times["series"] == "upscale", "dataset"].iloc[0]
        width, height = map(int, place.rpartition(", ")[2].split("x"))
        scale = int(pd.read_csv(evaluation).query("backbone == @network")["scale"].iloc[0])
        upscale = medians["upscale"] / (width * height * scale**2)
        return cls(
            max(start, 0.0),
            per_patch,
            steps[most] / int(most),
            medians["quantize", "clipping"],
            upscale["full precision"],
            upscale["uniform bits, simulated"],
            upscale["adaptive bits, simulated"],
            scale,
            (operations / operations[network]).to_dict(),
            float(medians.sum()),
        )

    def samples(self, repeats: int) -> float:
        """Return the seconds of the timing question, its first round included that is not kept; memory is not."""
        return (repeats + 1) * self.timed

    def of(self, task: ModelTask | MeasureTask | TraceTask) -> tuple[float, bool]:
        """Return the seconds of a task, and whether they are measured."""
        known = self._known(task)
        if known is not None:
            return known, True
        if isinstance(task, ModelTask):
            return self._quantizing(task), False
        if isinstance(task, MeasureTask):
            return self._measuring(task.model, task.files), False
        return self._quantizing(task.model) + len(task.steps) * self._measuring(task.model, task.files), False

    @staticmethod
    def _known(task: ModelTask | MeasureTask | TraceTask) -> float | None:
        try:
            if isinstance(task, MeasureTask):
                kept = [task.model.cache.load_seconds(task.picture_key(files)) for files in task.files]
                return None if None in kept else sum(kept)
            if isinstance(task, TraceTask):
                return task.model.cache.load_seconds(task.progress_key)
            return task.cache.load_seconds(task.key)
        except (AdabmError, OSError):  # calibration pictures that are not chosen yet have no files
            return None

    def _quantizing(self, task: ModelTask) -> float:
        config = task.run.config(task.effort)
        tuning, clips = config.step("tune"), config.step("clip") is not None
        patches = task.effort.patches or len(task.calibration)
        seconds = self.start + self.per_patch * patches + self.clipping * clips
        seconds += self.per_step * tuning.total_steps if tuning is not None else 0.0
        larger = (file_scale(task.backbone) / self.scale) ** 2  # patches are as large in the input
        return seconds * larger * self.relative.get(task.backbone.stem, 1.0)

    def _measuring(self, task: ModelTask, files: Sequence[PictureFiles]) -> float:
        config = task.run.config(task.effort)
        mapping = config.step("map_bits")
        if task.run.method == FULL_PRECISION:
            per_pixel = self.full
        else:
            per_pixel = self.uniform if mapping is None or mapping.image is None else self.adaptive
        return sum(_pixels(f.high) for f in files) * per_pixel * self.relative.get(task.backbone.stem, 1.0)


def _pixels(path: Path) -> int:
    height, width = picture_size(path)
    return height * width
