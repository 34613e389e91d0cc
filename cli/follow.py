"""Follow a run's output over a WebSocket, across broken connections and server restarts."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus
from websockets.sync.client import connect

from cli.client import (
    CONNECT_TIMEOUT,
    LOOPBACK,
    Client,
    ClientError,
    Json,
    NotReachable,
    UnknownRun,
    run_path,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

# Seconds between attempts that bring nothing: 25 s in all, long enough for a server to restart.
BACK_OFF = (0.1, 0.2, 0.5, 1.0, 2.0, 3.0, 4.0, 4.0, 5.0, 5.0)
NO_SUCH_RUN = 4404


@dataclass
class Position:
    """How far each stream has been read, in bytes; what to ask for after a broken connection."""

    stream: str
    stdout: int = 0
    stderr: int = 0

    @classmethod
    def parse(cls, stream: str, offset: str | None) -> Position:
        """Read `N` (of the stream asked for, stdout when both are) or `N,M` (both)."""
        first, _, second = (offset or "0").partition(",")
        if stream == "stderr":
            return cls(stream, stderr=int(second or first))
        return cls(stream, stdout=int(first), stderr=int(second or 0))

    def note(self, event: Json) -> None:
        """Move behind the piece of output this event carries."""
        if event.get("type") == "log":
            setattr(
                self, "stderr" if event.get("stream") == "stderr" else "stdout", event["offset"]
            )

    def __str__(self) -> str:
        if self.stream == "all":
            return f"{self.stdout},{self.stderr}"
        return str(self.stderr if self.stream == "stderr" else self.stdout)


def follow(client: Client, run_id: str, position: Position) -> Iterator[Json]:
    """Yield the log events behind `position`, then the `end` event.

    A connection that breaks is made anew from where it broke; NotReachable when the very first
    one fails, or when none brings anything any more.
    """
    path = run_path(run_id)
    failures = 0
    begun = False
    while True:
        try:
            for event in _events(client, run_id, position):
                begun, failures = True, 0
                position.note(event)
                yield event
                if event.get("type") == "end":
                    return
        except ConnectionClosed as closed:
            begun = True
            if closed.rcvd is not None and closed.rcvd.code == NO_SUCH_RUN:
                raise UnknownRun(run_id) from closed
        except (OSError, InvalidHandshake) as failure:
            if not begun:
                _explain(client, path, failure)
        if failures == len(BACK_OFF):
            raise NotReachable(
                f"The connection to {client.url} is lost; go on later with "
                f"`mclictl logs -f {run_id} --stream {position.stream} --offset {position}`."
            )
        time.sleep(BACK_OFF[failures])
        failures += 1


def _explain(client: Client, path: str, failure: Exception) -> None:
    """Turn the first handshake's failure into the user's error; a plain GET knows the reason."""
    client.get(path)
    if isinstance(failure, InvalidStatus):
        status = failure.response.status_code
        raise ClientError(f"The server refused to be followed ({status}).", status=status)
    raise client.not_reachable(failure)


def _events(client: Client, run_id: str, position: Position) -> Iterator[Json]:
    # http becomes ws, and https wss.
    address = f"ws{str(client.url).rstrip('/')[4:]}/ws/workflows/{run_id}/logs"
    with connect(
        f"{address}?stream={position.stream}&offset={position}",
        open_timeout=CONNECT_TIMEOUT,
        # Being interrupted must not wait for a server that hangs.
        close_timeout=1,
        compression=None,
        max_size=None,
        proxy=None if client.url.host in LOOPBACK else True,
    ) as socket:
        while True:
            yield client.decode(socket.recv())
