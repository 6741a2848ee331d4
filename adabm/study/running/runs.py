"""Carry out a plan: several workers at once, every result kept, the most valuable cells first."""

import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import pandas as pd
import torch
from torch import nn

from ...engines.cost import macs_for
from ...engines.evaluation import Evaluation
from ...errors import ConfigError
from ...networks import NetworkDescriptor, describe, fold_reparameterized, load_network, registered_name
from ...quantization.model import QuantizedSR
from ..origin.fingerprint import file_hash
from ..plan.cells import Cell
from ..plan.effort import Effort
from .cache import ResultCache
from .graph import TaskGraph
from .scheduling import carry_out
from .tasks import MeasureTask, ModelTask
from .traces import TraceTask

MEASURED, NOT_RUN, DIVERGED = "measured", "not run", "diverged"
_Structure = tuple[Path, tuple[tuple[str, type], ...]]  # a network and its modules, quantized where they are


@dataclass(frozen=True)
class CellResult:
    """A cell with its per-picture rows and means; both None unless ``status`` is ``measured``.

    Where it is ``diverged``, ``reason`` tells why.
    """

    cell: Cell
    status: str
    pictures: pd.DataFrame | None = None
    summary: dict[str, float] | None = None
    reason: str | None = None


def find_device(device: str) -> str:
    """Return ``cpu`` or ``cuda``; ``auto`` is a GPU where there is one.

    Raises:
        ConfigError: another name, or ``cuda`` where there is no GPU.
    """
    if device not in ("auto", "cpu", "cuda"):
        raise ConfigError(f"device = {device!r}: must be auto, cpu or cuda")
    if device == "cuda" and not torch.cuda.is_available():
        raise ConfigError("device cuda: torch finds no GPU here; use cpu or auto")
    return ("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device


def run_plan(
    cells: Sequence[Cell],
    effort: Effort,
    cache: ResultCache,
    workers: int | None = None,
    device: str = "auto",
    executor: str | None = None,
) -> list[CellResult]:
    """Measure the wanted cells in their order, several at once; results come in the order of ``cells``.

    On the CPU each worker computes on one thread, so that the results are the same on any number of
    cores and machines. What the cache holds is not computed again; an interrupted run goes on at the picture, or
    the round of fine-tuning, where it stopped. Several studies may share the cache at the same time.

    Args:
        workers: by default one a core, or one a GPU; of a Dask scheduler, all.
        device: see :func:`find_device`.
        executor: where tasks run, see :mod:`adabm.study.running.executors`; ``ADABM_EXECUTOR`` overrides it. By default
            processes of this machine.

    Raises:
        RuntimeError: a task failed, or lost its worker several times; its message names the run. What was completed is
            kept, and so it is after Ctrl-C; the workers end at once.
        ConfigError: ``workers`` is not positive, there is no GPU where ``device`` says so, or no such executor.
    """
    _check_workers(workers)
    file_hash.cache_clear()  # an earlier plan of this process may have seen other contents
    device = find_device(device)
    models = {
        cell: ModelTask(cell.backbone, cell.calibration, cell.run, cell.effort or effort, cache, device, cell.imports)
        for cell in cells
    }
    graph = TaskGraph()
    for order, cell in enumerate(cells):
        if cell.wanted:
            graph.add_cell(order, models[cell], cell)
    if graph.nodes:
        _tell_guesses(dict.fromkeys(cell.backbone for cell in cells if cell.wanted))
    carry_out(graph, executor, workers, device, cache.folder)
    counted: dict[_Structure, dict[str, int]] = {}
    return [_result(cell, models[cell], counted) for cell in cells]


def run_traces(tasks: Sequence[TraceTask], workers: int | None = None, executor: str | None = None) -> None:
    """Carry out the traces that the cache lacks, several at once, as :func:`run_plan` does its tasks."""
    _check_workers(workers)
    file_hash.cache_clear()
    graph = TaskGraph()
    for order, task in enumerate(tasks):
        if not task.done():
            graph.add(order, task)
    if graph.nodes:
        carry_out(graph, executor, workers, tasks[0].model.device, tasks[0].model.cache.folder)


def _tell_guesses(backbones: Iterable[Path]) -> None:
    """Warn once, here and not in each worker, of the networks whose layers were found by a traced pass."""
    for backbone in backbones:
        network, descriptor = _described(backbone, file_hash(backbone))
        if registered_name(network) is None:
            warnings.warn(
                f"{backbone.name}: the layout of {descriptor.title} was guessed; check it with `adabm info {backbone}`",
                stacklevel=3,
            )


def _check_workers(workers: int | None) -> None:
    if workers is not None and workers < 1:
        raise ConfigError(f"workers = {workers}: must be at least 1")


def _result(cell: Cell, model_task: ModelTask, counted: dict[_Structure, dict[str, int]]) -> CellResult:
    if not cell.wanted:
        return CellResult(cell, NOT_RUN)
    if (reason := model_task.divergence()) is not None:
        return CellResult(cell, DIVERGED, reason=reason)
    task = MeasureTask(model_task, cell.pictures.files, cell.pictures.tile, cell.pictures.engine)
    evaluation = Evaluation.of(task.results())
    network, descriptor = _described(cell.backbone, file_hash(cell.backbone))
    model = QuantizedSR(network, cell.run.config(), descriptor)  # its cost is the same, whatever its ranges
    for name, bits in model_task.weight_bits().items():
        model.layers[name].weight_bits = bits
    structure = (cell.backbone, tuple((name, type(module)) for name, module in model.network.named_modules()))
    if structure not in counted:  # a traced pass, seconds on a transformer
        counted[structure] = macs_for(model)
    return CellResult(cell, MEASURED, evaluation.pictures, evaluation.summary(model, counted[structure]))


@lru_cache(maxsize=1)
def _described(backbone: Path, _content: str) -> tuple[nn.Module, NetworkDescriptor]:
    """The network of a weight file and its description: consecutive cells share it, and finding out takes a traced pass."""
    network = fold_reparameterized(load_network(backbone))
    return network, describe(network)
