"""What becomes of a rollout, given what its gates say: no clock is read but for when it ended."""

from __future__ import annotations

import time
from dataclasses import replace

from compat.gates import Finding, Verdict
from compat.progress import Phase, Rollout


def decided(rollout: Rollout) -> Rollout:
    """What follows from what the gates say."""
    plan, step = rollout.plan, rollout.plan.steps[rollout.step]
    failed = [
        _told(route, finding)
        for route, findings in rollout.findings.items()
        for finding in findings
        if finding.verdict is Verdict.FAILED
    ]
    if failed:
        rollout = replace(rollout, failures=rollout.failures + 1)
        if rollout.failures >= plan.failures:
            return ended(rollout, Phase.ROLLED_BACK, "; ".join(failed))
        return replace(rollout, phase=Phase.RUNNING, reason="; ".join(failed))
    rollout = replace(rollout, failures=0)
    if rollout.held < step.hold:
        return replace(rollout, phase=Phase.RUNNING, reason="holding")
    few = [
        f"{finding.name} of {route} has {finding.samples} of {step.gate.samples} samples"
        for route, findings in rollout.findings.items()
        for finding in findings
        if finding.verdict is Verdict.INCONCLUSIVE
    ]
    if few:
        return replace(rollout, phase=Phase.INCONCLUSIVE, reason="; ".join(few))
    if step.manual:
        return replace(rollout, phase=Phase.WAITING, reason="every gate passed; promote it")
    return next_step(rollout, "every gate passed")


def _told(route: str, finding: Finding) -> str:
    side = "below" if finding.name == "parity" else "above"
    value = 0.0 if finding.value is None else finding.value
    return (
        f"{finding.name} of {route} is {value:.4g}, {side} {finding.limit:g}"
        f" ({finding.samples} samples)"
    )


def next_step(rollout: Rollout, reason: str) -> Rollout:
    """At the next step, or over when that was the last."""
    if rollout.step + 1 < len(rollout.plan.steps):
        step = rollout.step + 1
        return replace(
            rollout,
            phase=Phase.RUNNING,
            step=step,
            held=0.0,
            failures=0,
            findings={},
            reason=f"{reason}: step {step + 1}",
        )
    return ended(rollout, Phase.COMPLETED, reason)


def ended(rollout: Rollout, phase: Phase, reason: str) -> Rollout:
    """Over, for that reason."""
    return replace(rollout, phase=phase, ended_at=time.time(), reason=reason)
