"""Full precision as measured here beside the PSNR that others published."""

import pandas as pd

from ...full_precision import FULL_PRECISION
from ..running.runs import MEASURED


def reference_table(summary: pd.DataFrame, references: pd.DataFrame) -> pd.DataFrame:
    """Compare full precision, where measured on whole pictures, with reference PSNR: one row a network and set.

    Args:
        summary: of the evaluation, a row a cell.
        references: the table ``data/reference_psnr.csv``.
    """
    keys = ["network", "scale", "dataset"]
    measured = summary[(summary["method"] == FULL_PRECISION) & (summary["status"] == MEASURED) & (summary["tile"] == 0)]
    measured = measured.rename(columns={"backbone": "network", "psnr_y_db": "measured_db"})[
        [*keys, "pictures", "measured_db"]
    ]
    table = measured.merge(references.rename(columns={"psnr_y_db": "reference_db"}), on=keys, how="inner")
    table.insert(6, "difference_db", (table["measured_db"] - table["reference_db"]).round(3))
    return table
