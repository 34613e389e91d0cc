"""Ratios that were reached before, and which of today's fall behind them.

Ratios only: rates are the machine's. A ratio falls behind when its median is lower by more than
TOLERANCE, and its best repetition is below the worst one of before.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from loadtests.figures import Spread

STORED = Path(__file__).with_name("baseline.json")
TOLERANCE = 0.1


class BaselineError(RuntimeError):
    """The file holds no baseline."""


@dataclass(frozen=True)
class Regression:
    """A ratio that was better before; `key` is what a report calls it."""

    key: str
    before: Spread
    now: Spread


@dataclass(frozen=True)
class Baseline:
    """The ratios of a report, and what that says of itself."""

    ratios: Mapping[str, Spread]
    about: Mapping[str, Any] = field(default_factory=dict)

    def regressions(self, ratios: Mapping[str, Spread]) -> list[Regression]:
        """What falls behind; what only one of both knows is not compared."""
        found = [
            Regression(key, self.ratios[key], now)
            for key, now in ratios.items()
            if key in self.ratios
        ]
        return [each for each in found if _behind(each.before, each.now)]

    @property
    def described(self) -> str:
        """When, with and on what it was measured, as far as that matters here."""
        return (
            f"{self.about['begun'][:10]}, version {self.about['versions']['mcli-dualstack']}, "
            f"{self.about['machine']['processors']} processors"
            f"{', a short run' if self.about['quick'] else ''}"
        )


def _behind(before: Spread, now: Spread) -> bool:
    return now.median < before.median * (1 - TOLERANCE) and now.highest < before.lowest


def load(path: Path) -> Baseline:
    """Read one.

    Raises:
        BaselineError: there is none, or it is something else.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        ratios = {key: Spread(**spread) for key, spread in found["ratios"].items()}
        baseline = Baseline(ratios, found["about"])
        assert baseline.described
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise BaselineError(f"{path} holds no baseline: {error}") from error
    return baseline


def save(path: Path, baseline: Baseline) -> None:
    """Write one; its names are those of a report, so that both can be compared."""
    ratios = {key: asdict(spread) for key, spread in baseline.ratios.items()}
    content = json.dumps({"about": baseline.about, "ratios": ratios}, indent=2)
    path.write_text(content + "\n", encoding="utf-8")
