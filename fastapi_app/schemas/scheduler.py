"""Bodies of `/api/v1/scheduler`."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, model_validator

from fastapi_app.schedules import (
    CatchUp,
    Job,
    JobRequest,
    Overlap,
    Policy,
    Schedule,
    ScheduleKind,
    TaskKind,
    Webhook,
    signing_key,
)
from fastapi_app.schemas.documents import Retries, RetryBody
from fastapi_app.schemas.fields import (
    Arguments,
    Environment,
    GroupName,
    Name,
    Parameters,
    Priority,
    ShellText,
    Text,
    Timeout,
)

LONGEST = 31_536_000
MOST = 1_000_000_000


def _of_this_century(value: datetime) -> datetime:
    if not 1970 < value.year < 2100:
        raise ValueError("must lie between 1971 and 2099")
    return value


def _understood(secret: str) -> str:
    signing_key(secret)
    return secret


Url = Annotated[
    str,
    Field(max_length=2000, pattern=r"^https?://[!-~]+$", examples=["https://example.com/hook"]),
]
Moment = Annotated[AwareDatetime, AfterValidator(_of_this_century)]
Seconds = Annotated[float, Field(strict=True, ge=0, le=LONGEST, allow_inf_nan=False)]
HeaderName = Annotated[str, Field(pattern=r"^[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}$")]
HeaderValue = Annotated[str, Field(pattern=r"^[\x20-\x7e]{0,4000}$")]
Secret = Annotated[Text, Field(min_length=16, max_length=200), AfterValidator(_understood)]
Short = Annotated[Text, Field(max_length=200)]


class Body(BaseModel):
    """Nothing that is not known."""

    model_config = ConfigDict(extra="forbid")


class ScheduleBody(Body):
    """When: exactly one of `cron`, `every` and `at`."""

    cron: Short | None = Field(
        None, description="5 fields, or 6 with seconds first, or @daily and the like"
    )
    every: Short | None = Field(None, description="A period: 30s, 5m, 1h30m, 1d")
    at: Short | None = Field(
        None, description="Once, at this moment (ISO 8601); without an offset, of the time zone"
    )
    timezone: Annotated[Text, Field(max_length=64)] = Field(
        "UTC", description="IANA's name", examples=["Europe/Berlin"]
    )

    @model_validator(mode="after")
    def _one_thing(self) -> Self:
        if sum(value is not None for value in (self.cron, self.every, self.at)) != 1:
            raise ValueError("give one of `cron`, `every` and `at`: when is it due?")
        return self

    def schedule(self) -> Schedule:
        """The same for the services."""
        for kind in ScheduleKind:
            text = getattr(self, kind)
            if text is not None:
                return Schedule(kind, text, self.timezone)
        raise AssertionError  # one of them is given

    @classmethod
    def of(cls, schedule: Schedule) -> dict[str, str | None]:
        return {
            **dict.fromkeys(map(str, ScheduleKind)),
            str(schedule.kind): schedule.text,
            "timezone": schedule.zone,
        }


class RunTask(Body):
    """How the run of a slot is to be run."""

    env: Environment = {}
    cwd: Text | None = None
    timeout: Timeout | None = None
    run_group: GroupName | None = None
    priority: Priority = 0
    retries: Retries = RetryBody()


class ShellTask(RunTask):
    """Shell text."""

    type: Literal[TaskKind.SHELL]
    command: ShellText


class CommandTask(RunTask):
    """A stored command."""

    type: Literal[TaskKind.COMMAND]
    name: Name
    args: Arguments = []
    params: Parameters = {}


class WorkflowTask(RunTask):
    """A stored document of steps."""

    type: Literal[TaskKind.WORKFLOW]
    name: Name
    args: Arguments = []
    params: Parameters = {}


class HttpTask(Body):
    """An HTTP call; an answer from 400 on is a failure. Redirects stay on the same host."""

    type: Literal[TaskKind.HTTP]
    url: Url
    method: Literal["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"] = "GET"
    headers: Annotated[dict[HeaderName, HeaderValue], Field(max_length=50)] = {}
    body: Text | None = None
    timeout: Timeout | None = Field(None, description="Seconds; 60 without it")
    run_group: GroupName | None = None
    priority: Priority = 0
    retries: Retries = RetryBody()


class CleanupTask(Body):
    """Forget runs that are over, with what they printed."""

    type: Literal[TaskKind.CLEANUP]
    older_than: Seconds = Field(description="Seconds since their end", examples=[604800])
    group: GroupName | None = None


Task = Annotated[
    ShellTask | CommandTask | WorkflowTask | HttpTask | CleanupTask, Field(discriminator="type")
]


class WebhookBody(Body):
    """Where failures are told, in the form of Standard Webhooks."""

    url: Url
    secret: Secret | None = Field(
        None,
        description="Signs it: `whsec_` and a key in base64, or any text; never shown",
    )


class PolicyBody(Body):
    """How slots are treated. Seconds throughout."""

    catch_up: CatchUp = Field(
        CatchUp.LATEST, description="Which slots are made up for that nobody planned at their time"
    )
    catch_up_window: Seconds = Field(86_400, description="Older ones are not")
    overlap: Overlap = Field(Overlap.SKIP, description="When the run before has not ended")
    jitter: Annotated[Seconds, Field(le=86_400)] = Field(
        0, description="Put each slot off by up to so much"
    )
    start: Moment | None = None
    end: Moment | None = None
    max_runs: Annotated[int, Field(strict=True, ge=1, le=MOST)] | None = None

    def policy(self) -> Policy:
        """The same for the services."""
        return Policy(
            catch_up=self.catch_up,
            window=self.catch_up_window,
            overlap=self.overlap,
            jitter=self.jitter,
            start=None if self.start is None else self.start.timestamp(),
            end=None if self.end is None else self.end.timestamp(),
            max_runs=self.max_runs,
        )


EXAMPLE: dict[str, Any] = {
    "name": "nightly-report",
    "schedule": {"cron": "30 2 * * *", "timezone": "Europe/Berlin"},
    "task": {"type": "shell", "command": "make report"},
}


class JobBody(PolicyBody):
    """A job to schedule."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [EXAMPLE]})

    name: Name
    description: Annotated[Text, Field(max_length=2000)] = ""
    schedule: ScheduleBody
    task: Task
    on_failure: WebhookBody | None = None

    def request(self) -> JobRequest:
        """The same for the services."""
        return JobRequest(
            name=self.name,
            description=self.description,
            schedule=self.schedule.schedule(),
            kind=self.task.type,
            task=_stored(self.task),
            policy=self.policy(),
            webhook=_webhook(self.on_failure),
        )


