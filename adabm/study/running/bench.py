"""A question's workbench: one network, its evaluation sets, a pool of calibration pictures; trials become tidy rows."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
from tqdm import tqdm

from ...errors import ConfigError
from ...full_precision import FULL_PRECISION, FULL_PRECISION_SETTING
from ...networks import load_network
from ...networks.sides import file_sides
from ...pictures.folders import SCENE_SEPARATOR, calibration_files, check_calibration
from ...pictures.reading import read_rgb
from ...recipes import QuantizationConfig
from ...sampling import Pool, select
from ...sampling.registry import find
from ..origin.fingerprint import SAMPLING, code_hash, definition_hash, file_hash, folder_hash, key
from ..plan.cells import Cell, EvaluationSet, Run, plan_inputs, read_plan
from ..plan.effort import Effort
from ..plan.part import place
from ..plan.root import find_root
from ..tables.schema import study_table
from .cache import ResultCache
from .keys import with_network
from .runs import DIVERGED, MEASURED, NOT_RUN, find_device, run_plan, run_traces
from .tasks import ModelTask, one_thread
from .traces import TraceTask


@dataclass(frozen=True)
class Trial:
    """One model of a question and where it stands in the table: a curve (``series``), the swept ``variable``, its ``level``.

    One that is not ``wanted`` is planned, and listed as not run.
    """

    series: str
    variable: str
    level: str
    run: Run
    calibration: tuple[Path, ...]
    wanted: bool = True


@dataclass(frozen=True)
class Bench:
    """What the trials of a question share.

    Attributes:
        backbone: weight file.
        sets: pictures to measure on.
        pool: low-resolution pictures to calibrate on, by name.
        effort: its ``patches`` None takes one patch of each calibration picture.
    """

    root: Path
    backbone: Path
    sets: tuple[EvaluationSet, ...]
    pool: tuple[Path, ...]
    effort: Effort
    cache: ResultCache
    workers: int | None = None
    device: str = "cpu"

    @classmethod
    def open(
        cls,
        backbone: str,
        data: str,
        sets: Sequence[str],
        pool: str,
        effort: Effort,
        workers: int = 0,
        device: str = "cpu",
    ) -> "Bench":
        """Find everything that the parameters of a notebook name; ``pool`` is a folder of low-resolution pictures.

        Raises:
            AdabmError: naming what is missing or does not fit.
        """
        root, device = find_root(), find_device(device)
        file_hash.cache_clear()  # an earlier bench of this process may have seen other contents
        cells = read_plan([dict(backbone=backbone, data=data, sets=list(sets), settings=[], methods=[])], root, effort)
        files = tuple(calibration_files(place(root, pool)).values())
        check_calibration(files, effort.patch_size)
        file_sides(cells[0].backbone).check("patch_size", effort.patch_size, cells[0].backbone.stem)
        return cls(
            root,
            cells[0].backbone,
            tuple(c.pictures for c in cells),
            files,
            effort,
            ResultCache.default(root),
            workers or None,
            device,
        )

    @property
    def inputs(self) -> list[Path]:
        """Files and folders that all trials read, for the provenance."""
        return plan_inputs([Cell(self.backbone, self.pool, Run(FULL_PRECISION), pictures) for pictures in self.sets])

    def choose(self, strategy: str, count: int, run: Run) -> tuple[Path, ...]:
        """Choose calibration pictures from the pool with the seed and bits of a run; what was chosen is kept.

        Raises:
            ConfigError: unknown strategy or one whose source cannot be read, or more pictures than the pool has.
        """
        identity = self._choice_key(strategy, count, run)
        kept = self.cache.load_record(identity)
        if kept is None:
            pool = self._pool(run.setting)
            with one_thread("cpu"):  # where strategies compute, whatever the device of the trials
                kept = {"chosen": [int(i) for i in select(strategy, pool, count, run.seed)]}
            self.cache.keep_record(identity, kept)
        return tuple(self.pool[i] for i in kept["chosen"])

    def chosen(self, strategy: str, count: int, run: Run) -> tuple[Path, ...] | None:
        """Return what :meth:`choose` chose at an earlier time, or None where that is not kept."""
        kept = self.cache.load_record(self._choice_key(strategy, count, run))
        return tuple(self.pool[i] for i in kept["chosen"]) if kept is not None else None

    def _choice_key(self, strategy: str, count: int, run: Run) -> str:
        return key(
            strategy=strategy,
            source=_source(strategy),
            code=with_network(self.backbone, code_hash(*SAMPLING)),
            network=file_hash(self.backbone),
            pool=folder_hash(list(self.pool)),
            count=count,
            seed=run.seed,
            config=self._planned(run.setting).to_dict(),
        )

    def _pool(self, setting: str) -> Pool:
        if setting not in self._pools:
            config = self._planned(setting)
            scenes = [path.stem.split(SCENE_SEPARATOR)[0] for path in self.pool]
            self._pools[setting] = Pool(
                [read_rgb(path) for path in self.pool], load_network(self.backbone), scenes, config, progress=_bar
            )
        return self._pools[setting]

    def _planned(self, setting: str) -> QuantizationConfig:
        return Run.at("adabm-notune", setting).config()  # tuning plays no part in it

    @cached_property
    def _pools(self) -> dict[str, Pool]:
        return {}

    def measure(self, question: str, trials: Iterable[Trial]) -> pd.DataFrame:
        """Quantize and measure what the cache lacks, on all cores; return a table of :mod:`adabm.study.tables.schema`.

        Full precision is its first rows, one a set.
        """
        trials = _some(question, trials)
        cells = [(None, Cell(self.backbone, (), Run(FULL_PRECISION), pictures)) for pictures in self.sets]
        cells += [
            (t, Cell(self.backbone, t.calibration, t.run, pictures, t.wanted)) for t in trials for pictures in self.sets
        ]
        results = run_plan([cell for _, cell in cells], self.effort, self.cache, self.workers, self.device)
        full = {r.cell.pictures.name: r.summary["psnr_y_db"] for r in results if r.cell.run.method == FULL_PRECISION}
        rows = []
        for (trial, cell), result in zip(cells, results):
            row = self._keys(question, trial, cell) | dict(status=result.status, pictures=len(cell.pictures.files))
            if result.status == MEASURED:
                values = {name: result.summary[name] for name in ("psnr_y_db", "ssim_y", "fab", "relative_bitops")}
                row |= values | dict(loss_db=full[cell.pictures.name] - values["psnr_y_db"])
            rows.append(row)
        return study_table(rows)

    def trace(self, question: str, trials: Iterable[Trial], steps: Sequence[int]) -> pd.DataFrame:
        """Measure fine-tunings after the given steps, on the first set; ``level`` becomes the step.

        Step 0 is the same run without fine-tuning. A run that diverges has its last rows empty.
        """
        trials = _some(question, trials)
        pictures = self.sets[0]
        tasks = [
            TraceTask(
                ModelTask(self.backbone, t.calibration, t.run, self.effort, self.cache, self.device),
                pictures.files,
                tuple(steps),
            )
            for t in trials
        ]
        before = replace(self, sets=self.sets[:1]).measure(question, [self.untuned(trial) for trial in trials])
        full = float(before.loc[before["setting"] == FULL_PRECISION_SETTING, "psnr_y_db"].iloc[0])
        run_traces([task for trial, task in zip(trials, tasks) if trial.wanted], self.workers)
        rows = before.to_dict("records")
        for trial, task in zip(trials, tasks):
            missing = DIVERGED if trial.wanted else NOT_RUN
            keys = self._keys(question, trial, Cell(self.backbone, trial.calibration, trial.run, pictures)) | dict(
                pictures=len(pictures.files)
            )
            measured = {record["step"]: record for record in task.results()} if trial.wanted else {}
            for step in steps:
                record = measured.get(step)
                values = (
                    dict(status=missing)
                    if record is None
                    else dict(
                        status=MEASURED,
                        psnr_y_db=record["psnr_y_db"],
                        ssim_y=record["ssim_y"],
                        fab=record["fab"],
                        loss_db=full - record["psnr_y_db"],
                    )
                )
                rows.append(keys | values | dict(level=str(step)))
        return study_table(rows)

    @staticmethod
    def untuned(trial: Trial) -> Trial:
        """Return the trial whose model a trace starts from."""
        changes = tuple(change for change in trial.run.changes if not change[0].partition(".")[0] == "tune")
        run = Run(**{**vars(trial.run), "changes": (*changes, ("tune", None))})
        return Trial(trial.series, trial.variable, "0", run, trial.calibration, trial.wanted)

    def _keys(self, question: str, trial: Trial | None, cell: Cell) -> dict[str, object]:
        where: Mapping[str, object] = dict(
            question=question, backbone=self.backbone.stem, dataset=cell.pictures.name, setting=cell.run.setting
        )
        if trial is None:
            return {**where, "series": "full precision", "variable": "none", "level": "none", "seed": 0, "sample": 0}
        return {
            **where,
            "series": trial.series,
            "variable": trial.variable,
            "level": trial.level,
            "seed": trial.run.seed,
            "sample": 0,
            "calibration_pictures": len(cell.calibration),
        }


def _some(question: str, trials: Iterable[Trial]) -> list[Trial]:
    """The trials; refused before anything is computed where none is wanted or two would be one row of the table."""
    trials = list(trials)
    if not any(trial.wanted for trial in trials):
        raise ConfigError(
            f"{question}: nothing is to be measured; give at least one method or run (without run: false), level and seed"
        )
    seen: set[tuple] = set()
    for trial in trials:
        keys = (trial.series, trial.variable, trial.level, trial.run.setting, trial.run.seed)
        if keys in seen:
            raise ConfigError(
                f"{question}: {trial.series} at {trial.variable} {trial.level} with seed {trial.run.seed} is there twice; name seeds and levels once"
            )
        seen.add(keys)
    return trials


def _bar(pictures: Sequence[np.ndarray], what: str) -> tqdm:
    return tqdm(pictures, what, unit="picture", mininterval=1.0)


def _source(strategy: str) -> str:
    try:
        return definition_hash(find(strategy).choose)
    except ConfigError as error:
        raise ConfigError(f"strategy {strategy!r}: {error}") from None
