"""The moments of a schedule. Pure: times go in and come out as Unix seconds.

cronsim walks the calendar. What a day with a change of clocks means is Debian cron's reading, also
for expressions with seconds: a job at a fixed time runs once on such a day, a job at every so many
minutes runs by real time.
"""

from __future__ import annotations

import difflib
import hashlib
import importlib
import math
import re
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from functools import lru_cache
from typing import Protocol
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from fastapi_app.errors import FieldProblem, InvalidJobError
from fastapi_app.schedules import Job, Schedule, ScheduleKind

NICKNAMES = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
"""What Vixie cron knows (crontab(5)), but for `@reboot`, which is no time."""
FIELDS = {
    "second": "0-59",
    "minute": "0-59",
    "hour": "0-23",
    "day-of-month": "1-31, L or LW",
    "month": "1-12 or JAN-DEC",
    "day-of-week": "0-7 or SUN-SAT (0 and 7 are Sunday), 5L or MON#2",
}
UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
SHORTEST, LONGEST_PERIOD = 1.0, 366 * 86_400.0
LAST = 4_102_444_800.0
"""2100-01-01: no slot lies behind it."""
_PERIOD = re.compile(r"(?:every\s+)?((?:\d+(?:\.\d+)?\s*[smhdw]\s*)+)", re.IGNORECASE)
_PART = re.compile(r"(\d+(?:\.\d+)?)\s*([smhdw])", re.IGNORECASE)


class Timetable(Protocol):
    """The moments of one schedule."""

    def after(self, moment: float) -> float | None:
        """The first one behind `moment`; `None` when there is none."""


def timetable(schedule: Schedule, anchor: float) -> Timetable:
    """The moments of a schedule; periods are counted from `anchor`.

    Raises:
        InvalidJobError: it cannot be understood; says which part, and why.
    """
    zone = zone_of(schedule.zone)
    if schedule.kind is ScheduleKind.CRON:
        return _Cron(schedule.text, zone)
    if schedule.kind is ScheduleKind.EVERY:
        return _Every(_period(schedule.text), anchor)
    return _At(_moment(schedule.text, zone))


def timetable_of(job: Job) -> Timetable:
    """The moments of a job: its periods are counted from its start, or from when it was made.

    Raises:
        InvalidJobError: as `timetable`.
    """
    start = job.policy.start
    return timetable(job.schedule, job.created_at if start is None else start)


def moments(table: Timetable, behind: float, count: int) -> Iterator[float]:
    """At most `count` moments behind that one."""
    found = table.after(behind)
    while found is not None and count > 0:
        yield found
        count -= 1
        found = table.after(found) if count else None


@lru_cache(1024)
def zone_of(name: str) -> ZoneInfo:
    """The IANA time zone.

    Raises:
        InvalidJobError: there is none of that name; names the nearest.
    """
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        known = available_timezones()
        folded = {zone.lower(): zone for zone in known}
        near = difflib.get_close_matches(name.lower(), folded, n=1, cutoff=0.6)
        hint = f"; did you mean {folded[near[0]]}?" if near else "; e.g. Europe/Berlin or UTC"
        raise _invalid("/schedule/timezone", f"there is no time zone {name!r}{hint}") from error


def jitter_of(job_id: str, slot: float, most: float) -> float:
    """By how many seconds a slot is put off: the same on every server, spread over all jobs."""
    if most <= 0:
        return 0.0
    digest = hashlib.sha256(f"{job_id} {slot:.6f}".encode()).digest()
    return most * int.from_bytes(digest[:8], "big") / 2**64


class _Every:
    def __init__(self, period: float, anchor: float) -> None:
        self._period = period
        self._anchor = anchor

    def after(self, moment: float) -> float | None:
        if moment < self._anchor:
            return self._anchor
        count = math.floor((moment - self._anchor) / self._period) + 1
        found = self._anchor + count * self._period
        if found <= moment:  # the division was rounded
            found += self._period
        return found if found < LAST else None


class _At:
    def __init__(self, moment: float) -> None:
        self._moment = moment

    def after(self, moment: float) -> float | None:
        return self._moment if moment < self._moment else None


class _Cron:
    """A cron expression of five fields, or of six with seconds first."""

    def __init__(self, text: str, zone: ZoneInfo) -> None:
        self._text = _expression(text)
        self._zone = zone
        self._simulated(datetime(2026, 1, 1, tzinfo=UTC))  # says what is wrong, if anything
        fields = self._text.split()
        minute, hour = fields[-5], fields[-4]
        # A fixed time of the day, which a change of clocks must neither swallow nor double.
        self._fixed = not (minute.startswith("*") or hour.startswith("*"))

    def after(self, moment: float) -> float | None:
        if not self._fixed:
            return self._by_real_time(moment)
        start = datetime.fromtimestamp(math.floor(moment), self._zone)
        # Walk the clock on the wall, from before what a change of clocks may have repeated.
        wall = start.replace(tzinfo=None, fold=0) - timedelta(hours=3)
        for found in self._simulated(wall):
            when = _real(found, self._zone)
            if when > moment:
                return when if when < LAST else None
        return None

    def _by_real_time(self, moment: float) -> float | None:
        """Walk from change to change of the clocks, each way with the one offset that holds there.

        By itself cronsim goes on by whole hours, and loses moments behind a change by half an hour.
        """
        since = changed = math.floor(moment)
        while True:
            offset = _offset(changed, self._zone)
            start = datetime.fromtimestamp(since, timezone(offset))
            found = next(self._simulated(start), None)
            if found is None or found.timestamp() >= LAST:
                return None
            change = _change(changed, int(found.timestamp()), self._zone)
            if change is None:
                return _checked(found, moment)
            since, changed = change - 1, change

    def _simulated(self, start: datetime) -> Iterator[datetime]:
        module = importlib.import_module("cronsim")  # needed by who has a schedule
        try:
            made: Iterator[datetime] = module.CronSim(self._text, start)
        except module.CronSimError as error:
            raise _invalid("/schedule/cron", _why(self._text, str(error))) from error
        return made


