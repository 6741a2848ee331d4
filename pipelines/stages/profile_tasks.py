"""The tasks that the questions of a profile consist of, when nothing is kept yet; planned by the code that runs them."""

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path

from adabm.full_precision import FULL_PRECISION
from adabm.study import Bench, Effort, ModelTask, ResultCache, Run, Trial, read_plan
from adabm.study.answers import fine_tuning, sampling, set_size
from adabm.study.answers.asked import Asked, open_asked
from adabm.study.answers.component_trials import Trials, all_combinations
from adabm.study.plan.cells import EvaluationSet
from adabm.study.running.graph import Task, chunks
from adabm.study.running.simulation import Job
from adabm.study.running.tasks import MeasureTask
from adabm.study.running.traces import TraceTask

from .durations import Durations
from .notebook_parameters import read_block


@dataclass(frozen=True)
class Phase:
    """Tasks of a question that are carried out together; the next phase starts when all are done."""

    name: str
    jobs: list[Job]


class _Planning(Bench):
    """A bench that computes nothing: where pictures are not chosen yet, it names that many that do not exist."""

    def choose(self, strategy: str, count: int, run: Run) -> tuple[Path, ...]:
        kept = self.chosen(strategy, count, run)
        return kept or tuple(Path(f"{strategy} of seed {run.seed} at {run.setting}/{index}") for index in range(count))


@dataclass
class _Planner:
    """Collects jobs; what an earlier phase computed is not computed again."""

    durations: Durations
    everything: bool = False  # what `run: false` leaves out too
    seen: set[tuple] = field(default_factory=set)

    def phase(self, name: str) -> "_Jobs":
        return _Jobs(name, self.durations, self.seen)


class _Jobs:
    def __init__(self, name: str, durations: Durations, seen: set[tuple]) -> None:
        self.name, self._durations, self._seen = name, durations, seen
        self.jobs: list[Job] = []
        self._models: dict[tuple, int] = {}

    def add(self, order: int, model: ModelTask, pictures: EvaluationSet) -> None:
        """Add a model and the measuring of a set, as :meth:`adabm.study.running.graph.TaskGraph.add_cell` does."""
        identity = _identity(model)
        if model.run.method != FULL_PRECISION and identity not in self._seen:
            self._seen.add(identity)
            self._models[identity] = self._job(f"quantize {_told(model)}", order, model)
        measuring = (*identity, pictures.name, pictures.tile, pictures.engine)
        if measuring in self._seen:
            return
        self._seen.add(measuring)
        for chunk in chunks(MeasureTask(model, pictures.files, pictures.tile, pictures.engine)):
            name = f"measure {_told(model)} on {len(chunk.files)} pictures of {pictures.name}"
            self._job(name, order, chunk, self._models.get(identity))

    def trace(self, order: int, task: TraceTask) -> None:
        self._job(f"trace {_told(task.model)}", order, task)

    def _job(self, name: str, order: int, task: Task, after: int | None = None) -> int:
        seconds, measured = self._durations.of(task)
        self.jobs.append(Job(name, seconds, order, after, measured))
        return len(self.jobs) - 1

    def done(self) -> Phase:
        return Phase(self.name, self.jobs)


def _identity(model: ModelTask) -> tuple:
    if model.run.method == FULL_PRECISION:
        return (model.backbone,)
    settings = json.dumps(model.run.config(model.effort).to_dict(), sort_keys=True)
    return model.backbone, model.calibration, settings, model.run.seed, model.effort.patch_size, model.effort.patches


def _told(model: ModelTask) -> str:
    run, config = model.run, model.run.config(model.effort)
    if run.method == FULL_PRECISION:
        return f"{model.backbone.stem} in full precision"
    tuning = config.step("tune")
    steps = f"{tuning.total_steps} steps" if tuning is not None else "not fine-tuned"
    return f"{model.backbone.stem} by {run.method} at {run.setting}, seed {run.seed}, {steps}"


