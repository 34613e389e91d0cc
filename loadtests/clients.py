"""Clients that only the new API has: what `mclictl` sends, and followers of a log."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Iterator
from uuid import uuid4

from locust import between
from websocket import WebSocket, WebSocketException, create_connection

from loadtests.calls import Call
from loadtests.owner import authorization
from loadtests.users import ANSWER_WITHIN, Checked, NewStack, weighted

RUNS = "/api/v1/workflows"
ONCE = {"Connection": "close"}
NDJSON = ONCE | {"Accept": "application/x-ndjson"}
LINES = 5
PAUSE = 0.1  # seconds between two lines


class CliClient(NewStack, Checked):
    """Sends what `mclictl run`, `status` and `runs` send, over a new connection each time."""

    weight = 1
    wait_time = between(0.1, 0.5)

    def run_command(self) -> None:
        self._run(0)

    def run_failing(self) -> None:
        self._run(random.randint(1, 9))

    def status(self) -> None:
        call = Call("GET", "/api/v1/daemon/status", shows={"running": True})
        self.check("cli status", call, ONCE)

    def runs(self) -> None:
        call = Call("GET", f"{RUNS}/list?limit=100")
        self.check("cli runs", call, ONCE)

    tasks = weighted({run_command: 4, run_failing: 1, status: 2, runs: 1})

    def _run(self, code: int) -> None:
        """Take the output and the end of a command from one answer of many lines."""
        text = uuid4().hex
        body = {"command": f"echo {text}; exit {code}", "stream": True}
        with self.client.post(
            f"{RUNS}/execute",
            name=f"{self.stack}/cli run",
            json=body,
            headers=NDJSON | authorization(RUNS),
            timeout=ANSWER_WITHIN,
            catch_response=True,
        ) as response:
            if not response.status_code:  # never answered; Locust holds the reason
                return
            wrong = _wrong(response.status_code, response.content, f"{text}\n", code)
            if wrong:
                response.failure(wrong)


def _wrong(status: int, content: bytes, text: str, code: int) -> str | None:
    """What is wrong with the events of a run; None when they are right."""
    try:
        events = [json.loads(line) for line in content.splitlines()]
        kinds = [event["type"] for event in events]
        printed = "".join(event["message"] for event in events if event["type"] == "log")
    except (ValueError, KeyError, TypeError):
        return f"status {status}, not events: {content[:200]!r}"
    if kinds[:1] != ["start"] or kinds[-1:] != ["end"]:
        return f"status {status}, from {kinds[:1]} to {kinds[-1:]}"
    if printed != text:
        return f"{printed!r} instead of {text!r}"
    ended = events[-1]["returncode"]
    return None if ended == code else f"exit code {ended} instead of {code}"


class LogFollower(NewStack, Checked):
    """Starts a run that prints now and then, and reads its log over a WebSocket to the end.

    `follow first line` takes from the handshake to the first output, `follow to the end` to the
    end of the run. The second fails unless every character has come.
    """

    weight = 1
    wait_time = between(0.1, 0.5)

    def follow(self) -> None:
        mark = uuid4().hex
        command = "".join(f"echo {mark} {n}; sleep {PAUSE}; " for n in range(LINES))
        body = {"command": command, "background": True}
        call = Call("POST", f"{RUNS}/execute", body, 202, {"status": "queued"})
        answer = self.check("start background run", call)
        if answer is not None:
            text = "".join(f"{mark} {n}\n" for n in range(LINES))
            self._follow(answer["job_id"], text)

    tasks = weighted({follow: 1})

    def _follow(self, run_id: str, text: str) -> None:
        path = f"/ws/workflows/{run_id}/logs"
        # With --host, that; http becomes ws, https wss.
        url = f"ws{str(self.host).removeprefix('http')}{path}"
        begun = time.perf_counter()
        read = ""
        problem: Exception | None = None
        try:
            socket = create_connection(url, timeout=ANSWER_WITHIN, header=authorization(path))
            try:
                for piece in _pieces(socket):
                    if not read:
                        self._report("follow first line", begun, len(piece))
                    read += piece
            finally:
                socket.close()
            if read != text:
                problem = ValueError(f"{len(read)} characters instead of {len(text)}")
        except (OSError, ValueError, WebSocketException) as error:
            problem = error
        self._report("follow to the end", begun, len(read), problem)

    def _report(
        self, operation: str, begun: float, length: int, problem: Exception | None = None
    ) -> None:
        self.environment.events.request.fire(
            request_type="WS",
            name=f"{self.stack}/{operation}",
            response_time=(time.perf_counter() - begun) * 1000,
            response_length=length,
            exception=problem,
            context=self.context(),
        )


def _pieces(socket: WebSocket) -> Iterator[str]:
    """What the run prints, until the event that ends it."""
    while True:
        message = socket.recv()
        if not message:
            raise ValueError("closed before the end of the run")
        event = json.loads(message)
        if event["type"] == "end":
            return
        if event["type"] == "log":
            yield event["message"]
