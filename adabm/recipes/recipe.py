"""A recipe: the list of steps that makes a quantization method, read from a YAML file."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import cache
from pathlib import Path
from typing import Annotated

from ..errors import ConfigError
from ..own_functions import is_own
from ..steps import RANGES, TRAINING, Step, find_step, make_step, step_names
from ..suggestions import suggestion
from ..support.yaml_files import read_yaml
from ..validation import Checked, check, shown
from .idle_settings import check_idle_settings
from .names import new_name

FOLDER = Path(__file__).parent
Changes = Annotated[Mapping[str, object], "settings by name, such as {'tune.rounds': 3}"]
_KEYS = ("label", "family", "paper", "sentence", "order", "imports", "steps")


@dataclass(frozen=True)
class Recipe(Checked):
    """Steps in their order, and how tables tell them.

    Attributes:
        name: of a shipped recipe; of a file, its path as it was given.
        steps: carried out one after the other.
        label: short name in tables and figures.
        family: methods of one family share a colour.
        paper: where the method comes from.
        sentence: what it does.
        order: place among the methods of a table; recipes without one come last.
        changed: whether settings differ from the recipe's file.
        files: Python files that the recipe's file imports: what it depends on besides this package.
    """

    name: str
    steps: tuple[Step, ...]
    label: str = field(default="", compare=False)
    family: str = field(default="", compare=False)
    paper: str = field(default="", compare=False)
    sentence: str = field(default="", compare=False)
    order: int = field(default=1000, compare=False)
    changed: bool = field(default=False, compare=False)
    files: tuple[Path, ...] = field(default=(), compare=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        names = [step.name for step in self.steps]
        for name in names:
            if names.count(name) > 1:
                raise ConfigError(f"recipe {self.name}: step {name!r} is there twice; list it once")
        given: set[str] = set()
        for index, step in enumerate(self.steps):
            for need in sorted(step.needs - given):
                raise ConfigError(
                    f"recipe {self.name}: step {step.name!r} needs {need}, which no step before it provides; "
                    f"put {_providers(need)} before it"
                )
            for early in self.steps[:index]:
                for word in sorted(step.precedes & early.provides):
                    either = early.precedes & step.provides
                    remedy = "leave one of them out" if either else f"put {step.name!r} before {early.name!r}"
                    raise ConfigError(
                        f"recipe {self.name}: step {step.name!r} stands behind {early.name!r}, whose {word} it would make wrong "
                        f"or undo; {remedy}"
                    )
            given |= step.provides
        if RANGES not in given:
            raise ConfigError(f"recipe {self.name}: no step provides {RANGES}; add {_providers(RANGES)}")

    def step(self, name: str) -> Step | None:
        """Return the step of this name, or None."""
        return next((step for step in self.steps if step.name == name), None)

    @property
    def title(self) -> str:
        """The name, marked if settings differ from the recipe's file."""
        return f"{self.name} (changed)" if self.changed else self.name

    @property
    def nothing_kept(self) -> str | None:
        """Why nothing is kept of an interrupted run; None where it may be: of ``tune``, or by a step of the user's own."""
        tune = self.step("tune")
        if (tune is not None and tune.rounds > 0) or any(is_own(type(step)) for step in self.steps):
            return None
        return f"nothing is kept of an interrupted run of {self.title}, which does not fine-tune by the step tune"

    def to_dict(self) -> dict[str, dict[str, object]]:
        """Return the steps with all settings, JSON-ready; :meth:`from_dict` reads them back."""
        return {step.name: step.settings for step in self.steps}

    @classmethod
    def from_dict(cls, name: str, steps: Mapping[str, Mapping | None], **described: object) -> "Recipe":
        """Build from steps by name with their settings.

        Raises:
            ConfigError: an unknown step or setting, an impossible value, or steps that cannot work in this order.
        """
        try:
            made = tuple(make_step(step, settings) for step, settings in steps.items())
        except ConfigError as error:
            raise ConfigError(f"recipe {name}: {error}") from None
        return cls(name, made, **described)

    def with_changes(self, changes: Mapping[str, object]) -> "Recipe":
        """Return the recipe with other settings.

        Args:
            changes: ``"step.setting": value`` changes a setting; ``"step": None`` leaves a step out; ``"step": settings``
                changes several settings of a step, or adds the step: one that trains last, another one right behind the last one that
                provides what it needs, or else before the first one that has to come later; where no step is out of order.

        Raises:
            ConfigError: an unknown step or setting, or one that has no effect since the step is not there.

        >>> read_recipe("adabm").with_changes({"tune.rounds": 3, "clip": None}).step("tune").rounds
        3
        """
        steps = {step.name: step.settings for step in self.steps}
        for name, value in check("changes", changes, Changes).items():
            step, dot, setting = name.partition(".")
            if step not in step_names() and (renamed := new_name(name)) is not None:
                raise ConfigError(f"{name}: is called {renamed} now")
            cls = find_step(step)
            if dot:
                if step not in steps:
                    raise ConfigError(
                        f"{name}: the recipe {self.name} as asked for has no step {step!r}, so that it has no effect; leave it out"
                    )
                steps[step] = steps[step] | {setting: value}
            elif value is None:
                steps.pop(step, None)
            elif isinstance(value, Mapping):
                if step in steps:
                    steps[step] = steps[step] | dict(value)
                else:
                    steps = _inserted(steps, cls, dict(value))
            else:
                raise ConfigError(
                    f"{name} = {shown(value)}: must be null, to leave the step out, or settings; "
                    f"its settings have names such as '{name}.{next(iter(find_step(name).__dataclass_fields__), '...')}'"
                )
        made = tuple(make_step(name, settings) for name, settings in steps.items())
        if made == self.steps:
            return self
        own = shipped().get(self.name)
        return replace(self, steps=made, changed=own is None or made != own.steps)


