"""Times, durations and sizes as people say them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from cli.output import ago, duration, plain, size

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (None, ""),
        (0.0, "0 ms"),
        (0.0123, "12 ms"),
        (0.9996, "1.0 s"),
        (59.94, "59.9 s"),
        (59.96, "1 min 0 s"),
        (125, "2 min 5 s"),
        (3599.6, "1 h 0 min"),
        (3725, "1 h 2 min"),
        (90000, "1 d 1 h"),
    ],
)
def test_durations(seconds: float | None, said: str) -> None:
    assert duration(seconds) == said


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (-5, "now"),
        (0.4, "now"),
        (30, "30 s ago"),
        (59.7, "59 s ago"),
        (60, "1 min ago"),
        (7199, "1 h ago"),
        (86400, "1 d ago"),
    ],
)
def test_moments(seconds: float, said: str) -> None:
    assert ago(NOW - timedelta(seconds=seconds), NOW) == said


def test_long_ago_is_a_date() -> None:
    assert ago(NOW - timedelta(days=30), NOW).startswith("2026-10-23 ")


@pytest.mark.parametrize(
    ("count", "said"),
    [
        (None, ""),
        (0, "0 B"),
        (999, "999 B"),
        (1500, "1.5 kB"),
        (999_960, "1.0 MB"),
        (3_000_000, "3.0 MB"),
        (10**15, "1000.0 TB"),
    ],
)
def test_sizes(count: int | None, said: str) -> None:
    assert size(count) == said


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (None, "-"),
        ("", "-"),
        (0, "0"),
        (True, "yes"),
        (["ü"], '["ü"]'),
        ("[bold]a\nb\x1b[31m\x9b", r"[bold]a\nb\x1b[31m\x9b"),
    ],
)
def test_any_value_is_one_harmless_line(value: object, said: str) -> None:
    assert plain(value).plain == said
