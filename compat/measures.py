"""How often, how fast and how well each stack has answered each route, over all processes.

Everything here only ever grows: what happened in a span of time is the difference between its end
and its begin, and what happened everywhere is the sum over all processes. Each process keeps rows
of its own in the database, goes on with them after a restart, and loses at most the last second.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Self

from sqlalchemy import select

from compat.stages import Stack
from compat.tables import measures
from fastapi_app.factory import Services

Key = tuple[str, Stack]
"""Name of a route, and who answered."""

EXACT = 64
"""Microseconds up to which each one has a bucket of its own."""
BITS = 5
"""Above that, each doubling is cut into 32 buckets: a quantile is right within 3 %."""


class Histogram:
    """Times in logarithmic buckets, as HDR histograms have them: small, and they can be merged."""

    __slots__ = ("buckets",)

    def __init__(self, buckets: Mapping[int, int] | None = None) -> None:
        self.buckets: Counter[int] = Counter(buckets or {})

    def note(self, seconds: float) -> None:
        """Count one time."""
        micros = int(seconds * 1e6)
        if micros >= EXACT:
            shift = micros.bit_length() - BITS - 1
            micros = (shift << BITS) + (micros >> shift)
        self.buckets[micros] += 1

    def items(self) -> Iterator[tuple[float, int]]:
        """About how many seconds, and how often, of every bucket."""
        for bucket, count in self.buckets.items():
            yield _upper(bucket) / 1e6, count

    def quantile(self, share: float) -> float | None:
        """Seconds within which this share of all was done; `None` when there was nothing."""
        wanted = math.ceil(self.buckets.total() * share)
        seen = 0
        for bucket in sorted(self.buckets):
            seen += self.buckets[bucket]
            if seen >= wanted > 0:
                return _upper(bucket) / 1e6
        return None


def _upper(bucket: int) -> float:
    """The middle of a bucket, in microseconds."""
    if bucket < EXACT:
        return bucket + 0.5
    shift = (bucket >> BITS) - 1
    return ((bucket - (shift << BITS)) + 0.5) * (1 << shift)


class Tally:
    """What was counted of one stack on one route: `counts` by name, and times.

    Of a stack that answers: `requests` and `errors` (no answer, or a status of 500 and above). Of
    the shadow besides: `compared`, `mismatched`, `dropped` (no room), `skipped` (too large, or
    gone), and for each place in the answer how often it differed (`raw:`), and from itself (`self:`
    of `self_runs`).
    """

    __slots__ = ("counts", "times")

    def __init__(
        self, counts: Mapping[str, int] | None = None, times: Mapping[int, int] | None = None
    ) -> None:
        self.counts: Counter[str] = Counter(counts or {})
        self.times = Histogram(times)

    def note(self, seconds: float, *, failed: bool) -> None:
        """Count an answer."""
        self.counts["requests"] += 1
        if failed:
            self.counts["errors"] += 1
        self.times.note(seconds)

    @property
    def error_rate(self) -> float:
        requests = self.counts["requests"]
        return self.counts["errors"] / requests if requests else 0.0

    @property
    def parity(self) -> float | None:
        """The share of compared answers that were the same; `None` when none was compared."""
        compared = self.counts["compared"]
        return 1 - self.counts["mismatched"] / compared if compared else None

    def plus(self, other: Tally) -> Tally:
        return Tally(self.counts + other.counts, self.times.buckets + other.times.buckets)

    def minus(self, earlier: Tally) -> Tally:
        """What was counted since `earlier`."""
        return Tally(self.counts - earlier.counts, self.times.buckets - earlier.times.buckets)

    def as_dict(self) -> dict[str, Any]:
        return {"counts": +self.counts, "times": +self.times.buckets}

    @classmethod
    def from_dict(cls, found: Mapping[str, Any]) -> Self:
        times = {int(bucket): count for bucket, count in found["times"].items()}
        return cls(found["counts"], times)


class Totals(dict[Key, Tally]):
    """Tallies by route and stack; what was never counted is empty."""

    def __missing__(self, key: Key) -> Tally:
        return Tally()

    def add(self, key: Key, tally: Tally) -> None:
        self[key] = self[key].plus(tally)

    def of(self, route: str) -> Totals:
        """Those of one route."""
        return Totals({key: tally for key, tally in self.items() if key[0] == route})

    def minus(self, earlier: Totals) -> Totals:
        return Totals({key: tally.minus(earlier[key]) for key, tally in self.items()})

    def as_json(self) -> str:
        return json.dumps([[*key, tally.as_dict()] for key, tally in self.items()])

    @classmethod
    def from_json(cls, text: str | None) -> Self:
        rows = json.loads(text) if text else []
        return cls({(route, Stack(stack)): Tally.from_dict(data) for route, stack, data in rows})


class Measures:
    """The tallies of this process, and what the others have written down.

    `owner` names this process and the one that takes its place after a restart.
    """

    def __init__(self, services: Services, owner: str) -> None:
        self._database = services.database
        self._owner = owner
        self._own: Totals = Totals()
        self._written: dict[Key, int] = {}

    async def load(self) -> None:
        """Go on where the process before this one has ended."""
        for owner, key, tally in await self._rows():
            if owner == self._owner:
                self._own[key] = tally
                self._written[key] = _weight(tally)

    def tally(self, route: str, stack: Stack) -> Tally:
        """The one of this process, to be counted in."""
        return self._own.setdefault((route, stack), Tally())

    def own(self) -> Iterator[tuple[str, Stack, Tally]]:
        """Route, stack and tally of everything this process has counted."""
        for (route, stack), tally in self._own.items():
            yield route, stack, tally

    async def totals(self) -> Totals:
        """Everything, over all processes.

        Raises:
            StorageUnavailableError: the database does not answer.
        """
        totals = Totals({key: tally.plus(Tally()) for key, tally in self._own.items()})
        for owner, key, tally in await self._rows():
            if owner != self._owner:
                totals.add(key, tally)
        return totals

    async def flush(self) -> None:
        """Write down what has changed.

        Raises:
            StorageUnavailableError: it is written with the next one.
        """
        weights = {key: _weight(tally) for key, tally in self._own.items()}
        changed = [key for key, weight in weights.items() if weight != self._written.get(key)]
        if not changed:
            return
        async with self._database.write() as connection:
            for key in changed:
                route, stack = key
                data = json.dumps(self._own[key].as_dict())
                here = (
                    (measures.c.route == route)
                    & (measures.c.stack == str(stack))
                    & (measures.c.owner == self._owner)
                )
                done = await connection.execute(measures.update().where(here).values(data=data))
                if not done.rowcount:
                    row = {"route": route, "stack": str(stack), "owner": self._owner, "data": data}
                    await connection.execute(measures.insert(), row)
        self._written |= {key: weights[key] for key in changed}

    async def _rows(self) -> Iterable[tuple[str, Key, Tally]]:
        async with self._database.read() as connection:
            rows = (await connection.execute(select(measures))).all()
        known = set(Stack)
        return [
            (row.owner, (row.route, Stack(row.stack)), Tally.from_dict(json.loads(row.data)))
            for row in rows
            if row.stack in known
        ]


def _weight(tally: Tally) -> int:
    """Changes with every count."""
    return tally.counts.total()
