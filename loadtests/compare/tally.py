"""What was counted of one operation on one stack, and what follows from it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

STACKS = {"legacy": "old daemon", "shim": "shim", "new": "/api/v1"}
BASE = "legacy"
SHARED = ""
"""Stands for all operations that can be compared."""


class Entry(Protocol):
    """As much of Locust's `StatsEntry` as is read here."""

    @property
    def name(self) -> str: ...
    @property
    def num_requests(self) -> int: ...
    @property
    def num_failures(self) -> int: ...
    @property
    def response_times(self) -> Mapping[int, int]: ...


@dataclass(frozen=True, slots=True)
class Tally:
    """`times` are milliseconds, rounded as Locust rounds them, and how often each occurred."""

    requests: int = 0
    failures: int = 0
    times: Mapping[int, int] = field(default_factory=dict)

    def plus(self, other: Tally) -> Tally:
        """Both together."""
        times = Counter(self.times)
        times.update(other.times)
        return Tally(self.requests + other.requests, self.failures + other.failures, times)

    def minus(self, earlier: Tally) -> Tally:
        """What came since an earlier state of the same."""
        times = Counter(self.times)
        times.subtract(earlier.times)
        return Tally(self.requests - earlier.requests, self.failures - earlier.failures, +times)

    def percentile(self, share: float) -> int | None:
        """Milliseconds, as Locust's own tables have it; None when nothing was counted."""
        wanted = int(sum(self.times.values()) * share)
        found, below = None, 0
        for milliseconds in sorted(self.times):
            if below > wanted:
                break
            found = milliseconds
            below += self.times[milliseconds]
        return found

    def figures(self, seconds: float) -> dict[str, Any]:
        """What is shown of it. `rate` is of right answers only: refusing is quick."""
        return {
            "requests": self.requests,
            "failures": self.failures,
            "error_rate": self.failures / self.requests if self.requests else None,
            "rate": (self.requests - self.failures) / seconds if seconds > 0 else None,
            "p50": self.percentile(0.5),
            "p95": self.percentile(0.95),
            "p99": self.percentile(0.99),
        }


Tallies = dict[tuple[str, str], Tally]
"""By (operation, stack)."""


def tallies(entries: Iterable[Entry]) -> Tallies:
    """What Locust has counted, of figures named `<stack>/<operation>`."""
    found: Tallies = {}
    for entry in entries:
        stack, slash, operation = entry.name.partition("/")
        if slash and stack in STACKS and entry.num_requests:
            counted = Tally(entry.num_requests, entry.num_failures, dict(entry.response_times))
            found[operation, stack] = found.get((operation, stack), Tally()).plus(counted)
    return found


def with_shared(found: Tallies, operations: Iterable[str]) -> Tallies:
    """Add the sums of these operations, as `SHARED`."""
    sums: Tallies = {}
    for operation in operations:
        for stack in STACKS:
            if (operation, stack) in found:
                so_far = sums.get((SHARED, stack), Tally())
                sums[SHARED, stack] = so_far.plus(found[operation, stack])
    return found | sums


def shared(found: Tallies) -> list[str]:
    """The operations that each stack has had: what they can be compared by as a whole.

    Of the stacks, those that have had any operation of the old daemon's, or else all under load.
    """
    names = {stack: {name for name, other in found if other == stack} for stack in STACKS}
    under_load = [had for had in names.values() if had]
    base = names[BASE]
    compared = [had for had in under_load if had & base] if base else under_load
    return sorted(set.intersection(*compared)) if compared else []


COMPARED = ("rate", "p50", "p95", "p99", "error_rate")


def compared(found: Tallies, seconds: float) -> list[dict[str, Any]]:
    """Each operation with the figures of each stack, and their ratios to the old daemon's.

    The sums come first. A ratio is None where the old daemon has no such figure, or 0.
    """
    found = with_shared(found, shared(found))
    rows = []
    for operation in sorted({operation for operation, _ in found}):
        stacks = {
            stack: found[operation, stack].figures(seconds)
            for stack in STACKS
            if (operation, stack) in found
        }
        base = stacks.get(BASE, {})
        for stack, figures in stacks.items():
            if stack != BASE:
                figures["ratios"] = {
                    name: _ratio(figures[name], base.get(name)) for name in COMPARED
                }
        rows.append({"operation": operation, "stacks": stacks})
    return rows


def _ratio(value: float | None, base: float | None) -> float | None:
    return None if value is None or not base else value / base
