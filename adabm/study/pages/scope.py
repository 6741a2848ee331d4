"""On what a question was measured: networks, seeds, pictures, sets, and with which recipes."""

from collections.abc import Mapping
from pathlib import PurePosixPath

import pandas as pd

from ...full_precision import FULL_PRECISION_SETTING
from ..running.runs import MEASURED
from ..tables.methods import OWN_BITS_RECIPE, RELEASED_RECIPE, UNTUNED_RECIPE, label
from ..tables.networks import network
from ..tables.wording import several, told_count

_RELEASED_SEARCH = {RELEASED_RECIPE, UNTUNED_RECIPE}  # tables of questions call these and the other AdaBM


def measured_on(rows: pd.DataFrame, parameters: object = None) -> str:
    """Return how much a question's rows measured: networks with bits, seeds and pictures, and the sets; empty where nothing was.

    Full precision is left out: it has no seeds.

    Args:
        parameters: of the question, whose ``side`` says that patches were measured, whose ``effort`` on patches of which size models
            are calibrated, and whose ``changes`` that nothing was fine-tuned.
    """
    parameters = parameters if isinstance(parameters, Mapping) else {}
    rows = rows[(rows["status"] == MEASURED) & (rows["setting"] != FULL_PRECISION_SETTING)]
    if rows.empty:
        return ""
    sides = _sides(parameters)
    settings = list(dict.fromkeys(rows["setting"]))
    networks = [
        f"{network(name)} ({_extent(here, sides.get(name.lower(), sides.get('')), len(settings) > 1)})"
        for name, here in rows.groupby("backbone", sort=False)
    ]
    pictured = rows[rows["psnr_y_db"].notna()]["dataset"].drop_duplicates()
    told = [
        f"Measured {f'at {settings[0]} ' * (len(settings) == 1)}on {several(networks)}",
        *([f"{several(list(pictured))}{_counted_on(parameters)}"] if len(pictured) else []),
    ]
    told += _patches_of_calibration(parameters)
    told += ["not fine-tuned"] if _untuned(parameters) else _tuning_steps(parameters)
    return "; ".join(told) + "."


def calibrated_on(parameters: Mapping) -> str:
    """Return the same of one calibration, from the parameters that its provenance names; empty where they name no network."""
    if "backbone" not in parameters:
        return ""
    told = f"Measured on {network(PurePosixPath(parameters['backbone']).stem)}"
    told += f" at {several(parameters['settings'])}" if parameters.get("settings") else ""
    seeds, patches = parameters.get("seeds", []), parameters.get("effort", {}).get("patches")
    extent = [told_count(len(seeds), "seed")] if seeds else []
    extent += [f"calibrated on {patches} patches"] if patches else []
    told += f" ({', '.join(extent)})" if extent else ""
    return told + (f"; {several(parameters['sets'])}." if parameters.get("sets") else ".")


def patches_told(parameters: object) -> str:
    """Return a sentence: on how many patches of which size a plan's models are calibrated; empty where the parameters do not tell."""
    parameters = parameters if isinstance(parameters, Mapping) else {}
    effort, plan = parameters.get("effort", {}), parameters.get("plan", [])
    if not {"patches", "patch_size"} <= effort.keys():
        return ""
    own: dict[int, dict[str, list[str]]] = {}
    for part in plan:
        if part.get("patch_size", effort["patch_size"]) != effort["patch_size"]:
            methods = own.setdefault(part["patch_size"], {}).setdefault(
                network(PurePosixPath(part["backbone"]).stem), []
            )
            methods += [label(name) for name in part["methods"]]
    others = [
        f"{several([f'{name} with {several(list(dict.fromkeys(methods)))}' for name, methods in of.items()])} on patches of {side}x{side}"
        for side, of in own.items()
    ]
    told = f"Models are calibrated on {effort['patches']} patches of {effort['patch_size']}x{effort['patch_size']} low-resolution pixels"
    return f"{told}{f', {several(others)}' if others else ''}."


def _sides(parameters: Mapping) -> dict[str, int]:
    """Of patches that a question cuts from the evaluated pictures, by network, and under the empty name of the others; LR pixels."""
    if "side" not in parameters:
        return {}
    given = parameters.get("backbones")
    own = given if isinstance(given, Mapping) else {}
    return {"": parameters["side"]} | {
        PurePosixPath(file).name.removesuffix(".safetensors").lower(): options["side"]
        for file, options in own.items()
        if "side" in options
    }


def _patches_of_calibration(parameters: Mapping) -> list[str]:
    """On patches of which size a question's models are calibrated, in LR pixels, where its effort tells."""
    told = patch_sizes(parameters)
    return [f"calibrated on {told}"] if told else []


