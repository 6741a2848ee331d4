"""The shipped recipes that a table was measured with, by what their files list: neither code nor an input tells these."""

import hashlib
import json
from collections.abc import Collection, Mapping

from ...errors import ConfigError
from ...recipes.recipe import FOLDER
from ...support.yaml_files import parse_yaml
from .findings import AGAIN, PROBLEM, WARNING, Finding
from .named_files import texts

RECIPES = "recipes_sha256"  # key of a provenance
_ALWAYS = ("adabm", "adabm-notune", "minmax")  # of the study: its code and its notebooks name them


def named_recipes(parameters: Mapping, study: bool) -> list[str]:
    """Return the names of shipped recipes that stand among parameters, and those that any table of the study may need."""
    shipped = {path.stem for path in FOLDER.glob("*.yaml")}
    return sorted(shipped.intersection((*texts(parameters), *(_ALWAYS if study else ()))))


def recipe_hashes(names: Collection[str]) -> dict[str, str]:
    """Return by name the sha256 of what a shipped recipe's file lists; a recipe that is no more has none."""
    files = {name: FOLDER / f"{name}.yaml" for name in names}
    return {name: steps_hash(path.read_text(encoding="utf-8")) for name, path in files.items() if path.is_file()}


def steps_hash(text: str) -> str:
    """Hash the steps of a recipe's file, in their order, with their settings; label, paper and the like change no number."""
    try:
        steps = dict(parse_yaml(text)["steps"])
    except (ConfigError, TypeError, KeyError, ValueError):
        return hashlib.sha256(text.encode()).hexdigest()
    listed = [[name, settings or {}] for name, settings in steps.items()]
    return hashlib.sha256(json.dumps(listed, sort_keys=True, default=str).encode()).hexdigest()


def find_other_recipes(record: Mapping) -> list[Finding]:
    """Compare what the shipped recipes list with what they listed."""
    if RECIPES not in record and "study" in record["code_sha256"]:
        what = "it does not tell what its recipes listed: whether they are others by now is not known"
        return [Finding("recipe", WARNING, what, "carry it over (pipelines.stages.carry_over), or " + AGAIN)]
    then = record.get(RECIPES, {})
    now = recipe_hashes(then)
    others = [name for name, digest in sorted(then.items()) if now.get(name) != digest]
    if not others:
        return []
    what = f"recipe {', '.join(others)}: its steps or their settings changed since"
    return [Finding("recipe", PROBLEM, what, f"restore it (adabm/recipes), or {AGAIN}")]
