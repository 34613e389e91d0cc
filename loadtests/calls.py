"""The same operations in both dialects: what to send, and what a right answer shows."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

STACKS = ("legacy", "shim", "new")
OPERATIONS = (
    "status",
    "health",
    "execute true",
    "execute echo",
    "list commands",
    "start workflow",
    "stop workflow",
)
SHOWN = 200  # characters of a wrong answer that a failure quotes


@dataclass(frozen=True, slots=True)
class Call:
    """A request; a right answer has `status` and is a JSON object with at least the `shows` fields.

    `lists` is (key of a list in the answer, name of a stored command it must hold); `text` is
    somewhere in it.
    """

    method: str
    path: str
    body: Mapping[str, object] | None = None
    status: int = 200
    shows: Mapping[str, object] = field(default_factory=dict)
    lists: tuple[str, str] | None = None
    text: str | None = None

    def wrong(self, status: int, content: bytes) -> str | None:
        """What is wrong with an answer; None when it is right."""
        quoted = content[:SHOWN].decode("utf-8", "replace")
        if status != self.status:
            return f"status {status} instead of {self.status}: {quoted}"
        try:
            answer = json.loads(content)
        except ValueError:
            return f"not JSON: {quoted}"
        if not isinstance(answer, dict):
            return f"not a JSON object: {quoted}"
        problem = self._wrong_field(answer)
        if problem is None and self.text is not None and self.text.encode() not in content:
            problem = f"{self.text!r} is missing"
        return None if problem is None else f"{problem}: {quoted}"

    def _wrong_field(self, answer: dict[str, Any]) -> str | None:
        for name, value in self.shows.items():
            if name not in answer or answer[name] != value:
                return f"{name} is not {value!r}"
        if self.lists and not _lists(answer, *self.lists):
            return f"{self.lists[1]!r} is not listed"
        return None

    @property
    def fragments(self) -> list[str]:
        """Pieces of text that each right answer contains: both stacks write compact JSON."""
        shown = [*self.shows.items()]
        if self.lists:
            shown.append(("name", self.lists[1]))
        found = [json.dumps({name: value}, separators=(",", ":"))[1:-1] for name, value in shown]
        return found if self.text is None else [*found, self.text]


def _lists(answer: dict[str, Any], key: str, name: str) -> bool:
    return any(item["name"] == name for item in answer.get(key, ()))


def _ended(output: str, returncode: int) -> dict[str, object]:
    """What both contracts show of a command that has ended by itself."""
    status = "failed" if returncode else "completed"
    return {"output": output, "returncode": returncode, "status": status}


class Dialect(ABC):
    """How one contract words the operations; `run_id` is the key of the id of a started run."""

    run_id: str

    @abstractmethod
    def status(self) -> Call: ...

    @abstractmethod
    def health(self) -> Call: ...

    @abstractmethod
    def execute(self, command: str, output: str, returncode: int = 0) -> Call: ...

    @abstractmethod
    def list_commands(self, name: str) -> Call: ...

    @abstractmethod
    def every_command(self, name: str) -> Call: ...

    @abstractmethod
    def start(self, name: str) -> Call: ...

    @abstractmethod
    def start_unknown(self, name: str) -> Call:
        """There is no such stored command, and a right answer says so."""

    @abstractmethod
    def stop(self, run_id: str) -> Call: ...


class OldContract(Dialect):
    """What shell scripts send to port 5005."""

    run_id = "id"

    def status(self) -> Call:
        return Call("GET", "/status", shows={"running": True})

    def health(self) -> Call:
        return Call("GET", "/health", shows={"status": "healthy"})

    def execute(self, command: str, output: str, returncode: int = 0) -> Call:
        shows = _ended(output, returncode) | {"success": returncode == 0}
        return Call("POST", "/execute", {"command": command}, shows=shows)

    def list_commands(self, name: str) -> Call:
        return Call("GET", "/commands", lists=("commands", name))

    def every_command(self, name: str) -> Call:
        return self.list_commands(name)

    def start(self, name: str) -> Call:
        shows = {"name": name, "status": "running"}
        return Call("POST", "/workflow/start", {"name": name}, shows=shows)

    def start_unknown(self, name: str) -> Call:
        shows = {"error": f"workflow {name!r} not found"}
        return Call("POST", "/workflow/start", {"name": name}, 404, shows)

    def stop(self, run_id: str) -> Call:
        shows = {"id": run_id, "status": "stopped"}
        return Call("POST", "/workflow/stop", {"id": run_id}, shows=shows)


class NewApi(Dialect):
    """The successors of the same calls below /api/v1."""

    run_id = "job_id"

    def status(self) -> Call:
        return Call("GET", "/api/v1/workflows/status", shows={"running": True})

    def health(self) -> Call:
        # Not /livez: the old /health asks the database, and so must what it is compared with.
        return Call("GET", "/readyz", shows={"status": "ready"})

    def execute(self, command: str, output: str, returncode: int = 0) -> Call:
        shows = _ended(output, returncode)
        return Call("POST", "/api/v1/workflows/execute", {"command": command}, shows=shows)

    def list_commands(self, name: str) -> Call:
        return Call("GET", "/api/v1/commands/list", lists=("items", name))

    def every_command(self, name: str) -> Call:
        return Call("GET", "/api/v1/commands/list?limit=1000", lists=("items", name))

    def start(self, name: str) -> Call:
        shows = {"name": name, "status": "queued"}
        return Call("POST", "/api/v1/workflows/start", {"name": name}, 202, shows)

    def start_unknown(self, name: str) -> Call:
        shows = {"code": "command-not-found"}
        return Call("POST", "/api/v1/workflows/start", {"name": name}, 404, shows)

    def stop(self, run_id: str) -> Call:
        shows = {"id": run_id, "status": "cancelled"}
        return Call("POST", f"/api/v1/workflows/{run_id}/stop", shows=shows)


OLD_CONTRACT = OldContract()
NEW_API = NewApi()
