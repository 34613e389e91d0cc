"""What `/api/v1/cutover` takes and answers."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any, Self

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, model_validator

from compat.callers import Caller
from compat.cutover import Entry, Move
from compat.measures import Tally, Totals
from compat.mismatches import Mismatch
from compat.readiness import RouteReadiness
from compat.stages import Brownout, Place, Stack, Stage
from compat.table import Row

Percent = Annotated[int, Field(strict=True, ge=0, le=100)]
Seconds = Annotated[float, Field(gt=0, le=31_536_000)]
Words = Annotated[str, Field(max_length=500)]


def when(seconds: float) -> str:
    """Unix seconds as ISO 8601, UTC."""
    moment = datetime.fromtimestamp(seconds, UTC)
    timespec = "microseconds" if moment.microsecond else "seconds"
    return moment.isoformat(timespec=timespec).replace("+00:00", "Z")


class BrownoutAnswer(BaseModel):
    """When clients of a route are refused, and how many of them."""

    begins: str = Field(examples=["2026-12-01T09:00:00Z"])
    lasts: float = Field(description="Seconds", examples=[300])
    every: float | None = Field(description="Seconds from one window to the next", examples=[3600])
    percent: int = Field(examples=[10])

    @classmethod
    def of(cls, found: Brownout) -> Self:
        return cls(
            begins=when(found.begins), lasts=found.lasts, every=found.every, percent=found.percent
        )


class RouteAnswer(BaseModel):
    """An old route and where it stands."""

    route: str = Field(examples=["POST /execute"])
    stage: Stage
    percent: int = Field(description="Share of the clients the new stack answers")
    revision: int = Field(description="Counts its moves; send it with the next one")
    changed_at: str | None = Field(description="Since when; null if it was never moved")
    rollout: str | None = Field(description="The rollout that moves it now")
    brownout: BrownoutAnswer | None
    successor: str = Field(description="What replaces it", examples=["/api/v1/workflows/execute"])
    deprecated: str = Field(examples=["2026-01-01T00:00:00Z"])
    sunset: str = Field(examples=["2027-01-01T00:00:00Z"])

    @classmethod
    def of(cls, row: Row, place: Place) -> Self:
        """The route as operators see it."""
        return cls(
            route=row.name,
            stage=place.stage,
            percent=place.percent,
            revision=place.revision,
            changed_at=None if place.changed_at is None else when(place.changed_at),
            rollout=place.rollout,
            brownout=BrownoutAnswer.of(place.brownout) if place.brownout else None,
            successor=row.successor,
            deprecated=when(row.deprecated),
            sunset=when(row.sunset),
        )


class BrownoutRequest(BaseModel):
    """A window of refusals, once or again and again."""

    model_config = ConfigDict(extra="forbid")

    begins: AwareDatetime | None = Field(None, description="Now, if left out")
    lasts: Seconds = Field(description="Seconds")
    every: Seconds | None = Field(None, description="Seconds from one window to the next")
    percent: Annotated[int, Field(strict=True, ge=1, le=100)] = 100

    @model_validator(mode="after")
    def _in_turn(self) -> Self:
        if self.every is not None and self.every <= self.lasts:
            raise ValueError("every must be longer than lasts, or clients are refused all the time")
        return self

    def brownout(self, now: float) -> Brownout:
        """The schedule. `now` is Unix seconds."""
        begins = now if self.begins is None else self.begins.timestamp()
        return Brownout(begins, self.lasts, self.every, self.percent)


class StageRequest(BaseModel):
    """The stage a route is to have."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {"route": "POST /execute", "stage": "canary", "percent": 10, "reason": "looks well"}
            ]
        },
    )

    route: str
    stage: Stage
    percent: Percent | None = Field(None, description="Of a canary: share of the clients")
    brownout: BrownoutRequest | None = Field(None, description="Of a brownout: when")
    revision: int | None = Field(None, description="Move only if it still stands at this one")
    reason: Words = ""
    by: Words = Field("", description="Who moves it, for the audit log")

    @model_validator(mode="after")
    def _agrees(self) -> Self:
        if (self.percent is not None) != (self.stage is Stage.CANARY):
            raise ValueError("percent belongs to stage canary, and to no other")
        if (self.brownout is not None) != (self.stage is Stage.BROWNOUT):
            raise ValueError("brownout belongs to stage brownout, and to no other")
        return self

    def move(self, by: str, now: float) -> Move:
        """What is to be done."""
        return Move(
            route=self.route,
            stage=self.stage,
            percent=self.percent,
            brownout=self.brownout.brownout(now) if self.brownout else None,
            by=self.by or by,
            reason=self.reason,
            revision=self.revision,
        )


class AuditEntry(BaseModel):
    """Who changed what, when, from what to what, and why."""

    seq: int
    at: str
    by: str = Field(examples=["ada@build7"])
    what: str = Field(examples=["stage"])
    subject: str = Field(description="A route, or a rollout", examples=["POST /execute"])
    revision: int
    before: str = Field(examples=["shadow"])
    after: str = Field(examples=["canary 10%"])
    reason: str
    rollout: str | None

    @classmethod
    def of(cls, entry: Entry) -> Self:
        return cls(
            seq=entry.seq,
            at=when(entry.at),
            by=entry.by,
            what=entry.what,
            subject=entry.subject,
            revision=entry.revision,
            before=entry.before,
            after=entry.after,
            reason=entry.reason,
            rollout=entry.rollout,
        )


