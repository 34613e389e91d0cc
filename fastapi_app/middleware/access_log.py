"""One line per answer, made by hand and written many at a time: it costs next to nothing."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime
from json.encoder import encode_basestring_ascii as quoted
from typing import TextIO

from starlette.types import Scope

from fastapi_app.observability import Caller, without_secrets

LINGER = 0.2
"""Seconds a line may wait for others to be written with."""
LEAST_STATUS = {"all": 0, "failures": 500}
_SUSPECT = ("mcli", "eyJ", "=", ":")
"""What no secret in a path can do without."""


class AccessLog:
    """Lines of answers with `least` as status or above, to `stream`.

    A path may hold what looks like a secret, which is hidden; a query is never shown.
    """

    def __init__(self, stream: TextIO, *, as_json: bool, least: int = 0) -> None:
        self._stream = stream
        self._as_json = as_json
        self._lines: list[str] = []
        self._second = 0
        self._second_text = ""
        self.least = least

    def note(
        self, scope: Scope, caller: Caller, route: str, status: int, seconds: float, size: int
    ) -> None:
        """Write a line, soon; `seconds` is how long all of the answer took, `size` its bytes."""
        if not self._lines:
            asyncio.get_running_loop().call_later(LINGER, self.flush)
        method, path, principal = scope["method"], scope["path"], caller.principal
        for mark in _SUSPECT:
            if mark in path:
                path = without_secrets(path)
        name = None if principal is None else str(principal.name)
        level = "error" if status >= 500 else "info"
        if self._as_json:
            line = (
                f'{{"event":"request","method":{quoted(method)},"route":{quoted(route)},'
                f'"path":{quoted(path)},"status":{status},"ms":{seconds * 1e3:.2f},'
                f'"bytes":{size},"address":"{caller.address}",'
                f'"principal":{"null" if name is None else quoted(name)},'
                f'"request_id":"{caller.request_id}","logger":"access","level":"{level}",'
                f'"timestamp":"{self._moment()}"}}\n'
            )
        else:  # a path may hold anything, escape sequences of the terminal too
            line = (
                f"{self._moment()} [{level:<8}] {quoted(method)[1:-1]} {quoted(path)[1:-1]}"
                f" {status} {seconds * 1e3:.2f} ms {size} B {quoted(name or '-')[1:-1]}"
                f" {caller.address} {caller.request_id}\n"
            )
        self._lines.append(line)

    def flush(self) -> None:
        """Write what is waiting."""
        if not self._lines:
            return
        text, self._lines = "".join(self._lines), []
        try:
            self._stream.write(text)
            self._stream.flush()
        except (OSError, ValueError):  # nobody reads it any more: answers go on
            return

    def _moment(self) -> str:
        """This moment, to the millisecond."""
        now = time.time()
        second = int(now)
        if second != self._second:
            self._second = second
            self._second_text = datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%S")
        return f"{self._second_text}.{int((now - second) * 1000):03d}Z"


def access_log(form: str, stream: TextIO, *, as_json: bool) -> AccessLog | None:
    """The log of `all` answers or of `failures`; none when it is `off`."""
    least = LEAST_STATUS.get(form)
    return None if least is None else AccessLog(stream, as_json=as_json, least=least)
