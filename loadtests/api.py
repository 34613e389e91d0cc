"""A small blocking client of /api/v1: what a scenario says to its server besides the load."""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Iterator, Mapping
from typing import Any, Self
from urllib.parse import urlencode, urlsplit

from loadtests.owner import authorization

RUNS = "/api/v1/workflows"
PAGE = 200


class ApiError(RuntimeError):
    """An answer other than the one that was to come."""


class Api:
    """One connection to a server; not for several threads. Times are seconds."""

    def __init__(self, url: str, timeout: float = 60.0) -> None:
        parts = urlsplit(url)
        self._wire = http.client.HTTPConnection(
            parts.hostname or "", parts.port or 80, timeout=timeout
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._wire.close()

    def call(self, method: str, path: str, body: Mapping[str, object] | None = None) -> Answer:
        """Send a request; the connection is closed if that fails.

        Raises:
            OSError, http.client.HTTPException: no answer.
        """
        content = None if body is None else json.dumps(body)
        try:
            headers = {"Content-Type": "application/json"} | authorization(path)
            self._wire.request(method, path, content, headers)
            answer = self._wire.getresponse()
            return Answer(answer.status, answer.read())
        except (OSError, http.client.HTTPException):
            self._wire.close()
            raise

    def get(self, path: str, **query: object) -> Any:  # noqa: ANN401 - JSON
        """The JSON found there.

        Raises:
            ApiError: the status is not 200.
        """
        target = f"{path}?{urlencode(query)}" if query else path
        return self.call("GET", target).json(200)

    def background(self, command: str, **fields: object) -> str:
        """Start shell text in the background; its id."""
        body = {"command": command, "background": True, **fields}
        return str(self.call("POST", f"{RUNS}/execute", body).json(202)["job_id"])

    def runs(self, **query: object) -> Iterator[dict[str, Any]]:
        """Every run that is listed, page by page, newest first."""
        cursor: dict[str, object] = {}
        while True:
            page = self.get(f"{RUNS}/list", limit=PAGE, **query, **cursor)
            yield from page["items"]
            if page["next_cursor"] is None:
                return
            cursor = {"cursor": page["next_cursor"]}

    def until_idle(self, within: float, every: float = 0.05) -> None:
        """Wait until no run is queued or running; looks `every` so many seconds.

        Raises:
            ApiError: some still are after `within` seconds.
        """
        ends = time.monotonic() + within
        while (now := self.get(f"{RUNS}/status"))["active_runs"] or now["queued_runs"]:
            if time.monotonic() > ends:
                raise ApiError(f"runs are not over within {within:g} s: {now}")
            time.sleep(every)


class Answer:
    """Status and content of an answer."""

    def __init__(self, status: int, content: bytes) -> None:
        self.status = status
        self.content = content

    def json(self, status: int) -> Any:  # noqa: ANN401 - JSON
        """The content.

        Raises:
            ApiError: another status than that.
        """
        if self.status != status:
            raise ApiError(f"{self.status} instead of {status}: {self.content[:500]!r}")
        return json.loads(self.content)
