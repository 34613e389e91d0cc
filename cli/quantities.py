"""Durations, sizes and moments as people write them: `90s`, `1h30m`, `512M`, `2h` ago."""

from __future__ import annotations

import math
import re
import time
from datetime import datetime
from typing import TYPE_CHECKING, TypeVar

import click

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

UNITS = {"ms": 0.001, "s": 1, "m": 60, "min": 60, "h": 3600, "d": 86400, "w": 604800}
SIZES = {unit: 1024**power for power, unit in enumerate(("", "K", "M", "G", "T"))}
NUMBER = r"[0-9]+(?:\.[0-9]+)?"
PART = re.compile(rf"({NUMBER})\s*(ms|min|[smhdw])\s*")


def seconds(text: str) -> float:
    """Read `90`, `90s`, `1.5h` or `1h30m` as seconds; ValueError for anything else."""
    if re.fullmatch(NUMBER, text):
        return _finite(float(text))
    parts = PART.findall(text)
    if not parts or PART.sub("", text):
        raise ValueError(f"'{text}' is not a duration such as 90, 90s, 1h30m or 7d.")
    return _finite(sum(float(number) * UNITS[unit] for number, unit in parts))


def size(text: str) -> int:
    """Read `4096`, `512M` or `1.5GiB` as bytes, 1 K being 1024; ValueError for anything else."""
    found = re.fullmatch(rf"({NUMBER})\s*([KMGT]?)(?:i?B)?", text, re.IGNORECASE)
    if not found:
        raise ValueError(f"'{text}' is not a size such as 4096, 512M or 2G.")
    return int(_finite(float(found[1])) * SIZES[found[2].upper()])


def some_seconds(text: str) -> float:
    """The same, but not nothing."""
    found = seconds(text)
    if not found:
        raise ValueError("must be more than nothing.")
    return found


def moment(text: str) -> float:
    """Read a duration ago, or an ISO 8601 time (local without a zone), as Unix seconds."""
    try:
        return time.time() - seconds(text)
    except ValueError:
        pass
    try:
        return datetime.fromisoformat(text).timestamp()
    except (ValueError, OverflowError) as failure:
        raise ValueError(
            f"'{text}' is neither how long ago, such as 2h, nor a time such as 2026-11-22T14:00."
        ) from failure


def _finite(value: float) -> float:
    if not math.isfinite(value):
        raise ValueError("That is too much.")
    return value


def read_by(reader: Callable[[str], T]) -> Callable[..., T | None]:
    """Make the callback of an option whose text `reader` understands."""

    def read(_ctx: click.Context, _param: click.Parameter, value: str | None) -> T | None:
        try:
            return None if value is None else reader(value)
        except ValueError as failure:
            raise click.BadParameter(str(failure)) from failure

    return read
