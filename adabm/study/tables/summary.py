"""From one row a cell to what people read: mean and spread over seeds, loss, published numbers, Markdown."""

from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from ...engines.simulated import SIMULATED
from ...errors import TableError
from ...full_precision import FULL_PRECISION, FULL_PRECISION_BITS, FULL_PRECISION_SETTING
from ..plan.options import check_choices
from ..running.runs import DIVERGED, MEASURED, NOT_RUN
from .methods import in_order, label
from .writing import ENGINE

_CELL = [
    "backbone",
    "scale",
    "dataset",
    "tile",
    "method",
    "setting",
    "weight_bits",
    "activation_bits",
    "fully_quantized",
]
_OF_SEEDS = ["loss_db", "psnr_std_db", "seeds", "planned", "status", "pictures"]
_TEXT = ["backbone", "dataset", "method", "setting", "status", "published_source", ENGINE]
_MEANS = ["psnr_y_db", "ssim_y", "fab", "bitops_g", "relative_bitops", "size_kib"]
_PUBLISHED_METHODS = {
    FULL_PRECISION: FULL_PRECISION_SETTING,
    "minmax": "MinMax",
    "percentile": "Percentile",
    "adabm": "AdaBM",
    "dbdc-pac": "PTQ4SR",
    "oaq-sr": "OAQ-SR",
}
_COLUMNS = {
    "setting": "setting",
    "method": "method",
    "psnr_y_db": "PSNR-Y (dB)",
    "ssim_y": "SSIM-Y",
    "fab": "FAB (simulated bits)",
    "bitops_g": "BitOPs at 720p (G, theoretical)",
    "relative_bitops": f"of {FULL_PRECISION_SETTING}",
    "size_kib": "size (KiB, theoretical)",
}
_FORMATS = {"ssim_y": ".4f", "fab": ".2f", "bitops_g": ".0f", "relative_bitops": ".3f", "size_kib": ".0f"}


def read_summary(path: Path) -> pd.DataFrame:
    """Read the summary of an evaluation; names stay text, whatever they look like.

    Raises:
        TableError: no such table, or not all of it: columns are missing, it has no rows or a row twice; naming the file.
    """
    again = "run the stage question@evaluation again"
    try:
        table = pd.read_csv(path, dtype=dict.fromkeys(_TEXT, str), keep_default_na=False, na_values=[""])
    except (OSError, ValueError) as error:  # also pandas' own errors
        raise TableError(f"{path}: is no CSV table ({error}); {again}") from None
    keys = [*_CELL, ENGINE] if ENGINE in table else _CELL
    missing = [name for name in (*_CELL, *_MEANS, *_OF_SEEDS) if name not in table]
    if missing:
        raise TableError(f"{path}: lacks the column {', '.join(missing)}; {again}")
    if table.empty:
        raise TableError(f"{path}: has no rows; {again}")
    if (twice := table.duplicated(keys)).any():
        row = table[twice].iloc[0]
        raise TableError(
            f"{path}: has {row['method']} at {row['setting']} on {row['backbone']}, {row['dataset']}, twice; {again}"
        )
    return table


def of_one_engine(rows: pd.DataFrame) -> pd.DataFrame:
    """Return rows of a summary, of each cell that several engines measured that of the simulation alone, or of the first."""
    if ENGINE not in rows:
        return rows
    first = rows.assign(_other=rows[ENGINE] != SIMULATED).sort_values("_other", kind="stable")
    return rows.loc[sorted(first.drop_duplicates(_CELL).index)]


def summarize(means: pd.DataFrame) -> pd.DataFrame:
    """Merge the seeds of each cell: means, standard deviations (n - 1), loss against full precision.

    ``seeds`` counts the seeds measured, ``planned`` those in the plan. ``status`` is ``measured`` where
    at least one seed was, else ``diverged`` where one did. Losses are in dB against the same network on the same set.
    """
    grouped = means.groupby([*_CELL, ENGINE] if ENGINE in means else _CELL, sort=False, dropna=False)
    table = grouped[_MEANS].mean()
    table["psnr_std_db"], table["fab_std"] = grouped["psnr_y_db"].std(), grouped["fab"].std()
    table["seeds"], table["planned"] = grouped["psnr_y_db"].count(), grouped.size()
    table["status"] = grouped["status"].agg(
        lambda seeds: next((s for s in (MEASURED, DIVERGED) if s in set(seeds)), seeds.iloc[0])
    )
    table["pictures"] = grouped["pictures"].first()
    table = table.reset_index()
    place = ["backbone", "dataset", "tile"]
    full = table[table["method"] == FULL_PRECISION].set_index(place)["psnr_y_db"]
    table["loss_db"] = [full[tuple(row)] for row in table[place].itertuples(index=False)] - table["psnr_y_db"]
    return table.round(
        dict(
            psnr_y_db=3, ssim_y=4, fab=3, bitops_g=1, relative_bitops=4, size_kib=1, psnr_std_db=3, fab_std=3, loss_db=3
        )
    )


