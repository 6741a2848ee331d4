"""Figure of separability: what the error consists of, and what bits for picture and layer gain."""

import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure

from .figures import study_style

_PARTS = ("layer", "picture", "interaction")


def plot_separability(shares: pd.DataFrame, gains: pd.DataFrame) -> Figure:
    """Draw stacked shares of the error's variance by network and bits beside each policy's gain.

    Args:
        shares: ``backbone``, ``added`` bits, and a share for ``layer``, ``picture`` and ``interaction``.
        gains: ``backbone``, ``policy``, ``to_fp_db`` and ``to_fp_db_std``, its spread over seeds.
    """
    networks, policies = (list(dict.fromkeys(gains[name])) for name in ("backbone", "policy"))
    with study_style():
        palette = sns.color_palette("colorblind")
        colors = dict(zip(_PARTS, (palette[0], palette[1], "0.6")))
        figure = Figure(figsize=(3.0 + 2.6 * len(networks), 3.4))
        axes = figure.subplots(1, len(networks) + 1, squeeze=False)[0]
        for axis, network in zip(axes, networks):
            here = shares[shares["backbone"] == network]
            below, middles = pd.Series(0.0, index=here.index), {}
            for part in _PARTS:
                axis.bar(here["added"], here[part], bottom=below, color=colors[part], width=0.8)
                middles[part] = below.iloc[-1] + here[part].iloc[-1] / 2
                below = below + here[part]
            highest = 0.97  # labels one below the other, where shares are small
            for part in reversed(_PARTS):
                highest = min(middles[part], highest)
                axis.text(here["added"].iloc[-1] + 0.5, highest, part, va="center", color=colors[part], fontsize=9)
                highest -= 0.08
            axis.set(title=f"variance of the log error,\n{network}", xlabel="bits beside the base", ylim=(0, 1))
            axis.set_xlim(here["added"].iloc[0] - 0.6, here["added"].iloc[-1] + 3.6)
            axis.set_xticks(list(here["added"]), [f"{more:+d}" if more else "0" for more in here["added"]])
            axis.grid(visible=False)
        last = axes[-1]
        height = 0.8 / len(networks)
        ticks = {}
        for place, network in enumerate(networks):
            here = gains[gains["backbone"] == network].set_index("policy").reindex(policies)
            rows = [row + (place - (len(networks) - 1) / 2) * height for row in range(len(policies))]
            shade = sns.desaturate(palette[2], 1 - 0.6 * place / max(1, len(networks) - 1))
            last.barh(rows, here["to_fp_db"], xerr=here["to_fp_db_std"], height=height, color=shade, ecolor="0.3")
            ticks |= {
                row: f"{policy}, {network}" if len(networks) > 1 else policy for row, policy in zip(rows, policies)
            }
        last.axvline(0, color="0.3", lw=0.8)
        last.set_yticks(list(ticks), list(ticks.values()), fontsize=8)
        last.invert_yaxis()
        last.set_title("gain at equal FAB (dB,\nto the full-precision output)")
        last.grid(axis="y", visible=False)
    return figure
