"""Let tables count as those of the present code where it computes what the code that wrote them computed.

``python -m pipelines.stages.carry_over [FOLDER ...]`` looks at each table whose provenance names other code than today's.
Of the commit that it names and of the package as it is now it compares the definitions that each group of its code
depends on: if every one has its equal on the other side, wherever it stands there, the provenance gets today's hashes and
a note. Where that commit is gone and the table was carried over before, it is compared with the code of a commit that recorded
this, if that has the recorded hashes. Otherwise the definitions that differ are listed and nothing is changed, unless ``--evidence`` tells how it is known
that the numbers are the same all the same; this and how many differ is then recorded, the notebook as it is now counts as the
table's, and its parameters get the names that settings have now.
"""

import json
import platform
import sys
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from adabm.errors import AdabmError, ConfigError, DataError, TableError
from adabm.recipes.names import new_name
from adabm.study import find_root
from adabm.study.origin.dependencies import CodeTree
from adabm.study.origin.fingerprint import NEUTRAL, code_hash, definitions_hash, package
from adabm.study.origin.history import commits_of, file_at, neutral_at, tree_at
from adabm.study.origin.named_recipes import RECIPES, named_recipes, recipe_hashes, steps_hash
from adabm.study.origin.provenance import ALL_CODE, code_of, notebook_code_hash, read_block_values, table_id
from adabm.study.origin.reading import read_provenance
from adabm.support.arguments import Parser
from adabm.support.files import write_atomically
from adabm.support.process import as_command, plain

EQUAL = "equal syntax trees"
_REMEDY = "fetch the whole history (git fetch --unshallow), or run the pipeline again"


@dataclass(frozen=True, eq=False)  # known by identity, so that what was compared with one is cached
class Layout:
    """Where the groups of the code began in a version of the package, and what was neutral there."""

    roots: Mapping[str, tuple[str, ...]]
    neutral: tuple[str, ...]


NOW = Layout(ALL_CODE, NEUTRAL)
# All modules side by side, until the folders quantization, steps, pictures and engines.
FLAT = Layout(
    {
        "quantizing": ("api", "images"),
        "measuring": ("evaluation", "datasets"),
        "sampling": ("sampling", "images"),
        "interventions": ("study.interventions",),
        "study": ("study.bench", "study.timing", "study.traces", "study.estimates", "study.significance"),
    },
    (
        "_compat",
        "backbones",
        "checkpoint",
        "config",
        "errors",
        "progress",
        "serialization",
        "study.cache",
        "study.fingerprint",
        "study.interventions",
        "study.options",
        "study.plan",
        "study.plan_part",
        "study.provenance",
        "study.verification",
        "suggestions",
    ),
)


@cache
def layout_at(root: Path, commit: str) -> Layout:
    """The layout of the package at a commit.

    Raises:
        DataError: git does not know the commit.
    """
    return FLAT if "bit_mapping" in tree_at(root, commit).modules else Layout(ALL_CODE, neutral_at(root, commit))


@cache
def differing(
    then: CodeTree, group: str, now: CodeTree, answer: tuple[str, ...] = (), layout: Layout = NOW
) -> list[str]:
    """Name the definitions on which a group depends on one side and that have no equal anywhere on the other.

    Args:
        answer: modules of the group ``answer``, which each question has of its own.
        layout: of the package then.

    Raises:
        ConfigError: the group is unknown on one side.
    """
    sides = []
    for tree, side in ((then, layout), (now, NOW)):
        roots = answer if group == "answer" else side.roots.get(group, ())
        if not roots:
            raise ConfigError(f"its code of {group!r} is unknown")
        sides.append(tree.definitions(tree.reached(roots, side.neutral)))
    alone = [
        {found[digest] for digest in found.keys() - other.definitions(other.modules).keys()}
        for found, other in zip(sides, (now, then))
    ]
    return sorted({f"{definition.name} ({definition.file})" for side in alone for definition in side})


def carry_over(path: Path, root: Path, evidence: str | None = None) -> str:
    """Carry one table over, given its provenance, and tell what was done: ``fits`` or ``carried over``.

    Raises:
        TableError: it was not carried over; with the reason, such as the definitions that differ.
    """
    record = read_provenance(path)
    torch_version = str(record["packages"].get("torch"))
    if record["python"].split(".")[:2] != platform.python_version().split(".")[:2]:
        raise TableError(f"it ran on Python {record['python']}, whose syntax trees are others; use the same Python")
    groups = record["code_sha256"]
    roots = code_of(path.parent.name)
    today = {name: code_hash(*roots[name], torch_version=torch_version) for name in groups if name in roots}
    notebook = _notebook_hash(root, record)
    recipes = recipe_hashes(named_recipes(record["parameters"], study="study" in groups))
    if today == groups and notebook == record.get("notebook_code_sha256") and recipes == record.get(RECIPES):
        return "fits"
    if record["git_dirty"] is not False or record["git_commit"] is None:
        raise TableError("it was not made from a commit; the code that wrote it is unknown")
    then, commit = _code_of(path, root, record, roots)
    own = tuple(roots.get("answer", ()))
    layout = layout_at(root, commit)
    changed = {name: found for name in groups if (found := differing(then, name, package(), own, layout))}
    before = record.get(RECIPES) or _recipes_at(root, commit, recipes)
    if others := sorted(name for name in {*recipes, *before} if recipes.get(name) != before.get(name)):
        changed["recipes"] = others
    if not changed and notebook != record.get("notebook_code_sha256"):
        changed = {"notebook": [record["notebook"]]}
    if changed and evidence is None:
        listed = "; ".join(f"{name}: {', '.join(found)}" for name, found in changed.items())
        raise TableError(f"its code differs from that of commit {commit[:10]}. {listed}")
    told: dict[str, object] = {"from_commit": commit, "reason": evidence if changed else EQUAL}
    if changed:
        told["differing"] = {name: len(found) for name, found in changed.items()}
    if commit != record["git_commit"]:  # which did not measure: how its code was known to give the table still counts
        told["earlier"] = record["carried_over"]
    record |= {"code_sha256": today, RECIPES: recipes, "carried_over": told}
    if changed:
        record |= _renamed_parameters(root, record) | ({"notebook_code_sha256": notebook} if notebook else {})
    write_atomically(path, (json.dumps(record, indent=2) + "\n").encode())
    return "carried over"


