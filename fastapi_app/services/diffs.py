"""What changed from one version of a command to another."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from dataclasses import dataclass

from fastapi_app.errors import DiffTooLargeError
from fastapi_app.models import CommandVersion

MAX_LINES = 40_000
"""Of both versions together; what is compared takes seconds beyond."""
FIELDS = ("name", "language", "description", "group", "tags", "defaults", "parameters")
"""Whatever changes besides the code."""
NO_NEWLINE = "\\ No newline at end of file"


@dataclass(frozen=True, slots=True)
class Diff:
    """`text` is the unified diff of the code; `fields` are the others that differ."""

    old: CommandVersion
    new: CommandVersion
    fields: tuple[str, ...]
    text: str


def compared(old: CommandVersion, new: CommandVersion) -> Diff:
    """What changed from `old` to `new`.

    Raises:
        DiffTooLargeError: there is too much to be compared.
    """
    names = f"{old.name}@{old.version}", f"{new.name}@{new.version}"
    fields = tuple(name for name in FIELDS if getattr(old, name) != getattr(new, name))
    return Diff(old, new, fields, unified(old.code, new.code, names))


def unified(old: str, new: str, names: tuple[str, str]) -> str:
    """The unified diff of two texts; empty when they are the same.

    Raises:
        DiffTooLargeError: there is too much to be compared.
    """
    if old == new:
        return ""
    before, after = _lines(old), _lines(new)
    if (count := len(before) + len(after)) > MAX_LINES:
        raise DiffTooLargeError(count, MAX_LINES)
    return "".join(_ended(difflib.unified_diff(before, after, *names, lineterm="\n")))


def _lines(code: str) -> list[str]:
    """Lines with their ends; those at line feeds alone, as diff and patch have it."""
    lines = [line + "\n" for line in code.split("\n")]
    lines[-1] = lines[-1][:-1]
    return lines if lines[-1] else lines[:-1]


def _ended(lines: Iterator[str]) -> Iterator[str]:
    for line in lines:
        yield line
        if not line.endswith("\n"):
            yield f"\n{NO_NEWLINE}\n"