def phases(params: Path, root: Path, durations: Durations, everything: bool = False) -> dict[str, list[Phase]]:
    """Return the phases of the questions that are run on workers, and of the timing, in the order of the profile.

    Args:
        everything: plan what ``run: false`` leaves out too.

    Raises:
        AdabmError: the data of the profile are not prepared, or its parameters do not fit.
    """
    planner = _Planner(durations, everything)
    cache = ResultCache.default(root)
    planned: dict[str, list[Phase]] = {}
    for name in read_block(params, "questions"):
        block = read_block(params, name)
        if name == "evaluation":
            planned[name] = [_evaluation(planner, block, root, cache)]
        elif name == "fine_tuning":
            networks = _asked(block, "steps", "runs")
            planned[name] = [phase for network in networks for phase in _fine_tuning(planner, network, block)]
        elif name == "components":
            bench = _bench(block)
            planned[name] = [_measured(planner, name, _components(bench, block), bench)]
        elif name in _TRIALS:
            own, trials = _TRIALS[name]
            planned[name] = [
                _measured(planner, f"{name}, {network.name}", trials(network, block), network.bench)
                for network in _asked(block, own)
            ]
        elif name == "timing":
            planned[name] = [Phase("alone on the machine", [Job("timing", durations.samples(block["repeats"]))])]
    return planned


def _bench(block: Mapping) -> _Planning:
    return _Planning.open(block["backbone"], block["data"], block["sets"], block["pool"], _effort(block))


def _asked(block: Mapping, own: str, parameter: str = "methods") -> list[Asked]:
    given = (block[name] for name in ("backbones", "data", "sets", "pool"))
    networks = open_asked(*given, _effort(block), block["setting"], block[parameter], [own], parameter=parameter)
    planning = (_Planning(**{f.name: getattr(network.bench, f.name) for f in fields(Bench)}) for network in networks)
    return [replace(network, bench=bench) for network, bench in zip(networks, planning)]


def _effort(block: Mapping) -> Effort:
    return Effort(block["patch_size"], None, block["rounds"], block["steps_per_round"])


def _evaluation(planner: _Planner, block: Mapping, root: Path, cache: ResultCache) -> Phase:
    effort = Effort.from_parameters(block)
    jobs = planner.phase("plan")
    for order, cell in enumerate(read_plan(block["plan"], root, effort)):
        if cell.wanted or planner.everything:
            model = ModelTask(
                cell.backbone, cell.calibration, cell.run, cell.effort or effort, cache, "cpu", cell.imports
            )
            jobs.add(order, model, cell.pictures)
    return jobs.done()


def _measured(planner: _Planner, name: str, trials: Iterable[Trial], bench: Bench) -> Phase:
    jobs = planner.phase(name)
    for order, pictures in enumerate(bench.sets):
        jobs.add(order, _model(bench, Run(FULL_PRECISION), ()), pictures)
    for order, trial in enumerate(trials, len(bench.sets)):
        for pictures in bench.sets if trial.wanted or planner.everything else ():
            jobs.add(order, _model(bench, trial.run, trial.calibration), pictures)
    return jobs.done()


def _fine_tuning(planner: _Planner, network: Asked, block: Mapping) -> list[Phase]:
    bench, done = network.bench, []
    by_steps = fine_tuning.trials(network, *(block[name] for name in ("pictures", "runs", "steps")))
    for steps, trials in by_steps.items():
        told = f"fine_tuning, {network.name}, to step {steps[-1]}"
        before = [Bench.untuned(trial) for trial in trials]
        done.append(_measured(planner, f"{told}: before", before, replace(bench, sets=bench.sets[:1])))
        jobs = planner.phase(told)
        for order, trial in enumerate(trials):
            if trial.wanted or planner.everything:
                jobs.trace(order, TraceTask(_model(bench, trial.run, trial.calibration), bench.sets[0].files, steps))
        done.append(jobs.done())
    return [phase for phase in done if phase.jobs]


def _model(bench: Bench, run: Run, calibration: tuple[Path, ...]) -> ModelTask:
    return ModelTask(bench.backbone, calibration, run, bench.effort, bench.cache, "cpu")


def _set_size(network: Asked, block: Mapping) -> list[Trial]:
    return set_size.trials(network, block["sizes"], block["methods"])


def _sampling(network: Asked, block: Mapping) -> list[Trial]:
    return sampling.trials(network, *(block[name] for name in ("strategies", "count", "counts", "methods")))


def _components(bench: Bench, block: Mapping) -> list[Trial]:
    make = Trials(bench, *(block[name] for name in ("preset", "setting", "pictures", "seeds", "run_tuned")))
    trials = make.components(block["combinations"] or all_combinations())
    return trials + make.frontier(block["frontier"]) + make.bit_weights(block["bit_weights"])


# Questions on several networks: what a network may have of its own, and its trials.
_TRIALS: dict[str, tuple[str, Callable[[Asked, Mapping], list[Trial]]]] = {
    "set_size": ("sizes", _set_size),
    "sampling": ("strategies", _sampling),
}
