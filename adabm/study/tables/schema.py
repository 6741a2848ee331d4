"""The one schema of all tables of the study's questions: a row a measurement, checked when written and when read.

Measured time (``seconds``), theoretical cost (``relative_bitops``) and simulated bits (``fab``) have a column each.
"""

import math
import numbers
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from ...errors import TableError
from ..running.runs import DIVERGED, MEASURED, NOT_RUN

STATUSES = (MEASURED, NOT_RUN, DIVERGED)
TEXT_KEYS = ("question", "backbone", "dataset", "setting", "series", "variable", "level")
KEY_COLUMNS = (*TEXT_KEYS, "seed", "sample")
_COUNTS = ("calibration_pictures", "pictures")
_DECIMALS = {"psnr_y_db": 3, "ssim_y": 4, "loss_db": 3, "fab": 3, "relative_bitops": 4, "seconds": None, "peak_mib": 1}
_SIGNIFICANT = 4  # digits of measured times, whose size is not known beforehand
STUDY_COLUMNS = (*KEY_COLUMNS, "status", *_COUNTS, *_DECIMALS)
_MEASURED_VALUES = ("psnr_y_db", "ssim_y", "loss_db", "fab", "seconds", "peak_mib")
_ANY_SIGN = ("psnr_y_db", "ssim_y", "loss_db")


def study_table(rows: Iterable[Mapping[str, object]]) -> pd.DataFrame:
    """Return the rows as a table with the columns ``STUDY_COLUMNS``, values rounded to fixed digits.

    Args:
        rows: each with all of ``KEY_COLUMNS`` (text, except ``seed`` and ``sample``), ``status`` and any of the values.
            A value left out, None or NaN was not measured.

    Raises:
        TableError: a key is unknown or missing, a value has the wrong type or an impossible value, or two
            rows have the same keys; naming the row, counted from 1, and the key.
    """
    checked = [_checked_row(row, f"row {number}") for number, row in enumerate(rows, 1)]
    _check_unique(checked)
    table = pd.DataFrame(checked, columns=list(STUDY_COLUMNS))
    kinds = dict.fromkeys((*TEXT_KEYS, "status"), "object") | dict.fromkeys(("seed", "sample"), "int64")
    return table.astype(kinds | dict.fromkeys(_COUNTS, "Int64") | dict.fromkeys(_DECIMALS, "float64"))


def read_study_table(path: str | Path) -> pd.DataFrame:
    """Read a table that :func:`study_table` made and ``write_table`` wrote; ``level`` stays text.

    Raises:
        TableError: missing, no CSV, or not of this schema; naming the file, the line and the key.
    """
    try:
        raw = pd.read_csv(path, dtype=str, keep_default_na=False)
    except OSError as error:
        raise TableError(f"{path}: cannot be read ({error.strerror or error}); run the stage that writes it") from None
    except ValueError as error:  # also pandas' own errors and bytes that are no text
        raise TableError(f"{path}: is no CSV table ({error}); run the stage that writes it again") from None
    if list(raw.columns) != list(STUDY_COLUMNS):
        missing = [name for name in STUDY_COLUMNS if name not in raw]
        unknown = [name for name in raw if name not in STUDY_COLUMNS]
        told = [f"lacks {', '.join(missing)}"] * bool(missing) + [f"has unknown {', '.join(unknown)}"] * bool(unknown)
        raise TableError(
            f"{path}: the columns do not fit the schema: {'; '.join(told) or 'wrong order'}; they must be {', '.join(STUDY_COLUMNS)}"
        )
    try:
        return study_table(_parsed_row(row, f"row {number}") for number, row in enumerate(raw.to_dict("records"), 1))
    except TableError as error:
        raise TableError(f"{path}: {error}") from None


def round_significant(value: float) -> float:
    """Round to the digits that times have in tables."""
    return float(f"{value:.{_SIGNIFICANT}g}")


