"""Rollout plans: how a route goes over step by step, and what must hold before the next one."""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Collection, Mapping
from dataclasses import dataclass, fields
from itertools import pairwise
from typing import Any

from compat.errors import InvalidPlanError
from compat.stages import Place, Stage

UNITS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86_400}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h|d)")
STEPS = (Stage.SHADOW, Stage.CANARY, Stage.NEW)
LONGEST = 64 * 1024
"""Characters a plan may have."""


@dataclass(frozen=True, slots=True)
class Gate:
    """What must hold; what is `None` need not.

    `parity`: share of the compared answers that are the same, at least. `errors`: by how much the
    candidate's error rate may exceed the control's. `latency`: how often the control's p95 the
    candidate's may be. `samples`: how many calls must have been seen to tell.
    """

    parity: float | None = None
    errors: float | None = None
    latency: float | None = None
    samples: int = 100

    @property
    def empty(self) -> bool:
        return self.parity is None and self.errors is None and self.latency is None


@dataclass(frozen=True, slots=True)
class Step:
    """A place to stay at for `hold` seconds; `manual` waits for an operator's word after that."""

    stage: Stage
    percent: int | None
    hold: float
    manual: bool
    gate: Gate

    @property
    def place(self) -> Place:
        return Place.at(self.stage, self.percent)

    @property
    def rank(self) -> tuple[int, int]:
        """Grows from step to step."""
        return rank(self.place)


@dataclass(frozen=True, slots=True)
class Plan:
    """Routes that go over together. `interval` is seconds between two looks at the gates.

    So many looks in a row as `failures` says must fail before it is rolled back.
    """

    name: str
    routes: tuple[str, ...]
    interval: float
    failures: int
    steps: tuple[Step, ...]
    text: str


def rank(place: Place) -> tuple[int, int]:
    """How far a place is on the way over."""
    return list(Stage).index(place.stage), place.percent


def parse(text: str, known: Collection[str]) -> Plan:
    """Read a plan in TOML; `known` are the routes there are.

    Raises:
        InvalidPlanError: it cannot work; names the key and what to do.
    """
    if len(text) > LONGEST:
        raise InvalidPlanError(f"The plan has more than {LONGEST} characters.")
    try:
        found = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise InvalidPlanError(f"The plan is not TOML: {error}.") from error
    _only(found, {"name", "routes", "interval", "failures", "gate", "steps"}, "")
    routes = _routes(found.get("routes"), known)
    common = _gate(found.get("gate", {}), "gate", Gate())
    plan = Plan(
        name=_text(found.get("name", routes[0]), "name"),
        routes=routes,
        interval=_duration(found.get("interval", "10s"), "interval", least=0.1),
        failures=_whole(found.get("failures", 1), "failures", 1, 1000),
        steps=_steps(found.get("steps"), common),
        text=text,
    )
    if all(step.gate.empty for step in plan.steps):
        raise InvalidPlanError(
            "The plan has no gate, so nothing would hold a bad change back; add for instance"
            " [gate] with parity = 0.999, errors = 0.01 and samples = 100."
        )
    return plan


def _steps(found: Any, common: Gate) -> tuple[Step, ...]:  # noqa: ANN401
    if not isinstance(found, list) or not found:
        raise InvalidPlanError('The plan has no steps; add [[steps]] with stage = "shadow".')
    steps = tuple(_step(each, f"steps[{number}]", common) for number, each in enumerate(found))
    for number, (before, after) in enumerate(pairwise(steps), 1):
        if after.rank <= before.rank:
            raise InvalidPlanError(
                f"steps[{number}] ({after.place}) does not go further than steps[{number - 1}]"
                f" ({before.place}); steps go from shadow over rising canaries to new."
            )
    return steps


