"""What a proof has shown: per route and stage, and each difference with the smallest request."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from compat.diff import Answer, Difference
from compat.prove.cases import Case


def signature(difference: Difference) -> tuple[str, ...]:
    """What makes two differences the same one."""
    place = (difference.group, difference.kind)
    if difference.kind in {"status", "header"}:
        return (*place, difference.control, difference.candidate)
    return place


@dataclass
class Finding:
    """A difference without explanation, as often as it came, and the smallest case that shows it.

    `found` is the case it came with first; `case` is that one shrunk. When the case alone does not
    show it, `alone` is false. What the server itself has found in its shadow has no case.
    """

    route: str
    stage: str
    difference: Difference
    found: Case | None
    case: Case | None = None
    count: int = 1
    alone: bool = True

    def as_json(self) -> dict[str, Any]:
        return {
            "route": self.route,
            "stage": self.stage,
            "pointer": self.difference.pointer,
            "kind": self.difference.kind,
            "control": self.difference.control,
            "candidate": self.difference.candidate,
            "count": self.count,
            "alone": self.alone,
            "found": self.found.name if self.found else None,
            "case": self.case.as_json() if self.case else None,
        }


@dataclass
class Part:
    """One route in one stage. `requests` were sent to the candidate, and as many to the control.

    `answered` counts who answered, as X-Served-By tells.
    """

    route: str
    stage: str
    requests: int = 0
    answered: Counter[str] = field(default_factory=Counter)
    statuses: Counter[int] = field(default_factory=Counter)
    explained: Counter[str] = field(default_factory=Counter)
    findings: list[Finding] = field(default_factory=list)

    def note(self, answers: Sequence[Answer]) -> None:
        """Count what was answered."""
        self.requests += len(answers)
        for answer in answers:
            self.statuses[answer.status] += 1
            self.answered[b",".join(answer.header(b"x-served-by")).decode() or "-"] += 1

    def find(self, difference: Difference, case: Case) -> None:
        """Count a difference with those of the same place and kind."""
        for finding in self.findings:
            if signature(finding.difference) == signature(difference):
                finding.count += 1
                return
        self.findings.append(Finding(self.route, self.stage, difference, case))

    def lose(self, case: Case) -> None:
        """Count a run that is never over; `case` was the latest when it was given up."""
        self.find(
            Difference("runs", "stuck", "are over", "one is not over, yet it has ended"), case
        )
        finding = self.findings[-1]
        finding.case, finding.alone = finding.found, False

    @property
    def unexplained(self) -> int:
        """Differences, each as often as it came."""
        return sum(finding.count for finding in self.findings)

    def as_json(self) -> dict[str, Any]:
        return {
            "route": self.route,
            "stage": self.stage,
            "requests": self.requests,
            "answered": dict(self.answered),
            "statuses": {str(status): n for status, n in sorted(self.statuses.items())},
            "explained": dict(self.explained),
            "unexplained": self.unexplained,
        }


@dataclass(frozen=True)
class Report:
    """All that was shown in `seconds`. `shadow` is what the server counted in its shadow itself."""

    seed: int
    seconds: float
    parts: Sequence[Part]
    shadow: Mapping[str, Mapping[str, int]] = field(default_factory=dict)

    @property
    def requests(self) -> int:
        """Sent to all candidates together."""
        return sum(part.requests for part in self.parts)

    @property
    def explained(self) -> Counter[str]:
        """How often each reason held."""
        return sum((part.explained for part in self.parts), Counter[str]())

    @property
    def findings(self) -> list[Finding]:
        """Every difference that has no explanation."""
        return [finding for part in self.parts for finding in part.findings]

    @property
    def proven(self) -> bool:
        """Whether there is none."""
        return not self.findings

    def as_json(self) -> dict[str, Any]:
        return {
            "seed": self.seed,
            "seconds": round(self.seconds, 1),
            "requests": self.requests,
            "proven": self.proven,
            "explained": dict(self.explained),
            "parts": [part.as_json() for part in self.parts],
            "shadow": {route: dict(counts) for route, counts in self.shadow.items()},
            "findings": [finding.as_json() for finding in self.findings],
        }
