"""The report for people who read text: Markdown whose tables are aligned for terminals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from loadtests.about import in_words
from loadtests.baseline import TOLERANCE, Regression
from loadtests.claims import SILENT
from loadtests.contestants import ROWS
from loadtests.figures import Figure, Spread, number
from loadtests.report import Chapter, Headline, Line, Report

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
HEADLINES_HEAD = ("what", "old", "new", "unit", "x old", "spread")
REGRESSIONS_HEAD = ("ratio", "before", "spread", "now", "spread")


def markdown(report: Report) -> str:
    """The whole report."""
    parts = ["# Benchmark", *introduction(report.about), *_verdict(report)]
    if report.headlines:
        parts += ["## Old and new", headlines_table(report)]
    parts += _bullets("Where the new stack is slower", report.slower)
    if report.targets:
        parts += ["## Ratios and their targets", figures_table(report.targets)]
    for key in report.rows:
        parts += _row(key, report.of(key))
    for chapter in report.chapters:
        parts += _chapter(chapter)
    claims = [f"{claim}: {where}" for claim, where in report.claims]
    parts += _bullets("What the plan claims, and where it is measured", claims)
    parts += _bullets("What the figures do not say", SILENT)
    return "\n\n".join(parts) + "\n"


def introduction(about: Mapping[str, Any]) -> list[str]:
    """How it was measured, with and on what."""
    versions, machine = in_words(about)
    kept = "" if about["fresh"] else " A server is kept for all rows of a repetition."
    how = (
        f"{'A short run: ' if about['quick'] else ''}"
        f"{about['repetitions']} times {about['seconds']:g} s in turn, each on a server "
        f"process of its own with a fresh home in {about['homes']}.{kept} Medians over the "
        "repetitions; spread is lowest to highest. `x old` is throughput over the old daemon's in "
        "the same repetition. The load generator shares the processors with the server, and "
        "verifies every answer." + "".join(f" {reason}." for reason in about["absent"])
    )
    when = f"{about['begun']}, load average {about['load_average']:.1f} at the start."
    return [how, f"- {versions}\n- {machine}\n- {when}"]


def baseline_in_words(report: Report) -> str:
    """What was compared with what, and what came of it."""
    if report.baseline is None:
        return "There is no baseline to compare with."
    common = report.ratios.keys() & report.baseline.ratios.keys()
    found = f"{len(common)} ratios are held against the baseline of {report.baseline.described}: "
    behind = len(report.regressions)
    found += f"{behind} REGRESSED" if behind else "none regressed"
    return (
        f"{found}. One has when its median is lower by more than {TOLERANCE:.0%}, and its best "
        "repetition is below the worst one of before."
    )


def _verdict(report: Report) -> list[str]:
    parts = [baseline_in_words(report)]
    if report.regressions:
        rows = [regression_cells(report, each) for each in report.regressions]
        parts = ["## Regressions", *parts, aligned([REGRESSIONS_HEAD, *rows])]
    return parts + _bullets("Not measured, as it failed", report.failures)


def _both(spread: Spread) -> tuple[str, str]:
    return f"{spread.median:.2f}", f"{spread.lowest:.2f}..{spread.highest:.2f}"


def _bullets(title: str, lines: Sequence[str]) -> list[str]:
    return [f"## {title}", "\n".join(f"- {line}" for line in lines)] if lines else []


def _row(key: str, lines: Sequence[Line]) -> list[str]:
    row = ROWS[key]
    parts = [f"## {row.title}, {row.load}", f"{row.explained} (`{key}`)", table(lines)]
    if kinds := error_kinds(lines):
        parts.append("\n".join(f"- {kind}" for kind in kinds))
    commands = ("\n".join([f"# {line.title}", *line.by_hand]) for line in lines)
    parts.append("By hand, server first:\n\n```sh\n" + "\n".join(commands) + "\n```")
    return parts


def error_kinds(lines: Sequence[Line]) -> list[str]:
    """What went wrong with whom, and how often."""
    return [
        f"{line.title}: {kind} ({times} times)" + ("" if line.wrong else ", excused")
        for line in lines
        for kind, times in line.error_kinds.items()
    ]


def _chapter(chapter: Chapter) -> list[str]:
    shown = chapter.failure and f"Failed:\n\n```\n{chapter.failure}```"
    return [
        f"## {chapter.title}",
        chapter.explained,
        shown or figures_table(chapter.figures),
        f"By hand: `{chapter.by_hand}`",
    ]


def table(lines: Sequence[Line]) -> str:
    """A table of the lines of one row."""
    return aligned([HEAD, *(line_cells(line) for line in lines)])


def figures_table(figures: Sequence[Figure]) -> str:
    """The same of figures and their targets."""
    return aligned([FIGURES_HEAD, *(figure.cells() for figure in figures)])


def headlines_table(report: Report) -> str:
    """The same of what is new against what is old."""
    return aligned([HEADLINES_HEAD, *(headline_cells(each) for each in report.headlines)])


def headline_cells(headline: Headline) -> tuple[str, ...]:
    """What, old, new, unit, ratio and its spread."""
    title = f"{headline.title}, {headline.load}" if headline.load else headline.title
    values = number(headline.old), number(headline.new), headline.unit
    return title, *values, *_both(headline.ratio)


def line_cells(line: Line) -> tuple[str, ...]:
    """Who, how many a second, how often the old one's, how long, how many errors."""
    rate = line.throughput
    return (
        line.title,
        f"{rate.median:.0f}",
        f"{rate.lowest:.0f}..{rate.highest:.0f}",
        *(_both(line.ratio) if line.ratio else ("", "")),
        f"{line.p50_ms.median:.2f}",
        f"{line.p95_ms.median:.2f}",
        f"{line.p99_ms.median:.2f}",
        str(line.errors),
    )


def regression_cells(report: Report, regression: Regression) -> tuple[str, ...]:
    """Which ratio, what it was and what it is."""
    return report.named(regression.key), *_both(regression.before), *_both(regression.now)


def aligned(cells: Sequence[Sequence[str]]) -> str:
    """A Markdown table with a head; its first column is text, the others are numbers."""
    widths = [max(len(row[column]) for row in cells) for column in range(len(cells[0]))]
    ruler = ["-" * widths[0], *("-" * max(1, width - 1) + ":" for width in widths[1:])]
    return "\n".join(_joined(row, widths) for row in (cells[0], ruler, *cells[1:]))


def _joined(cells: Sequence[str], widths: Sequence[int]) -> str:
    first = cells[0].ljust(widths[0])
    rest = (cell.rjust(width) for cell, width in zip(cells[1:], widths[1:], strict=True))
    return "| " + " | ".join([first, *rest]) + " |"
