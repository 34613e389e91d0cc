"""From samples to medians, spreads, ratios and tables."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

from loadtests.contestants import BASELINE, CONTESTANTS, ROWS, by_hand

Sample = Mapping[str, Any]
HEAD = (
    "contestant",
    "answers/s",
    "spread",
    "x old",
    "spread",
    "p50 ms",
    "p95 ms",
    "p99 ms",
    "errors",
)


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
class Line:
    """A contestant in a row. `ratio` is its throughput over the old daemon's."""

    row: str
    contestant: str
    throughput: Spread
    ratio: Spread | None
    p50_ms: Spread
    p95_ms: Spread
    p99_ms: Spread
    requests: int
    errors: int
    error_kinds: Mapping[str, int]
    client_cpu: float


def summarize(samples: Mapping[tuple[str, str], Sequence[Sample]]) -> list[Line]:
    """A line for each (row, contestant), in their order."""
    return [
        _line(row, contestant, taken, samples.get((row, BASELINE), ()))
        for (row, contestant), taken in samples.items()
    ]


def ratios(values: Sequence[float], baseline: Sequence[float]) -> Spread | None:
    """How often the baseline's throughput, repetition by repetition.

    Neighbours in time are compared, so that a machine that is slower for a while does not show.
    """
    pairs = [value / base for value, base in zip(values, baseline, strict=False) if base]
    return Spread.of(pairs) if pairs else None


def _line(row: str, contestant: str, taken: Sequence[Sample], base: Sequence[Sample]) -> Line:
    kinds: Counter[str] = Counter()
    for sample in taken:
        kinds.update(sample["error_kinds"])
    throughput = [sample["throughput"] for sample in taken]
    return Line(
        row=row,
        contestant=contestant,
        throughput=Spread.of(throughput),
        ratio=ratios(throughput, [sample["throughput"] for sample in base]),
        p50_ms=Spread.of([sample["p50_ms"] for sample in taken]),
        p95_ms=Spread.of([sample["p95_ms"] for sample in taken]),
        p99_ms=Spread.of([sample["p99_ms"] for sample in taken]),
        requests=sum(sample["requests"] for sample in taken),
        errors=sum(sample["errors"] for sample in taken),
        error_kinds=dict(kinds),
        client_cpu=max(sample["client_cpu"] for sample in taken),
    )


def table(lines: Sequence[Line]) -> str:
    """A Markdown table, aligned for terminals, of the lines of one row."""
    cells = [HEAD, *(_cells(line) for line in lines)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(HEAD))]
    ruler = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
    return "\n".join(_joined(row, widths) for row in (cells[0], ruler, *cells[1:]))


def markdown(about: Mapping[str, Any], lines: Sequence[Line]) -> str:
    """The whole report."""
    parts = ["# Benchmark", _about(about)]
    for key in dict.fromkeys(line.row for line in lines):
        row, own = ROWS[key], [line for line in lines if line.row == key]
        parts += [f"## {row.title}, {row.connections} connections", table(own)]
        parts += [
            f"- {CONTESTANTS[line.contestant].title}: {kind} ({times} times)"
            for line in own
            for kind, times in line.error_kinds.items()
        ]
        commands = (
            f"# {CONTESTANTS[line.contestant].title}\n{serve_command(line)}\n{load_command(line)}"
            for line in own
        )
        parts.append("By hand, server first:\n\n```sh\n" + "\n".join(commands) + "\n```")
    return "\n\n".join(parts) + "\n"


def document(about: Mapping[str, Any], lines: Sequence[Line]) -> dict[str, Any]:
    """The same for programs."""
    return dict(about) | {
        "rows": [
            asdict(line)
            | {
                "row_title": ROWS[line.row].title,
                "connections": ROWS[line.row].connections,
                "contestant_title": CONTESTANTS[line.contestant].title,
                "serve_command": serve_command(line),
                "load_command": load_command(line),
            }
            for line in lines
        ]
    }


def serve_command(line: Line) -> str:
    """The contestant's server as a line for the shell."""
    return CONTESTANTS[line.contestant].launch.by_hand()


def load_command(line: Line) -> str:
    """The load as a line for the shell."""
    return by_hand(ROWS[line.row], CONTESTANTS[line.contestant])


def _about(about: Mapping[str, Any]) -> str:
    return (
        f"{about['repetitions']} repetitions of {about['seconds']:g} s in turn, each on a server "
        "process of its own with a fresh home. Medians over the repetitions; spread is lowest to "
        "highest. `x old` is throughput over the old daemon's in the same repetition. "
        f"Python {about['python']}, {about['processors']} processors, load average "
        f"{about['load_average']:.1f} at the start, {about['begun']}. "
        "The load generator shares the processors with the server, and verifies every answer."
    )


def _cells(line: Line) -> tuple[str, ...]:
    rate, ratio = line.throughput, line.ratio
    return (
        CONTESTANTS[line.contestant].title,
        f"{rate.median:.0f}",
        f"{rate.lowest:.0f}..{rate.highest:.0f}",
        f"{ratio.median:.2f}" if ratio else "",
        f"{ratio.lowest:.2f}..{ratio.highest:.2f}" if ratio else "",
        f"{line.p50_ms.median:.2f}",
        f"{line.p95_ms.median:.2f}",
        f"{line.p99_ms.median:.2f}",
        str(line.errors),
    )


def _joined(cells: Sequence[str], widths: Sequence[int]) -> str:
    first = cells[0].ljust(widths[0])
    rest = (cell.rjust(width) for cell, width in zip(cells[1:], widths[1:], strict=True))
    return "| " + " | ".join([first, *rest]) + " |"