def _checked(found: datetime | None, moment: float) -> float | None:
    if found is None:
        return None
    when = found.timestamp()
    return when if moment < when < LAST else None


def _offset(moment: float, zone: ZoneInfo) -> timedelta:
    return datetime.fromtimestamp(moment, zone).utcoffset() or timedelta()


def _change(since: int, until: int, zone: ZoneInfo) -> int | None:
    """The first second up to `until` with another offset than `since` has; no day has two."""
    offset, low = _offset(since, zone), since
    while low < until:
        high = min(low + 43_200, until)
        if _offset(high, zone) != offset:
            while high - low > 1:
                middle = (low + high) // 2
                if _offset(middle, zone) == offset:
                    low = middle
                else:
                    high = middle
            return high
        low = high
    return None


def _real(wall: datetime, zone: ZoneInfo) -> float:
    """When the clock on the wall shows this: the first time; when it never does, just after.

    The gap of a change of clocks ends where the offset from before it leads to (PEP 495).
    """
    moment = wall.replace(tzinfo=zone)
    utc = moment.astimezone(UTC)
    if utc.astimezone(zone).replace(tzinfo=None) == wall:
        return utc.timestamp()
    return _end_of_gap(wall, zone)


def _end_of_gap(wall: datetime, zone: ZoneInfo) -> float:
    before = wall.replace(tzinfo=zone, fold=0).utcoffset() or timedelta()
    after = wall.replace(tzinfo=zone, fold=1).utcoffset() or timedelta()
    # Somewhere in these seconds the clock was put on: look for the first one behind it.
    low = (wall - max(before, after)).replace(tzinfo=UTC).timestamp()
    high = (wall - min(before, after)).replace(tzinfo=UTC).timestamp()
    earlier = datetime.fromtimestamp(low, zone).utcoffset()
    while high - low > 1:
        middle = (low + high) // 2
        if datetime.fromtimestamp(middle, zone).utcoffset() == earlier:
            low = middle
        else:
            high = middle
    return high


def _expression(text: str) -> str:
    text = " ".join(text.split())
    if not text.startswith("@"):
        return text
    found = NICKNAMES.get(text.lower())
    if found is None:
        known = ", ".join(NICKNAMES)
        extra = " (set autostart on a process instead)" if text.lower() == "@reboot" else ""
        raise _invalid("/schedule/cron", f"there is no {text}{extra}; known are {known}")
    return found


def _why(text: str, said: str) -> str:
    """Which field is wrong, what is in it, and what it takes."""
    fields = text.split()
    if len(fields) not in {5, 6}:
        return (
            f"{text!r} has {len(fields)} fields; it takes 5 (minute hour day-of-month month"
            " day-of-week), or 6 with seconds first"
        )
    name = said.removeprefix("Bad ")
    position = list(FIELDS).index(name) - (6 - len(fields)) if name in FIELDS else -1
    if position < 0:
        return f"{text!r}: {said}"
    return f"the {name} {fields[position]!r} is not one; it takes {FIELDS[name]}, *, lists, steps"


def _period(text: str) -> float:
    found = _PERIOD.fullmatch(text.strip())
    seconds = (
        sum(float(n) * UNITS[unit.lower()] for n, unit in _PART.findall(found[1])) if found else 0
    )
    if not found or not SHORTEST <= seconds <= LONGEST_PERIOD:
        raise _invalid(
            "/schedule/every",
            f"{text!r} is no period from 1 s to 366 d; write it like 30s, 5m, 1h30m or 1d",
        )
    return seconds


def _moment(text: str, zone: ZoneInfo) -> float:
    try:
        found = datetime.fromisoformat(text)
        when = found.timestamp() if found.tzinfo else _real(found, zone)
    except (ValueError, OverflowError) as error:
        raise _invalid(
            "/schedule/at", f"{text!r} is no moment; write it like 2026-12-24T18:00:00"
        ) from error
    if when >= LAST:
        raise _invalid("/schedule/at", f"{text} is too far away; at most the year 2099")
    return when


def _invalid(pointer: str, detail: str) -> InvalidJobError:
    return InvalidJobError([FieldProblem(pointer, detail)])


def as_text(moment: float, zone: str) -> str:
    """A moment on the wall clock of a zone, with its offset."""
    return datetime.fromtimestamp(moment, zone_of(zone)).isoformat(timespec="seconds")


def as_utc(moment: float) -> str:
    """A moment to the second, for programs (RFC 3339)."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(moment))