def _step(found: Any, key: str, common: Gate) -> Step:  # noqa: ANN401
    if not isinstance(found, dict):
        raise InvalidPlanError(f"{key} must be a table.")
    _only(found, {"stage", "percent", "hold", "manual", "gate"}, key)
    stage = found.get("stage")
    if stage not in {str(each) for each in STEPS}:
        raise InvalidPlanError(f"{key}.stage is {stage!r}; use shadow, canary or new.")
    percent = found.get("percent")
    if (percent is not None) != (stage == Stage.CANARY):
        raise InvalidPlanError(f"{key}.percent belongs to a canary, and to nothing else.")
    manual = found.get("manual", False)
    if not isinstance(manual, bool):
        raise InvalidPlanError(f"{key}.manual must be true or false.")
    return Step(
        stage=Stage(stage),
        percent=None if percent is None else _whole(percent, f"{key}.percent", 1, 99),
        hold=_duration(found.get("hold", 0), f"{key}.hold", least=0),
        manual=manual,
        gate=_gate(found.get("gate", {}), f"{key}.gate", common),
    )


def _gate(found: Any, key: str, common: Gate) -> Gate:  # noqa: ANN401
    if not isinstance(found, dict):
        raise InvalidPlanError(f"{key} must be a table.")
    _only(found, {each.name for each in fields(Gate)}, key)
    return Gate(
        parity=_number(found.get("parity", common.parity), f"{key}.parity", 0, 1),
        errors=_number(found.get("errors", common.errors), f"{key}.errors", 0, 1),
        latency=_number(found.get("latency", common.latency), f"{key}.latency", 0.01, 1000),
        samples=_whole(found.get("samples", common.samples), f"{key}.samples", 1, 10**9),
    )


def _routes(found: Any, known: Collection[str]) -> tuple[str, ...]:  # noqa: ANN401
    if isinstance(found, str):
        found = [found]
    if not isinstance(found, list) or not found or not all(isinstance(r, str) for r in found):
        raise InvalidPlanError('routes must be a list such as ["GET /status"].')
    for route in found:
        if route not in known:
            raise InvalidPlanError(f"There is no route {route!r}.{_hint(route, known)}")
    if len(set(found)) < len(found):
        raise InvalidPlanError("routes names a route twice.")
    return tuple(found)


def _only(found: Mapping[str, Any], keys: Collection[str], where: str) -> None:
    for key in found:
        if key not in keys:
            place = f"{where}.{key}" if where else key
            raise InvalidPlanError(f"The plan knows no key {place}.{_hint(key, keys)}")


def _hint(word: str, known: Collection[str]) -> str:
    near = difflib.get_close_matches(word, known, n=1, cutoff=0.5)
    return f" Did you mean {near[0]!r}?" if near else f" There are: {', '.join(sorted(known))}."


def _text(value: Any, key: str) -> str:  # noqa: ANN401
    if not isinstance(value, str) or not 1 <= len(value) <= 200:
        raise InvalidPlanError(f"{key} must be a text of 1 to 200 characters.")
    return value


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _number(value: Any, key: str, least: float, most: float) -> float | None:  # noqa: ANN401
    if value is None:
        return None
    if not _is_number(value) or not least <= value <= most:
        raise InvalidPlanError(f"{key} must be a number from {least:g} to {most:g}.")
    return float(value)


def _whole(value: Any, key: str, least: int, most: int) -> int:  # noqa: ANN401
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        raise InvalidPlanError(f"{key} must be a whole number from {least} to {most}.")
    return value


def _duration(value: Any, key: str, *, least: float) -> float:  # noqa: ANN401
    """Seconds."""
    seconds: float | None = None
    if _is_number(value):
        seconds = float(value)
    elif isinstance(value, str) and (found := _DURATION.fullmatch(value.strip())):
        seconds = float(found[1]) * UNITS[found[2]]
    if seconds is None or not least <= seconds <= 366 * 86_400:
        raise InvalidPlanError(
            f'{key} must be a time such as "30s", "10m" or "2h" of at least {least:g} s.'
        )
    return seconds
