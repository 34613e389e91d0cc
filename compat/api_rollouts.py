"""`/api/v1/cutover/rollouts`: let routes go over by a plan, watch them, and step in."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from fastapi import Path, Response
from pydantic import BaseModel, ConfigDict, Field

from compat.api import Address, Live
from compat.gates import Finding, Verdict
from compat.plan import LONGEST, Step
from compat.progress import Phase, Rollout
from compat.schemas import Words, when
from compat.stages import Place, Stage
from fastapi_app.routing import Router
from fastapi_app.schemas.problems import documented
from fastapi_app.security import requires

router = Router(prefix="/api/v1/cutover/rollouts", tags=["cutover"])

EXAMPLE = """routes = ["GET /status"]
[gate]
parity = 0.999
errors = 0.01
[[steps]]
stage = "shadow"
hold = "30m"
[[steps]]
stage = "new"
"""


class StartRequest(BaseModel):
    """A plan to begin with."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"plan": EXAMPLE}]})

    plan: str = Field(description="TOML", max_length=LONGEST)
    by: Words = Field("", description="Who begins it, for the audit log")


class WordRequest(BaseModel):
    """What an operator has to say."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"reason": "lunch"}]})

    by: Words = ""
    reason: Words = ""
    step: int | None = Field(None, ge=0, description="Promote only if it is still at this step")


class StepAnswer(BaseModel):
    """A step of the plan. `hold` is seconds."""

    stage: Stage
    percent: int
    hold: float
    manual: bool
    state: Literal["done", "current", "ahead"]

    @classmethod
    def of(cls, step: Step, number: int, rollout: Rollout) -> Self:
        state: Literal["done", "current", "ahead"] = "current"
        if number < rollout.step or rollout.phase is Phase.COMPLETED:
            state = "done"
        elif number > rollout.step:
            state = "ahead"
        return cls(
            stage=step.stage,
            percent=step.place.percent,
            hold=step.hold,
            manual=step.manual,
            state=state,
        )


class GateAnswer(BaseModel):
    """A gate at the last look."""

    name: str = Field(examples=["parity"])
    verdict: Verdict
    value: float | None
    limit: float
    samples: int

    @classmethod
    def of(cls, found: Finding) -> Self:
        return cls(
            name=found.name,
            verdict=found.verdict,
            value=found.value,
            limit=found.limit,
            samples=found.samples,
        )


class RolloutRoute(BaseModel):
    """A route of the rollout, where it stands now, and its gates."""

    route: str
    stage: Stage
    percent: int
    gates: list[GateAnswer]

    @classmethod
    def of(cls, route: str, place: Place, rollout: Rollout) -> Self:
        gates = [GateAnswer.of(found) for found in rollout.findings.get(route, ())]
        return cls(route=route, stage=place.stage, percent=place.percent, gates=gates)


class RolloutAnswer(BaseModel):
    """A rollout. `held` is seconds in its present step."""

    id: str
    name: str
    phase: Phase
    step: int = Field(description="Counts from 0")
    steps: list[StepAnswer]
    routes: list[RolloutRoute]
    held: float
    reason: str
    started_by: str
    started_at: str
    ended_at: str | None
    revision: int

    @classmethod
    def of(cls, rollout: Rollout, live: Live) -> Self:
        """The rollout as operators see it."""
        plan = rollout.plan
        return cls(
            id=rollout.id,
            name=plan.name,
            phase=rollout.phase,
            step=rollout.step,
            steps=[StepAnswer.of(step, n, rollout) for n, step in enumerate(plan.steps)],
            routes=[
                RolloutRoute.of(route, live.rollouts.place(route), rollout) for route in plan.routes
            ],
            held=round(rollout.held, 3),
            reason=rollout.reason,
            started_by=rollout.started_by,
            started_at=when(rollout.started_at),
            ended_at=None if rollout.ended_at is None else when(rollout.ended_at),
            revision=rollout.revision,
        )


Id = Annotated[str, Path(description="Id of the rollout", alias="rollout_id")]
NOTHING_TO_SAY = WordRequest(by="", reason="", step=None)


@router.post(
    "",
    dependencies=[requires("cutover:write")],
    status_code=201,
    response_model=RolloutAnswer,
    responses=documented(404, 409, 422, 503),
)
async def start(
    body: StartRequest, live: Live, address: Address, response: Response
) -> RolloutAnswer:
    """Begin a rollout; its first step is in force with the answer."""
    rollout = await live.rollouts.start(body.plan, body.by or address)
    response.headers["Location"] = f"{router.prefix}/{rollout.id}"
    return RolloutAnswer.of(rollout, live)


@router.get(
    "",
    dependencies=[requires("cutover:read")],
    response_model=list[RolloutAnswer],
    responses=documented(503),
)
async def list_rollouts(live: Live) -> list[RolloutAnswer]:
    """The last hundred rollouts, the newest first."""
    return [RolloutAnswer.of(rollout, live) for rollout in await live.rollouts.all()]


@router.get(
    "/{rollout_id}",
    dependencies=[requires("cutover:read")],
    response_model=RolloutAnswer,
    responses=documented(404, 422, 503),
)
async def show(rollout_id: Id, live: Live) -> RolloutAnswer:
    """One rollout: its step, and what each gate said at the last look."""
    return RolloutAnswer.of(await live.rollouts.get(rollout_id), live)


@router.post(
    "/{rollout_id}/pause",
    dependencies=[requires("cutover:write")],
    response_model=RolloutAnswer,
    responses=documented(404, 409, 422, 503),
)
async def pause(
    rollout_id: Id, live: Live, address: Address, body: WordRequest = NOTHING_TO_SAY
) -> RolloutAnswer:
    """Stay where it is, and look at no gate, until it is resumed."""
    done = await live.rollouts.pause(rollout_id, body.by or address, body.reason)
    return RolloutAnswer.of(done, live)


@router.post(
    "/{rollout_id}/resume",
    dependencies=[requires("cutover:write")],
    response_model=RolloutAnswer,
    responses=documented(404, 409, 422, 503),
)
async def resume(
    rollout_id: Id, live: Live, address: Address, body: WordRequest = NOTHING_TO_SAY
) -> RolloutAnswer:
    """Go on after a pause."""
    done = await live.rollouts.resume(rollout_id, body.by or address, body.reason)
    return RolloutAnswer.of(done, live)


@router.post(
    "/{rollout_id}/promote",
    dependencies=[requires("cutover:write")],
    response_model=RolloutAnswer,
    responses=documented(404, 409, 422, 503),
)
async def promote(
    rollout_id: Id, live: Live, address: Address, body: WordRequest = NOTHING_TO_SAY
) -> RolloutAnswer:
    """Go to the next step now, whatever the gates say."""
    done = await live.rollouts.promote(rollout_id, body.by or address, body.reason, body.step)
    return RolloutAnswer.of(done, live)


@router.post(
    "/{rollout_id}/abort",
    dependencies=[requires("cutover:write")],
    response_model=RolloutAnswer,
    responses=documented(404, 409, 422, 503),
)
async def abort(
    rollout_id: Id, live: Live, address: Address, body: WordRequest = NOTHING_TO_SAY
) -> RolloutAnswer:
    """Take every route back to where it was when the rollout began."""
    done = await live.rollouts.abort(rollout_id, body.by or address, body.reason)
    return RolloutAnswer.of(done, live)
