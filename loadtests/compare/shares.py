"""Which stack answered behind the shim: what `X-Served-By` said, counted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

HEADER = "X-Served-By"
FIELD = "served_by"
"""Where a worker's report to the master has it."""


class Shares:
    """Counts by (operation, route, stack that answered)."""

    def __init__(self) -> None:
        self.counts: Counter[tuple[str, str, str]] = Counter()

    def count(self, method: str, name: str, response: Any) -> None:  # noqa: ANN401
        """Note one answer, if it says who gave it. `response` is a `requests.Response` or None."""
        served_by = getattr(response, "headers", {}).get(HEADER)
        if served_by:
            route = f"{method} {response.request.path_url.partition('?')[0]}"
            self.counts[name.partition("/")[2], route, served_by] += 1

    def report(self) -> list[list[str | int]]:
        """What came since the last report, for the master."""
        rows: list[list[str | int]] = [[*key, count] for key, count in self.counts.items()]
        self.counts.clear()
        return rows

    def merge(self, rows: Iterable[tuple[str, str, str, int]]) -> None:
        """Take what a worker has reported."""
        for operation, route, served_by, count in rows:
            self.counts[operation, route, served_by] += count

    def by_route(self) -> dict[str, dict[str, int]]:
        """Answers of each stack by route."""
        return self._by(1)

    def by_operation(self) -> dict[str, dict[str, int]]:
        """Answers of each stack by operation."""
        return self._by(0)

    def _by(self, place: int) -> dict[str, dict[str, int]]:
        found: dict[str, dict[str, int]] = {}
        for key, count in self.counts.items():
            row = found.setdefault(key[place], {})
            row[key[2]] = row.get(key[2], 0) + count
        return found
