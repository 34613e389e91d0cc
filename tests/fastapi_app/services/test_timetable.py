"""When schedules are due: calendars, time zones, and both days on which clocks change."""

from __future__ import annotations

import itertools
from datetime import datetime
from zoneinfo import ZoneInfo

import pytest

from fastapi_app.errors import InvalidJobError
from fastapi_app.schedules import Schedule, ScheduleKind
from fastapi_app.services.timetable import NICKNAMES, jitter_of, moments, timetable

CRON, EVERY, AT = ScheduleKind
BERLIN, NEW_YORK, SYDNEY, LORD_HOWE = (
    "Europe/Berlin",
    "America/New_York",
    "Australia/Sydney",
    "Australia/Lord_Howe",
)


def seconds(text: str, zone: str = "UTC") -> float:
    """Unix seconds of a moment on the clock of a zone, or with an offset of its own."""
    found = datetime.fromisoformat(text)
    return (found if found.tzinfo else found.replace(tzinfo=ZoneInfo(zone))).timestamp()


def shown(found: list[float], zone: str) -> list[str]:
    return [
        datetime.fromtimestamp(at, ZoneInfo(zone)).isoformat(timespec="seconds") for at in found
    ]


# expression, zone, from, the moments that follow
CASES = [
    # The calendar.
    ("* * * * *", "UTC", "2026-01-01T00:00:30", ["2026-01-01T00:01:00+00:00"]),
    ("*/15 * * * *", "UTC", "2026-01-01T00:15:00", ["2026-01-01T00:30:00+00:00"]),
    ("5,35 9-17 * * MON-FRI", "UTC", "2026-11-27T17:36:00", ["2026-11-30T09:05:00+00:00"]),
    ("0 0 1 * *", "UTC", "2026-01-31T12:00:00", ["2026-02-01T00:00:00+00:00"]),
    ("0 0 31 * *", "UTC", "2026-01-31T12:00:00", ["2026-03-31T00:00:00+00:00"]),
    ("0 0 30 * *", "UTC", "2026-01-31T00:00:00", ["2026-03-30T00:00:00+00:00"]),
    ("0 12 L * *", "UTC", "2026-02-01T00:00:00", ["2026-02-28T12:00:00+00:00"]),
    ("0 12 L * *", "UTC", "2028-02-01T00:00:00", ["2028-02-29T12:00:00+00:00"]),
    ("0 12 LW * *", "UTC", "2026-05-01T00:00:00", ["2026-05-29T12:00:00+00:00"]),
    ("0 0 29 2 *", "UTC", "2026-01-01T00:00:00", ["2028-02-29T00:00:00+00:00"]),
    ("0 0 29 2 *", "UTC", "2028-02-29T00:00:00", ["2032-02-29T00:00:00+00:00"]),
    ("0 0 29 FEB *", "UTC", "2096-03-01T00:00:00", []),
    ("0 8 * * MON#2", "UTC", "2026-11-01T00:00:00", ["2026-11-09T08:00:00+00:00"]),
    ("0 8 * * 5L", "UTC", "2026-11-01T00:00:00", ["2026-11-27T08:00:00+00:00"]),
    ("0 0 * * 7", "UTC", "2026-11-26T00:00:00", ["2026-11-29T00:00:00+00:00"]),
    ("0 0 * * sun", "UTC", "2026-11-26T00:00:00", ["2026-11-29T00:00:00+00:00"]),
    ("0 0 13 * FRI", "UTC", "2026-11-07T00:00:00", ["2026-11-13T00:00:00+00:00"]),
    ("0 0 13 * FRI", "UTC", "2026-11-13T00:00:00", ["2026-11-20T00:00:00+00:00"]),
    ("0 0 * JAN,jul *", "UTC", "2026-02-01T00:00:00", ["2026-07-01T00:00:00+00:00"]),
    ("59 23 31 12 *", "UTC", "2026-12-31T23:58:59", ["2026-12-31T23:59:00+00:00"]),
    ("0 0 1 1 *", "UTC", "2026-12-31T23:59:59", ["2027-01-01T00:00:00+00:00"]),
    # Six fields.
    ("*/10 * * * * *", "UTC", "2026-01-01T00:00:01", ["2026-01-01T00:00:10+00:00"]),
    ("30 0 12 * * *", "UTC", "2026-01-01T12:00:30", ["2026-01-02T12:00:30+00:00"]),
    ("59 59 23 28 2 *", "UTC", "2026-01-01T00:00:00", ["2026-02-28T23:59:59+00:00"]),
    # Nicknames.
    ("@hourly", "UTC", "2026-01-01T00:00:00", ["2026-01-01T01:00:00+00:00"]),
    ("@daily", BERLIN, "2026-11-26T12:00:00", ["2026-11-27T00:00:00+01:00"]),
    ("@midnight", "UTC", "2026-11-26T12:00:00", ["2026-11-27T00:00:00+00:00"]),
    ("@weekly", "UTC", "2026-11-26T12:00:00", ["2026-11-29T00:00:00+00:00"]),
    ("@monthly", "UTC", "2026-11-26T12:00:00", ["2026-12-01T00:00:00+00:00"]),
    ("@Yearly", "UTC", "2026-11-26T12:00:00", ["2027-01-01T00:00:00+00:00"]),
    ("@annually", "UTC", "2026-11-26T12:00:00", ["2027-01-01T00:00:00+00:00"]),
    # Clocks are put on: what falls into the gap fires once, just behind it.
    (
        "30 2 * * *",
        BERLIN,
        "2026-03-28T12:00:00",
        ["2026-03-29T03:00:00+02:00", "2026-03-30T02:30:00+02:00"],
    ),
    (
        "30 2 * * *",
        NEW_YORK,
        "2026-03-07T12:00:00",
        ["2026-03-08T03:00:00-04:00", "2026-03-09T02:30:00-04:00"],
    ),
    (
        "30 2 * * *",
        SYDNEY,
        "2026-10-03T12:00:00",
        ["2026-10-04T03:00:00+11:00", "2026-10-05T02:30:00+11:00"],
    ),
    (
        "15 2 * * *",
        LORD_HOWE,
        "2026-10-03T12:00:00",
        ["2026-10-04T02:30:00+11:00", "2026-10-05T02:15:00+11:00"],
    ),
    ("45 30 2 * * *", BERLIN, "2026-03-28T12:00:00", ["2026-03-29T03:00:00+02:00"]),
    (
        "0,30 2 * * *",
        BERLIN,
        "2026-03-28T12:00:00",
        ["2026-03-29T03:00:00+02:00", "2026-03-30T02:00:00+02:00"],
    ),
    (
        "0 2,3 * * *",
        BERLIN,
        "2026-03-28T12:00:00",
        ["2026-03-29T03:00:00+02:00", "2026-03-30T02:00:00+02:00"],
    ),
    ("0 1 * * *", BERLIN, "2026-03-28T12:00:00", ["2026-03-29T01:00:00+01:00"]),
    ("0 4 * * *", BERLIN, "2026-03-28T12:00:00", ["2026-03-29T04:00:00+02:00"]),
    (
        "*/30 * * * *",
        BERLIN,
        "2026-03-29T01:00:00",
        ["2026-03-29T01:30:00+01:00", "2026-03-29T03:00:00+02:00", "2026-03-29T03:30:00+02:00"],
    ),
    (
        "0 * * * *",
        NEW_YORK,
        "2026-03-08T00:30:00",
        ["2026-03-08T01:00:00-05:00", "2026-03-08T03:00:00-04:00"],
    ),
    ("*/10 2 * * *", BERLIN, "2026-03-28T12:00:00", ["2026-03-30T02:00:00+02:00"]),
    # Clocks are put back: what comes twice fires once, the first time.
    (
        "30 1 * * *",
        NEW_YORK,
        "2026-10-31T12:00:00",
        ["2026-11-01T01:30:00-04:00", "2026-11-02T01:30:00-05:00"],
    ),
    (
        "30 2 * * *",
        BERLIN,
        "2026-10-24T12:00:00",
        ["2026-10-25T02:30:00+02:00", "2026-10-26T02:30:00+01:00"],
    ),
    (
        "30 2 * * *",
        SYDNEY,
        "2026-04-04T12:00:00",
        ["2026-04-05T02:30:00+11:00", "2026-04-06T02:30:00+10:00"],
    ),
    (
        "45 1 * * *",
        LORD_HOWE,
        "2026-04-04T12:00:00",
        ["2026-04-05T01:45:00+11:00", "2026-04-06T01:45:00+10:30"],
    ),
    ("45 30 1 * * *", NEW_YORK, "2026-10-31T12:00:00", ["2026-11-01T01:30:45-04:00"]),
    # From between the two times of 01:30 the next is tomorrow's.
    ("30 1 * * *", NEW_YORK, "2026-11-01T01:10:00-05:00", ["2026-11-02T01:30:00-05:00"]),
    ("30 1 * * *", NEW_YORK, "2026-11-01T01:45:00-04:00", ["2026-11-02T01:30:00-05:00"]),
    (
        "*/30 * * * *",
        NEW_YORK,
        "2026-11-01T01:00:00-04:00",
        [
            "2026-11-01T01:30:00-04:00",
            "2026-11-01T01:00:00-05:00",
            "2026-11-01T01:30:00-05:00",
            "2026-11-01T02:00:00-05:00",
        ],
    ),
    (
        "0 * * * *",
        BERLIN,
        "2026-10-25T01:30:00+02:00",
        [
            "2026-10-25T02:00:00+02:00",
            "2026-10-25T02:00:00+01:00",
            "2026-10-25T03:00:00+01:00",
        ],
    ),
    # Zones without changes, with odd offsets, and one that left a day out.
    ("0 9 * * *", "Asia/Kolkata", "2026-06-01T00:00:00", ["2026-06-01T09:00:00+05:30"]),
    ("0 9 * * *", "Asia/Kathmandu", "2026-06-01T00:00:00", ["2026-06-01T09:00:00+05:45"]),
    ("0 9 * * *", "Pacific/Kiritimati", "2026-06-01T00:00:00", ["2026-06-01T09:00:00+14:00"]),
    # Midnight itself lies in the gap.
    ("0 0 * * *", "Africa/Cairo", "2026-04-23T12:00:00", ["2026-04-24T01:00:00+03:00"]),
]


