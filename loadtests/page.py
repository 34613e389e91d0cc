"""The report as one page that needs no network: charts, tables, and how to measure again."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from xml.etree.ElementTree import Element

from loadtests.charts import Bar, Dots, Group, bars, dots, key, ratio_bars
from loadtests.claims import SILENT
from loadtests.contestants import CONTESTANTS, OURS, ROWS
from loadtests.figures import Spread
from loadtests.markdown import (
    FIGURES_HEAD,
    HEAD,
    HEADLINES_HEAD,
    REGRESSIONS_HEAD,
    baseline_in_words,
    error_kinds,
    headline_cells,
    introduction,
    line_cells,
    regression_cells,
)
from loadtests.markup import Content, element, html
from loadtests.report import Chapter, Line, Report

STYLE = Path(__file__).with_name("page.css")
SHOWN = ("shim", "api")
"""Whose ratios the first chart shows."""
NOTE = "# The first line of each goes on; the rest is for a second terminal."
PERCENTILES = ("p50", "p95", "p99")


def page(report: Report) -> str:
    """The whole report."""
    return html(
        element(
            "html",
            element(
                "head",
                element("meta", charset="utf-8"),
                element("meta", name="viewport", content="width=device-width, initial-scale=1"),
                element("meta", name="color-scheme", content="light dark"),
                element("title", "Benchmark: old daemon and new server"),
                element("style", STYLE.read_text(encoding="utf-8")),
            ),
            element("body", element("main", *_parts(report))),
            lang="en",
        )
    )


def _parts(report: Report) -> list[Element]:
    how, facts = introduction(report.about)
    return [
        element("h1", "Old daemon and new server, side by side"),
        _list(line.removeprefix("- ") for line in facts.splitlines()),
        element("p", _plain(how)),
        _contents(report),
        *_verdict(report),
        *_overview(report),
        *(_row(row, report.of(row)) for row in report.rows),
        *(_scenario(chapter) for chapter in report.chapters),
        _section(
            "What the plan claims, and where it is measured",
            _list(f"{claim}: {where}" for claim, where in report.claims),
        ),
        _section("What the figures do not say", _list(_plain(line) for line in SILENT)),
    ]


def _contents(report: Report) -> Element:
    links = [(f"row-{row}", ROWS[row].title) for row in report.rows]
    links += [(f"scenario-{chapter.key}", chapter.title) for chapter in report.chapters]
    items = (element("a", _plain(title), href=f"#{name}") for name, title in links)
    return element("nav", *items, aria_label="Contents")


def _verdict(report: Report) -> list[Element]:
    """What a hurried reader must not miss: what got worse, what failed, what is slower."""
    parts: list[Element] = [element("p", baseline_in_words(report))]
    if report.regressions:
        cells = [regression_cells(report, each) for each in report.regressions]
        parts = [
            _section(
                "Regressions",
                *parts,
                _table("Regressions", REGRESSIONS_HEAD, cells),
                class_="warning",
            )
        ]
    for title, lines in (
        ("Not measured, as it failed", report.failures),
        ("Where the new stack is slower", report.slower),
    ):
        if lines:
            parts.append(_section(title, _list(lines), class_="warning"))
    return parts


def _overview(report: Report) -> list[Element]:
    parts = []
    groups = [
        Group(f"{ROWS[row].title}, {ROWS[row].load}", found)
        for row in report.rows
        if (found := [_ratio(line) for line in report.of(row) if line.contestant in SHOWN])
    ]
    gains: defaultdict[str, list[Bar]] = defaultdict(list)
    for chapter in report.chapters:
        for figure in chapter.figures:
            if (gain := figure.gain) is not None:
                bar = Bar(
                    _title(gain.contestant), kind_of(gain.contestant), Spread.of(figure.values)
                )
                gains[f"{chapter.title}: {gain.what}"].append(bar)
    groups += [Group(title, found) for title, found in gains.items()]
    if groups:
        title = "How many times as good as the old daemon"
        note = (
            "Throughput over the old daemon's; of time and memory, the old daemon's over the new "
            "one's. Right of the line is better, left of it worse; the axis is logarithmic."
        )
        chart = element("figure", ratio_bars(title, groups, "x"))
        cells = [headline_cells(headline) for headline in report.headlines]
        parts += [_section(title, element("p", note), chart, _table(title, HEADLINES_HEAD, cells))]
    if report.targets:
        cells = [figure.cells() for figure in report.targets]
        parts.append(_section("Ratios and their targets", _table("Targets", FIGURES_HEAD, cells)))
    return parts


def _ratio(line: Line) -> Bar:
    return Bar(line.title, kind_of(line.contestant), line.ratio or Spread(0, 0, 0))


def _row(name: str, lines: Sequence[Line]) -> Element:
    row = ROWS[name]
    rates = [Bar(line.title, kind_of(line.contestant), line.throughput) for line in lines]
    waits = [
        Dots(
            line.title,
            kind_of(line.contestant),
            [line.p50_ms.median, line.p95_ms.median, line.p99_ms.median],
        )
        for line in lines
    ]
    return _section(
        f"{row.title}, {row.load}",
        element("p", _plain(row.explained)),
        element("h3", "Right answers a second"),
        element("figure", bars(f"{row.title}: right answers a second", [Group("", rates)], "/s")),
        element("h3", "Milliseconds until the answer, logarithmic"),
        element(
            "figure",
            dots(f"{row.title}: milliseconds until the answer", waits, PERCENTILES, "ms"),
            key(PERCENTILES),
        ),
        _table(row.title, HEAD, [line_cells(line) for line in lines]),
        *([_list(kinds)] if (kinds := error_kinds(lines)) else []),
        _by_hand("\n".join([NOTE, *(_commands(line) for line in lines)])),
        id=f"row-{name}",
    )


def _scenario(chapter: Chapter) -> Element:
    shown = (
        _table(chapter.title, FIGURES_HEAD, [figure.cells() for figure in chapter.figures])
        if chapter.failure is None
        else element("pre", f"Failed:\n{chapter.failure}", class_="warning")
    )
    return _section(
        chapter.title,
        element("p", _plain(chapter.explained)),
        shown,
        _by_hand(chapter.by_hand),
        id=f"scenario-{chapter.key}",
    )


def _commands(line: Line) -> str:
    return "\n".join([f"\n# {line.title}", *line.by_hand])


def _by_hand(commands: str) -> Element:
    summary = element("summary", "Measure it by hand")
    return element("details", summary, element("pre", element("code", commands)))


def _section(title: str, *content: Content, **attributes: object) -> Element:
    return element("section", element("h2", _plain(title)), *content, **attributes)


def _list(lines: Iterable[str]) -> Element:
    return element("ul", *(element("li", line) for line in lines))


def _table(label: str, head: Sequence[str], rows: Sequence[Sequence[str]]) -> Element:
    """Text in the first column, numbers in the others; it scrolls where it is too wide."""
    titles = (element("th", title, scope="col") for title in head)
    body = (
        element(
            "tr",
            element("th", cells[0], scope="row"),
            *(element("td", cell, **_mood(cell)) for cell in cells[1:]),
        )
        for cells in rows
    )
    table = element("table", element("thead", element("tr", *titles)), element("tbody", *body))
    return element("div", table, class_="wide", tabindex="0", role="region", aria_label=label)


def _mood(cell: str) -> dict[str, str]:
    return {"class_": cell.lower()} if cell in {"met", "MISSED"} else {}


def _title(contestant: str) -> str:
    return CONTESTANTS[contestant].title if contestant in CONTESTANTS else contestant


def kind_of(contestant: str) -> str:
    """The class of its colour."""
    if contestant in OURS:
        return contestant
    return {"old": "old", "gunicorn": "gunicorn"}.get(
        contestant, "limit" if contestant in CONTESTANTS else "shim"
    )


def _plain(text: str) -> str:
    return text.replace("`", "")
