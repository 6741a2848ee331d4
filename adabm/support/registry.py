"""Functions by name: observers, image complexities, layer sensitivities, bit allocations; a user's own among them."""

from collections.abc import Callable, Iterator, Mapping
from typing import TypeVar

from ..errors import ConfigError
from ..own_functions import Fault, guarded, is_own
from ..suggestions import suggestion

F = TypeVar("F", bound=Callable)


class Registry(Mapping[str, Callable]):
    """Named functions of one kind; what is registered can be named in a recipe.

    >>> SHAPES = Registry("shape")
    >>> @SHAPES.register("square")
    ... def square(side: float) -> float:
    ...     return side * side
    >>> SHAPES["square"](3.0)
    9.0
    """

    def __init__(self, kind: str, fault: Fault | None = None, wanted: str = "", apart: bool = False) -> None:
        """Args: see :func:`adabm.own_functions.guarded`, by which a user's own functions are called if ``fault`` is given."""
        self.kind, self._fault, self._wanted, self._apart = kind, fault, wanted, apart
        self._entries: dict[str, Callable] = {}

    def register(self, name: str) -> Callable[[F], F]:
        """Register the decorated function under ``name`` and return it as it is.

        A file that is executed again replaces its own functions.

        Raises:
            ConfigError: another function has the name.
        """

        def add(function: F) -> F:
            other = self._entries.get(name)
            if other is not None and (other.__module__, other.__qualname__) != (
                function.__module__,
                function.__qualname__,
            ):
                raise ConfigError(f"{self.kind} {name!r} exists already ({other.__module__}); choose another name")
            own = self._fault is not None and is_own(function)
            self._entries[name] = (
                guarded(function, self.kind, name, self._fault, self._wanted, self._apart) if own else function
            )
            return function

        return add

    def __getitem__(self, name: str) -> Callable:
        """Return a function by its name; an unknown one raises :class:`ConfigError` with a close match."""
        if name not in self._entries:
            raise ConfigError(f"unknown {self.kind} {name!r}; {suggestion(name, self._entries)}")
        return self._entries[name]

    def __contains__(self, name: object) -> bool:
        return name in self._entries

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)
