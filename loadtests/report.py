"""From samples to medians, spreads, ratios and verdicts; the report for programs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from loadtests.baseline import Baseline, Regression
from loadtests.claims import CLAIMS, SILENT
from loadtests.contestants import BASELINE, CONTESTANTS, OURS, ROWS, TARGETS, Target, by_hand
from loadtests.figures import Figure, Spread

Sample = Mapping[str, Any]
HEADLINER = "shim"
"""Who stands for the new stack where there is room for one: it is asked for the very same."""


@dataclass(frozen=True)
class Line:
    """A contestant in a row. `ratio` is its throughput over the old daemon's.

    `rates` are its throughputs, `medians` its times in milliseconds, repetition by repetition.
    """

    row: str
    contestant: str
    rates: Sequence[float]
    medians: Sequence[float]
    throughput: Spread
    ratio: Spread | None
    p50_ms: Spread
    p95_ms: Spread
    p99_ms: Spread
    requests: int
    errors: int
    error_kinds: Mapping[str, int]
    client_cpu: float

    @property
    def title(self) -> str:
        return CONTESTANTS[self.contestant].title

    @property
    def wrong(self) -> bool:
        """Whether it had errors that nobody excuses."""
        return self.errors > 0 and self.contestant not in ROWS[self.row].excuses

    @property
    def by_hand(self) -> list[str]:
        """The commands that measure it once more."""
        return by_hand(ROWS[self.row], CONTESTANTS[self.contestant])


@dataclass(frozen=True)
class Chapter:
    """What a scenario came back with, or why it did not."""

    key: str
    title: str
    explained: str
    figures: Sequence[Figure]
    failure: str | None = None

    @property
    def wrong(self) -> bool:
        return self.failure is not None or any(figure.wrong for figure in self.figures)

    @property
    def by_hand(self) -> str:
        return f'make bench ARGS="--scenario {self.key}"'


@dataclass(frozen=True)
class Headline:
    """Old and new in one line: what, in which unit, and how many times as good the new one is."""

    key: str
    title: str
    load: str
    old: float
    new: float
    unit: str
    ratio: Spread


@dataclass(frozen=True)
class Report:
    """All of a run. `failures` are reasons why a contestant has no line in a row."""

    about: Mapping[str, Any]
    lines: Sequence[Line] = ()
    chapters: Sequence[Chapter] = ()
    failures: Sequence[str] = ()
    baseline: Baseline | None = None
    rows: Sequence[str] = field(init=False)

    def __post_init__(self) -> None:
        rows = tuple(dict.fromkeys(line.row for line in self.lines))
        object.__setattr__(self, "rows", rows)

    @property
    def wrong(self) -> bool:
        """Whether anything was a mistake; a target that is missed is none."""
        wrong = [line.wrong for line in self.lines] + [each.wrong for each in self.chapters]
        return bool(self.failures) or any(wrong)

    def of(self, row: str) -> list[Line]:
        """The lines of one row."""
        return [line for line in self.lines if line.row == row]

    @property
    def ratios(self) -> dict[str, Spread]:
        """How many times as good as the old daemon, for each place where ours are held to it."""
        found = {
            f"{line.row}/{line.contestant}": line.ratio
            for line in self.lines
            if line.ratio is not None and line.contestant in OURS
        }
        for chapter in self.chapters:
            for figure in chapter.figures:
                if figure.gain is not None:
                    key = f"{chapter.key}/{figure.gain.what}/{figure.gain.contestant}"
                    found[key] = Spread.of(figure.values)
        return found

    def named(self, key: str) -> str:
        """The key of a ratio in words."""
        row, what, contestant = key.partition("/")[0], key.split("/")[1:-1], key.rpartition("/")[2]
        if row in ROWS:
            return f"{ROWS[row].title}, {ROWS[row].load}, {CONTESTANTS[contestant].title}"
        titles = {chapter.key: chapter.title for chapter in self.chapters}
        return f"{titles.get(row, row)}: {'/'.join(what)}, {contestant}"

    @property
    def headlines(self) -> list[Headline]:
        """A line for each row and each gain, with the new stack as old scripts meet it."""
        found = []
        for line in self.lines:
            old = next((each for each in self.of(line.row) if each.contestant == BASELINE), None)
            if line.contestant == HEADLINER and line.ratio is not None and old is not None:
                row, rates = ROWS[line.row], (old.throughput.median, line.throughput.median)
                load = row.load + "".join(_faults("old", old) + _faults("new", line))
                found.append(Headline(row.key, row.title, load, *rates, "1/s", line.ratio))
        for chapter in self.chapters:
            for figure in chapter.figures:
                gain = figure.gain
                if gain is not None and gain.contestant != "api":
                    title = f"{chapter.title}: {gain.what}"
                    key, spread = f"{chapter.key}/{gain.what}", Spread.of(figure.values)
                    found.append(Headline(key, title, "", gain.old, gain.new, gain.unit, spread))
        return found

    @property
    def slower(self) -> list[str]:
        """Where a stack of ours is behind the old daemon, worst first."""
        found = ((round(each.median, 2), key) for key, each in self.ratios.items())
        behind = sorted((ratio, key) for ratio, key in found if ratio < 1)
        return [f"{self.named(key)}: {ratio:.2f} times as good" for ratio, key in behind]

    @property
    def regressions(self) -> list[Regression]:
        """What falls behind the baseline."""
        return [] if self.baseline is None else self.baseline.regressions(self.ratios)

    @property
    def claims(self) -> list[tuple[str, str]]:
        """Each claim of the plan, and where it is measured here."""
        played = [chapter.key for chapter in self.chapters]
        return [(claim.title, claim.where(self.rows, played)) for claim in CLAIMS]

    @property
    def targets(self) -> list[Figure]:
        """The targets between contestants that have been measured."""
        return verdicts(self.lines)


def _faults(who: str, line: Line) -> list[str]:
    return [f" ({who}: {line.errors:,} errors)"] if line.errors else []


def summarize(samples: Mapping[tuple[str, str], Sequence[Sample]]) -> list[Line]:
    """A line for each (row, contestant), in their order."""
    return [
        _line(row, contestant, taken, samples.get((row, BASELINE), ()))
        for (row, contestant), taken in samples.items()
    ]


def ratios(values: Sequence[float], baseline: Sequence[float]) -> list[float]:
    """How often the baseline's throughput, repetition by repetition.

    Neighbours in time are compared, so that a machine that is slower for a while does not show.
    """
    return [value / base for value, base in zip(values, baseline, strict=False) if base]


def verdicts(lines: Sequence[Line]) -> list[Figure]:
    """The targets between contestants that have been measured."""
    measured = {(line.row, line.contestant): line for line in lines}
    found = []
    for target in TARGETS:
        mine, other = measured.get((target.row, target.contestant)), measured.get(_base(target))
        if mine is None or other is None:
            continue
        taken = target.most is not None
        values = ratios(mine.medians, other.medians) if taken else ratios(mine.rates, other.rates)
        if values:
            title = f"{ROWS[target.row].title}: {mine.title} / {other.title}"
            title += ", p50" if taken else ""
            found.append(Figure(title, values, "x", least=target.least, most=target.most))
    return found


def _base(target: Target) -> tuple[str, str]:
    return target.row, target.over


def _line(row: str, contestant: str, taken: Sequence[Sample], base: Sequence[Sample]) -> Line:
    kinds: Counter[str] = Counter()
    for sample in taken:
        kinds.update(sample["error_kinds"])
    throughput = [sample["throughput"] for sample in taken]
    ratio = ratios(throughput, [sample["throughput"] for sample in base])
    return Line(
        row=row,
        contestant=contestant,
        rates=throughput,
        medians=[sample["p50_ms"] for sample in taken],
        throughput=Spread.of(throughput),
        ratio=Spread.of(ratio) if ratio else None,
        p50_ms=Spread.of([sample["p50_ms"] for sample in taken]),
        p95_ms=Spread.of([sample["p95_ms"] for sample in taken]),
        p99_ms=Spread.of([sample["p99_ms"] for sample in taken]),
        requests=sum(sample["requests"] for sample in taken),
        errors=sum(sample["errors"] for sample in taken),
        error_kinds=dict(kinds),
        client_cpu=max(sample["client_cpu"] for sample in taken),
    )


def document(report: Report) -> dict[str, Any]:
    """The report for programs."""
    return {
        "about": dict(report.about),
        "headlines": [asdict(headline) for headline in report.headlines],
        "ratios": {key: asdict(spread) for key, spread in report.ratios.items()},
        "slower": report.slower,
        "baseline": None if report.baseline is None else dict(report.baseline.about),
        "regressions": [asdict(regression) for regression in report.regressions],
        "targets": [_as_document(figure) for figure in report.targets],
        "rows": [_line_as_document(line) for line in report.lines],
        "scenarios": [
            {
                "scenario": chapter.key,
                "title": chapter.title,
                "explained": chapter.explained,
                "failure": chapter.failure,
                "figures": [_as_document(figure) for figure in chapter.figures],
                "by_hand": chapter.by_hand,
            }
            for chapter in report.chapters
        ],
        "claims": dict(report.claims),
        "failures": list(report.failures),
        "does_not_say": list(SILENT),
    }


def _line_as_document(line: Line) -> dict[str, Any]:
    row = ROWS[line.row]
    return asdict(line) | {
        "row_title": row.title,
        "explained": row.explained,
        "load": row.load,
        "connections": row.connections,
        "contestant_title": line.title,
        "by_hand": line.by_hand,
    }


def _as_document(figure: Figure) -> dict[str, Any]:
    return asdict(figure) | {"value": figure.value, "met": figure.met}
