"""Stage ``collect``: from the tidy tables make what people read: Markdown, figures, metrics."""

import argparse
import json
import sys
from pathlib import Path

import pandas as pd

from adabm.files import write_atomically
from adabm.full_precision import FULL_PRECISION
from adabm.study import comparison_markdown, evaluation_markdown, find_root, save_figure, write_provenance, write_table
from adabm.study.pages import figures

_REFERENCE_DIGITS = 2  # of the references


def reference_table(summary: pd.DataFrame, references: pd.DataFrame) -> pd.DataFrame:
    """Compare full precision, where measured on whole pictures, with reference PSNR: one row a network and set."""
    keys = ["network", "scale", "dataset"]
    measured = summary[
        (summary["method"] == FULL_PRECISION) & (summary["status"] == "measured") & (summary["tile"] == 0)
    ]
    measured = measured.rename(columns={"backbone": "network", "psnr_y_db": "measured_db"})[
        [*keys, "pictures", "measured_db"]
    ]
    table = measured.merge(references.rename(columns={"psnr_y_db": "reference_db"}), on=keys, how="inner")
    table.insert(6, "difference_db", (table["measured_db"] - table["reference_db"]).round(3))
    return table


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("--results", type=Path, required=True, help="folder with tables/evaluation_summary.csv")
    parser.add_argument(
        "--references", type=Path, help="table of reference PSNR; writes tables/reference.{csv,md} and comparison.md"
    )
    args = parser.parse_args()
    tables, drawn = args.results / "tables", args.results / "figures"
    source = tables / "evaluation_summary.csv"
    if not source.is_file():
        print(f"collect: {source} is missing; run the stage `evaluate` first", file=sys.stderr)
        return 1
    summary = pd.read_csv(source)
    write_atomically(tables / "evaluation.md", evaluation_markdown(summary).encode())
    first = summary[summary["backbone"] == summary["backbone"].iloc[0]]
    save_figure(figures.plot_losses(first), drawn / "loss")
    one_set = first[(first["dataset"] == first["dataset"].iloc[0]) & (first["tile"] == first["tile"].iloc[0])]
    save_figure(figures.plot_psnr_bitops(one_set[one_set["status"] == "measured"]), drawn / "psnr_versus_bitops")
    if args.references is not None:
        table = reference_table(summary, pd.read_csv(args.references))
        write_table(table, tables / "reference.csv")
        write_provenance(tables / "reference.csv", find_root(), {}, [source, args.references], [])
        text = table.to_markdown(index=False, floatfmt=("", "", "", "", ".3f", f".{_REFERENCE_DIGITS}f", "+.3f", ""))
        write_atomically(tables / "reference.md", f"{text}\n".encode())
        write_atomically(tables / "comparison.md", comparison_markdown(summary).encode())
    metrics: dict[str, dict] = {}
    for _, row in first[
        (first["status"] == "measured") & first["method"].isin([FULL_PRECISION, "minmax", "adabm"])
    ].iterrows():
        name = row["setting"] + ("" if row["method"] == FULL_PRECISION else f" {row['method']}")
        place = row["dataset"] + (f" {row['tile']}px" if row["tile"] else "")
        metrics.setdefault(place, {})[name] = {"psnr_y_db": row["psnr_y_db"], "fab": row["fab"]}
    write_atomically(args.results / "metrics.json", (json.dumps(metrics, indent=2) + "\n").encode())
    return 0


if __name__ == "__main__":
    sys.exit(main())
