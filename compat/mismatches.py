"""Where the two stacks differ: grouped by place and kind, a few of each with both sides."""

from __future__ import annotations

import json
import re
import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import delete, select

from compat.diff import Difference
from compat.tables import mismatches
from fastapi_app.factory import Services

GROUPS = 500
"""Groups that are kept apart between two writes; more of them are not worth reading."""
SAMPLES = 3
SHOWN = 2000
"""Characters of a body that a sample keeps."""
HIDDEN = "***"
_SECRET = re.compile(r"secret|token|passw|api.?key|authorization|credential|private", re.IGNORECASE)
_ENVIRONMENTS = frozenset({"env", "environment"})
_OF_BYTES = frozenset({"bytes", "order"})
TAIL = 12
"""Characters that are shown of the end of bodies that say the same in other bytes."""
POINTER = 400
"""Characters of a pointer that the table holds."""


@dataclass(slots=True)
class _Group:
    first: float
    last: float
    count: int = 0
    samples: deque[Mapping[str, Any]] = field(default_factory=lambda: deque(maxlen=SAMPLES))


@dataclass(frozen=True, slots=True)
class Mismatch:
    """A place where the stacks differ. Times are Unix seconds."""

    route: str
    pointer: str
    kind: str
    count: int
    first_seen: float
    last_seen: float
    samples: Sequence[Mapping[str, Any]]


class Mismatches:
    """Counts and keeps what differs, over all processes; bounded, and without secrets."""

    def __init__(self, services: Services) -> None:
        self._database = services.database
        self._found: dict[tuple[str, str, str], _Group] = {}

    def note(self, route: str, found: Sequence[Difference], sample: Mapping[str, Any]) -> None:
        """Keep what one comparison has found."""
        now = time.time()
        for difference in found:
            key = (route, difference.group[:POINTER], difference.kind)
            if key not in self._found and len(self._found) >= GROUPS:
                continue
            group = self._found.setdefault(key, _Group(now, now))
            group.last = now
            group.count += 1
            sides = {
                "control": _side(difference, difference.control),
                "candidate": _side(difference, difference.candidate),
            }
            group.samples.append({"at": now, "differs": sides, **sample})

    async def flush(self) -> None:
        """Write down what was found.

        Raises:
            StorageUnavailableError: it is written with the next one.
        """
        if not self._found:
            return
        taken, self._found = self._found, {}
        try:
            async with self._database.write() as connection:
                for key, group in taken.items():
                    await _add(connection, key, group)
        except BaseException:
            for key, group in taken.items():
                newer = self._found.setdefault(key, group)
                if newer is not group:
                    newer.count += group.count
                    newer.first = group.first
            raise

    async def all(self, route: str | None = None) -> list[Mismatch]:
        """What was found, the most frequent first."""
        await self.flush()
        query = select(mismatches).order_by(mismatches.c.count.desc(), mismatches.c.pointer)
        if route is not None:
            query = query.where(mismatches.c.route == route)
        async with self._database.read() as connection:
            return [
                Mismatch(**{**row._mapping, "samples": json.loads(row.samples)})  # noqa: SLF001
                for row in await connection.execute(query)
            ]

    async def clear(self, route: str | None = None) -> None:
        """Forget what was found, of one route or of all."""
        await self.flush()
        query = delete(mismatches)
        async with self._database.write() as connection:
            await connection.execute(
                query if route is None else query.where(mismatches.c.route == route)
            )


def redacted(body: bytes) -> str:
    """A body as it may be shown: without values that are, or may be, secrets; cut."""
    try:
        value = json.loads(body)
        text = json.dumps(without_secrets(value), ensure_ascii=False)
    except (ValueError, RecursionError):
        text = body[: SHOWN * 4].decode("utf-8", "backslashreplace")
    # A lone surrogate is JSON, but nothing that can be sent on.
    return text[:SHOWN].encode(errors="backslashreplace").decode()


def _side(difference: Difference, text: str) -> str:
    """One side of a difference, without secrets."""
    if any(key in _ENVIRONMENTS or _SECRET.search(key) for key in difference.pointer.split("/")):
        return text and HIDDEN
    if difference.kind in _OF_BYTES:
        return text[-TAIL:]
    if not text.startswith(("{", "[")):
        return text
    try:
        return json.dumps(without_secrets(json.loads(text)))
    except ValueError:  # it was cut, so it cannot be looked into
        return HIDDEN


def without_secrets(value: Any) -> Any:  # noqa: ANN401 - any JSON
    """The same JSON with `***` for what is, or may be, a secret."""
    if isinstance(value, list):
        return [without_secrets(item) for item in value]
    if not isinstance(value, dict):
        return value
    shown: dict[str, Any] = {}
    for key, item in value.items():
        if key in _ENVIRONMENTS and isinstance(item, dict):
            shown[key] = dict.fromkeys(item, HIDDEN)
        elif _SECRET.search(key):
            shown[key] = HIDDEN
        else:
            shown[key] = without_secrets(item)
    return shown


async def _add(connection: Any, key: tuple[str, str, str], group: _Group) -> None:  # noqa: ANN401
    route, pointer, kind = key
    here = (
        (mismatches.c.route == route)
        & (mismatches.c.pointer == pointer)
        & (mismatches.c.kind == kind)
    )
    values = {"last_seen": group.last, "samples": json.dumps(list(group.samples))}
    added = {"count": mismatches.c.count + group.count}
    done = await connection.execute(mismatches.update().where(here).values(values | added))
    if not done.rowcount:
        first = {"route": route, "pointer": pointer, "kind": kind, "first_seen": group.first}
        await connection.execute(mismatches.insert(), {**values, **first, "count": group.count})
