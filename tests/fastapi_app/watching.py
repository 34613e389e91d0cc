"""Managed processes of a real server, and a socket that tells where they stand."""

from __future__ import annotations

import json
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from websockets.sync.client import ClientConnection, connect

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import httpx

    from tests.servers import Server

PROCESSES = "/api/v1/daemon/processes"
AT_ONCE = {"delay": 0.01, "longest": 0.02}
LATE = {"delay": 600, "longest": 600}
"""A back-off that a test never waits for."""
WITHIN = 20.0
"""Seconds; only a hang takes that long."""
Json = dict[str, Any]


def make(client: httpx.Client, command: str, *, path: str = "/run", **fields: Any) -> Json:  # noqa: ANN401
    """A process of a name of its own, started unless `path` is empty."""
    body = {"name": f"p-{uuid4().hex}", "command": command, **fields}
    answer = client.post(PROCESSES + path, json=body)
    assert answer.status_code == 201, answer.text
    found: Json = answer.json()
    return found


def act(client: httpx.Client, process: Json, verb: str, status: int = 200) -> Json:
    """Start, stop, kill or restart it; the answer."""
    answer = client.post(f"{PROCESSES}/{process['id']}/{verb}")
    assert answer.status_code == status, answer.text
    found: Json = answer.json()
    return found


def look(client: httpx.Client, process: Json) -> Json:
    """The process as it is now."""
    answer = client.get(f"{PROCESSES}/{process['id']}")
    assert answer.status_code == 200, answer.text
    found: Json = answer.json()
    return found


class Watch:
    """What a socket tells of one process."""

    def __init__(self, socket: ClientConnection, process: Json) -> None:
        self._socket = socket
        self._id = process["id"]
        snapshot = json.loads(socket.recv(WITHIN))
        assert snapshot["type"] == "snapshot"
        [self.latest] = [each for each in snapshot["processes"] if each["id"] == self._id]

    def next(self) -> Json:
        """The next message about it."""
        while True:
            message: Json = json.loads(self._socket.recv(WITHIN))
            if message["type"] == "removed" and message["id"] == self._id:
                return message
            if message["type"] == "process" and message["process"]["id"] == self._id:
                self.latest = message["process"]
                return message

    def until(self, wanted: Callable[[Json], bool]) -> Json:
        """The process once that holds."""
        while not wanted(self.latest):
            self.next()
        found: Json = self.latest
        return found

    def until_state(self, state: str) -> Json:
        return self.until(lambda process: process["state"] == state)


@contextmanager
def watching(server: Server, process: Json) -> Iterator[Watch]:
    """A socket of the server's owner."""
    url = f"ws{server.new[4:]}/ws/processes"
    with connect(url, additional_headers=server.auth, proxy=None) as socket:
        yield Watch(socket, process)
