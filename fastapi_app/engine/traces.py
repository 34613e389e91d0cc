"""What the spawn helper wrote down about a run (see `spawner`), read after a restart."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Trace:
    """The state file of a run. Times are Unix seconds; no pid means it was never started."""

    pid: int | None = None
    start_ticks: int | None = None
    began: float | None = None
    exit_code: int | None = None
    finished_at: float | None = None
    refused: bool = False

    @property
    def ended(self) -> bool:
        return self.refused or self.exit_code is not None


def read_trace(path: str) -> Trace | None:
    """The trace at `path`; `None` when the run was never handed to a helper."""
    try:
        lines = Path(path).read_text(encoding="ascii").splitlines()
        began = os.stat(path).st_mtime  # noqa: PTH116
    except FileNotFoundError:
        return None
    trace = Trace(began=began)
    for line in lines:
        match line.split():
            case ["pid", pid, ticks]:
                trace = Trace(int(pid), int(ticks), began)
            case ["exit", code, at]:
                trace = Trace(trace.pid, trace.start_ticks, began, int(code), float(at))
            case ["refused", _]:
                trace = Trace(began=began, refused=True, exit_code=126, finished_at=began)
    return trace
