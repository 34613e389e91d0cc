"""Every code of a failure is documented, with its status and its title, and none twice."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import compat.errors
import fastapi_app.errors
import fastapi_app.services.documents
from fastapi_app.errors import AppError
from fastapi_app.problems import TYPE
from tests.servers import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator

LINE = re.compile(
    r"^\| `(?P<code>[a-z-]+)` \| (?P<status>\d{3}) \| (?P<title>[^|]+) \|$", re.MULTILINE
)
ELSEWHERE = {"bad-request", "not-found", "method-not-allowed", "invalid", "internal"}
GATEWAY = {"route-gone", "route-brownout"}


def failures(of: type[AppError] = AppError) -> Iterator[type[AppError]]:
    """Every class of failure there is."""
    for each in of.__subclasses__():
        yield each
        yield from failures(each)


def ours() -> list[type[AppError]]:
    """Those of the product, and not of some test."""
    return [each for each in failures() if each.__module__.startswith(("fastapi_app", "compat"))]


def test_the_documentation_lists_every_code() -> None:
    lines = list(LINE.finditer((ROOT / "docs/errors.md").read_text(encoding="utf-8")))
    documented = {line["code"]: (int(line["status"]), line["title"]) for line in lines}
    assert len(documented) == len(lines)
    known = {each.code: (each.status, each.title) for each in ours()}
    assert {compat.errors.InvalidPlanError, fastapi_app.errors.QueueFullError} <= {*ours()}
    assert documented.keys() == known.keys() | ELSEWHERE | GATEWAY
    for code, said in known.items():
        assert documented[code] == said


def test_a_code_is_a_name_that_stays() -> None:
    codes = [each.code for each in ours()]
    assert len(set(codes)) == len(codes)
    for code in codes:
        assert re.fullmatch(r"[a-z]+(-[a-z]+)*", code), code
    assert TYPE == "urn:mcli:problem:"
