"""Picks the stack for each call of the old contract, and announces the successor on each answer.

Free of what the routes mean: it takes a table of rows, two ASGI applications that answer them, and
the places where the rows stand.
"""

from __future__ import annotations

import json
import logging
import math
import time
from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from starlette.types import ASGIApp, Receive, Scope, Send

from compat.callers import Callers
from compat.clients import is_within, key_of
from compat.contract import MATCH
from compat.cutover import Cutover
from compat.exchange import Answering, Kept, keeping
from compat.experiment import Experiment, Trial
from compat.guard import Guard, Rules
from compat.headers import Headers, deprecation_headers
from compat.measures import Measures, Tally
from compat.recorder import Recorder
from compat.stages import Place, Stack, Stage
from compat.table import RouteTable, Row
from compat.wsgi import MARKS
from fastapi_app.leaving import ClientLeftError

log = logging.getLogger(__name__)

SERVED_BY = b"x-served-by"
FORCED = b"x-mcli-stack"
BROWNOUT = b"brownout"
BROWNOUT_HEADER = b"x-brownout"
GONE_RETRY_AFTER = 86_400
"""Seconds: a client that asks for what is gone need not ask again before tomorrow."""
STACKS = {
    Stage.LEGACY: Stack.LEGACY,
    Stage.SHADOW: Stack.LEGACY,
    Stage.NEW: Stack.NEW,
}
"""Who answers, where that is the same for every client."""


@dataclass(frozen=True, slots=True)
class Way:
    """How the calls of a row go as long as it stands where it does."""

    row: Row
    place: Place
    stack: Stack | None
    announcements: Mapping[Stack, Headers]
    tallies: Mapping[Stack, Tally]


