"""Stage ``collect``: from the tidy tables make what people read: Markdown, figures, metrics."""

import argparse
import json
import sys
from pathlib import Path

import pandas as pd

from adabm.images import write_atomically
from adabm.study import figures, save_figure
from adabm.study.tables import evaluation_markdown


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("--results", type=Path, required=True, help="folder with tables/evaluation.csv")
    results = parser.parse_args().results
    source = results / "tables" / "evaluation.csv"
    if not source.is_file():
        print(f"collect: {source} is missing; run `dvc repro evaluate` first", file=sys.stderr)
        return 1
    means = pd.read_csv(source)
    write_atomically(results / "tables" / "evaluation.md", evaluation_markdown(means).encode())
    save_figure(figures.plot_psnr_bitops(means), results / "figures" / "psnr_versus_bitops")
    metrics = {
        row["setting"] + ("" if row["method"] == "fp32" else f" {row['method']}"): {"psnr_y_db": row["psnr_y_db"], "fab": row["fab"]}
        for row in means.to_dict("records")
        if row["method"] in ("fp32", "minmax", "adabm")
    }
    write_atomically(results / "metrics.json", (json.dumps(metrics, indent=2) + "\n").encode())
    return 0


if __name__ == "__main__":
    sys.exit(main())