def _checked_row(row: Mapping[str, object], where: str) -> dict[str, object]:
    unknown = [str(name) for name in row if name not in STUDY_COLUMNS]
    if unknown:
        raise TableError(f"{where}: unknown key {', '.join(unknown)}; known are {', '.join(STUDY_COLUMNS)}")
    missing = [name for name in (*KEY_COLUMNS, "status") if name not in row]
    if missing:
        raise TableError(f"{where}: lacks the key {', '.join(missing)}")
    checked: dict[str, object] = {name: _text(row[name], f"{where}, {name}") for name in TEXT_KEYS}
    checked |= {name: _count(row[name], f"{where}, {name}") for name in ("seed", "sample")}
    if row["status"] not in STATUSES:
        raise TableError(f"{where}, status: {row['status']!r} is none of {', '.join(STATUSES)}")
    checked["status"] = row["status"]
    for name in _COUNTS:
        checked[name] = None if _is_empty(row.get(name)) else _count(row[name], f"{where}, {name}")
    for name in _DECIMALS:
        checked[name] = None if _is_empty(row.get(name)) else _number(row[name], name, f"{where}, {name}")
    measured = [name for name in _MEASURED_VALUES if checked[name] is not None]
    if checked["status"] != MEASURED and measured:
        raise TableError(
            f"{where}: has status {checked['status']!r} and yet a value of {', '.join(measured)}; leave it empty"
        )
    if checked["status"] == MEASURED and not measured:
        raise TableError(f"{where}: has status {MEASURED!r} and no value; give one of {', '.join(_MEASURED_VALUES)}")
    return checked


def _check_unique(rows: list[dict[str, object]]) -> None:
    seen: dict[tuple, int] = {}
    for number, row in enumerate(rows, 1):
        keys = tuple(row[name] for name in KEY_COLUMNS)
        first = seen.setdefault(keys, number)
        if first != number:
            raise TableError(
                f"row {number}: has the same keys as row {first} ({', '.join(map(str, keys))}); tell them apart by seed or sample"
            )


def _is_empty(value: object) -> bool:
    return value is None or value is pd.NA or (isinstance(value, numbers.Real) and math.isnan(value))


def _text(value: object, where: str) -> str:
    if not isinstance(value, str):
        raise TableError(f"{where}: {value!r} ({type(value).__name__}) must be text; use str()")
    if not value or value != " ".join(value.split()):
        raise TableError(f"{where}: {value!r} must be one line of text, not empty, without spaces around it")
    return str(value)


def _count(value: object, where: str) -> int:
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, numbers.Integral) or value < 0:
        raise TableError(f"{where}: {value!r} ({type(value).__name__}) must be a whole number of at least 0")
    return int(value)


def _number(value: object, name: str, where: str) -> float:
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, numbers.Real):
        raise TableError(f"{where}: {value!r} ({type(value).__name__}) must be a number")
    value = float(value)
    if math.isinf(value):
        raise TableError(f"{where}: is infinite; leave it empty and tell the status")
    if value < 0 and name not in _ANY_SIGN:
        raise TableError(f"{where}: {value} is less than 0")
    decimals = _DECIMALS[name]
    return (round_significant(value) if decimals is None else round(value, decimals)) + 0.0  # no -0.0


def _parsed_row(row: Mapping[str, object], where: str) -> dict[str, object]:
    """Turn the text of one line into values; pandas gives NaN where a line ends too early."""
    texts = {name: text if isinstance(text, str) else "" for name, text in row.items()}
    parsed: dict[str, object] = {name: texts[name] for name in (*TEXT_KEYS, "status")}
    for names, kind, told in ((("seed", "sample", *_COUNTS), int, "whole number"), (_DECIMALS, float, "number")):
        for name in names:
            try:
                parsed[name] = kind(texts[name]) if texts[name] else None
            except ValueError:
                raise TableError(f"{where}, {name}: {texts[name]!r} is no {told}") from None
    return parsed