class JobChanges(Body):
    """Any of the fields of a job. `null` takes away what need not be there."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"schedule": {"every": "5m"}}]}
    )

    name: Name | None = None
    description: Annotated[Text, Field(max_length=2000)] | None = None
    schedule: ScheduleBody | None = None
    task: Task | None = None
    on_failure: WebhookBody | None = None
    catch_up: CatchUp | None = None
    catch_up_window: Seconds | None = None
    overlap: Overlap | None = None
    jitter: Annotated[Seconds, Field(le=86_400)] | None = None
    start: Moment | None = None
    end: Moment | None = None
    max_runs: Annotated[int, Field(strict=True, ge=1, le=MOST)] | None = None

    @model_validator(mode="after")
    def _what_must_be(self) -> Self:
        optional = {"on_failure", "start", "end", "max_runs"}
        for name in self.model_fields_set - optional:
            if getattr(self, name) is None:
                raise ValueError(f"`{name}` cannot be null")
        return self

    def applied(self, job: Job) -> Job:
        """The job with what is given."""
        given = self.model_fields_set
        changes: dict[str, Any] = {
            name: getattr(self, name) for name in given & {"name", "description"}
        }
        if self.schedule is not None:
            changes["schedule"] = self.schedule.schedule()
        if self.task is not None:
            changes |= {"kind": self.task.type, "task": _stored(self.task)}
        if "on_failure" in given:
            changes["webhook"] = _webhook(self.on_failure)
        return replace(job, policy=self._policy(job.policy), **changes)

    def _policy(self, policy: Policy) -> Policy:
        given = self.model_fields_set
        changes: dict[str, Any] = {
            name: getattr(self, name)
            for name in given & {"catch_up", "overlap", "jitter", "max_runs"}
        }
        if "catch_up_window" in given:
            changes["window"] = self.catch_up_window
        for name in given & {"start", "end"}:
            moment: datetime | None = getattr(self, name)
            changes[name] = None if moment is None else moment.timestamp()
        return replace(policy, **changes)


class PreviewBody(PolicyBody):
    """A schedule to look ahead in."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{"schedule": EXAMPLE["schedule"], "count": 3}]},
    )

    schedule: ScheduleBody
    count: Annotated[int, Field(strict=True, ge=1, le=1000)] = 5


def _stored(task: BaseModel) -> dict[str, Any]:
    return task.model_dump(mode="json", exclude={"type"}, exclude_defaults=True)


def _webhook(body: WebhookBody | None) -> Webhook | None:
    return None if body is None else Webhook(body.url, body.secret)