def with_published(summary: pd.DataFrame, published: pd.DataFrame, same_as: Mapping[str, str]) -> pd.DataFrame:
    """Add the literature's number, its loss against its own full precision, and its source.

    A row has a number where weights and activations had the same bits in both, as many convolutions were
    quantized, and pictures were upscaled whole; the first of several sources counts.

    Args:
        published: the table ``data/published.csv``.
        same_as: the published model that each backbone stands beside, e.g. ``{"edsr_f64b16_x4": "EDSR-baseline"}``.
            The architecture is the same; the weights need not be.

    Raises:
        ConfigError: ``same_as`` names a backbone that the table does not have, or a model that was not published.
    """
    check_choices("same_as", same_as, [*summary["backbone"].unique()])
    check_choices("same_as", [*same_as.values()], [*published["model"].unique()])
    numbers: dict[tuple, pd.Series] = {}
    for _, row in published.iterrows():
        bits = str(row["w_bits"]), str(row["a_bits"]), row["fully_quantized"]  # also "FAB 5.73", and "not stated"
        numbers.setdefault((row["model"], row["scale"], row["dataset"], row["method"], *bits), row)

    def find(row: pd.Series, method: str | None, *bits: str) -> pd.Series | None:
        model = None if row["tile"] else same_as.get(row["backbone"])
        return numbers.get((model, row["scale"], row["dataset"], method, *bits))

    columns: dict[str, list] = {"published_psnr_y_db": [], "published_loss_db": [], "published_source": []}
    for _, row in summary.iterrows():
        bits = str(row["weight_bits"]), str(row["activation_bits"]), "yes" if row["fully_quantized"] else "no"
        found = find(row, _PUBLISHED_METHODS.get(row["method"]), *bits)
        full = find(row, _PUBLISHED_METHODS[FULL_PRECISION], *[str(FULL_PRECISION_BITS)] * 2, "no")
        columns["published_psnr_y_db"].append(None if found is None else found["psnr_y_db"])
        columns["published_loss_db"].append(
            None if found is None or full is None else round(full["psnr_y_db"] - found["psnr_y_db"], 3)
        )
        columns["published_source"].append(None if found is None else found["source"])
    return summary.assign(**columns)


def evaluation_markdown(summary: pd.DataFrame) -> str:
    """Return tables as Markdown: an overview of several sets of a network first, then each set in full.

    Methods come in the order of their recipes. A cell that was not measured says why; where there are
    several sets or networks, methods that were run on none are named in a sentence instead.
    """
    parts: list[str] = []
    single = summary[["backbone", "dataset", "tile"]].drop_duplicates().shape[0] == 1
    for backbone, of_network in summary.groupby("backbone", sort=False):
        ordered, left_out = _ordered(of_network), ""
        if not single:
            ordered, left_out = _without_empty_rows(ordered)
        if of_network[["dataset", "tile"]].drop_duplicates().shape[0] > 1:
            parts.append(
                f"## {backbone}: PSNR-Y (dB)\n\n{_overview(ordered).to_markdown(index=False, disable_numparse=True)}"
            )
        for (dataset, tile), of_set in ordered.groupby(["dataset", "tile"], sort=False):
            title = f"{backbone}, {dataset}" + (f", patches of {tile}x{tile} LR pixels" if tile else "")
            if not single:
                of_set = of_set[of_set["status"] != NOT_RUN]
            if len(of_set) == 0:
                continue
            table = _full(of_set)
            numbers = ("left", "left", *["right"] * (table.shape[1] - 2))
            parts.append(
                ("" if single else f"### {title}\n\n")
                + table.to_markdown(index=False, disable_numparse=True, colalign=numbers)
            )
        if left_out:
            parts.append(left_out)
    return "\n\n".join(parts) + "\n"


