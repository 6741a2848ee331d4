"""Tidy result tables as CSV and Markdown."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from ...engines.simulated import SIMULATED
from ...quantization.layers import WeightedLayer
from ...quantization.model import QuantizedSR
from ...steps import CalibrationRecord
from ...support.files import write_atomically
from ..running.runs import CellResult

KEYS = [
    "backbone",
    "scale",
    "dataset",
    "tile",
    "method",
    "setting",
    "weight_bits",
    "activation_bits",
    "fully_quantized",
    "seed",
]
ENGINE = "engine"
_VALUES = ["psnr_y_db", "ssim_y", "fab", "bitops_g", "relative_bitops", "size_kib"]
# digits to which values are the same on the same machine, whatever the number of cores
_DIGITS = {"psnr_y_db": 3, "ssim_y": 4, "fab": 3, "bitops_g": 1, "relative_bitops": 4, "size_kib": 1}


def evaluation_tables(results: Sequence[CellResult]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return (one row a cell and picture, one row a cell).

    Both begin with the columns ``KEYS``; ``tile`` is 0 where pictures were upscaled whole. Where another engine than the
    simulation took part, the column ``engine`` follows. Cells that were not measured have rows in the second table
    alone, with empty values; ``status`` tells why.
    """
    several = any(result.cell.pictures.engine != SIMULATED for result in results)
    names = [*KEYS, ENGINE] if several else KEYS
    pictures, means = [], []
    for result in results:
        cell = result.cell
        of_run = {name: getattr(cell.run, name) for name in KEYS[4:]}
        keys = {
            "backbone": cell.backbone.stem,
            "scale": cell.scale,
            "dataset": cell.pictures.name,
            "tile": cell.pictures.tile or 0,
            **of_run,
        }
        if several:
            keys[ENGINE] = cell.pictures.engine_name
        if result.pictures is not None:
            pictures.append(pd.DataFrame(keys, index=result.pictures.index).join(result.pictures))
        means.append({**keys, "status": result.status, "pictures": len(cell.pictures.files), **(result.summary or {})})
    columns = [*names, "status", "pictures", *_VALUES]
    if not pictures:
        pictures.append(pd.DataFrame(columns=[*names, "picture", *_VALUES[:3]]))
    return _rounded(pd.concat(pictures, ignore_index=True)), _rounded(pd.DataFrame(means).reindex(columns=columns))


def _rounded(table: pd.DataFrame) -> pd.DataFrame:
    return table.round({name: digits for name, digits in _DIGITS.items() if name in table})


def layer_table(model: QuantizedSR, record: CalibrationRecord) -> pd.DataFrame:
    """Return one row a quantized layer, in execution order: its part, sensitivity, factors, ranges, bits."""
    rows = [
        dict(
            layer=name,
            role=layer.role.value,
            policy=layer.policy.value,
            sigma=record.sensitivities.get(name),
            initial_factor=int(record.layer_factors.get(name, 0)),
            tuned_factor=int(layer.layer2bit.hard) if layer.layer2bit is not None else 0,
            lower=layer.activation.lower.item(),
            upper=layer.activation.upper.item(),
            scale=layer.weight_quantizer.scale.item() if isinstance(layer, WeightedLayer) else None,
            weight_bits=layer.weight_bits,
            activation_bits=layer.activation_bits,
        )
        for name, layer in model.layers.items()
    ]
    return pd.DataFrame(rows).round(dict(sigma=3, lower=3, upper=3, scale=5))


def write_table(table: pd.DataFrame, path: str | Path) -> None:
    """Write ``path`` (.csv), atomically."""
    write_atomically(path, table.to_csv(index=False, lineterminator="\n").encode())
