"""Durations, sizes and moments as people write them."""

from __future__ import annotations

import time
from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cli.quantities import moment, seconds, size, some_seconds


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0", 0),
        ("90", 90),
        ("1.5", 1.5),
        ("90s", 90),
        ("250ms", 0.25),
        ("2m", 120),
        ("2min", 120),
        ("1.5h", 5400),
        ("1h30m", 5400),
        ("1h 30m", 5400),
        ("7d", 604800),
        ("1w", 604800),
    ],
)
def test_durations(text: str, value: float) -> None:
    assert seconds(text) == value


@pytest.mark.parametrize(
    "text", ["", "s", "-1", "1x", "1h30", "1 h 30 x", "1e3", "inf", "nan", "²", "9" * 400, "1y"]
)
def test_what_is_no_duration(text: str) -> None:
    with pytest.raises(ValueError, match=r"is not a duration|too much"):
        seconds(text)


def test_nothing_is_not_some() -> None:
    assert some_seconds("1ms") == 0.001
    with pytest.raises(ValueError, match="more than nothing"):
        some_seconds("0s")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("4096", 4096),
        ("4k", 4096),
        ("512M", 536870912),
        ("512MB", 536870912),
        ("1.5GiB", 1610612736),
        ("2 T", 2199023255552),
        ("17B", 17),
    ],
)
def test_sizes(text: str, value: int) -> None:
    assert size(text) == value


@pytest.mark.parametrize("text", ["", "M", "-1M", "1X", "1 M M", "inf", "9" * 400])
def test_what_is_no_size(text: str) -> None:
    with pytest.raises(ValueError, match=r"is not a size|too much"):
        size(text)


def test_moments_ago_and_by_the_clock() -> None:
    assert abs(moment("2h") - (time.time() - 7200)) < 5
    assert moment("2026-11-22T14:00:00Z") == 1795356000
    assert moment("2026-11-22T15:00:00+01:00") == 1795356000
    assert moment("2026-11-22T14:00") == datetime(2026, 11, 22, 14).timestamp()  # noqa: DTZ001
    assert moment("2026-11-22") == datetime(2026, 11, 22).timestamp()  # noqa: DTZ001


@given(st.text())
def test_any_text_is_read_or_refused(text: str) -> None:
    for read in (seconds, size, moment):
        try:
            value = read(text)
        except ValueError:
            continue
        assert value == value  # noqa: PLR0124 - it is a number