def _inserted(steps: dict[str, dict], cls: type[Step], settings: dict) -> dict[str, dict]:
    given = [find_step(name) for name in steps]
    items = list(steps.items())
    place = _place(given, cls)
    return dict([*items[:place], (cls.name, settings), *items[place:]])


def _place(given: Sequence[type[Step]], added: type[Step]) -> int:
    """Return where among steps another one goes; where no place is in order, one at which the recipe is refused."""
    if TRAINING in added.provides:
        return len(given)
    least = max((index + 1 for index, step in enumerate(given) if step.provides & added.needs), default=0)
    waiting = (i for i, step in enumerate(given) if step.provides & added.precedes or step.needs & added.provides)
    most = next(waiting, len(given))
    if not added.needs:
        return most
    orderly = (i for i in range(least, most + 1) if not any(added.provides & step.precedes for step in given[i:]))
    return next(orderly, least)


def _providers(need: str) -> str:
    return " or ".join(repr(name) for name in step_names() if need in find_step(name).provides) or "such a step"


@cache
def shipped() -> dict[str, Recipe]:
    """Return the recipes of this package by name, in the order in which tables list them."""
    read = [_read(path, path.stem) for path in FOLDER.glob("*.yaml")]
    return {recipe.name: recipe for recipe in sorted(read, key=lambda recipe: (recipe.order, recipe.name))}


def is_file(name: str) -> bool:
    """Whether a recipe is named by its file instead of by the name of a shipped one."""
    return name.endswith((".yaml", ".yml"))


def read_recipe(name: str | Path, root: str | Path | None = None) -> Recipe:
    """Return a shipped recipe by its name, or read a recipe file (.yaml).

    Args:
        root: what a relative path is relative to; by default the working directory.

    Raises:
        ConfigError: no such recipe (with a close match), or what is wrong with the file.
    """
    name = str(name)
    if is_file(name):
        return _read(Path(root or ".") / Path(name).expanduser(), name)
    if name not in shipped():
        raise ConfigError(
            f"unknown recipe {shown(name)}; {suggestion(name, shipped())} (a file of your own ends in .yaml)"
        )
    return shipped()[name]


def _read(path: Path, name: str) -> Recipe:
    from ..support.plugins import load_file

    content = read_yaml(path)
    if not isinstance(content, Mapping) or "steps" not in content:
        raise ConfigError(f"{path}: a recipe is a mapping with 'steps' and, if you like, {', '.join(_KEYS[:-1])}")
    for key in content:
        if key not in _KEYS:
            raise ConfigError(f"{path}: unknown key {key!r}; {suggestion(str(key), _KEYS)}")
    files = tuple(path.parent / str(file) for file in _list(path, "imports", content.get("imports")))
    for file in files:
        load_file(file)
    described = {key: content[key] for key in ("label", "family", "paper", "sentence", "order") if key in content}
    described.setdefault("label", path.stem)
    described.setdefault("family", described["label"])
    try:
        steps = dict(_steps(content["steps"]))
        recipe = Recipe.from_dict(name, steps, files=files, **described)
        check_idle_settings(recipe.steps, _asked_for(recipe.steps, steps), written_out=True)
        return recipe
    except ConfigError as error:
        raise ConfigError(f"{path}: {str(error).removeprefix(f'recipe {name}: ')}") from None


def _list(path: Path, key: str, value: object) -> Sequence:
    if value is None or isinstance(value, list):
        return value or []
    raise ConfigError(f"{path}: {key} = {value!r}: must be a list")


def _asked_for(steps: Sequence[Step], given: Mapping[str, Mapping | None]) -> Iterator[str]:
    """Yield a file's steps, and its settings at other values than the default ones: a recipe written out in full has them all."""
    for step in steps:
        yield step.name
        for each in fields(step):
            if each.name in (given.get(step.name) or ()) and getattr(step, each.name) != each.default:
                yield f"{step.name}.{each.name}"


def _steps(steps: object) -> Iterator[tuple[str, Mapping | None]]:
    """Yield names and settings of steps given as a mapping, or as a list of names and mappings of one step each."""
    parts = [steps] if isinstance(steps, Mapping) else steps
    if not isinstance(parts, list) or not parts:
        raise ConfigError(f"steps = {steps!r}: must be steps by name, each with its settings")
    seen: set[str] = set()
    for part in parts:
        for name, settings in part.items() if isinstance(part, Mapping) else [(part, None)]:
            if isinstance(name, (list, tuple, set)):
                raise ConfigError(f"step {shown(name)}: must be a name, or a mapping of a name to settings")
            if name in seen:
                raise ConfigError(f"step {name!r} is there twice; list it once")
            seen.add(name)
            yield str(name), settings
