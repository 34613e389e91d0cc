"""What a request of the old contract may say: the fields of its body and its query."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    """What a field is for, and so what it may hold."""

    COMMAND = "command"
    """Text for a shell, or a program."""
    NAME = "name"
    """A text that names something: an id or a name."""
    TEXTS = "texts"
    """A list of texts or numbers."""
    MAP = "map"
    """An object of texts or numbers."""
    SECONDS = "seconds"
    """A number above 0."""
    FOLDER = "folder"
    """A path."""
    TRUTH = "truth"
    """Anything, read for truth."""
    COUNT = "count"
    """A whole number of at least 0, as text."""


@dataclass(frozen=True, slots=True)
class Field:
    """One field by its name."""

    name: str
    kind: Kind
