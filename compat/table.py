"""The strangler table's form: what a row says, and how the row of a request is found."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from compat.call import Handler
from compat.diff import Volatile
from compat.fields import Field


@dataclass(frozen=True, slots=True)
class Row:
    """An old route, what answers it in stage `new`, and what replaces it.

    A sunset or deprecation is Unix seconds.
    """

    method: str
    path: str
    handler: Handler
    successor: str
    deprecated: int
    sunset: int

    volatile: tuple[Volatile, ...] = ()
    """Fields of its answer that are never twice the same."""

    body: tuple[Field, ...] = ()
    """What its JSON object may hold, in the order in which it is checked."""

    query: tuple[Field, ...] = ()
    """What its query may hold."""

    rehearsal: Handler | None = None
    """For a call that must not be executed twice: tells what `handler` would do and answer, given
    what the old stack did. Without one the call is a read, and the shadow executes it."""

    name: str = field(init=False)
    """How people write it: `POST /execute`."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "name", f"{self.method} {self.path}")


class RouteTable:
    """Finds the row of a request. Paths match as Flask's do: exactly, a parameter per segment."""

    def __init__(self, rows: tuple[Row, ...]) -> None:
        self.rows = {row.name: row for row in rows}
        self._exact = {(r.method, r.path): r for r in rows if "<" not in r.path}
        self._patterns = [(r.method, _pattern(r.path), r) for r in rows if "<" in r.path]

    def match(self, method: str, path: str) -> tuple[Row, Mapping[str, Any]] | None:
        """The row and its path parameters. `HEAD` is answered by the row of `GET`."""
        wanted = "GET" if method == "HEAD" else method
        if (row := self._exact.get((wanted, path))) is not None:
            return row, {}
        for row_method, pattern, row in self._patterns:
            if row_method == wanted and (found := pattern.fullmatch(path)):
                return row, found.groupdict()
        return None


def _pattern(path: str) -> re.Pattern[str]:
    return re.compile(re.sub(r"<(\w+)>", r"(?P<\1>[^/]+)", path), re.DOTALL)