class Figures(BaseModel):
    """How one stack answered. Times are milliseconds; null when it answered nothing."""

    requests: int
    errors: int = Field(description="No answer, or a status of 500 and above")
    p50_ms: float | None
    p95_ms: float | None
    p99_ms: float | None

    @classmethod
    def of(cls, tally: Tally, **more: Any) -> Self:  # noqa: ANN401
        def milliseconds(share: float) -> float | None:
            seconds = tally.times.quantile(share)
            return None if seconds is None else round(seconds * 1000, 3)

        return cls(
            requests=tally.counts["requests"],
            errors=tally.counts["errors"],
            p50_ms=milliseconds(0.5),
            p95_ms=milliseconds(0.95),
            p99_ms=milliseconds(0.99),
            **more,
        )


class ShadowFigures(Figures):
    """The new stack behind the old one's back."""

    compared: int
    mismatched: int
    dropped: int = Field(description="There was no room to try them")
    skipped: int = Field(description="Too large to be compared, or what it did was removed before")
    parity: float | None = Field(description="Share of the compared that were the same")


class Noise(BaseModel):
    """A field that was seen to differ from itself."""

    pointer: str = Field(examples=["/active_commands"])
    differed: int
    runs: int = Field(description="How often the old stack was compared with itself")


class StatsAnswer(BaseModel):
    """How both stacks have answered a route since it stands where it does."""

    route: str
    stage: Stage
    percent: int
    since: str | None
    legacy: Figures
    new: Figures
    shadow: ShadowFigures
    noise: list[Noise]

    @classmethod
    def of(cls, row: Row, place: Place, totals: Totals) -> Self:
        """The tallies since the route came to its place."""
        shadow = totals[row.name, Stack.SHADOW]
        counts = shadow.counts
        names = ("compared", "mismatched", "dropped", "skipped")
        return cls(
            route=row.name,
            stage=place.stage,
            percent=place.percent,
            since=None if place.changed_at is None else when(place.changed_at),
            legacy=Figures.of(totals[row.name, Stack.LEGACY]),
            new=Figures.of(totals[row.name, Stack.NEW]),
            shadow=ShadowFigures.of(
                shadow, parity=shadow.parity, **{name: counts[name] for name in names}
            ),
            noise=[
                Noise(pointer=name.removeprefix("self:"), differed=count, runs=counts["self_runs"])
                for name, count in sorted(counts.items())
                if name.startswith("self:")
            ],
        )


class MismatchAnswer(BaseModel):
    """A place where the stacks differ, and how often."""

    route: str
    pointer: str = Field(description="JSON pointer, `*` for any index; `status`; `header:NAME`")
    kind: str = Field(examples=["value"])
    count: int
    first_seen: str
    last_seen: str
    samples: list[dict[str, Any]] = Field(description="The latest, with both sides, redacted")

    @classmethod
    def of(cls, found: Mismatch) -> Self:
        return cls(
            route=found.route,
            pointer=found.pointer,
            kind=found.kind,
            count=found.count,
            first_seen=when(found.first_seen),
            last_seen=when(found.last_seen),
            samples=[{**sample, "at": when(sample["at"])} for sample in found.samples],
        )


class CallerAnswer(BaseModel):
    """A client of an old route."""

    client: str = Field(description="A short name of its key", examples=["9f86d081884c7d65"])
    label: str
    address: str = Field(examples=["127.0.0.1"])
    user_agent: str = Field(examples=["curl/8.5.0"])
    route: str
    stage: str = Field(description="Where the route stood at the last call")
    first_seen: str
    last_seen: str
    count: int

    @classmethod
    def of(cls, caller: Caller) -> Self:
        return cls(
            client=caller.client,
            label=caller.label,
            address=caller.address,
            user_agent=caller.user_agent,
            route=caller.route,
            stage=caller.stage,
            first_seen=when(caller.first_seen),
            last_seen=when(caller.last_seen),
            count=caller.count,
        )


class RouteReady(BaseModel):
    """What keeps a route, if anything does."""

    route: str
    stage: Stage
    days: float | None = Field(description="How long it has been in its stage")
    parity: float | None
    compared: int
    callers: int
    sunset: str
    ready: bool
    because: list[str]

    @classmethod
    def of(cls, found: RouteReadiness) -> Self:
        return cls(
            route=found.row.name,
            stage=found.stage,
            days=None if found.days is None else round(found.days, 3),
            parity=found.parity,
            compared=found.compared,
            callers=found.callers,
            sunset=when(found.row.sunset),
            ready=found.ready,
            because=list(found.because),
        )


class ReadyAnswer(BaseModel):
    """Whether the old stack can be deleted."""

    ready: bool
    because: list[str]
    routes: list[RouteReady]