@pytest.mark.parametrize(("text", "zone", "begin", "expected"), CASES)
def test_cron(text: str, zone: str, begin: str, expected: list[str]) -> None:
    table = timetable(Schedule(CRON, text, zone), 0.0)
    count = max(1, len(expected))
    assert shown(list(moments(table, seconds(begin, zone), count)), zone) == expected


@pytest.mark.parametrize("zone", ["UTC", BERLIN, NEW_YORK, SYDNEY, LORD_HOWE, "Africa/Cairo"])
@pytest.mark.parametrize("text", ["30 2 * * *", "15 1 * * *", "*/20 * * * *", "10 30 1 * * *"])
def test_a_year_of_slots_is_the_same_from_wherever_it_is_begun(text: str, zone: str) -> None:
    """Each moment is found from just before it, and none twice: restarts change nothing."""
    table = timetable(Schedule(CRON, text, zone), 0.0)
    count = 400 if text.startswith("*") else 200
    for begin in map(
        seconds, ("2026-03-05T00:00:00", "2026-09-28T00:00:00", "2026-10-30T00:00:00")
    ):
        found = list(moments(table, begin, count))
        assert found == sorted(set(found))
        for before, at in itertools.pairwise(found):
            assert table.after(before + 0.5) == at
            assert table.after(at - 0.5) == at


