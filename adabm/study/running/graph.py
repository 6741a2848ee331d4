"""The tasks of a study in order of value, and which of them wait for which; the same for every executor."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from ..plan.cells import Cell
from .calls import CallTask
from .tasks import MeasureTask, ModelTask
from .traces import TraceTask

Task = ModelTask | MeasureTask | TraceTask | CallTask
CHUNK = 5  # pictures a task; small, so that no core waits long for the others at the end


@dataclass(frozen=True)
class Node:
    """A task; the lowest ``order`` has the most value; ``after`` is the node whose model it needs."""

    order: int
    task: Task
    after: int | None = None


class TaskGraph:
    """Grows by cells and traces, each node known by its place."""

    def __init__(self) -> None:
        self.nodes: list[Node] = []
        self._models: dict[str, int | None] = {}  # by key; None where the model is there

    def add(self, order: int, task: Task, after: int | None = None) -> int:
        """Add a task and return its place."""
        self.nodes.append(Node(order, task, after))
        return len(self.nodes) - 1

    def add_cell(self, order: int, model: ModelTask, cell: Cell) -> None:
        """Add what the cache lacks of a cell: its model, and its pictures by the chunk."""
        task = MeasureTask(model, cell.pictures.files, cell.pictures.tile, cell.pictures.engine)
        missing = task.missing()
        if not missing or model.divergence() is not None:
            return
        if model.key not in self._models:
            self._models[model.key] = None if model.done() else self.add(order, model)
        for chunk in chunks(replace(task, files=tuple(missing))):
            self.add(order, chunk, self._models[model.key])


def chunks(task: MeasureTask) -> Sequence[MeasureTask]:
    """Return the task in pieces of a few pictures."""
    return [replace(task, files=task.files[i : i + CHUNK]) for i in range(0, len(task.files), CHUNK)]
