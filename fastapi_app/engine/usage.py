"""What runs cost: the processes of each one's session, counted in one look at all there are."""

from __future__ import annotations

import os
from collections.abc import Collection

from fastapi_app.supervision import Usage

_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")


NOTHING = Usage(0, 0.0, 0)


def of_sessions(leaders: Collection[int]) -> dict[int, Usage]:
    """What the session of each of these pids costs now; blocks for a moment.

    Time of children that have ended counts, memory they share counts for each.
    """
    found: dict[int, Usage] = {}
    for name in os.listdir("/proc") if leaders else ():  # noqa: PTH208
        if not name.isdigit():
            continue
        try:
            with open(f"/proc/{name}/stat", "rb", buffering=0) as file:  # noqa: PTH123
                # Behind the name, which may hold anything; fields as in proc_pid_stat(5), less 3.
                fields = file.read().rpartition(b")")[2].split()
        except OSError:  # it has ended meanwhile
            continue
        session = int(fields[3])
        if session in leaders:
            before = found.get(session, NOTHING)
            found[session] = Usage(
                before.processes + 1,
                before.cpu_seconds + sum(map(int, fields[11:15])) / _TICKS,
                before.memory_bytes + int(fields[21]) * _PAGE,
            )
    return found
