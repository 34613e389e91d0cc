"""A report made of figures that nobody measured, for what reads reports."""

from __future__ import annotations

from typing import Any

from loadtests.baseline import Baseline
from loadtests.contestants import BASELINE
from loadtests.figures import Figure, Gain, Spread
from loadtests.report import Chapter, Report, summarize

ABOUT = {
    "quick": False,
    "absent": ["the <fastest> one: not measured"],
    "fresh": True,
    "begun": "2026-01-01T00:00:00+00:00",
    "repetitions": 3,
    "seconds": 1.0,
    "versions": {"mcli-dualstack": "0.1.0", "python": "3.11.0", "flask": "3.0"},
    "machine": {
        "processors": 2,
        "processor": "Some CPU",
        "memory_gb": 16.5,
        "system": "Some Linux",
    },
    "load_average": 0.5,
    "homes": "/somewhere",
}


def sample(throughput: float, **more: Any) -> dict[str, Any]:  # noqa: ANN401 - any figure
    """What the load generator says."""
    given = {
        "requests": round(throughput),
        "throughput": throughput,
        "p50_ms": 1.0,
        "p95_ms": 2.0,
        "p99_ms": 3.0,
        "errors": 0,
        "error_kinds": {},
        "client_cpu": 0.5,
    }
    return given | more


SAMPLES = {
    ("status", BASELINE): [sample(100), sample(50), sample(200)],
    ("status", "shim"): [sample(300), sample(200), sample(500)],
    ("status", "api"): [sample(60), sample(30), sample(120)],
    ("execute", "shim"): [sample(7, errors=2, error_kinds={"status 503": 2})],
}


def full_report() -> Report:
    """Something of everything: met, missed, failed, slower, worse than before."""
    gain = Gain("all of them over", "shim", 0.5, 1.0, "s")
    done = Chapter(
        "ten",
        "Ten & more",
        "How <it> was done.",
        [
            Figure("over", [0.7], "s", most=0.6),
            Figure("errors", [0], none=True),
            Figure("old / shim", [0.5, 0.4, 0.6], "x", gain=gain),
        ],
    )
    failed = Chapter("log", "Log", "How.", [], "ValueError: <no>\n")
    before = {"status/shim": Spread(6.0, 5.0, 7.0), "status/api": Spread(0.5, 0.5, 0.5)}
    return Report(
        ABOUT, summarize(SAMPLES), [done, failed], ["<gone>: it failed"], Baseline(before, ABOUT)
    )