def patch_sizes(parameters: Mapping) -> str:
    """Return on patches of which size, in LR pixels, a question's models are calibrated; nothing where its effort does not tell.

    >>> patch_sizes({"effort": {"patch_size": 96}, "backbones": {"dat_light_x4": {"patch_size": 48}}})
    'patches of 96x96, DAT-light of 48x48'
    """
    effort, given = parameters.get("effort"), parameters.get("backbones")
    usual = effort.get("patch_size") if isinstance(effort, Mapping) else None
    own: dict[int, list[str]] = {}
    for file, options in given.items() if isinstance(given, Mapping) else ():
        if (side := options.get("patch_size", usual)) != usual:
            own.setdefault(side, []).append(network(PurePosixPath(file).name.removesuffix(".safetensors")))
    others = "".join(f", {several(names)} of {side}x{side}" for side, names in own.items())
    return f"patches of {usual}x{usual}{others}" if usual else ""


def _counted_on(parameters: Mapping) -> str:
    """Further sets, of which bits alone are told."""
    return f" (bits also on {several(parameters['more_sets'])})" if parameters.get("more_sets") else ""


def _untuned(parameters: Mapping) -> bool:
    """Whether the changes say of all its methods that none is fine-tuned."""
    methods = parameters.get("methods")
    given = [*methods.values()] if isinstance(methods, Mapping) else [parameters]
    changes = [one.get("changes") if isinstance(one, Mapping) else None for one in given]
    return bool(changes) and all(isinstance(of, Mapping) and of.get("tune", "released") is None for of in changes)


def _tuning_steps(parameters: Mapping) -> list[str]:
    """How many steps recipes fine-tune for, where a question names whole recipes and its effort gives them rounds."""
    methods, effort = parameters.get("methods"), parameters.get("effort")
    if not isinstance(methods, Mapping) or not isinstance(effort, Mapping):
        return []
    rounds, steps = effort.get("rounds"), effort.get("steps_per_round")
    if not rounds or not steps or not all(isinstance(method, str) for method in methods.values()):
        return []
    return [f"AdaBM fine-tuned for {told_count(rounds * steps, 'step')}"]


def _extent(rows: pd.DataFrame, side: int | None, bits: bool) -> str:
    """If wanted bits, seeds and pictures of one network's rows; of each set the pictures of the row that has most."""
    rows = rows[rows["psnr_y_db"].notna()] if rows["psnr_y_db"].notna().any() else rows  # not what was timed beside it
    pictures = int(rows.groupby("dataset")["pictures"].max().sum())
    settings = list(dict.fromkeys(rows["setting"]))
    told = [*([settings[0]] if bits and len(settings) == 1 else []), _told_seeds(rows)]
    if pictures:
        kinds = ("picture", "pictures") if side is None else ("patch", "patches")
        told.append(f"{pictures} {kinds[pictures > 1]}" + (f" of {side}x{side}" if side else ""))
    return ", ".join(told)


def _told_seeds(rows: pd.DataFrame) -> str:
    """The seeds of what is compared: ``5 seeds``, ``5 seeds, 1 for b``; a span where several series have others."""
    kind = "series" if "series" in rows else "method" if "method" in rows else None
    if kind is None:
        return told_count(rows["seed"].nunique(), "seed")
    within = [name for name in (kind, "setting", "dataset", "variable", "level") if name in rows]
    counts = rows.groupby(within, sort=False)["seed"].nunique()
    most = counts.groupby(level=0, sort=False).max()
    first = int(most.iloc[0])
    others = most[most != first]
    if len(others) == 0 and counts.min() == first:
        return told_count(first, "seed")
    if len(others) == 1 and len(most) > 1 and all(counts[name].nunique() == 1 for name in most.index):
        return f"{told_count(first, 'seed')}, {others.iloc[0]} for “{others.index[0]}”"
    return f"{counts.min()} to {told_count(int(counts.max()), 'seed')} by {'recipe' if kind == 'method' else kind}"


def recipes_told(parameters: object) -> str:
    """Return a sentence: which recipes a question's parameters name; empty where they name none.

    Tables of questions call AdaBM what is the released recipe in some and ``adabm-own-bits`` in others.
    """
    names = list(dict.fromkeys(_recipes(parameters if isinstance(parameters, Mapping) else {})))
    told = ""
    if OWN_BITS_RECIPE in names and not _RELEASED_SEARCH & set(names):
        names.remove(OWN_BITS_RECIPE)
        told = (
            f"AdaBM is here the recipe {OWN_BITS_RECIPE}: each weight range is searched at its layer's own bits, unlike in the released "
            "recipe."
        )
    if not names:
        return told
    listed = several([f"{label(name)} ({name})" for name in names])
    return f"{told} Beside it: {listed}." if told else f"{'Recipe' if len(names) == 1 else 'Recipes'}: {listed}."


def _recipes(parameters: Mapping) -> list[str]:
    """The recipes under ``method``, ``preset``, ``methods``, ``recipes`` and ``runs``, each a name, several, or settings by series."""
    found = []
    for key in ("preset", "method", "recipes", "methods", "runs"):
        given = parameters.get(key)
        listed = given if isinstance(given, list) else list(given.values()) if isinstance(given, Mapping) else [given]
        for one in listed:
            found += _recipes(one) if isinstance(one, Mapping) else [one] if isinstance(one, str) else []
    return found
