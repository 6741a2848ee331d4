"""Where the bits go while the mappings are tuned with each approximation of the gradient."""

import pandas as pd

from ..tables.wording import several
from .measured import signed
from .surrogates import RELEASED, SURROGATES

_ALIKE = 0.05  # bits
_HARDLY = 0.25  # of what AdaBM's moves FAB by


def fab_along(steps: pd.DataFrame) -> pd.DataFrame:
    """Change of FAB on the tuned patches since step 0, by ``surrogate`` and ``step``; networks count alike, whatever their bits."""
    keys = ["surrogate", "step"]
    found = steps.groupby(["backbone", *keys], sort=False, as_index=False)["fab"].mean()
    begun = found[found["step"] == 0].groupby("backbone")["fab"].mean()
    found["fab"] -= found["backbone"].map(begun)
    return found.groupby(keys, sort=False, as_index=False)["fab"].mean()


def fab_ended(steps: pd.DataFrame) -> pd.Series:
    """Change of FAB on the tuned patches after the last step, by surrogate."""
    found = fab_along(steps)
    return found[found["step"] == found["step"].max()].set_index("surrogate")["fab"]


def slow(steps: pd.DataFrame) -> list[str]:
    """Return the surrogates with which FAB moves by less than a quarter of what it does with AdaBM's: more steps might move it."""
    last = fab_ended(steps)
    return [name for name in SURROGATES if abs(last[name]) < _HARDLY * abs(last[RELEASED])]


def told_bits(steps: pd.DataFrame) -> str:
    """Tell where FAB goes, and with which surrogates it ends where it does with AdaBM's."""
    last = fab_ended(steps)
    alike = [name for name in SURROGATES if name != RELEASED and abs(last[name] - last[RELEASED]) <= _ALIKE]
    place = f"nearly the same with {several(alike)}" if alike else "with no other nearly the same"
    hardly = [f"{name} ({signed(last[name])})" for name in slow(steps)]
    told = f", and hardly with {several(hardly)}, which may only be slow" if hardly else ""
    return f"FAB on the tuned patches changes by {signed(last[RELEASED])} with tanh, {place}{told}."
