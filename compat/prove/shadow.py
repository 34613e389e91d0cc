"""What a server in stage shadow says of itself: what it compared, and what it found different."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping

from compat.diff import Difference
from compat.prove.report import Finding
from compat.prove.servers import Server

STATS = "/api/v1/cutover/stats"
MISMATCHES = "/api/v1/cutover/mismatches"
COUNTED = ("compared", "dropped", "skipped")
DRAINED_WITHIN = 60.0
LOOK = 0.03
"""Seconds between two looks at what is still to be compared."""


def is_shadow(server: Server) -> bool:
    """Whether it compares on its own."""
    return server.name == "shadow"


def drain(server: Server) -> None:
    """Wait until it has compared all it was asked, so that what it reads is still there.

    An answer is counted a moment after it has gone out: so the counts must have stood still.
    """
    deadline = time.monotonic() + DRAINED_WITHIN
    before = -1
    while time.monotonic() < deadline:
        rows = server.call("GET", STATS)
        tried = sum(row["shadow"][name] for row in rows for name in COUNTED)
        if tried == before and tried >= sum(row["legacy"]["requests"] for row in rows):
            return
        before = tried
        time.sleep(LOOK)


def shadow_counts(server: Server) -> Iterator[tuple[str, Mapping[str, int]]]:
    """For each route, how many calls were compared, mismatched, dropped and skipped."""
    if is_shadow(server):
        names = (*COUNTED, "mismatched")
        for row in server.call("GET", STATS):
            yield row["route"], {name: row["shadow"][name] for name in names}


def shadow_findings(server: Server) -> Iterator[Finding]:
    """What the server has found itself."""
    if is_shadow(server):
        for row in server.call("GET", MISMATCHES):
            sides = row["samples"][-1]["differs"] if row["samples"] else {}
            difference = Difference(
                f"shadow:{row['pointer']}",
                row["kind"],
                sides.get("control", ""),
                sides.get("candidate", ""),
            )
            yield Finding(row["route"], server.name, difference, None, count=row["count"])
