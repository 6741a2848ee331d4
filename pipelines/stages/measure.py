"""Measure the cells of an evaluation plan with a progress bar, ahead of the notebook that shows them.

``python -m pipelines.stages.measure --params params.yaml`` fills the result cache as the stage ``question@evaluation`` would;
that stage then finds everything there. Made for runs of hours: interrupt it whenever you like and start it again.
"""

import os
import sys
from pathlib import Path

from adabm.errors import AdabmError
from adabm.study import Effort, ResultCache, find_root, read_plan, run_plan
from adabm.study.plan.options import check_keys
from adabm.study.variables import EXECUTOR_VARIABLE
from adabm.support.arguments import Parser
from adabm.support.files import remove_stale_temporaries
from adabm.support.process import as_command, plain

from .notebook_parameters import read_block, read_executor

# the parameters of the notebook
_REQUIRED = ("plan", "patch_size", "patches", "rounds", "steps_per_round")
_OPTIONAL = ("same_as", "workers", "device", "results")


def main() -> int:
    parser = Parser(description=__doc__.split("\n")[0], allow_abbrev=False)
    parser.add_argument("--params", type=Path, required=True, help="file of parameters with a block `evaluation`")
    parser.add_argument(
        "--workers", type=int, help="instead of the block's; 0: one a core or a GPU, or all of a Dask cluster"
    )
    parser.add_argument(
        "--executor", help="instead of the profile's and ADABM_EXECUTOR: processes, dask, slurm, ... (docs/cluster.md)"
    )
    parser.add_argument("--device", choices=["auto", "cpu", "cuda"], help="instead of the block's")
    args = parser.parse_args()
    try:
        root = find_root()
        block = read_block(args.params, "evaluation")
        check_keys(f"{args.params}, block 'evaluation'", block, _REQUIRED, _OPTIONAL)
        workers = args.workers if args.workers is not None else block.get("workers", 0)
        device = args.device or block.get("device", "auto")
        cache = ResultCache.default(root)
        remove_stale_temporaries(cache.folder)
        effort = Effort.from_parameters(block)
        cells = read_plan(block["plan"], root, effort)
        if args.executor:
            os.environ[EXECUTOR_VARIABLE] = args.executor
        results = run_plan(cells, effort, cache, workers or None, device, read_executor(args.params))
    except (AdabmError, OSError, RuntimeError) as error:
        print(f"measure: {plain(error)}", file=sys.stderr)
        return 1
    for result in results:
        if result.reason is not None:
            run = result.cell.run
            print(
                f"{result.cell.backbone.stem}, {run.method} at {run.setting}, seed {run.seed} {result.status}: {result.reason}"
            )
    print(f"{sum(r.summary is not None for r in results)} of {len(results)} cells measured")
    return 0


if __name__ == "__main__":
    sys.exit(as_command("measure", main, "what was completed is kept"))
