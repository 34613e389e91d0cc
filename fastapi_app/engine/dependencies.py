"""Runs that wait for the end of others."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from enum import Enum, auto

from fastapi_app.models import Run, RunStatus, When


class Verdict(Enum):
    """What the ends of the others mean for a run that waits for them."""

    WAIT = auto()
    START = auto()
    SKIP = auto()


@dataclass(slots=True, eq=False)
class Waiting:
    """A run and what it still waits for."""

    run: Run
    pending: set[str]
    failed: list[Run] = field(default_factory=list)

    def verdict(self) -> Verdict:
        """Whether it may start, or never will."""
        when = self.run.options.when
        if when is When.SUCCESS and self.failed:
            return Verdict.SKIP
        if self.pending:
            return Verdict.WAIT
        return Verdict.SKIP if when is When.FAILURE and not self.failed else Verdict.START

    def why_skipped(self) -> str:
        """The reason of a run that will never start."""
        if not self.failed:
            return "skipped: nothing it was to follow has failed"
        other = self.failed[0]
        return f"skipped: {other.name or other.id} {str(other.status).replace('_', ' ')}"


class Dependencies:
    """Who waits for whom. Ends may be told more than once."""

    def __init__(self) -> None:
        self._waiting: dict[str, Waiting] = {}
        self._followers: defaultdict[str, list[str]] = defaultdict(list)

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, run: Run) -> Waiting:
        """Let a run wait for what its options name."""
        waiting = self._waiting[run.id] = Waiting(run, set(run.options.after))
        for other in waiting.pending:
            self._followers[other].append(run.id)
        return waiting

    def discard(self, run_id: str) -> None:
        """Let a run wait no more."""
        self._waiting.pop(run_id, None)

    def ended(self, run: Run) -> list[Waiting]:
        """Take the end of `run` into account; returns those it decides, which wait no more."""
        decided = []
        for follower in self._followers.pop(run.id, ()):
            waiting = self._waiting.get(follower)
            if waiting is None or run.id not in waiting.pending:
                continue
            waiting.pending.discard(run.id)
            if run.status is not RunStatus.COMPLETED:
                waiting.failed.append(run)
            if waiting.verdict() is not Verdict.WAIT:
                self.discard(follower)
                decided.append(waiting)
        return decided