def main_tables(summary: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Return a table of text for each network: PSNR-Y by method and set, or, of a single set, all its columns.

    The same as in :func:`evaluation_markdown`; networks of which nothing was measured are left out.
    """
    tables = {}
    for backbone, of_network in summary.groupby("backbone", sort=False):
        if (of_network["status"] != MEASURED).all():
            continue
        ordered, _ = _without_empty_rows(_ordered(of_network))
        places = ordered[["dataset", "tile"]].drop_duplicates()
        if len(places) > 1:
            tables[f"{backbone}: PSNR-Y (dB)"] = _overview(ordered)
        else:
            tile = places["tile"].iloc[0]
            tables[
                f"{backbone} on {places['dataset'].iloc[0]}"
                + (f" in patches of {tile}x{tile} LR pixels" if tile else "")
            ] = _full(ordered)
    return tables


def comparison_markdown(summary: pd.DataFrame) -> str:
    """Return, as Markdown, the measured losses that have a published counterpart beside it; empty without any.

    Args:
        summary: with the columns of :func:`with_published`.
    """
    rows = summary[(summary["status"] == MEASURED) & summary["published_psnr_y_db"].notna()]
    order = {method: i for i, method in enumerate(in_order(rows["method"]))}
    rows = (
        rows.assign(_m=rows["method"].map(order))
        .sort_values("_m", kind="stable")
        .sort_values("setting", key=lambda s: s != FULL_PRECISION_SETTING, kind="stable")
    )
    table = pd.DataFrame(
        {
            "network": rows["backbone"],
            "setting": rows["setting"],
            "method": [label_of(row) for _, row in rows.iterrows()],
            "set": rows["dataset"],
            "PSNR-Y (dB)": [_psnr(row) for _, row in rows.iterrows()],
            "loss": rows["loss_db"].map("{:.2f}".format),
            "published PSNR-Y": rows["published_psnr_y_db"].map("{:.2f}".format),
            "published loss": rows["published_loss_db"].map("{:.2f}".format),
        }
    )
    return (
        table.to_markdown(index=False, disable_numparse=True, colalign=("left",) * 4 + ("right",) * 4) + "\n"
        if len(table)
        else ""
    )


def _without_empty_rows(table: pd.DataFrame) -> tuple[pd.DataFrame, str]:
    """Drop the methods that were run on no set, and return a sentence that names them."""
    run = table.groupby(["setting", "method"])["status"].transform(lambda status: (status != NOT_RUN).any())
    names = table[~run].drop_duplicates(["setting", "method"]).groupby("setting", sort=False)["method"]
    listed = "; ".join(f"{setting}: {', '.join(map(label, methods))}" for setting, methods in names)
    return table[run], f"Planned for {table['backbone'].iloc[0]} and not run: {listed}." if listed else ""


def _ordered(table: pd.DataFrame) -> pd.DataFrame:
    methods = {method: i for i, method in enumerate(in_order(table["method"]))}
    settings = {s: i for i, s in enumerate(dict.fromkeys(table["setting"]))}
    keys = table.assign(_s=table["setting"].map(settings), _m=table["method"].map(methods))
    return table.loc[keys.sort_values(["_s", "_m"], kind="stable").index]


def label_of(row: pd.Series) -> str:
    """Return the label of a row's method, with the engine where it is not the simulation."""
    return label(row["method"], row.get(ENGINE, SIMULATED))


def _psnr(row: pd.Series) -> str:
    if row["status"] != MEASURED:
        return row["status"]
    spread = f" ± {row['psnr_std_db']:.2f}" if row["seeds"] > 1 else ""
    part = f" ({row['seeds']} of {row['planned']} seeds)" if row["seeds"] < row["planned"] else ""
    return f"{row['psnr_y_db']:.2f}{spread}{part}"


def _overview(table: pd.DataFrame) -> pd.DataFrame:
    table = table.assign(
        value=[_psnr(row) for _, row in table.iterrows()],
        place=[d + (f" ({t}px patches)" if t else "") for d, t in zip(table["dataset"], table["tile"])],
        label=[label_of(row) for _, row in table.iterrows()],
    )
    wide = table.pivot_table(index=["setting", "label"], columns="place", values="value", aggfunc="first", sort=False)
    wide = wide.reindex(columns=list(dict.fromkeys(table["place"]))).fillna("").reset_index()
    return wide.rename(columns={"label": "method"})


def _full(table: pd.DataFrame) -> pd.DataFrame:
    rows = []
    published = "published_psnr_y_db" in table and table["published_psnr_y_db"].notna().any()
    for _, row in table.iterrows():
        cells = {"setting": row["setting"], "method": label_of(row), "psnr_y_db": _psnr(row)}
        for name, form in _FORMATS.items():
            cells[name] = format(row[name], form) if row["status"] == MEASURED else ""
        shown = {_COLUMNS[name]: value for name, value in cells.items()}
        if published:
            has = pd.notna(row["published_psnr_y_db"])
            shown["loss (dB)"] = f"{row['loss_db']:.2f}" if row["status"] == MEASURED else ""
            shown["published PSNR-Y"] = f"{row['published_psnr_y_db']:.2f}" if has else ""
            shown["published loss"] = f"{row['published_loss_db']:.2f}" if pd.notna(row["published_loss_db"]) else ""
        rows.append(shown)
    return pd.DataFrame(rows)
