"""The stages a route passes on its way from the old stack to the new one, and where it stands."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Self


class Stage(StrEnum):
    """Which stack answers."""

    LEGACY = "legacy"
    SHADOW = "shadow"
    CANARY = "canary"
    NEW = "new"
    BROWNOUT = "brownout"
    GONE = "gone"


class Stack(StrEnum):
    """Who has answered a call, or tried to."""

    LEGACY = "legacy"
    NEW = "new"
    SHADOW = "shadow"
    """The new stack, compared with the old one behind its back."""


SHARE = {
    Stage.LEGACY: 0,
    Stage.SHADOW: 0,
    Stage.NEW: 100,
    Stage.BROWNOUT: 100,
    Stage.GONE: 0,
}
"""Percent of the clients that the new stack answers; a canary has a number of its own."""


@dataclass(frozen=True, slots=True)
class Window:
    """A time in which some clients are refused. Unix seconds."""

    begins: float
    ends: float


@dataclass(frozen=True, slots=True)
class Brownout:
    """When the clients of a route are refused, and how many: a rehearsal of its end.

    The first window begins at `begins` (Unix seconds) and lasts `lasts` seconds; with `every` a
    window begins each so many seconds. `percent` of the clients are refused, always the same ones.
    """

    begins: float
    lasts: float
    every: float | None = None
    percent: int = 100

    def window(self, now: float) -> Window | None:
        """The window that is open now, or else the next one; `None` when all are over."""
        begins = self.begins
        if self.every is not None and now >= begins + self.lasts:
            begins += self.every * max(0.0, (now - begins - self.lasts) // self.every + 1)
        return Window(begins, begins + self.lasts) if now < begins + self.lasts else None

    def as_json(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Self:
        return cls(**json.loads(text))


@dataclass(frozen=True, slots=True)
class Place:
    """Where a route stands since `changed_at` (Unix seconds).

    `percent` of its clients are answered by the new stack. `revision` counts its moves; `rollout`
    is the one that moves it now.
    """

    stage: Stage
    percent: int
    revision: int = 0
    changed_at: float | None = None
    rollout: str | None = None
    brownout: Brownout | None = None

    @classmethod
    def at(cls, stage: Stage, percent: int | None = None) -> Self:
        """A place never moved to; `percent` counts for a canary alone."""
        return cls(stage, SHARE[stage] if stage is not Stage.CANARY else percent or 0)

    def __str__(self) -> str:
        return f"{self.stage} {self.percent}%" if self.stage is Stage.CANARY else str(self.stage)
