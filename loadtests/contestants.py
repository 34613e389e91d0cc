"""What the benchmark compares: contestants and rows, declared."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from loadtests.calls import NEW_API, OLD_CONTRACT, Call, Dialect
from loadtests.servers import LIMIT, OLD_DAEMON, Launch, dual


@dataclass(frozen=True)
class Contestant:
    """A server, the URL of it that is measured (by what the server calls it), and its dialect."""

    key: str
    title: str
    launch: Launch
    listens_as: str
    by_hand_url: str
    dialect: Dialect


@dataclass(frozen=True)
class Row:
    """An operation under a number of connections.

    A server that a row `writes` to is not measured again.
    """

    key: str
    title: str
    call: Callable[[Dialect], Call]
    connections: int = 10
    writes: bool = False


OLD = "http://127.0.0.1:5005"
NEW = "http://127.0.0.1:8000"
BASELINE = "old"
CONTESTANTS: Mapping[str, Contestant] = {
    contestant.key: contestant
    for contestant in (
        Contestant(
            BASELINE, "old daemon (werkzeug)", OLD_DAEMON, "legacy daemon", OLD, OLD_CONTRACT
        ),
        Contestant("mount", "shim, stage legacy", dual("legacy"), "legacy API", OLD, OLD_CONTRACT),
        Contestant("shim", "shim, stage new", dual("new"), "legacy API", OLD, OLD_CONTRACT),
        Contestant("api", "/api/v1", dual("new"), "new API", NEW, NEW_API),
        Contestant("limit", "limit: bare ASGI app", LIMIT, "limit", NEW, OLD_CONTRACT),
    )
}
ROWS: Mapping[str, Row] = {
    row.key: row
    for row in (
        Row("status", "GET /status", lambda dialect: dialect.status()),
        Row(
            "execute",
            'POST /execute {"command":"true"}',
            lambda dialect: dialect.execute("true", ""),
            writes=True,
        ),
    )
}


def hammer_argv(row: Row, contestant: Contestant, url: str) -> list[str]:
    """The load generator's arguments, less how long it runs."""
    call = row.call(contestant.dialect)
    argv = ["loadtests.hammer", url + call.path, "-c", str(row.connections)]
    if call.method != "GET":
        argv += ["-X", call.method]
    if call.body is not None:
        argv += ["--data", json.dumps(call.body)]
    if call.status != 200:
        argv += ["--status", str(call.status)]
    for fragment in call.fragments:
        argv += ["--expect", fragment]
    return argv


def by_hand(row: Row, contestant: Contestant) -> str:
    """The row's load as a line for the shell, against the server on the usual ports."""
    return "python -m " + shlex.join(hammer_argv(row, contestant, contestant.by_hand_url))
