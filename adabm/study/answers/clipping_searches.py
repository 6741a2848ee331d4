"""How ranges are searched: what each search gives at AdaBM's mapped bits, and what follows for practice."""

import pandas as pd

from ..tables.conclusion import practice
from .clipping_measures import MINMAX, RELEASED, RULES
from .clipping_values import clear, own_bits, pivoted, searches
from .measured import signed

_OWN_BITS, _RELEASED_RECIPE = "adabm-own-bits", "adabm"  # they differ in the ranges of weights


def searched(units: pd.DataFrame, method: str) -> list[dict[str, str]]:
    """Rows by search at AdaBM's mapped bits: what it gives against no clipping and against the released search."""
    values = pivoted(_of_method(units, method), "fp")
    others = {name: searches(units, name, "fp") for name in dict.fromkeys(units["method"])}
    rows = []
    for rule in RULES:
        row = {"ranges searched at": rule}
        for name, found in others.items():
            row[f"{name}: against no clipping (dB)"] = signed(found[rule] - found[MINMAX], 1)
        row["against the released (dB)"] = signed(others[method][rule] - others[method][RELEASED], 1)
        sure = rule != RELEASED and clear(values, ("search", rule), ("search", RELEASED))
        rows.append(row | {"clearly": "" if rule == RELEASED else "yes" if sure else "no"})
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
        f"{worth:+.1f} dB against no clipping{'' if sure else ', not clearly'}."
    )
    return [told, practice(f"{_advice(found, values)}{_of_weights(units, method)}")]


def _advice(found: pd.Series, values: pd.DataFrame) -> str:
    best = found.idxmax()
    if best == RELEASED:
        return "For activations keep the released search: it is the best."
    gain = f"{found[best] - found[RELEASED]:+.1f} dB"
    if clear(values, ("search", best), ("search", RELEASED)):
        return f"For activations search at {best}: {gain} against the released search."
    return f"For activations keep the released search: none is clearly better ({best}: {gain}, not clearly)."


def _of_weights(units: pd.DataFrame, method: str) -> str:
    """What the model's own weight ranges give over those of the released recipe; nothing where only one was measured."""
    gain, sure = own_bits(units, method, _RELEASED_RECIPE)
    if method != _OWN_BITS or pd.isna(gain):
        return ""
    told = f"{signed(gain, 1)} dB over the released recipe's{'' if sure else ', not clearly'}, not fine-tuned"
    told += " (fine-tuned, less of that is left: page of fine-tuning)"
    if sure and gain > 0:
        return f" Search weight ranges at their layer's own bits: {told}."
    return f" Weight ranges searched at their layer's own bits give {told}."
