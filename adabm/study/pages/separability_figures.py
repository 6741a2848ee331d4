"""Figure of separability: what the error consists of, and what bits for picture and layer gain."""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from .figures import IMAGES, LAYERS, SLATE, family_color, study_style

_PARTS = {"layer": LAYERS, "picture": IMAGES, "interaction": "0.6"}


def plot_separability(shares: pd.DataFrame, gains: pd.DataFrame) -> Figure:
    """Draw stacked shares of the error's variance by network and bits beside each policy's gain.

    Args:
        shares: ``backbone``, ``added`` bits, and a share for ``layer``, ``picture`` and ``interaction``.
        gains: ``backbone``, ``policy``, ``to_fp_db`` and between what 95 % of its draws lie, ``least`` and ``most``.
    """
    networks, policies = (list(dict.fromkeys(gains[name])) for name in ("backbone", "policy"))
    with study_style():
        figure = Figure(figsize=(max(6.4, 0.6 + 2.3 * len(networks)), 3.4 + 0.22 * len(networks) * len(policies)))
        above, below = figure.subfigures(2, 1, height_ratios=(2.6, 0.6 + 0.22 * len(networks) * len(policies)))
        axes = above.subplots(1, len(networks), squeeze=False, sharey=True)[0]
        for axis, network in zip(axes, networks):
            _stack(axis, shares[shares["backbone"] == network])
            axis.set_title(network)
        axes[0].set_ylabel("variance of the log error")
        _name_parts(axes[-1], shares[shares["backbone"] == networks[-1]])
        _bars(below.subplots(), gains, networks, policies)
    return figure


def _stack(axis: Axes, here: pd.DataFrame) -> None:
    below = pd.Series(0.0, index=here.index)
    for part, color in _PARTS.items():
        axis.bar(here["added"], here[part], bottom=below, color=color, width=0.8)
        below = below + here[part]
    axis.set(xlabel="bits beside the base", ylim=(0, 1))
    axis.set_xticks(list(here["added"]), [f"{more:+d}" if more else "0" for more in here["added"]])
    axis.grid(visible=False)


def _name_parts(axis: Axes, here: pd.DataFrame) -> None:
    """Name the parts beside the last bar, one below the other where shares are small."""
    last, highest = here.iloc[-1], 0.97
    ends = last[list(_PARTS)].cumsum()
    for part in reversed(_PARTS):
        highest = min(ends[part] - last[part] / 2, highest)
        axis.annotate(part, (1.0, highest), (4, 0), xycoords="axes fraction", textcoords="offset points", va="center",
                      color=_PARTS[part], fontsize=8, annotation_clip=False)  # fmt: skip
        highest -= 0.09


def _bars(axis: Axes, gains: pd.DataFrame, networks: list[str], policies: list[str]) -> None:
    ticks, height = {}, 0.8 / len(networks)
    for place, network in enumerate(networks):
        here = gains[gains["backbone"] == network].set_index("policy").reindex(policies)
        rows = [row + (place - (len(networks) - 1) / 2) * height for row in range(len(policies))]
        colors = [family_color("AdaBM") if policy.startswith("AdaBM") else SLATE for policy in policies]
        axis.barh(
            rows,
            here["to_fp_db"],
            xerr=[(here["to_fp_db"] - here["least"]).clip(lower=0), (here["most"] - here["to_fp_db"]).clip(lower=0)],
            height=0.9 * height,
            color=colors,
            ecolor="black",
            capsize=2,
        )
        for row, value in zip(rows, here["to_fp_db"]):
            axis.annotate(f"{value:+z.2f}", (1.0, row), (4, 0), xycoords=("axes fraction", "data"),
                          textcoords="offset points", va="center", fontsize=7.5, annotation_clip=False)  # fmt: skip
        ticks |= {row: f"{policy}, {network}" if len(networks) > 1 else policy for row, policy in zip(rows, policies)}
    axis.axvline(0, color="0.3", lw=0.8)
    axis.set_yticks(list(ticks), list(ticks.values()), fontsize=8)
    axis.invert_yaxis()
    axis.set_xlabel(
        "gain at equal FAB (dB, to the full-precision output); whiskers: 95 % of draws of patches and seeds"
    )
    axis.grid(axis="y", visible=False)