@pytest.mark.parametrize(
    ("text", "period"),
    [
        ("30s", 30),
        ("5m", 300),
        ("every 5m", 300),
        ("1h30m", 5400),
        ("1.5h", 5400),
        ("1d", 86_400),
        ("2w", 1_209_600),
        (" Every 1H ", 3600),
    ],
)
def test_periods_are_counted_from_the_anchor(text: str, period: float) -> None:
    anchor = seconds("2026-01-01T00:00:10")
    table = timetable(Schedule(EVERY, text), anchor)
    assert table.after(anchor - 5) == anchor
    assert table.after(anchor) == anchor + period
    assert table.after(anchor + 10 * period - 0.001) == anchor + 10 * period
    assert table.after(anchor + 10 * period) == anchor + 11 * period


@pytest.mark.parametrize(
    ("text", "zone", "expected"),
    [
        ("2026-12-24T18:00:00", BERLIN, "2026-12-24T17:00:00+00:00"),
        ("2026-12-24T18:00:00+09:00", BERLIN, "2026-12-24T09:00:00+00:00"),
        ("2026-12-24T18:00:00Z", BERLIN, "2026-12-24T18:00:00+00:00"),
        ("2026-03-29T02:30:00", BERLIN, "2026-03-29T01:00:00+00:00"),
        ("2026-10-25T02:30:00", BERLIN, "2026-10-25T00:30:00+00:00"),
        ("2026-12-24", "UTC", "2026-12-24T00:00:00+00:00"),
    ],
)
def test_a_moment_comes_once(text: str, zone: str, expected: str) -> None:
    table = timetable(Schedule(AT, text, zone), 0.0)
    at = seconds(expected)
    assert table.after(at - 1) == at
    assert table.after(at) is None


