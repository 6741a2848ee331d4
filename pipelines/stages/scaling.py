"""Tell how long a profile takes on 1 to 1,000 workers, by simulating the scheduling of its tasks.

``python -m pipelines.stages.scaling --params profiles/paper/params.yaml`` plans what the questions' stages would run from
nothing, one question after the other as DVC runs them. A task takes as long as the result cache says it took; where the cache
does not know, its time is estimated from the timing question's table. It needs the profile's prepared data, and computes nothing.
"""

import itertools
import sys
from collections.abc import Mapping
from pathlib import Path

from adabm.errors import AdabmError
from adabm.study import find_root
from adabm.study.running.simulation import Job, critical_path, makespan
from adabm.support.arguments import Parser
from adabm.support.process import as_command, plain

from .durations import Durations
from .notebook_parameters import read_block
from .profile_tasks import Phase, phases

WORKERS = (1, 2, 4, 8, 16, 40, 100, 200, 400, 1000)


def table(planned: Mapping[str, list[Phase]], workers: tuple[int, ...] = WORKERS) -> str:
    """Return a Markdown table: makespan, efficiency, and the questions' shares, by number of workers."""
    work = sum(job.seconds for phase in itertools.chain(*planned.values()) for job in phase.jobs)
    head = [
        "workers",
        "makespan (h)",
        "speed-up",
        "efficiency",
        "all at once (h)",
        *(f"{name} (h)" for name in planned),
    ]
    lines = [f"| {' | '.join(head)} |", f"|{'---:|' * len(head)}"]
    pooled = _pooled(list(itertools.chain(*planned.values())))
    for count in workers:
        hours = [sum(makespan(phase.jobs, count) for phase in of) / 3600 for of in planned.values()]
        total = sum(hours)
        together = makespan(pooled, count) / 3600
        cells = [f"{count:,}", f"{total:.2f}", f"{work / 3600 / total:.1f}", f"{work / 3600 / total / count:.0%}"]
        lines.append(f"| {' | '.join([*cells, f'{together:.2f}', *(f'{h:.2f}' for h in hours)])} |")
    return "\n".join(lines)


def _pooled(planned: list[Phase]) -> list[Job]:
    """All jobs as if no phase waited for another."""
    jobs: list[Job] = []
    for phase in planned:
        start = len(jobs)
        for job in phase.jobs:
            after = None if job.after is None else job.after + start
            jobs.append(Job(job.name, job.seconds, start + job.order, after, job.measured))
    return jobs


def limits(planned: Mapping[str, list[Phase]]) -> str:
    """Name the longest chain of tasks of each phase, below whose time no number of workers comes."""
    lines = []
    for name, of in planned.items():
        for phase in of:
            path = critical_path(phase.jobs)
            seconds = sum(job.seconds for job in path)
            told = ", then ".join(f"{job.name} ({job.seconds / 60:.1f} min)" for job in path)
            lines.append(f"* {name}, {phase.name}: {seconds / 60:.1f} min: {told}")
    return "\n".join(lines)


def main() -> int:
    parser = Parser(description=__doc__.split("\n")[0], allow_abbrev=False)
    parser.add_argument("--params", type=Path, required=True, help="file of a profile's parameters")
    parser.add_argument("--workers", type=int, nargs="+", default=WORKERS)
    parser.add_argument("--everything", action="store_true", help="plan what `run: false` leaves out too")
    args = parser.parse_args()
    try:
        root = find_root()
        name = read_block(args.params, "profile")["name"]
        durations = Durations.read(root, root / "results" / name)
        planned = phases(args.params, root, durations, args.everything)
        left_out = [key for key in read_block(args.params, "questions") if key not in planned]
    except (AdabmError, OSError) as error:
        print(f"scaling: {plain(error)}", file=sys.stderr)
        return 1
    jobs = [job for phase in itertools.chain(*planned.values()) for job in phase.jobs]
    measured = sum(job.measured for job in jobs)
    work = sum(job.seconds for job in jobs)
    print(
        f"{len(jobs)} tasks, {work / 3600:.1f} core-hours; durations of {measured} are measured, of {len(jobs) - measured} estimated\n"
    )
    print(table(planned, tuple(args.workers)))
    if left_out:
        print(f"\nNot simulated: {', '.join(left_out)}")
    print(f"\nThe longest chains:\n\n{limits(planned)}")
    return 0


if __name__ == "__main__":
    sys.exit(as_command("scaling", main))