def _code_of(path: Path, root: Path, record: Mapping, roots: Mapping[str, tuple[str, ...]]) -> tuple[CodeTree, str]:
    """Return the code of the commit that wrote a table, and the commit; where that is gone, one with the recorded code.

    That is the latest commit that changed the provenance and holds the code that the table was carried over to.

    Raises:
        DataError: git has neither.
    """
    written = record["git_commit"]
    try:
        return tree_at(root, written), written
    except DataError as error:
        if "carried_over" not in record:
            raise DataError(f"{error}; {_REMEDY}") from None
    for commit in commits_of(root, path):
        if _holds_recorded_code(root, commit, record, roots):
            return tree_at(root, commit), commit
    table = table_id(path.with_name(path.name.removesuffix(".provenance.json") + ".csv"))
    raise DataError(
        f"{table}: commit {written[:10]}, which wrote it, is not in this clone, and no commit here holds the code that it was "
        f"carried over to; {_REMEDY}"
    )


def _holds_recorded_code(root: Path, commit: str, record: Mapping, roots: Mapping[str, tuple[str, ...]]) -> bool:
    """Whether every group of the code at a commit has the hash that a provenance records."""
    torch_version = str(record["packages"].get("torch"))
    try:
        tree, neutral = tree_at(root, commit), neutral_at(root, commit)
        hashes = {
            name: definitions_hash(tree.definitions(tree.reached(roots[name], neutral)), torch_version)
            for name in record["code_sha256"]
        }
    except (AdabmError, KeyError):  # no such package, module or group
        return False
    return hashes == record["code_sha256"]


def _recipes_at(root: Path, commit: str, names: Collection[str]) -> dict[str, str]:
    """Return the hashes of the recipes at a commit, of a table that was written before provenances told them."""
    texts = {name: file_at(root, commit, f"adabm/recipes/{name}.yaml") for name in names}
    return {name: steps_hash(text) for name, text in texts.items() if text is not None}


def _notebook_hash(root: Path, record: Mapping) -> str | None:
    name = record.get("notebook")
    return notebook_code_hash(root / name) if isinstance(name, str) else None


def _renamed_parameters(root: Path, record: Mapping) -> dict[str, object]:
    """Return the parameters under the names that they have now; what a block has gained since is taken from it.

    The evidence has to cover that a new parameter has no effect at the value that the block gives it.
    """
    renamed: dict[str, object] = {"parameters": _renamed(record["parameters"])}
    if "recipe" in renamed["parameters"]:  # what all models of a study shared
        renamed["parameters"]["effort"] = renamed["parameters"].pop("recipe")
    if isinstance(record.get("block_values"), dict):
        now = read_block_values(root / record["params_file"], record["block"])
        values = _renamed(record["block_values"])
        renamed["block_values"] = values | {name: value for name, value in now.items() if name not in values}
    return renamed


def _renamed(value: object, inside: bool = False) -> object:
    """Rename settings of recipes, which stand in mappings called ``changes``."""
    if isinstance(value, list):
        return [_renamed(one, inside) for one in value]
    if not isinstance(value, dict):
        return value
    return {
        (new_name(name) or name) if inside else name: _renamed(one, inside or name == "changes")
        for name, one in value.items()
    }


def main() -> int:
    parser = Parser(description=__doc__.split("\n")[0], allow_abbrev=False)
    parser.add_argument(
        "folders", type=Path, nargs="*", metavar="FOLDER", help="folders of results (default: results/)"
    )
    parser.add_argument(
        "--evidence", metavar="TEXT", help="how it is known that numbers are the same where code differs"
    )
    args = parser.parse_args()
    if args.evidence is not None and not args.evidence.strip():
        parser.error("--evidence must tell something, such as: recomputed, byte-identical")
    try:
        root = find_root()
        folders = args.folders or [root / "results"]
        below = {folder: [*folder.rglob("*.provenance.json")] for folder in folders}
        if empty := [str(folder) for folder, found in below.items() if not found]:
            raise DataError(f"{', '.join(empty)}: no table with a provenance there; name folders of results")
        paths = sorted({path for found in below.values() for path in found})
    except AdabmError as error:
        print(f"carry_over: {error}", file=sys.stderr)
        return 1
    refused = 0
    for path in paths:
        try:
            print(f"{carry_over(path, root, args.evidence):<14}{path}")
        except (AdabmError, OSError) as error:
            refused += 1
            print(f"{'left':<14}{path}: {plain(error)}")
    return 1 if refused else 0


if __name__ == "__main__":
    sys.exit(as_command("carry_over", main))
