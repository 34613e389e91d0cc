"""The differences that are meant, each with its reason: docs/migration.md says them to people."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from compat.diff import Answer, Difference
from compat.guard import Rule
from compat.prove.cases import Request

LONGEST_LINE = 65536
"""Bytes of a line of the head that the old server could read."""
MOST_HEADERS = 100
"""Headers that the old server could read."""


REFUSED = (
    "The guard of the new server refuses what no old script sends, by its rule {rule}; without that"
    " the answer is compared."
)


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why a difference is no fault, and which ones that holds for."""

    reason: str
    holds: Callable[[Request, Answer, Answer], bool]


def _is_over_limits(request: Request, control: Answer, _: Answer) -> bool:
    lines = [len(name) + len(value) + 4 for name, value in request.headers]
    long = max([len(request.target) + len(request.method) + 12, *lines]) > LONGEST_LINE
    return control.status in {414, 431} and (long or len(request.headers) >= MOST_HEADERS - 1)


def _is_redirected_raw(request: Request, control: Answer, candidate: Answer) -> bool:
    raw = not request.target.isascii()
    return raw and control.status == candidate.status == 308


EXPLANATIONS = (
    Explanation(
        "The old server refused more than 100 headers, and lines of over 64 KiB; the new one takes"
        " them.",
        _is_over_limits,
    ),
    Explanation(
        "Raw bytes beyond ASCII in a target, which is no HTTP, the old server encoded twice in the"
        " address it redirects to; the new one names the right address.",
        _is_redirected_raw,
    ),
)


def explanation(
    request: Request, control: Answer, candidate: Answer, difference: Difference
) -> str | None:
    """The reason of a difference, if it has one."""
    if difference.pointer == "planted":
        return None
    for known in EXPLANATIONS:
        if known.holds(request, control, candidate):
            return known.reason
    return None


def refusal(rule: Rule) -> str:
    """The reason why the guard refuses a request that breaks this rule."""
    return REFUSED.format(rule=rule)
