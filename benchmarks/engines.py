"""How fast are the engines, and how near to the simulation? Writes results/speed/engines/: tables, provenance, page, figure.

``python -m benchmarks.engines`` quantizes each network to W4A4 FQ without fine-tuning (kept in --work), times all engines
in turns on one tile, and compares every picture of the sets with the simulation. What the tables have of other networks,
threads, tiles, sets and engines stays. Nothing else should run meanwhile; ``--note`` says so where something does. Data are those
of stage prepare of the paper's profile.
"""

from pathlib import Path

import pandas as pd

import adabm
from adabm.networks.backbones import backbone_path
from adabm.pictures.reading import list_images, read_rgb
from adabm.study.origin.provenance import SPEED_CODE
from adabm.support.arguments import Parser

from .engine_pages import draw, page
from .engine_runs import DOUBLE, ENGINES, NETWORKS, SETS, equality, seconds
from .recording import RESULTS, add_note, publish, run_of

PACKAGES = ("torch", "openvino", "onnxruntime", "onnx", "numpy")
MEASURES = {"equality": equality, "seconds": seconds}
CASE = {"seconds": ["network", "threads", "tile"], "equality": ["network", "set", "engine"]}  # measured anew as a whole


def main() -> None:
    parser = Parser(description=__doc__, allow_abbrev=False)
    parser.add_argument("--networks", nargs="+", default=list(NETWORKS), choices=list(NETWORKS))
    parser.add_argument("--tiles", nargs="+", type=int, default=[64, 128, 256, 512])
    parser.add_argument("--threads", nargs="+", type=int, default=[1, 2])
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--sets", nargs="*", default=["Set5", "Set14"], choices=SETS, help="to compare on")
    parser.add_argument("--most", type=int, default=20, help="pictures of a set to compare on, at even distances")
    parser.add_argument("--crop", type=int, help="to compare on the middle of each picture alone, of so many pixels")
    parser.add_argument("--compared", nargs="+", default=[*ENGINES, DOUBLE], choices=[*ENGINES, DOUBLE])
    parser.add_argument("--only", choices=list(MEASURES), help="the other table stays as it is")
    parser.add_argument("--data", type=Path, default=Path("data/prepared"))
    parser.add_argument("--work", type=Path, default=Path("data/cache/benchmarks"), help="keeps the quantized networks")
    parser.add_argument("--out", type=Path, default=RESULTS / "engines")
    add_note(parser)
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    for what, measure in MEASURES.items():
        if args.only not in (None, what):
            continue
        rows: list[dict] = []
        table = args.out / f"engines_{what}.csv"
        before = pd.read_csv(table) if table.exists() else pd.DataFrame()
        for name in args.networks:
            model = adabm.load_quantized(checkpoint(name, args.data, args.work))
            for row in measure(model, args):
                rows.append({"network": name, **row})
                kept = _kept(before, pd.DataFrame(rows), CASE[what])
                together = pd.concat([kept, pd.DataFrame(rows)], ignore_index=True)
                together.sort_values(CASE[what], key=_places, kind="stable").to_csv(table, index=False)
        if rows:
            code = {"engines": SPEED_CODE["engines"]}
            publish(table, run_of(args, PACKAGES), code, ["engine_runs.py"], added=not kept.empty)
    draw(args.out)
    (args.out / "README.md").write_text(page(args.out))


def _kept(before: pd.DataFrame, rows: pd.DataFrame, case: list[str]) -> pd.DataFrame:
    """The rows of before that are of other cases."""
    return before if before.empty else before[~before.set_index(case).index.isin(rows.set_index(case).index)]


def _places(column: pd.Series) -> pd.Series:
    """What the rows are sorted by: networks and sets have an order of their own."""
    names = {"network": list(NETWORKS), "set": SETS}.get(column.name)
    return column if names is None else column.str.split(",").str[0].map(names.index)


def checkpoint(name: str, data: Path, work: Path) -> Path:
    """Quantize a network, unless that is done."""
    path = work / f"{name.replace(' ', '_')}.safetensors"
    if not path.exists():
        pictures = [read_rgb(file) for file in list_images(data / "x4" / "calibration" / "LR")[:20]]
        source = NETWORKS[name]
        network = adabm.load_network(data / source if "/" in source else backbone_path(source))
        model = adabm.quantize(network, pictures, adabm.preset("adabm-notune"), patch_size=48)[0]
        path.parent.mkdir(parents=True, exist_ok=True)
        adabm.save_quantized(model, path)
    return path


if __name__ == "__main__":
    main()
