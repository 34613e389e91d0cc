"""What Prometheus is told of the compatibility layer: calls, refusals, the shadow, the mount.

Of this process alone: the others on the same database tell their own. Counts go on across restarts,
for they are written down.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from compat.experiment import Experiment
from compat.guard import Rule, Rules
from compat.measures import Measures, Tally
from compat.stages import Stack
from compat.wsgi import Mount
from fastapi_app.metrics import Collector, Family, Histogram, Kind, Sample, counter, gauge

ANSWERING = (Stack.LEGACY, Stack.NEW)
SHADOW = {
    "compared": "Calls that both stacks answered and were compared",
    "mismatched": "Those of them where the stacks differed",
    "dropped": "Calls that found no room in the shadow",
    "skipped": "Calls that could not be compared: too large, or gone",
}


def collector(measures: Measures, experiment: Experiment, mount: Mount, rules: Rules) -> Collector:
    """All of it, for `fastapi_app.metrics`."""

    def collect() -> Iterator[Family]:
        answering = [one for one in measures.own() if one[1] in ANSWERING]
        yield _counts("mcli_legacy_requests", "Calls of old routes", answering, "requests")
        yield _counts(
            "mcli_legacy_errors", "Those of them without an answer below 500", answering, "errors"
        )
        yield Family(
            Kind.HISTOGRAM,
            "mcli_legacy_request_duration_seconds",
            "Until an old route's answer had gone out; right within 3 %",
            ("method", "route", "stack"),
            [(_labels(name, stack), _times(tally)) for name, stack, tally in answering],
        )
        yield Family(
            Kind.COUNTER,
            "mcli_guard_refused",
            "Calls that the guard of the old contract has refused",
            ("rule",),
            [((str(rule),), rules.refused[rule]) for rule in Rule],
        )
        yield from _of_the_shadow(measures, experiment)
        yield from _of_the_mount(mount)

    return collect


Counted = tuple[str, Stack, Tally]


def _of_the_shadow(measures: Measures, experiment: Experiment) -> Iterator[Family]:
    shadowed = [(name, tally) for name, stack, tally in measures.own() if stack is Stack.SHADOW]
    for outcome, text in SHADOW.items():
        samples: list[Sample] = [(_route(name), tally.counts[outcome]) for name, tally in shadowed]
        yield Family(Kind.COUNTER, f"mcli_shadow_{outcome}", text, ("method", "route"), samples)
    yield gauge("mcli_shadow_pending", "Calls still to be compared", experiment.pending)


def _of_the_mount(mount: Mount) -> Iterator[Family]:
    now = mount.saturation
    yield gauge("mcli_mount_threads", "Threads of the mounted old stack", now.threads)
    yield gauge("mcli_mount_threads_busy", "Those of them that serve a call", now.busy)
    yield gauge("mcli_mount_queue_length", "Calls that wait for such a thread", now.waiting)
    yield counter("mcli_mount_shed", "Calls refused with 503, for too many waited", now.shed)


def _counts(name: str, text: str, counted: Sequence[Counted], what: str) -> Family:
    samples: list[Sample] = [
        (_labels(route, stack), tally.counts[what]) for route, stack, tally in counted
    ]
    return Family(Kind.COUNTER, name, text, ("method", "route", "stack"), samples)


def _labels(name: str, stack: Stack) -> tuple[str, ...]:
    return (*_route(name), str(stack))


def _route(name: str) -> tuple[str, str]:
    method, _, path = name.partition(" ")
    return method, path


def _times(tally: Tally) -> Histogram:
    found = Histogram()
    for seconds, count in tally.times.items():
        found.note(seconds, count)
    return found
