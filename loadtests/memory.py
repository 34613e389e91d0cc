"""Memory of a server process and of its spawn helper, in megabytes, as the kernel counts it."""

from __future__ import annotations

from pathlib import Path

import psutil

HELPER = "spawner"
MEGABYTE = 1_000_000


class Growth:
    """How far processes grow beyond what they hold now: from here to the highest they reach."""

    def __init__(self, server: int) -> None:
        children = psutil.Process(server).children()
        self._helpers = [c.pid for c in children if any(HELPER in part for part in c.cmdline())]
        self._server = server
        self._before = {pid: _status(pid, "VmRSS") for pid in (server, *self._helpers)}
        for pid in self._before:
            # 5: forget the highest so far (proc_pid_clear_refs(5)).
            Path(f"/proc/{pid}/clear_refs").write_text("5", encoding="ascii")

    @property
    def resident(self) -> float:
        """Megabytes the server held at the start."""
        return self._before[self._server]

    def of_server(self) -> float:
        """Megabytes the server has grown by at most."""
        return self._growth(self._server)

    def of_helpers(self) -> float:
        """The same of its spawn helpers together."""
        return sum(self._growth(pid) for pid in self._helpers)

    def _growth(self, pid: int) -> float:
        return max(0.0, _status(pid, "VmHWM") - self._before[pid])


def _status(pid: int, field: str) -> float:
    for line in Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines():
        name, _, value = line.partition(":")
        if name == field:
            return int(value.split()[0]) * 1024 / MEGABYTE
    raise ProcessLookupError(f"process {pid} is over")
