"""Tidy result tables as CSV and Markdown."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from ..calibration import CalibrationRecord
from ..images import write_atomically
from ..model import QuantizedSR
from .runs import RunResult

METHOD_LABELS = {
    "fp32": "Full precision",
    "minmax": "MinMax",
    "percentile": "Percentile",
    "omse": "OMSE",
    "minmax-tuned": "MinMax + fine-tuning",
    "percentile-tuned": "Percentile + fine-tuning",
    "omse-tuned": "OMSE + fine-tuning",
    "adabm-image": "AdaBM, image mapping only",
    "adabm-layer": "AdaBM, layer mapping only",
    "adabm-noclip": "AdaBM without clipping",
    "adabm-notune": "AdaBM without fine-tuning",
    "adabm": "AdaBM",
    "adabm-relative": "AdaBM, relative learning rates",
}
KEYS = ["method", "setting", "weight_bits", "activation_bits", "fully_quantized", "seed"]
# digits to which values are the same on the same machine, whatever the number of cores
_DIGITS = {"psnr_y_db": 3, "ssim_y": 4, "fab": 3, "bitops_g": 1, "relative_bitops": 4, "size_kib": 1}
_MARKDOWN_NAMES = {
    "psnr_y_db": "PSNR-Y (dB)", "ssim_y": "SSIM-Y", "fab": "FAB (simulated bits)",
    "bitops_g": "BitOPs at 720p (G, theoretical)", "relative_bitops": "of FP32", "size_kib": "size (KiB, theoretical)",
    "setting": "setting", "method": "method",
}


def evaluation_tables(results: Sequence[RunResult]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return (one row a run and picture, one row a run), with the columns ``KEYS`` in front."""
    pictures, means = [], []
    for result in results:
        run = result.run
        keys = {name: getattr(run, name) for name in KEYS}
        pictures.append(pd.DataFrame(keys, index=result.pictures.index).join(result.pictures))
        means.append({**keys, **result.summary})
    return _rounded(pd.concat(pictures, ignore_index=True)), _rounded(pd.DataFrame(means))


def _rounded(table: pd.DataFrame) -> pd.DataFrame:
    return table.round({name: digits for name, digits in _DIGITS.items() if name in table})


def layer_table(model: QuantizedSR, record: CalibrationRecord) -> pd.DataFrame:
    """Return one row a quantized layer, in execution order: its part, sensitivity, factors, ranges, bits."""
    rows = [
        dict(
            layer=name, role=model.descriptor.roles[name].value, policy=layer.policy.value,
            sigma=record.sensitivities[name], initial_factor=int(record.layer_factors.get(name, 0)),
            tuned_factor=int(layer.layer2bit.hard) if layer.layer2bit is not None else 0,
            lower=layer.activation.lower.item(), upper=layer.activation.upper.item(),
            scale=layer.weight_quantizer.scale.item(), weight_bits=layer.weight_bits, activation_bits=layer.activation_bits,
        )
        for name, layer in model.layers.items()
    ]
    return pd.DataFrame(rows).round(dict(sigma=3, lower=3, upper=3, scale=5))


def write_table(table: pd.DataFrame, path: str | Path) -> None:
    """Write ``path`` (.csv), atomically."""
    write_atomically(path, table.to_csv(index=False, lineterminator="\n").encode())


def evaluation_markdown(means: pd.DataFrame) -> str:
    """Return the table of means as Markdown, grouped by setting, methods in the order of ``METHOD_LABELS``."""
    order = {method: i for i, method in enumerate(METHOD_LABELS)}
    shown = means.assign(_order=means["method"].map(order))
    shown["_setting"] = shown["setting"].map({s: i for i, s in enumerate(dict.fromkeys(means["setting"]))})
    shown = shown.sort_values(["_setting", "_order"])
    shown["method"] = shown["method"].map(METHOD_LABELS)
    shown = shown[list(_MARKDOWN_NAMES)[-2:] + list(_MARKDOWN_NAMES)[:-2]].rename(columns=_MARKDOWN_NAMES)
    formats = ["", "", ".2f", ".4f", ".2f", ".0f", ".3f", ".0f"]
    return shown.to_markdown(index=False, floatfmt=formats) + "\n"
