"""Where a rollout stands, and its row in the database."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any

from sqlalchemy import Row

from compat.gates import Baseline, Finding, Verdict
from compat.plan import Plan, parse
from compat.stages import Place, Stage


class Phase(StrEnum):
    """How a rollout goes."""

    RUNNING = "running"
    WAITING = "waiting"
    INCONCLUSIVE = "inconclusive"
    PAUSED = "paused"
    COMPLETED = "completed"
    ROLLED_BACK = "rolled_back"
    ABORTED = "aborted"

    @property
    def final(self) -> bool:
        return self in {Phase.COMPLETED, Phase.ROLLED_BACK, Phase.ABORTED}

    @property
    def goes_back(self) -> bool:
        """Whether its routes return to where they were."""
        return self in {Phase.ROLLED_BACK, Phase.ABORTED}


ACTIVE = frozenset({Phase.RUNNING, Phase.WAITING, Phase.INCONCLUSIVE})
"""Those in which gates are looked at."""


@dataclass(frozen=True, slots=True)
class Rollout:
    """A plan under way. `held` is seconds in the present step, times are Unix seconds.

    `findings` are those of the last look; `baselines` tell how the control did when it was last
    seen; `failures` counts failed looks in a row.
    """

    id: str
    plan: Plan
    phase: Phase
    step: int
    held: float
    origin: Mapping[str, Place]
    started_by: str
    started_at: float
    reason: str
    ended_at: float | None = None
    revision: int = 1
    findings: Mapping[str, Sequence[Finding]] = field(default_factory=dict)
    baselines: Mapping[str, Baseline] = field(default_factory=dict)
    failures: int = 0

    def __str__(self) -> str:
        return f"{self.phase} {self.step + 1}/{len(self.plan.steps)}"


def to_row(rollout: Rollout) -> dict[str, Any]:
    """The rollout as the database holds it."""
    state = {
        "failures": rollout.failures,
        "findings": {
            route: [asdict(finding) for finding in findings]
            for route, findings in rollout.findings.items()
        },
        "baselines": {route: asdict(found) for route, found in rollout.baselines.items()},
    }
    origin = {route: [place.stage, place.percent] for route, place in rollout.origin.items()}
    return {
        "id": rollout.id,
        "plan": rollout.plan.text,
        "phase": str(rollout.phase),
        "step": rollout.step,
        "held": rollout.held,
        "origin": json.dumps(origin),
        "state": json.dumps(state),
        "reason": rollout.reason,
        "started_by": rollout.started_by,
        "started_at": rollout.started_at,
        "ended_at": rollout.ended_at,
        "revision": rollout.revision,
    }


def from_row(row: Row[Any], known: Sequence[str]) -> Rollout:
    """The rollout the database holds; `known` are the routes there are."""
    state, origin = json.loads(row.state), json.loads(row.origin)
    return Rollout(
        id=row.id,
        plan=parse(row.plan, {*known, *origin}),
        phase=Phase(row.phase),
        step=row.step,
        held=row.held,
        origin={route: Place.at(Stage(stage), share) for route, (stage, share) in origin.items()},
        started_by=row.started_by,
        started_at=row.started_at,
        reason=row.reason,
        ended_at=row.ended_at,
        revision=row.revision,
        findings={
            route: [Finding(**{**each, "verdict": Verdict(each["verdict"])}) for each in found]
            for route, found in state["findings"].items()
        },
        baselines={route: Baseline(**found) for route, found in state["baselines"].items()},
        failures=state["failures"],
    )
