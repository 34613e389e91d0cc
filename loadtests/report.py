"""From samples to medians, spreads, ratios and tables."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from loadtests.contestants import BASELINE, CONTESTANTS, ROWS, TARGETS, Target, by_hand
from loadtests.figures import Figure, Spread

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
FIGURES_HEAD = ("figure", "value", "spread", "unit", "target", "")


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
            title = f"{ROWS[target.row].title}: {_title(target.contestant)} / {_title(target.over)}"
            title += ", p50" if taken else ""
            found.append(Figure(title, values, "x", least=target.least, most=target.most))
    return found


def _base(target: Target) -> tuple[str, str]:
    return target.row, target.over


def _title(contestant: str) -> str:
    return CONTESTANTS[contestant].title


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


def table(lines: Sequence[Line]) -> str:
    """A Markdown table, aligned for terminals, of the lines of one row."""
    return _aligned([HEAD, *(_cells(line) for line in lines)])


def figures_table(figures: Sequence[Figure]) -> str:
    """The same of figures and their targets."""
    return _aligned([FIGURES_HEAD, *(figure.cells() for figure in figures)])


def _aligned(cells: Sequence[Sequence[str]]) -> str:
    widths = [max(len(row[column]) for row in cells) for column in range(len(cells[0]))]
    ruler = ["-" * widths[0], *("-" * max(1, width - 1) + ":" for width in widths[1:])]
    return "\n".join(_joined(row, widths) for row in (cells[0], ruler, *cells[1:]))


def markdown(
    about: Mapping[str, Any], lines: Sequence[Line], chapters: Sequence[Chapter] = ()
) -> str:
    """The whole report."""
    parts = ["# Benchmark", _about(about)]
    if targets := verdicts(lines):
        parts += ["## Ratios and their targets", figures_table(targets)]
    for key in dict.fromkeys(line.row for line in lines):
        row, own = ROWS[key], [line for line in lines if line.row == key]
        parts += [f"## {row.title}, {row.connections} connections", table(own)]
        if row.stored is not None:
            name, code = row.stored
            parts.append(f"Needs the stored command `{name}` with the code `{code.strip()}`.")
        parts += [
            f"- {CONTESTANTS[line.contestant].title}: {kind} ({times} times)"
            for line in own
            for kind, times in line.error_kinds.items()
        ]
        commands = ("\n".join([f"# {_title(line.contestant)}", *_by_hand(line)]) for line in own)
        parts.append("By hand, server first:\n\n```sh\n" + "\n".join(commands) + "\n```")
    for chapter in chapters:
        parts += [f"## {chapter.title}", chapter.explained]
        parts.append(chapter.failure or figures_table(chapter.figures))
        parts.append(f'By hand: `make bench ARGS="--scenario {chapter.key}"`')
    return "\n\n".join(parts) + "\n"


def document(
    about: Mapping[str, Any], lines: Sequence[Line], chapters: Sequence[Chapter] = ()
) -> dict[str, Any]:
    """The same for programs."""
    return dict(about) | {
        "targets": [_as_document(figure) for figure in verdicts(lines)],
        "scenarios": [
            {
                "scenario": chapter.key,
                "title": chapter.title,
                "explained": chapter.explained,
                "failure": chapter.failure,
                "figures": [_as_document(figure) for figure in chapter.figures],
            }
            for chapter in chapters
        ],
        "rows": [
            asdict(line)
            | {
                "row_title": ROWS[line.row].title,
                "connections": ROWS[line.row].connections,
                "contestant_title": _title(line.contestant),
                "serve_command": _by_hand(line)[0],
                "load_command": _by_hand(line)[1],
            }
            for line in lines
        ],
    }


def _as_document(figure: Figure) -> dict[str, Any]:
    return asdict(figure) | {"value": figure.value, "met": figure.met}


def _by_hand(line: Line) -> tuple[str, str]:
    return by_hand(ROWS[line.row], CONTESTANTS[line.contestant])


def _about(about: Mapping[str, Any]) -> str:
    return (
        f"{'A short run: ' if about['quick'] else ''}"
        f"{about['repetitions']} repetitions of {about['seconds']:g} s in turn, each on a server "
        f"process of its own with a fresh home in {about['homes']}. Medians over the repetitions; "
        "spread is lowest to highest. `x old` is throughput over the old daemon's in the same "
        "repetition. "
        f"Python {about['python']}, {about['processors']} processors, load average "
        f"{about['load_average']:.1f} at the start, {about['begun']}. "
        "The load generator shares the processors with the server, and verifies every answer."
        + "".join(f" {reason}." for reason in about["absent"])
    )


def _cells(line: Line) -> tuple[str, ...]:
    rate, ratio = line.throughput, line.ratio
    return (
        _title(line.contestant),
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
