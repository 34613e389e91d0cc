"""A raw HTTP/1.1 load generator: N connections, each sending the next request on an answer.

Latency is milliseconds from wanting to send to the last byte of the answer; a server that closes
the connection after each answer (HTTP/1.0) has the new connection included. Only right answers
count as throughput. `client_cpu` near 1.0 means that this program was the limit, not the server.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import math
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import cast
from urllib.parse import SplitResult, urlsplit

import uvloop

from loadtests.owner import authorization

RETRY_SECONDS = 0.1  # after a broken connection, so that a dead server is not flooded
CHECK_SECONDS = 0.05
LONGEST_SECONDS = 600.0


@dataclass(frozen=True, slots=True)
class Plan:
    """What to send where, how often, and what a right answer holds. Times are seconds."""

    host: str
    port: int
    request: bytes
    status: int = 200
    expected: tuple[bytes, ...] = ()
    connections: int = 10
    seconds: float = 5.0
    count: int | None = None
    warmup: float = 0.0
    patience: float = 30.0


@dataclass(frozen=True, slots=True)
class Figures:
    """What came of it.

    `throughput` is right answers a second over `seconds`, the time up to the last answer;
    `connects` are the connections opened in it.
    """

    requests: int
    seconds: float
    throughput: float
    p50_ms: float
    p95_ms: float
    p99_ms: float
    max_ms: float
    errors: int
    error_kinds: dict[str, int]
    connects: int
    client_cpu: float


@dataclass(slots=True)
class Load:
    """What all connections share. `bodies` collects those of right answers, where it is given."""

    plan: Plan
    bodies: list[bytes] | None = None
    latencies: list[float] = field(default_factory=list)
    errors: Counter[str] = field(default_factory=Counter)
    connects: int = 0
    sent: int = 0
    lanes: int = 0
    limit: int | None = None
    ends: float = math.inf
    begun: float = 0.0
    last: float = 0.0
    cpu: float = 0.0
    over: asyncio.Event = field(default_factory=asyncio.Event)

    def begin(self) -> None:
        """Count from here on; what the warm-up measured is forgotten, its errors are not."""
        self.latencies.clear()
        self.connects = self.sent = 0
        self.begun = self.last = time.perf_counter()
        self.cpu = time.process_time()
        self.limit = self.plan.count
        if self.limit is None:
            self.ends = self.begun + self.plan.seconds

    def may_send(self) -> bool:
        """Whether another request is wanted; counts it."""
        if self.sent == self.limit or time.perf_counter() >= self.ends:
            return False
        self.sent += 1
        return True

    def lane_ends(self) -> None:
        self.lanes -= 1
        if not self.lanes:
            self.over.set()

    def figures(self) -> Figures:
        """The sum of it all, now that it is over."""
        now = time.perf_counter()
        seconds = self.last - self.begun if self.latencies else now - self.begun
        done = sorted(self.latencies)
        return Figures(
            requests=len(done),
            seconds=round(seconds, 3),
            throughput=round(len(done) / seconds, 1),
            p50_ms=percentile(done, 0.50),
            p95_ms=percentile(done, 0.95),
            p99_ms=percentile(done, 0.99),
            max_ms=percentile(done, 1.0),
            errors=self.errors.total(),
            error_kinds=dict(self.errors.most_common(10)),
            connects=self.connects,
            client_cpu=round((time.process_time() - self.cpu) / (now - self.begun), 2),
        )


class Lane:
    """One closed loop: a request, its answer, the next request, on one connection if that lasts."""

    def __init__(self, load: Load) -> None:
        self.load = load
        self.wire: Wire | None = None
        self.since: float | None = None
        self.again: asyncio.Task[None] | asyncio.TimerHandle | None = None
        load.lanes += 1

    def next(self) -> None:
        """Send the next request, or be done."""
        if not self.load.may_send():
            self.since = None
            if self.wire is not None:
                self.wire.drop()
            self.load.lane_ends()
            return
        self.since = time.perf_counter()
        if self.wire is not None:
            self.wire.send(self.load.plan.request)
        else:
            self.again = asyncio.get_running_loop().create_task(self.connect())

    async def connect(self) -> None:
        """Open a connection and send on it."""
        plan = self.load.plan
        loop = asyncio.get_running_loop()
        try:
            _, self.wire = await loop.create_connection(lambda: Wire(self), plan.host, plan.port)
        except OSError as error:
            self.failed(f"cannot connect: {error.strerror or error}")
            return
        self.load.connects += 1
        self.wire.send(plan.request)

    def answered(self, problem: str | None, *, reusable: bool) -> None:
        """Take an answer that came whole."""
        assert self.since is not None
        now = self.load.last = time.perf_counter()
        if problem is None:
            self.load.latencies.append(now - self.since)
        else:
            self.load.errors[problem] += 1
        if not reusable and self.wire is not None:
            self.wire.drop()
            self.wire = None
        self.next()

    def failed(self, problem: str) -> None:
        """Give this connection up, and try again a little later."""
        self.load.errors[problem] += 1
        self.since = None
        if self.wire is not None:
            self.wire.drop()
            self.wire = None
        self.again = asyncio.get_running_loop().call_later(RETRY_SECONDS, self.next)

    def check(self, now: float) -> None:
        """Give up an answer that takes too long."""
        if self.since is not None and now - self.since > self.load.plan.patience:
            if self.again is not None:
                self.again.cancel()
            self.failed(f"no answer within {self.load.plan.patience:g} s")


class Wire(asyncio.Protocol):
    """One connection; it belongs to its lane until either side gives it up."""

    def __init__(self, lane: Lane) -> None:
        self.lane: Lane | None = lane
        self.plan = lane.load.plan
        self.transport: asyncio.Transport | None = None
        self.buffer = b""
        self.whole = 0  # bytes of the answer, head and body, once the head is there
        self.status = 0
        self.reusable = False

    def send(self, request: bytes) -> None:
        assert self.transport is not None
        self.transport.write(request)

    def drop(self) -> None:
        """Close; nothing that still comes matters."""
        self.lane = None
        if self.transport is not None:
            self.transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        if self.lane is None:
            self.transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        if self.lane is not None:
            self.lane.failed(f"connection lost: {exc or 'closed by the server'}")

    def data_received(self, data: bytes) -> None:
        if self.lane is None:
            return
        self.buffer = answer = self.buffer + data if self.buffer else data
        if not self.whole:
            end = answer.find(b"\r\n\r\n")
            if end < 0:
                return
            try:
                self.status, length, self.reusable = parse_head(answer[:end])
            except ValueError as error:
                self.lane.failed(str(error))
                return
            self.whole = end + 4 + length
        if len(answer) >= self.whole:
            self.finish(answer)

    def finish(self, answer: bytes) -> None:
        """Judge the answer and hand it to the lane."""
        assert self.lane is not None
        problem = None
        bodies = self.lane.load.bodies
        if len(answer) > self.whole:
            problem = "more bytes than the answer has"
        elif self.status != self.plan.status:
            problem = f"status {self.status}"
        else:
            for text in self.plan.expected:
                if text not in answer:
                    problem = f"answer without {text.decode()}"
        if bodies is not None and problem is None:
            bodies.append(answer.partition(b"\r\n\r\n")[2])
        self.buffer, self.whole = b"", 0
        self.lane.answered(problem, reusable=self.reusable and problem is None)


def parse_head(head: bytes) -> tuple[int, int, bool]:
    """Status, length of the body, and whether the connection lasts.

    Raises:
        ValueError: not an HTTP/1 answer, or one that does not say how long it is.
    """
    fields = head.lower()
    if not fields.startswith(b"http/1."):
        raise ValueError("not HTTP/1")
    at = fields.find(b"\r\ncontent-length:")
    if at < 0:
        raise ValueError("answer without Content-Length")
    end = fields.find(b"\r\n", at + 2)
    length = int(fields[at + 17 : end if end > 0 else None])
    if fields[7:8] == b"0":
        lasts = b"\r\nconnection: keep-alive" in fields
    else:
        lasts = b"\r\nconnection: close" not in fields
    return int(fields[9:12]), length, lasts


def percentile(ordered: Sequence[float], share: float) -> float:
    """The nearest-rank percentile of ascending seconds, in milliseconds; 0.0 of nothing."""
    if not ordered:
        return 0.0
    return round(ordered[max(0, math.ceil(share * len(ordered)) - 1)] * 1000, 3)


async def hammer(plan: Plan, bodies: list[bytes] | None = None) -> Figures:
    """Run the plan to its end; the bodies of right answers are appended to `bodies`."""
    load = Load(plan, bodies)
    lanes = [Lane(load) for _ in range(plan.connections)]
    if plan.warmup:
        asyncio.get_running_loop().call_later(plan.warmup, load.begin)
    else:
        load.begin()
    for lane in lanes:
        lane.next()
    while not load.over.is_set():
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(load.over.wait(), CHECK_SECONDS)
        now = time.perf_counter()
        for lane in lanes:
            lane.check(now)
    return load.figures()


def request_bytes(url: SplitResult, method: str, data: str | None) -> bytes:
    """The request as it goes over the wire; `data` is JSON."""
    target = (url.path or "/") + (f"?{url.query}" if url.query else "")
    head = f"{method} {target} HTTP/1.1\r\nHost: {url.netloc}\r\nAccept: */*\r\n"
    head += "".join(f"{name}: {value}\r\n" for name, value in authorization(target).items())
    body = b""
    if data is not None:
        body = data.encode()
        head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
    return head.encode() + b"\r\n" + body


def plan_of(arguments: Sequence[str] | None) -> Plan:
    """Read the command line."""
    options = _parser().parse_args(arguments)
    url: SplitResult = options.url
    return Plan(
        host=url.hostname or "",
        port=url.port or 80,
        request=request_bytes(url, options.method, options.data),
        status=options.status,
        expected=tuple(text.encode() for text in options.expect),
        connections=options.connections,
        seconds=options.duration,
        count=options.count,
        warmup=options.warmup,
        patience=options.patience,
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Hammer and print the figures as JSON; 1 when any answer was wrong or missing."""
    figures = uvloop.run(hammer(plan_of(arguments)))
    print(json.dumps(asdict(figures)))
    return 1 if figures.errors or not figures.requests else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="loadtests.hammer", description=(__doc__ or "").partition("\n")[0]
    )
    add = parser.add_argument
    add("url", type=_http_url)
    add("-X", "--method", default="GET")
    add("--data", metavar="JSON", help="body of each request")
    add("-c", "--connections", type=_count, default=10)
    add("-d", "--duration", type=_seconds, default=5.0, help="seconds (%(default)s)")
    add("-n", "--count", type=_count, help="so many requests instead of a duration")
    add("--warmup", type=_seconds, default=0.0, help="seconds before the measuring starts")
    add("--patience", type=_seconds, default=30.0, help="seconds to wait for an answer")
    add("--status", type=int, default=200, help="of a right answer (%(default)s)")
    add("--expect", action="append", default=[], metavar="TEXT", help="in each right answer")
    return parser


def _http_url(text: str) -> SplitResult:
    url = urlsplit(text)
    if url.scheme != "http" or not url.hostname:
        raise argparse.ArgumentTypeError(f"{text!r} is not http://HOST[:PORT]/PATH")
    return url


def _count(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return number


def _seconds(text: str) -> float:
    seconds = float(text)
    if not 0 <= seconds <= LONGEST_SECONDS:
        raise argparse.ArgumentTypeError(f"must be between 0 and {LONGEST_SECONDS:g}")
    return seconds


if __name__ == "__main__":
    sys.exit(main())
