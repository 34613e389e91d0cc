"""How throughput and p95 went, however long the test."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Any

from loadtests.compare.tally import STACKS, Tallies, Tally, shared, with_shared

WINDOW = 10.0
"""Seconds that a point looks back, as Locust's own charts do."""
MOST = 600
"""Points kept; then every second one goes, and only every second one comes."""


@dataclass(frozen=True, slots=True)
class Point:
    """`values` are (right answers per second, p95 in ms) by operation and stack."""

    seconds: float
    users: int
    values: dict[tuple[str, str], tuple[float, int | None]]


@dataclass
class History:
    """Points that are ever further apart, so that their number is bounded."""

    most: int = MOST
    points: list[Point] = field(default_factory=list)
    _recent: deque[tuple[float, Tallies]] = field(default_factory=deque)
    _each: int = 1
    _seen: int = 0

    def clear(self) -> None:
        """Begin anew."""
        self.points.clear()
        self._recent.clear()
        self._each, self._seen = 1, 0

    def add(self, seconds: float, users: int, found: Tallies) -> None:
        """Take a point. `seconds` since the start must grow from call to call."""
        if self._recent and seconds <= self._recent[-1][0]:
            return
        self._recent.append((seconds, found))
        while len(self._recent) > 2 and self._recent[1][0] <= seconds - WINDOW:
            self._recent.popleft()
        self._seen += 1
        if self._seen % self._each:
            return
        earlier, before = self._recent[0] if len(self._recent) > 1 else (0.0, {})
        # The operations that are shared now: their number may have changed in between.
        since = {name: now.minus(before.get(name, Tally())) for name, now in found.items()}
        values = {
            name: ((tally.requests - tally.failures) / (seconds - earlier), tally.percentile(0.95))
            for name, tally in with_shared(since, shared(found)).items()
        }
        self.points.append(Point(seconds, users, values))
        if len(self.points) >= self.most:
            del self.points[::2]
            self._each *= 2

    def series(self, operation: str) -> dict[str, Any]:
        """Columns for the charts of one operation; None where a stack had nothing to show."""
        stacks = {}
        for stack in STACKS:
            values = [point.values.get((operation, stack)) for point in self.points]
            if any(values):
                stacks[stack] = {
                    "rate": [None if value is None else round(value[0], 2) for value in values],
                    "p95": [None if value is None else value[1] for value in values],
                }
        return {
            "seconds": [round(point.seconds, 1) for point in self.points],
            "users": [point.users for point in self.points],
            "stacks": stacks,
        }
