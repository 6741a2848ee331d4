"""How ranges are searched: what each search gives at AdaBM's mapped bits, and what follows for practice."""

import pandas as pd

from ..tables.conclusion import practice
from .clipping_measures import MINMAX, RELEASED, RULES
from .clipping_values import clear, drawn_gaps, pivoted, searches, told_gap
from .clipping_weights import advised_weights
from .draws import DRAWN, from_to
from .measured import signed


def searched(units: pd.DataFrame, method: str) -> list[dict[str, str]]:
    """Rows by search at AdaBM's mapped bits: what it gives against no clipping and against the released search, with draws."""
    values = {name: pivoted(_of_method(units, name), "fp") for name in dict.fromkeys(units["method"])}
    found, rows = searches(units, method, "fp"), []
    for rule in RULES:
        row, at = {"ranges searched at": rule}, ("search", rule)
        for name, of_method in values.items():
            told = signed(0, 1) if rule == MINMAX else told_gap(of_method, at, ("search", MINMAX))
            row[f"{name}: against no clipping (dB)"] = told
        row["against the released (dB)"] = signed(found[rule] - found[RELEASED], 1)
        if rule != RELEASED:
            released = ("search", RELEASED)
            row[DRAWN] = from_to(drawn_gaps(values[method], at, released).mean(1), 1)
            row["clearly"] = "yes" if clear(values[method], at, released) else "no"
        rows.append(row)
    return rows


def _of_method(units: pd.DataFrame, method: str) -> pd.DataFrame:
    return units[(units["method"] == method) & (units["series"] == "search")]


def told_searches(units: pd.DataFrame, method: str) -> list[str]:
    """Tell what the released search gives, and which search follows for practice."""
    found, values = searches(units, method, "fp"), pivoted(_of_method(units, method), "fp")
    worth = found[RELEASED] - found[MINMAX]
    sure = clear(values, ("search", RELEASED), ("search", MINMAX))
    told = (
        f"At AdaBM's mapped bits, without fine-tuning ({method}), the released search (one batch, at the layer's bits, half-way) gives "
        f'{worth:+.1f} dB against no clipping{"" if sure else ", not clearly"}. "Clearly" is said where {DRAWN} have one sign; tables give '
        "the range of these draws."
    )
    return [told, practice(f"{_advice(found, values)}{advised_weights(units, method)}")]


def _advice(found: pd.Series, values: pd.DataFrame) -> str:
    best = found.idxmax()
    if best == RELEASED:
        return "For activations keep the released search: it is the best."
    gain = f"{found[best] - found[RELEASED]:+.1f} dB"
    if clear(values, ("search", best), ("search", RELEASED)):
        return f"For activations search at {best}: {gain} against the released search."
    return f"For activations keep the released search: none is clearly better ({best}: {gain}, not clearly)."
