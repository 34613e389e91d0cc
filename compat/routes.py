"""The strangler table: one row per route of the old contract."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from compat import handlers
from compat.call import Handler

DEPRECATED = 1767225600  # Thu, 01 Jan 2026 00:00:00 GMT
SUNSET = 1798761600  # Fri, 01 Jan 2027 00:00:00 GMT
WORKFLOWS = "/api/v1/workflows"
COMMANDS = "/api/v1/commands"


@dataclass(frozen=True, slots=True)
class Row:
    """An old route, what answers it in stage `new`, and what replaces it."""

    method: str
    path: str
    handler: Handler
    successor: str
    deprecated: int = DEPRECATED
    sunset: int = SUNSET

    @property
    def name(self) -> str:
        """How people write it: `POST /execute`."""
        return f"{self.method} {self.path}"


ROWS = (
    Row("GET", "/", handlers.index, "/api/v1/daemon/status"),
    Row("GET", "/health", handlers.health, "/livez"),
    Row("GET", "/status", handlers.status, f"{WORKFLOWS}/status"),
    Row("POST", "/execute", handlers.execute, f"{WORKFLOWS}/execute"),
    Row("GET", "/commands", handlers.list_commands, f"{COMMANDS}/list"),
    Row("GET", "/commands/<id>", handlers.show_command, f"{COMMANDS}/{{name}}"),
    Row("POST", "/workflow/start", handlers.start_workflow, f"{WORKFLOWS}/start"),
    Row("POST", "/workflow/stop", handlers.stop_workflow, f"{WORKFLOWS}/{{id}}/stop"),
    Row("POST", "/daemon/start", handlers.start_daemon, "/api/v1/daemon/status"),
    Row("POST", "/daemon/stop", handlers.stop_daemon, "/api/v1/daemon/status"),
    Row("GET", "/processes", handlers.list_processes, f"{WORKFLOWS}/list?kind=process"),
    Row("POST", "/processes", handlers.create_process, f"{WORKFLOWS}/execute"),
    Row("POST", "/processes/run", handlers.run_process, f"{WORKFLOWS}/execute"),
    Row("GET", "/processes/<id>", handlers.show_process, f"{WORKFLOWS}/{{id}}"),
    Row("DELETE", "/processes/<id>", handlers.remove_process, f"{WORKFLOWS}/{{id}}/stop"),
    Row("POST", "/processes/<id>/start", handlers.start_process, f"{WORKFLOWS}/start"),
    Row("POST", "/processes/<id>/stop", handlers.stop_process, f"{WORKFLOWS}/{{id}}/stop"),
    Row("POST", "/processes/<id>/kill", handlers.kill_process, f"{WORKFLOWS}/{{id}}/stop"),
    Row("GET", "/processes/<id>/logs", handlers.process_logs, f"{WORKFLOWS}/{{id}}/logs"),
)


class RouteTable:
    """Finds the row of a request. Paths match as Flask's do: exactly, a parameter per segment."""

    def __init__(self, rows: tuple[Row, ...] = ROWS) -> None:
        self.rows = {row.name: row for row in rows}
        self._exact = {(r.method, r.path): r for r in rows if "<" not in r.path}
        self._patterns = [(r.method, _pattern(r.path), r) for r in rows if "<" in r.path]

    def match(self, method: str, path: str) -> tuple[Row, Mapping[str, Any]] | None:
        """The row and its path parameters. `HEAD` is answered by the row of `GET`."""
        wanted = "GET" if method == "HEAD" else method
        if (row := self._exact.get((wanted, path))) is not None:
            return row, {}
        for row_method, pattern, row in self._patterns:
            if row_method == wanted and (found := pattern.fullmatch(path)):
                return row, found.groupdict()
        return None


def _pattern(path: str) -> re.Pattern[str]:
    return re.compile(re.sub(r"<(\w+)>", r"(?P<\1>[^/]+)", path), re.DOTALL)
