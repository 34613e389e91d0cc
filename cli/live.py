"""What happens on the server, over a WebSocket, across broken connections and server restarts."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import click
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus
from websockets.sync.client import connect

from cli.client import (
    CONNECT_TIMEOUT,
    Client,
    ClientError,
    Json,
    NotReachable,
    UnknownRun,
    run_path,
)
from cli.credentials import LOOPBACK
from cli.ended import ALIVE, FINAL

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

# Seconds between attempts that bring nothing: 25 s in all, long enough for a server to restart.
BACK_OFF = (0.1, 0.2, 0.5, 1.0, 2.0, 3.0, 4.0, 4.0, 5.0, 5.0)
NO_SUCH_RUN = 4404
FOREVER = float("inf")


class TimeIsUp(click.ClickException):
    """The deadline has passed before the end."""

    exit_code = 124


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

    Raises:
        UnknownRun: there is no such run.
        NotReachable: the very first connection fails, or none brings anything any more.
    """
    for event in _resumed(
        client,
        lambda: f"/ws/workflows/{run_id}/logs?stream={position.stream}&offset={position}",
        run_path(run_id),
        lambda: f"mclictl logs -f {run_id} --stream {position.stream} --offset {position}",
    ):
        position.note(event)
        yield event
        if event.get("type") == "end":
            return


def until_over(client: Client, run_id: str, deadline: float = FOREVER) -> Json:
    """Wait for the end of a run; `deadline` is of the monotonic clock. Returns its last event.

    Raises:
        UnknownRun: there is no such run.
        NotReachable: as `follow`.
        TimeIsUp: the deadline passed first.
    """
    for event in _resumed(
        client,
        lambda: f"/ws/workflows/{run_id}",
        run_path(run_id),
        lambda: f"mclictl wait {run_id}",
        deadline,
    ):
        if event.get("type") == "status" and event.get("status") in FINAL:
            return event
    raise AssertionError  # the events of a run end with its end, or in an exception


def status_events(client: Client, since: int | None, **query: object) -> Iterator[Json]:
    """Yield the status events of all runs behind number `since`, without an end.

    Raises:
        NotReachable: as `follow`.
    """
    asked = {name: value for name, value in query.items() if value not in (None, ())}
    if since is not None:
        asked["since"] = since
    for event in _resumed(
        client,
        lambda: f"/ws/workflows?{urlencode(asked, doseq=True)}",
        "/api/v1/workflows/status",
        lambda: f"mclictl events --since {asked.get('since', 0)}",
    ):
        asked["since"] = event["seq"]
        yield event


def process_events(client: Client) -> Iterator[Json]:
    """Yield a snapshot of all processes, again after each broken connection, and each change.

    Raises:
        NotReachable: as `follow`.
    """
    return _resumed(
        client,
        lambda: "/ws/processes",
        "/api/v1/daemon/processes",
        lambda: "mclictl process list --watch",
    )


def process_logs(client: Client, path: str, lines: int, stream: str) -> Iterator[Json]:
    """Yield the log events of the process at `path`, through its restarts and the server's.

    Raises:
        NotReachable: as `follow`.
    """
    asked: dict[str, Any] = {"lines": lines}
    run_id: str | None = None
    position, over, failures = Position("all"), True, 0
    while True:
        try:
            for event in client.events("GET", f"{path}/logs", follow=True, stream=stream, **asked):
                failures = 0
                if event["type"] == "start" and event["job_id"] != run_id:
                    run_id, over = event["job_id"], False
                    position = Position.parse("all", event["since"].partition(",")[2])
                elif event["type"] == "start" or (event["type"] == "end" and over):
                    continue  # that has been told before the connection broke
                over = event["type"] == "end"
                position.note(event)
                asked = {"since": f"{run_id},{position}"}
                yield event
            found = client.get(path)
        except ClientError as failure:
            if run_id is not None and failure.code == "process-not-found":
                return  # it was removed
            if run_id is None or not failure.passing:
                raise
        else:
            # Without an end the server has left; with one it may have left before the next life.
            if over and found["run_id"] in {None, run_id} and found["state"] not in ALIVE:
                return
        _wait_or_give_up(client, failures, f"mclictl process logs -f {path.rpartition('/')[2]}")
        failures += 1


def _resumed(
    client: Client,
    address: Callable[[], str],
    reason_path: str,
    go_on: Callable[[], str],
    deadline: float = FOREVER,
) -> Iterator[Json]:
    """Yield events from `address`, asked for again whenever the connection breaks.

    A failure of the very first connection is explained by a GET of `reason_path`; `go_on` is the
    command that would go on once this gives up.
    """
    failures = 0
    begun = False
    while True:
        try:
            for event in _events(client, address(), deadline):
                begun, failures = True, 0
                yield event
        except ConnectionClosed as closed:
            begun = True
            if closed.rcvd is not None and closed.rcvd.code == NO_SUCH_RUN:
                _explain_gone(client, reason_path, closed.rcvd.reason)
        except (OSError, InvalidHandshake) as failure:
            if time.monotonic() >= deadline:
                raise TimeIsUp("The time is up.") from failure
            if not begun:
                _explain(client, reason_path, failure)
        _wait_or_give_up(client, failures, go_on(), deadline)
        failures += 1


def _wait_or_give_up(client: Client, failures: int, go_on: str, deadline: float = FOREVER) -> None:
    """Wait before the next attempt, if there is to be one."""
    if failures == len(BACK_OFF):
        raise NotReachable(f"The connection to {client.url} is lost; go on later with `{go_on}`.")
    time.sleep(min(BACK_OFF[failures], max(0.0, deadline - time.monotonic())))


def _explain(client: Client, path: str, failure: Exception) -> None:
    """Turn the first handshake's failure into the user's error; a plain GET knows the reason."""
    client.get(path)
    if isinstance(failure, InvalidStatus):
        status = failure.response.status_code
        raise ClientError(f"The server refused to be followed ({status}).", status=status)
    raise client.not_reachable(failure)


def _explain_gone(client: Client, path: str, reason: str) -> None:
    """Tell a run nobody knows from one that is known, but whose log is gone."""
    try:
        client.get(path)
    except ClientError as failure:
        if failure.status == 404:
            raise UnknownRun(path.rpartition("/")[2]) from failure
        raise
    raise ClientError(f"This cannot be followed: {reason}.", status=404)


def _events(client: Client, path: str, deadline: float) -> Iterator[Json]:
    """One connection's events; TimeoutError once the deadline passes."""
    with connect(
        # http becomes ws, and https wss.
        f"ws{str(client.url).rstrip('/')[4:]}{path}",
        open_timeout=min(CONNECT_TIMEOUT, _left(deadline) or CONNECT_TIMEOUT),
        # Being interrupted must not wait for a server that hangs.
        close_timeout=1,
        compression=None,
        additional_headers=client.bearer.headers(),
        max_size=None,
        proxy=None if client.url.host in LOOPBACK else True,
    ) as socket:
        while True:
            yield client.decode(socket.recv(_left(deadline)))


def _left(deadline: float) -> float | None:
    """Seconds until then; None for ever."""
    return None if deadline == FOREVER else max(0.001, deadline - time.monotonic())
