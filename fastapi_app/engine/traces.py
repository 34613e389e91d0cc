"""What the spawn helper wrote down about a run (see `spawner`), read after a restart."""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass, replace
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
        # A machine that lost its power may have left anything at the end.
        lines = Path(path).read_text(encoding="ascii", errors="replace").splitlines()
        began = os.stat(path).st_mtime  # noqa: PTH116
    except FileNotFoundError:
        return None
    trace = Trace(began=began)
    for line in lines:
        with contextlib.suppress(ValueError):
            trace = _with(trace, line)
    return trace


def _with(trace: Trace, line: str) -> Trace:
    match line.split():
        case ["pid", pid, ticks, *at]:  # without a time when an earlier version wrote it
            began = float(at[0]) if at else trace.began
            return replace(trace, pid=int(pid), start_ticks=int(ticks), began=began)
        case ["exit", code, at]:
            return replace(trace, exit_code=int(code), finished_at=float(at))
        case ["refused", _]:
            return replace(trace, refused=True, exit_code=126, finished_at=trace.began)
    return trace
