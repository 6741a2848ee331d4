"""``adabm recipes``: list the recipes that quantize, or show one."""

import argparse

from .console import Console, table
from .options import new_parser

_DETAILS = """\
A recipe of your own is a YAML file of the same form, see docs/extending.md.

examples:
  adabm recipes            # all of them
  adabm recipes adabm      # the steps of one with all their settings
  adabm recipes my.yaml    # the same of a file, which is checked
"""


def add_parser(commands: argparse._SubParsersAction) -> None:
    """Add the command ``recipes``."""
    parser = new_parser(
        commands, "recipes", "list the methods of quantization, each a recipe of steps", _DETAILS, ["presets"]
    )
    parser.add_argument("recipe", nargs="?", metavar="NAME_OR_FILE", help="show this one with all settings")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace, console: Console) -> int:
    """List every recipe with label, steps and sentence, or one with its settings."""
    from ..recipes import read_recipe, shipped

    if args.recipe is not None:
        recipe = read_recipe(args.recipe)
        console.result(f"{recipe.name}: {recipe.label}\n{recipe.sentence}\npaper: {recipe.paper}\n")
        for name, settings in recipe.to_dict().items():
            console.result(f"{name}" + "".join(f"\n  {setting} = {value}" for setting, value in settings.items()))
        console.document(_told(recipe))
        return 0
    rows = [[r.name, r.label, ", ".join(step.name for step in r.steps), r.sentence] for r in shipped().values()]
    console.result(table(rows, ["recipe", "label", "steps", "what it does (W4A4 unless asked otherwise)"]))
    console.document({name: _told(recipe) for name, recipe in shipped().items()})
    return 0


def _told(recipe) -> dict:
    return {
        "label": recipe.label,
        "paper": recipe.paper,
        "sentence": recipe.sentence,
        "steps": recipe.to_dict(),
    }