@pytest.mark.parametrize(
    ("kind", "text", "told"),
    [
        (CRON, "61 * * * *", "the minute '61' is not one; it takes 0-59"),
        (CRON, "* 24 * * *", "the hour '24' is not one; it takes 0-23"),
        (CRON, "* * 32 * *", "the day-of-month '32' is not one"),
        (CRON, "* * * 13 *", "the month '13' is not one; it takes 1-12 or JAN-DEC"),
        (CRON, "* * * * FOO", "the day-of-week 'FOO' is not one"),
        (CRON, "99 * * * * *", "the second '99' is not one"),
        (CRON, "0 0 30 2 *", "the day-of-month '30' is not one"),
        (CRON, "*/0 * * * *", "the minute '*/0' is not one"),
        (CRON, "5-1 * * * *", "the minute '5-1' is not one"),
        (CRON, "* * *", "has 3 fields; it takes 5"),
        (CRON, "", "has 0 fields; it takes 5"),
        (CRON, "@reboot", "set autostart on a process instead"),
        (CRON, "@fortnightly", "known are @yearly"),
        (EVERY, "5", "is no period"),
        (EVERY, "0s", "is no period from 1 s to 366 d"),
        (EVERY, "400d", "is no period from 1 s to 366 d"),
        (EVERY, "five minutes", "write it like 30s, 5m, 1h30m or 1d"),
        (AT, "tomorrow", "is no moment; write it like"),
        (AT, "2150-01-01T00:00:00", "is too far away"),
    ],
)
def test_what_cannot_be_understood_is_told_by_part(
    kind: ScheduleKind, text: str, told: str
) -> None:
    with pytest.raises(InvalidJobError) as refused:
        timetable(Schedule(kind, text), 0.0)
    (problem,) = refused.value.fields
    assert told in problem.detail
    assert problem.pointer == f"/schedule/{kind}"


@pytest.mark.parametrize(
    ("zone", "told"),
    [
        ("Europe/Berln", "did you mean Europe/Berlin?"),
        ("europe/berlin_", "did you mean Europe/Berlin?"),
        ("Mars/Olympus Mons", "e.g. Europe/Berlin or UTC"),
        ("../../etc/passwd", "there is no time zone"),
        ("", "there is no time zone"),
    ],
)
def test_unknown_zones_are_told_with_the_nearest(zone: str, told: str) -> None:
    with pytest.raises(InvalidJobError) as refused:
        timetable(Schedule(CRON, "0 0 * * *", zone), 0.0)
    assert told in refused.value.detail


def test_every_nickname_is_understood() -> None:
    for name in NICKNAMES:
        assert timetable(Schedule(CRON, name), 0.0).after(0.0)


def test_jitter_is_the_same_for_the_same_slot_and_spread_over_jobs() -> None:
    found = [jitter_of(f"job-{number}", 1000.0, 60.0) for number in range(2000)]
    assert found == [jitter_of(f"job-{number}", 1000.0, 60.0) for number in range(2000)]
    assert all(0 <= seconds < 60 for seconds in found)
    assert len({int(seconds) for seconds in found}) == 60
    assert jitter_of("job", 1000.0, 60.0) != jitter_of("job", 1060.0, 60.0)
    assert jitter_of("job", 1000.0, 0.0) == 0


@pytest.mark.parametrize(
    "expression", ["0 */2 * * *", "*/15 2-4 * * *", "*/20 * * * *", "30 * * * *"]
)
@pytest.mark.parametrize(
    ("zone", "day"),
    [
        (BERLIN, "2026-03-29"),
        (BERLIN, "2026-10-25"),
        (NEW_YORK, "2026-03-08"),
        (NEW_YORK, "2026-11-01"),
        (SYDNEY, "2026-10-04"),
        (SYDNEY, "2026-04-05"),
        (LORD_HOWE, "2026-10-04"),
        (LORD_HOWE, "2026-04-05"),
    ],
)
def test_by_real_time_is_whenever_the_clock_shows_it(expression: str, zone: str, day: str) -> None:
    """Held against each minute of three days, read from the clock of the zone."""
    minute, hour = expression.split()[:2]
    hours = {"*/2": range(0, 24, 2), "2-4": range(2, 5), "*": range(24)}[hour]
    minutes = {"0": [0], "30": [30], "*/15": range(0, 60, 15), "*/20": range(0, 60, 20)}[minute]
    first = int(seconds(f"{day}T12:00:00+00:00")) - 36 * 3600
    last = first + 3 * 86_400
    expected = [
        float(at)
        for at in range(first, last, 60)
        if (clock := datetime.fromtimestamp(at, ZoneInfo(zone))).hour in hours
        and clock.minute in minutes
    ]
    table = timetable(Schedule(CRON, expression, zone), 0.0)
    found = list(moments(table, first - 1.0, len(expected)))
    assert shown(found, zone) == shown(expected, zone)
