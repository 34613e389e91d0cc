"""Whether a step may be left for the next one, or must be taken back: pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from compat.measures import Tally
from compat.plan import Gate
from compat.stages import Stack, Stage

FEWEST = 5
"""Calls since the last look below which that look alone tells nothing."""


class Verdict(StrEnum):
    """What a gate says."""

    PASSED = "passed"
    FAILED = "failed"
    INCONCLUSIVE = "inconclusive"


@dataclass(frozen=True, slots=True)
class Baseline:
    """How the control did when it was last seen: where it answers no more, this is held against."""

    error_rate: float
    p95: float | None


@dataclass(frozen=True, slots=True)
class Evidence:
    """What was counted of a route in some span, by who answered."""

    tallies: Mapping[Stack, Tally]

    def of(self, stack: Stack) -> Tally:
        return self.tallies.get(stack) or Tally()


@dataclass(frozen=True, slots=True)
class Finding:
    """One gate of one route: its verdict, the value held against the limit, and from how many."""

    name: str
    verdict: Verdict
    value: float | None
    limit: float
    samples: int


def judge(
    gate: Gate,
    stage: Stage,
    whole: Evidence,
    lately: Evidence,
    baseline: Baseline | None,
    *,
    rehearsed: bool,
) -> list[Finding]:
    """What each gate says of a route in its step.

    `whole` is all since the step began, `lately` what came since the last look: it fails on
    either, as trouble that has just begun must not hide behind a long good time, and passes on the
    whole alone. A route that is `rehearsed` in the shadow has no times to compare there.
    """
    measured = _measured(gate, stage, whole, baseline, rehearsed=rehearsed)
    fewest = max(FEWEST, gate.samples // 10)
    recent = {
        finding.name: finding
        for finding in _measured(gate, stage, lately, baseline, rehearsed=rehearsed)
        if finding.samples >= fewest and finding.verdict is Verdict.FAILED
    }
    return [recent.get(finding.name) or _enough(finding, gate, fewest) for finding in measured]


def _enough(finding: Finding, gate: Gate, fewest: int) -> Finding:
    """A verdict needs samples: to fail fewer, as harm is done meanwhile, than to pass."""
    needed = fewest if finding.verdict is Verdict.FAILED else gate.samples
    if finding.samples >= needed:
        return finding
    return Finding(
        finding.name, Verdict.INCONCLUSIVE, finding.value, finding.limit, finding.samples
    )


def _measured(
    gate: Gate,
    stage: Stage,
    evidence: Evidence,
    baseline: Baseline | None,
    *,
    rehearsed: bool,
) -> Sequence[Finding]:
    shadow = evidence.of(Stack.SHADOW)
    candidate = shadow if stage is Stage.SHADOW else evidence.of(Stack.NEW)
    control = control_of(evidence) or baseline or Baseline(0.0, None)
    found = []
    if gate.parity is not None and stage is not Stage.NEW:
        parity = shadow.parity
        failed = parity is not None and parity < gate.parity
        found.append(_finding("parity", failed, parity, gate.parity, shadow.counts["compared"]))
    requests = candidate.counts["requests"]
    if gate.errors is not None:
        excess = max(0.0, candidate.error_rate - control.error_rate) if requests else None
        failed = excess is not None and excess > gate.errors
        found.append(_finding("errors", failed, excess, gate.errors, requests))
    if gate.latency is not None and not (rehearsed and stage is Stage.SHADOW):
        p95 = candidate.times.quantile(0.95)
        ratio = p95 / control.p95 if p95 is not None and control.p95 else None
        failed = ratio is not None and ratio > gate.latency
        samples = requests if ratio is not None or control.p95 is not None else 0
        found.append(_finding("latency", failed, ratio, gate.latency, samples))
    return found


def control_of(evidence: Evidence) -> Baseline | None:
    """How the control did; `None` when it answered nothing."""
    legacy = evidence.of(Stack.LEGACY)
    if not legacy.counts["requests"]:
        return None
    return Baseline(legacy.error_rate, legacy.times.quantile(0.95))


def _finding(name: str, failed: bool, value: float | None, limit: float, samples: int) -> Finding:
    verdict = Verdict.FAILED if failed else Verdict.PASSED
    return Finding(name, verdict, value, limit, samples)
