"""Counts and times, noted where things happen for next to nothing, and read when somebody asks.

Prometheus' own client takes a lock and a look-up for each note; on the hottest path that counts.
What is here is plain numbers of one thread, the event loop's. `fastapi_app.exposition` writes them
in Prometheus' words.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0)
"""Upper bounds of the buckets of times; what took longer is in one more."""
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
OTHER_METHOD = "other"
UNMATCHED = "(unmatched)"
"""Stands for every path that no route takes: what clients make up must not become labels."""
UNROUTED = "(other)"
"""Stands for what is answered without a route: files of the documentation."""


class Histogram:
    """How many times fell into each bucket, and their sum in seconds."""

    __slots__ = ("bounds", "counts", "sum")

    def __init__(self, bounds: Sequence[float] = SECONDS) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.sum = 0.0

    def note(self, seconds: float, times: int = 1) -> None:
        """Count a time."""
        self.counts[bisect_left(self.bounds, seconds)] += times
        self.sum += seconds * times


class Kind(StrEnum):
    """What may be done with a number: counters only grow."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


Sample = tuple[tuple[str, ...], float | Histogram]
"""The value of each label, and the number."""


@dataclass(frozen=True, slots=True)
class Family:
    """Numbers of one name. That of a counter ends in `_total` when it is written."""

    kind: Kind
    name: str
    help: str
    labels: tuple[str, ...]
    samples: Sequence[Sample]


def counter(name: str, text: str, value: float) -> Family:
    """A counter without labels."""
    return Family(Kind.COUNTER, name, text, (), [((), value)])


def gauge(name: str, text: str, value: float) -> Family:
    """A gauge without labels."""
    return Family(Kind.GAUGE, name, text, (), [((), value)])


Collector = Callable[[], Iterable[Family]]


class Answers:
    """Of one route and method: how often with which status, and how soon the answer began."""

    __slots__ = ("statuses", "times")

    def __init__(self) -> None:
        self.statuses: dict[int, int] = {}
        self.times = Histogram()


class Metrics:
    """The numbers of one server. Whoever has others registers a collector of them."""

    def __init__(self) -> None:
        self.answers: dict[tuple[str, str], Answers] = {}
        self.in_flight = 0
        self.websockets = 0
        self.spawns = Histogram()
        self.loop_lag = Histogram()
        self._collectors: list[Collector] = [self._own]

    def register(self, collector: Collector) -> None:
        """Have a collector asked at each scrape, in the event loop: it must not wait for anything.

        Labels must come from a fixed set: a route's template, never a path.
        """
        self._collectors.append(collector)

    def collect(self) -> Iterator[Family]:
        """Every family there is now."""
        for collector in self._collectors:
            yield from collector()

    def answered(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count an answer of the new app that began after so many seconds."""
        key = (method, route)
        answers = self.answers.get(key)
        if answers is None:
            if method not in METHODS:
                key = (OTHER_METHOD, route)
            answers = self.answers.setdefault(key, Answers())
        statuses = answers.statuses
        statuses[status] = statuses.get(status, 0) + 1
        answers.times.note(seconds)

    def _own(self) -> Iterator[Family]:
        yield Family(
            Kind.COUNTER,
            "mcli_http_requests",
            "Requests the new app has answered; those of the old contract are not among them",
            ("method", "route", "status"),
            [
                ((*key, str(status)), count)
                for key, answers in self.answers.items()
                for status, count in answers.statuses.items()
            ],
        )
        yield Family(
            Kind.HISTOGRAM,
            "mcli_http_request_duration_seconds",
            "Until the answer began: what streams, or waits for a command, goes on after that",
            ("method", "route"),
            [(key, answers.times) for key, answers in self.answers.items()],
        )
        yield gauge("mcli_http_in_flight", "Requests that are being answered", self.in_flight)
        yield gauge("mcli_websocket_clients", "WebSockets that are open", self.websockets)
        yield Family(
            Kind.HISTOGRAM,
            "mcli_spawn_duration_seconds",
            "From asking for a child to knowing its process id",
            (),
            [((), self.spawns)],
        )
        yield Family(
            Kind.HISTOGRAM,
            "mcli_event_loop_lag_seconds",
            "How late the event loop was, looked at twice a second",
            (),
            [((), self.loop_lag)],
        )
