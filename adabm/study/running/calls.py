"""A call as a task of a study: made for what it keeps in a cache."""

from collections.abc import Callable
from dataclasses import dataclass

from ..origin.fingerprint import definition_hash


@dataclass(frozen=True)
class CallTask:
    """``function(*arguments)``, whose value is not needed, since its work is kept.

    Attributes:
        function: of a module, so that other processes find it.
        place: which of how many, for messages.
    """

    function: Callable
    arguments: tuple
    place: str

    @property
    def identity(self) -> str:
        """What tells whether another process has the same code."""
        return definition_hash(self.function)

    @property
    def title(self) -> str:
        """How messages call it: ``complexity, 3 of 15``."""
        return f"{self.function.__module__.rpartition('.')[2]}, {self.place}"

    def carry_out(self) -> None:
        """Make the call."""
        self.function(*self.arguments)
