"""The old synchronous client."""

from __future__ import annotations

from typing import Any, Self

import requests

CONNECT_SECONDS = 5.0


class LegacyClient:
    """Speaks the contract to `base_url`; every answer is the JSON object as it came.

    Every method raises requests.HTTPError for 4xx and 5xx, requests.ConnectionError when nothing
    listens. There is no limit on how long an answer may take unless `read_timeout` (seconds) is
    given. One client serves one thread.
    """

    def __init__(self, base_url: str, read_timeout: float | None = None) -> None:
        self.base_url = base_url.rstrip("/")
        self._timeouts = (CONNECT_SECONDS, read_timeout)
        self._session = requests.Session()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Give the connections back."""
        self._session.close()

    def index(self) -> dict[str, Any]:
        """`{"service", "version", "status", "endpoints"}`."""
        return self._call("GET", "/")

    def health(self) -> dict[str, Any]:
        """`{"status", "service", "timestamp", "active_commands"}`."""
        return self._call("GET", "/health")

    def status(self) -> dict[str, Any]:
        """Return `{"running", "active_commands", "active_workflows", ..., "config"}`."""
        return self._call("GET", "/status")

    def start_daemon(self) -> dict[str, Any]:
        """`{"status": "started" | "already_running"}`."""
        return self._call("POST", "/daemon/start")

    def stop_daemon(self) -> dict[str, Any]:
        """`{"status": "stopped" | "already_stopped"}`."""
        return self._call("POST", "/daemon/stop")

    def execute_shell(self, command: str, timeout: float | None = None) -> dict[str, Any]:
        """Run a shell text for at most `timeout` seconds.

        `{"success", "output", "error", "returncode", "execution_time_ms", "status"}`.
        """
        return self._call("POST", "/execute", command=command, timeout=timeout)

    def execute(
        self,
        command_name: str | None = None,
        args: list[str] | None = None,
        *,
        command_id: str | None = None,
        timeout: float | None = None,
    ) -> dict[str, Any]:
        """Run a stored command; the answer of `execute_shell`."""
        return self._call(
            "POST",
            "/execute",
            command_name=command_name,
            command_id=command_id,
            args=args,
            timeout=timeout,
        )

    def list_commands(self, *, all_commands: bool = False) -> dict[str, Any]:
        """`{"commands", "total"}`, inactive ones only with `all_commands`."""
        return self._call("GET", "/commands", {"all": "true"} if all_commands else None)

    def command(self, command_id: str) -> dict[str, Any]:
        """One stored command with its code."""
        return self._call("GET", f"/commands/{command_id}")

    def start_workflow(
        self, name: str, args: list[str] | None = None, env: dict[str, str] | None = None
    ) -> dict[str, Any]:
        """`{"id", "name", "status", "started_at"}`."""
        return self._call("POST", "/workflow/start", name=name, args=args, env=env)

    def stop_workflow(self, *, id: str | None = None, name: str | None = None) -> dict[str, Any]:  # noqa: A002
        """`{"id", "name", "status"}`, once it is over."""
        return self._call("POST", "/workflow/stop", id=id, name=name)

    def processes(self, *, all_processes: bool = False) -> dict[str, Any]:
        """Return `{"processes", "total"}`, those that do not run only with `all_processes`."""
        return self._call("GET", "/processes", {"all": "true"} if all_processes else None)

    def create_process(self, command: str, **fields: object) -> dict[str, Any]:
        """`{"id", "name", "status"}`; `fields` are name, args, working_dir, environment, ..."""
        return self._call("POST", "/processes", command=command, **fields)

    def run_process(self, command: str, **fields: object) -> dict[str, Any]:
        """`{"id", "name", "status"}`; with `detach=False` the outcome too."""
        return self._call("POST", "/processes/run", command=command, **fields)

    def process(self, process_id: str) -> dict[str, Any]:
        """One process with `cpu_percent` and `memory_mb`."""
        return self._call("GET", f"/processes/{process_id}")

    def start_process(self, process_id: str) -> dict[str, Any]:
        """`{"status": "started"}`."""
        return self._call("POST", f"/processes/{process_id}/start")

    def stop_process(self, process_id: str) -> dict[str, Any]:
        """`{"status": "stopped"}`, once it is over."""
        return self._call("POST", f"/processes/{process_id}/stop")

    def kill_process(self, process_id: str) -> dict[str, Any]:
        """`{"status": "killed"}`, once it is over."""
        return self._call("POST", f"/processes/{process_id}/kill")

    def remove_process(self, process_id: str, *, force: bool = False) -> dict[str, Any]:
        """`{"status": "removed"}`; 409 for one that runs without `force`."""
        query = {"force": "true"} if force else None
        return self._call("DELETE", f"/processes/{process_id}", query)

    def process_logs(self, process_id: str, lines: int = 100) -> dict[str, Any]:
        """`{"stdout", "stderr"}`, the last `lines` of each."""
        return self._call("GET", f"/processes/{process_id}/logs", {"lines": str(lines)})

    def _call(
        self, method: str, path: str, query: dict[str, str] | None = None, /, **fields: object
    ) -> dict[str, Any]:
        body = {key: value for key, value in fields.items() if value is not None}
        response = self._session.request(
            method,
            self.base_url + path,
            params=query,
            json=body if fields else None,
            timeout=self._timeouts,
        )
        response.raise_for_status()
        answer: dict[str, Any] = response.json()
        return answer
