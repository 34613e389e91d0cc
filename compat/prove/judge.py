"""Decides whether two answers are the same, and knows the few differences that are meant."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from urllib.parse import unquote_to_bytes

from compat.diff import Answer, Difference, Shape, Volatile, differences
from compat.prove import guarded
from compat.prove.cases import Case, Request
from compat.prove.explained import explanation, refusal
from compat.prove.guarded import Refused
from compat.prove.seeds import PLANTED
from compat.prove.servers import Server
from compat.routes import RouteTable, Row

_HOST = re.compile(rb"^https?://[^/]*")
ANNOUNCED = frozenset({b"deprecation", b"sunset", b"link", b"x-served-by"})
"""What the shim adds to each answer of the contract."""
HOP = frozenset({b"date", b"server", b"connection", b"keep-alive", b"transfer-encoding"})
"""Headers that are the listener's own affair."""
OWN = {"GET /processes": (Volatile("/processes/*/id", Shape.ID),)}
"""What each server chooses itself, besides what is never the same on one of them."""


@dataclass
class Verdict:
    """What was found of one case: differences by step, and how often each explanation held."""

    unexplained: list[tuple[int, Difference]] = field(default_factory=list)
    explained: Counter[str] = field(default_factory=Counter)


class Judge:
    """Compares the answers of the control with those of candidates."""

    def __init__(self, table: RouteTable, control: Server) -> None:
        self._table = table
        self._port = control.address[1]

    def judge(
        self, case: Case, control: Sequence[Answer], candidate: Sequence[Answer], server: Server
    ) -> Verdict:
        """Compare what each step was answered."""
        verdict = Verdict()
        sides = zip(case.steps, control, candidate, strict=True)
        for index, (request, mine, its) in enumerate(sides):
            if server.is_guarded:
                wrong = guarded.difference(request, mine, its)
                if wrong is not None:
                    verdict.unexplained.append((index, wrong))
                    continue
            if isinstance(its, Refused):
                verdict.explained[refusal(its.rule)] += 1
                if not its.mended:
                    continue
            for difference in self._compare(request, mine, its, server.address[1]):
                why = explanation(request, mine, its, difference)
                if why is None:
                    verdict.unexplained.append((index, difference))
                else:
                    verdict.explained[why] += 1
        return verdict

    def _compare(
        self, request: Request, control: Answer, candidate: Answer, port: int
    ) -> list[Difference]:
        if 0 in (control.status, candidate.status):
            return _unanswered(control, candidate)
        row = self._row(request)
        mine, its = _masked(control, self._port), _masked(candidate, port)
        names = sorted(_names(mine) | _names(its))
        # What the guard refused was sent again to another host, which redirects name.
        elsewhere = isinstance(candidate, Refused) and bool(candidate.header(b"location"))
        if elsewhere:
            mine, its = _without_host(mine), _without_host(its)
        if elsewhere or _length_moves(request, row):
            names = [name for name in names if name != b"content-length"]
        found = differences(mine, its, _volatile(row), names)
        return found or _planted(mine, its)

    def _row(self, request: Request) -> Row | None:
        """The row it reaches, in whatever way its path is written."""
        path = unquote_to_bytes(_HOST.sub(b"", request.path)).decode("utf-8", "replace")
        method = request.method.decode("latin-1").upper()
        match = self._table.match(method, "/" + path.lstrip("/"))
        return match[0] if match else None


def _volatile(row: Row | None) -> tuple[Volatile, ...]:
    return () if row is None else (*row.volatile, *OWN.get(row.name, ()))


def _names(answer: Answer) -> set[bytes]:
    return {name.lower() for name, _ in answer.headers} - ANNOUNCED - HOP


def _length_moves(request: Request, row: Row | None) -> bool:
    """Whether the length follows from the body, or is never the same."""
    if request.method.upper() != b"HEAD":
        return True
    return row is not None and any(field.shape is Shape.NUMBER for field in row.volatile)


def _masked(answer: Answer, port: int) -> Answer:
    """The answer of a server that listens on port 5005, for all that it tells of its port."""
    shown = re.compile(rb'("port":|127\.0\.0\.1:)%d(?!\d)' % port)
    headers = [
        (name, shown.sub(rb"\g<1>5005", value)) if name.lower() == b"location" else (name, value)
        for name, value in answer.headers
    ]
    body = shown.sub(rb"\g<1>5005", answer.body) if b"%d" % port in answer.body else answer.body
    return Answer(answer.status, headers, body)


def _without_host(redirect: Answer) -> Answer:
    """A redirect whose address names no host, wherever it says the address."""
    hosts = {found[0] for place in redirect.header(b"location") if (found := _HOST.match(place))}
    headers, body = redirect.headers, redirect.body
    for host in hosts:
        headers = [(name, value.replace(host, b"")) for name, value in headers]
        body = body.replace(host, b"")
    return Answer(redirect.status, headers, body)


def _unanswered(control: Answer, candidate: Answer) -> list[Difference]:
    """A side gave no answer: what stands for one has the reason as its body.

    Silence on both sides shows nothing, so it is no parity either.
    """
    sides = (str(one.status or one.body.decode(errors="replace")) for one in (control, candidate))
    return [Difference("answer", "missing", *sides)]


def _planted(control: Answer, candidate: Answer) -> list[Difference]:
    """A volatile value that was planted is the same on every server."""
    mine, its = PLANTED.findall(control.body), PLANTED.findall(candidate.body)
    if mine == its:
        return []
    for one, other in zip(mine, its, strict=False):
        if one != other:
            return [Difference("planted", "value", one.decode(), other.decode())]
    return [Difference("planted", "value", f"{len(mine)} values", f"{len(its)} values")]
