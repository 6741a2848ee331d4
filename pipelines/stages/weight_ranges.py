"""Stage ``weight_ranges``: what the released search of weight ranges costs in the layers at fixed bits.

The released OMSE search of a layer's weight range minimizes the error at the *base* bits, in the 8-bit layers too,
and tries nothing below half the largest weight. This stage takes the calibrated, not fine-tuned AdaBM model of the paper
profile, gives the 8-bit layers the range max |W| instead, one at a time and all together, and measures each variant.
"""

import sys
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from adabm.engines.evaluation import measure
from adabm.errors import AdabmError
from adabm.quantization.layers import Policy
from adabm.study import Effort, ModelTask, ResultCache, find_root, plan_inputs, read_plan, write_provenance, write_table
from adabm.support.arguments import Parser
from adabm.support.process import as_command, plain

from .notebook_parameters import read_block
from .sums import write_sums


def measure_ranges(task: ModelTask, pictures: list) -> pd.DataFrame:
    """Return one row a variant: which layers got max |W|, the range before and after, mean PSNR on Y (dB), gain."""
    model, _ = task.load()
    model.to(memory_format=torch.channels_last)
    fixed = {name: layer for name, layer in model.layers.items() if layer.policy is Policy.FIXED}
    calibrated = {name: layer.weight_quantizer.scale.detach().clone() for name, layer in fixed.items()}
    largest = {name: layer.weight.abs().max().reshape(1) for name, layer in fixed.items()}
    rows = []
    for changed in ([], *([name] for name in fixed), list(fixed)):
        for name, layer in fixed.items():
            layer.weight_quantizer.set_scale(largest[name] if name in changed else calibrated[name])
        psnr = float(np.mean([measure(model, picture).psnr_y_db for picture in pictures]))
        one = changed[0] if len(changed) == 1 else None
        rows.append(
            dict(
                max_range_in=one or ("all fixed layers" if changed else "none, as calibrated"),
                scale_calibrated=round(calibrated[one].item(), 4) if one else None,
                scale_max=round(largest[one].item(), 4) if one else None,
                psnr_y_db=round(psnr, 3),
                gain_db=round(psnr - (rows[0]["psnr_y_db"] if rows else psnr), 3),
            )
        )
    return pd.DataFrame(rows)


def main() -> int:
    parser = Parser(description=__doc__.split("\n")[0], allow_abbrev=False)
    parser.add_argument("--params", type=Path, required=True, help="file of parameters with a block `calibration`")
    parser.add_argument("--evaluated", default="Set5", help="set to measure on")
    parser.add_argument("--output", type=Path, required=True, help="table to write (.csv)")
    parser.add_argument("--sums", type=Path, help="file to write: the sha256 of each file beside the table")
    args = parser.parse_args()
    torch.set_num_threads(1)
    try:
        root, block = find_root(), read_block(args.params, "calibration")
        setting = f"W{block['weight_bits']}A{block['activation_bits']}" + (" FQ" if block["fully_quantized"] else "")
        part = {key: block[key] for key in ("backbone", "data")} | dict(
            sets=[args.evaluated], settings=[setting], methods=["adabm-notune"], seeds=[block["seed"]]
        )
        effort = Effort.from_parameters(block)
        cells = read_plan([part], root, effort)
        cell = next(cell for cell in cells if cell.run.method == "adabm-notune")
        task = ModelTask(cell.backbone, cell.calibration, cell.run, cell.effort or effort, ResultCache.default(root))
        table = measure_ranges(task, [files.read(cell.scale) for files in cell.pictures.files])
        write_table(table, args.output)
        used, of = dict(part, effort=vars(effort)), dict(params_file=args.params, block="calibration")
        write_provenance(args.output, root, used, plan_inputs(cells), block["seed"], **of)
        if args.sums is not None:
            write_sums(args.output.parent, args.sums)
    except (AdabmError, OSError) as error:
        print(f"weight_ranges: {plain(error)}", file=sys.stderr)
        return 1
    print(table.to_string(index=False))
    return 0


if __name__ == "__main__":
    sys.exit(as_command("weight_ranges", main))
