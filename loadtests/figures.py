"""Single figures with a target, and whether it is met."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median


@dataclass(frozen=True)
class Spread:
    """A median and how far the repetitions were apart."""

    median: float
    lowest: float
    highest: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        return cls(median(values), min(values), max(values))


@dataclass(frozen=True)
class Gain:
    """Whose ratio to the old daemon in what it is; `old` and `new` are medians in `unit`."""

    what: str
    contestant: str
    old: float
    new: float
    unit: str


@dataclass(frozen=True)
class Figure:
    """What was measured, in `unit`; `values` are its repetitions.

    The target is `least` or `most`, held against the median; neither is no target. A figure of
    which there must be `none` is an error if there is any. With a `gain` it is how many
    times as good as the old daemon the new server is.
    """

    title: str
    values: Sequence[float]
    unit: str = ""
    least: float | None = None
    most: float | None = None
    none: bool = False
    gain: Gain | None = None

    @property
    def value(self) -> float:
        return Spread.of(self.values).median

    @property
    def met(self) -> bool | None:
        """Whether the target is met; `None` without one."""
        if self.none:
            return not any(self.values)
        if self.least is not None:
            return self.value >= self.least
        return None if self.most is None else self.value <= self.most

    @property
    def wrong(self) -> bool:
        """Whether it shows a mistake, and not only too little speed."""
        return self.none and not self.met

    def cells(self) -> tuple[str, ...]:
        """What it was, how far apart, what it should be, and the verdict."""
        spread = Spread.of(self.values)
        apart = f"{number(spread.lowest)}..{number(spread.highest)}"
        return (
            self.title,
            number(spread.median),
            apart if len(self.values) > 1 else "",
            self.unit,
            self._target(),
            {True: "met", False: "MISSED", None: ""}[self.met],
        )

    def _target(self) -> str:
        if self.none:
            return "none"
        if self.least is not None:
            return f"at least {number(self.least)}"
        return "" if self.most is None else f"at most {number(self.most)}"


def number(value: float) -> str:
    """Three or four digits of it."""
    return f"{value:.0f}" if value == int(value) or abs(value) >= 1000 else f"{value:.2f}"
