"""What the plan of the migration claims, and where it is measured, or why it is not."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Claim:
    """Something the plan says is faster, and the rows and scenarios that show whether it is.

    One that no row can show has a reason, `because`.
    """

    title: str
    rows: Sequence[str] = ()
    scenarios: Sequence[str] = ()
    because: str | None = None

    def where(self, rows: Collection[str], scenarios: Collection[str]) -> str:
        """Say where it stands in a report that holds these rows and scenarios."""
        if self.because is not None:
            return f"not measured: {self.because}"
        found = [*(key for key in self.rows if key in rows)]
        found += [key for key in self.scenarios if key in scenarios]
        return ", ".join(found) if found else "not in this run"


CLAIMS = (
    Claim("Single workflow start", rows=("start-1",)),
    Claim("10 concurrent requests", rows=("status", "execute", "start")),
    Claim("10 workflows together", scenarios=("ten",)),
    Claim("Throughput of /status, n=1000, c=10", rows=("ab",)),
    Claim("/execute", rows=("execute-1", "execute")),
    Claim("Database list queries, blocking against async", rows=("commands",)),
    Claim("File reads, blocking against async", rows=("logs",)),
    Claim(
        "Redis operations, blocking against async",
        because="the old stack uses no Redis, so there is nothing to hold against the new one's "
        "counts of rates",
    ),
    Claim("1,000 concurrent users", rows=("users",)),
    Claim("WebSocket fan-out", scenarios=("followers",)),
    Claim("Start of the command line", scenarios=("cli",)),
    Claim("Server start and memory", scenarios=("boot",)),
    Claim("Very many runs at once", scenarios=("sleeps",)),
    Claim("Output of any size", scenarios=("log",)),
    Claim("Nothing acknowledged is lost", scenarios=("acknowledged", "kills")),
)

SILENT = """\
All of it runs on one machine: the load generator takes processor time from the server it \
measures, and no network lies between them.
Home folders lie in memory where there is room, so a commit costs no disk. On a slow disk both \
stacks wait longer, and rows that write move closer together.
The database is SQLite. PostgreSQL, several servers and several machines are not measured.
A closed loop sends the next request on an answer: a server that stalls is asked less often \
meanwhile, so the highest percentiles are kinder than open traffic would be.
A command is `true`. The longer a command takes, the less it matters who started it.
A spread is what few repetitions showed, and no confidence interval.
Ratios carry over to another machine better than rates do, but not unchanged: measure on yours.
""".splitlines()
"""What the figures do not say."""
