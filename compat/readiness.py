"""Can the old stack be deleted? Yes or no, and because."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from compat.measures import Totals
from compat.stages import Place, Stack, Stage
from compat.table import Row

DAY = 86_400
PARITY = 0.999
"""The share of compared answers that must have been the same, where any was compared."""


@dataclass(frozen=True, slots=True)
class RouteReadiness:
    """What speaks for and against a route's end. `days` is how long it has been where it is.

    `callers` counts the clients that have called it in the days asked for.
    """

    row: Row
    stage: Stage
    days: float | None
    parity: float | None
    compared: int
    callers: int
    because: Sequence[str]

    @property
    def ready(self) -> bool:
        return not self.because


def readiness(
    row: Row, place: Place, totals: Totals, callers: int, *, days: float, now: float | None = None
) -> RouteReadiness:
    """Whether nothing keeps a route any more; `because` is empty then. `now` is Unix seconds."""
    now = time.time() if now is None else now
    shadow = totals[row.name, Stack.SHADOW]
    been = None if place.changed_at is None else (now - place.changed_at) / DAY
    return RouteReadiness(
        row=row,
        stage=place.stage,
        days=been,
        parity=shadow.parity,
        compared=shadow.counts["compared"],
        callers=callers,
        because=_because(row, place, been, shadow.parity, callers, days, now),
    )


def _because(
    row: Row,
    place: Place,
    been: float | None,
    parity: float | None,
    callers: int,
    days: float,
    now: float,
) -> list[str]:
    found = []
    if place.stage in {Stage.LEGACY, Stage.SHADOW, Stage.CANARY}:
        found.append(f"the old stack still answers it (stage {place})")
    elif place.stage is Stage.NEW and been is None:
        found.append("it was never moved: nobody has seen it leave the old stack")
    elif place.stage is Stage.NEW and been is not None and been < days:
        found.append(f"it is new for {been:.1f} days only, of {days:g}")
    if parity is not None and parity < PARITY:
        found.append(f"parity was {parity:.4%}, below {PARITY:.1%}")
    if callers and place.stage is not Stage.GONE:
        calls = "client still calls" if callers == 1 else "clients still call"
        found.append(f"{callers} {calls} it (in the last {days:g} days)")
    if now < row.sunset:
        found.append(f"its sunset is {(row.sunset - now) / DAY:.0f} days away")
    return found


def verdict(routes: Sequence[RouteReadiness]) -> tuple[bool, list[str]]:
    """Whether the old stack can be deleted, and why (not)."""
    waiting = [route for route in routes if not route.ready]
    if not waiting:
        return True, ["nothing keeps any of its routes"]
    reasons: Mapping[str, list[str]] = {route.row.name: list(route.because) for route in waiting}
    return False, [f"{name}: {'; '.join(because)}" for name, because in reasons.items()]