class Gateway:
    """One ASGI application for both listeners.

    The legacy port, and the unix socket beside it, speak the old contract alone; the other port
    speaks both. `new_paths` are the new app's own; what is neither that nor in the table is the old
    stack's. `rules` are for all of the old contract, wherever it is asked for.
    """

    def __init__(
        self,
        *,
        app: ASGIApp,
        new_paths: Sequence[str],
        legacy: ASGIApp,
        new: ASGIApp,
        table: RouteTable,
        cutover: Cutover,
        measures: Measures,
        callers: Callers,
        experiment: Experiment,
        recorder: Recorder,
        legacy_port: int,
        documentation: str,
        allow_forcing: bool,
        rules: Rules,
    ) -> None:
        self._app = app
        self._new_paths = tuple(new_paths)
        self._stacks = {Stack.LEGACY: legacy, Stack.NEW: new}
        self._table = table
        self._cutover = cutover
        self._measures = measures
        self._callers = callers
        self._experiment = experiment
        self._recorder = recorder
        self._guarded = Guard(self._answer_old, rules)
        self._legacy_ports = frozenset({legacy_port, None})  # a unix socket has none
        self._documentation = documentation
        self._allow_forcing = allow_forcing
        self._ways: Mapping[str, Way] = {}
        cutover.follow(self._adopt)

    def _adopt(self) -> None:
        """Let calls go where the routes stand, from the next one on."""
        self._ways = {
            name: self._way(row, self._cutover.place(name))
            for name, row in self._table.rows.items()
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["server"][1] not in self._legacy_ports and self._is_new(scope["path"]):
            await self._app(scope, receive, send)
            return
        try:
            await self._guarded(scope, receive, send)
        except ClientLeftError:
            log.debug("%s %s: the client left", scope["method"], scope["path"])

    def _answer_old(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        http = scope["type"] == "http"
        return self._serve(scope, receive, send) if http else _refuse_handshake(receive, send)

    def _is_new(self, path: str) -> bool:
        return any(path == new or path.startswith(f"{new}/") for new in self._new_paths)

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        found = self._table.match(scope["method"], scope["path"])
        if found is None:
            await self._stacks[Stack.LEGACY](scope, receive, send)
            return
        scope[MATCH] = found
        way = self._ways[found[0].name]
        stage = way.place.stage
        self._callers.note(way.row.name, stage, scope)
        if self._recorder.listening:
            receive = self._recorder.recording(way.row.name, scope, receive)
        stack = way.stack
        if stack is None or self._allow_forcing:
            stack = self._pick(way, scope)
        if stack is None:
            await _refuse(send, way, self._documentation)
        elif stack is Stack.LEGACY and stage in {Stage.SHADOW, Stage.CANARY}:
            await self._shadow(way, scope, receive, send)
        else:
            announcement = way.announcements[stack]
            if stage is Stage.BROWNOUT:
                announcement = [*announcement, *_foretold(way.place)]
            await self._answer(way, stack, scope, receive, Answering(send, announcement))

    async def _answer(
        self, way: Way, stack: Stack, scope: Scope, receive: Receive, answering: Answering
    ) -> None:
        """Have the stack answer, and count how it did."""
        begun = time.perf_counter()
        try:
            await self._stacks[stack](scope, receive, answering)
        except ClientLeftError:
            raise
        except Exception:
            way.tallies[stack].note(time.perf_counter() - begun, failed=True)
            raise
        failed = answering.status >= 500
        way.tallies[stack].note(time.perf_counter() - begun, failed=failed)

    async def _shadow(self, way: Way, scope: Scope, receive: Receive, send: Send) -> None:
        """Have the old stack answer, and offer the call to be tried on the new one."""
        request, reply = Kept(), Kept()
        marks: dict[str, str] = {}
        scope[MARKS] = marks
        answering = Answering(send, way.announcements[Stack.LEGACY], reply)
        await self._answer(way, Stack.LEGACY, scope, keeping(receive, request), answering)
        answer, body = answering.answer, request.body if request.started else b""
        if answer is not None and scope["method"] == "HEAD":
            answer = replace(answer, body=b"")
        if answer is None or body is None:
            self._experiment.skip(way.row)
        else:
            self._experiment.offer(Trial(way.row, scope, body, answer, marks))

    def _pick(self, way: Way, scope: Scope) -> Stack | None:
        """The stack that answers this client; `None` when nobody does."""
        stage, place = way.place.stage, way.place
        if stage is Stage.GONE:
            return None
        if self._allow_forcing and (forced := _forced(scope)) is not None:
            return forced
        if stage is Stage.CANARY:
            return Stack.NEW if is_within(key_of(scope), place.percent) else Stack.LEGACY
        if stage is Stage.BROWNOUT:
            return None if _is_browned_out(place, scope) else Stack.NEW
        return way.stack

    def _way(self, row: Row, place: Place) -> Way:
        announced = deprecation_headers(
            deprecated=row.deprecated,
            sunset=row.sunset,
            successor=row.successor,
            documentation=self._documentation,
        )
        served = (Stack.LEGACY, Stack.NEW)
        return Way(
            row=row,
            place=place,
            stack=STACKS.get(place.stage),
            announcements={s: [*announced, (SERVED_BY, str(s).encode())] for s in served},
            tallies={stack: self._measures.tally(row.name, stack) for stack in served},
        )


def _forced(scope: Scope) -> Stack | None:
    for name, value in scope["headers"]:
        if name == FORCED and value in {b"legacy", b"new"}:
            return Stack(value.decode())
    return None


def _is_browned_out(place: Place, scope: Scope) -> bool:
    brownout, now = place.brownout, time.time()
    window = brownout.window(now) if brownout else None
    if brownout is None or window is None or now < window.begins:
        return False
    return is_within(key_of(scope), brownout.percent, BROWNOUT)


def _foretold(place: Place) -> Headers:
    """The header that tells of the window that is open, or comes next."""
    brownout = place.brownout
    window = brownout.window(time.time()) if brownout else None
    if brownout is None or window is None:
        return []
    text = f"@{window.begins:.0f};duration={brownout.lasts:.0f};percent={brownout.percent}"
    return [(BROWNOUT_HEADER, text.encode())]


async def _refuse_handshake(receive: Receive, send: Send) -> None:
    """The old contract knows no WebSockets."""
    await receive()
    await send({"type": "websocket.close", "code": 1000})


async def _refuse(send: Send, way: Way, documentation: str) -> None:
    """410 as problem details (RFC 9457), with the successor."""
    row, now = way.row, time.time()
    brownout = way.place.brownout
    window = brownout.window(now) if brownout else None
    gone = way.place.stage is Stage.GONE
    retry_after = GONE_RETRY_AFTER if gone or window is None else math.ceil(window.ends - now)
    code = "route-gone" if gone else "route-brownout"
    problem: dict[str, Any] = {
        "type": f"urn:mcli:problem:{code}",
        "title": "The route is gone" if gone else "The route is about to go",
        "status": 410,
        "detail": f"{row.name} {'is gone' if gone else 'is refused for a while, as it will go'};"
        f" use {row.successor} instead. {documentation} tells how.",
        "code": code,
        "successor": row.successor,
    }
    body = json.dumps(problem).encode()
    headers: Headers = [
        (b"content-type", b"application/problem+json"),
        (b"retry-after", str(max(1, retry_after)).encode()),
        (b"content-length", str(len(body)).encode()),
    ]
    announcement = [pair for pair in way.announcements[Stack.NEW] if pair[0] != SERVED_BY]
    answering = Answering(send, [*announcement, (SERVED_BY, b"gateway"), *_foretold(way.place)])
    await answering({"type": "http.response.start", "status": 410, "headers": headers})
    await answering({"type": "http.response.body", "body": body})
