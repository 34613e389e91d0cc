"""Charts as SVG that says in text what it shows; colours come from the page's style.

A bar is a median, its whisker lowest to highest. Shapes and labels carry what colours do.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from xml.etree.ElementTree import Element

from loadtests.figures import Spread, number
from loadtests.markup import element

WIDTH, LEFT, RIGHT = 760, 200, 150
"""Of a chart, of the labels left of the bars, and of the values right of them."""
LINE, BAR, HEADING, AXIS, TOP = 28, 16, 26, 34, 6
ROOM = WIDTH - LEFT - RIGHT
STEPS = (1, 2, 5, 10)
LEAST = 0.01
"""Ratios below it are drawn as it."""
SHAPES = ("circle", "square", "diamond")
_ids = itertools.count()


@dataclass(frozen=True)
class Bar:
    """A median with its spread; `kind` is its colour's class."""

    label: str
    kind: str
    spread: Spread


@dataclass(frozen=True)
class Group:
    """Bars under a heading of their own; none without a title."""

    title: str
    bars: Sequence[Bar]


@dataclass(frozen=True)
class Dots:
    """Several values of one contestant, in the order of SHAPES."""

    label: str
    kind: str
    values: Sequence[float]


def bars(title: str, groups: Sequence[Group], unit: str) -> Element:
    """Horizontal bars from 0 on."""
    highest = _highest(groups) or 1.0
    at = {value: LEFT + ROOM * value / highest for value in ticks(highest)}
    return _bars(title, groups, unit, lambda value: LEFT + ROOM * value / highest, at)


def ratio_bars(title: str, groups: Sequence[Group], unit: str) -> Element:
    """Bars from 1 on, better to the right and worse to the left, on a logarithmic axis."""
    lowest = min((bar.spread.lowest for group in groups for bar in group.bars), default=1.0)
    low = math.log10(min(max(lowest, LEAST), 0.5))
    high = math.log10(max(_highest(groups), 2.0))

    def place(value: float) -> float:
        return LEFT + ROOM * (math.log10(max(value, LEAST)) - low) / (high - low)

    steps = (step * 10.0**power for power in range(-2, 5) for step in STEPS[:3])
    at = {value: place(value) for value in steps if low - 1e-9 <= math.log10(value) <= high}
    return _bars(title, groups, unit, place, at, base=1.0)


def _highest(groups: Sequence[Group]) -> float:
    return max((bar.spread.highest for group in groups for bar in group.bars), default=0.0)


def _bars(
    title: str,
    groups: Sequence[Group],
    unit: str,
    place: Callable[[float], float],
    at: Mapping[float, float],
    base: float = 0.0,
) -> Element:
    """Draw them from `base` on; `place` gives the x of a value, `at` those of the ticks."""
    lines = sum(HEADING * bool(group.title) + LINE * len(group.bars) for group in groups)
    svg = _frame(title, _told(groups, unit), TOP + lines + AXIS)
    y = TOP
    for group in groups:
        if group.title:
            svg.append(_text(0, y + 18, group.title, "heading"))
            y += HEADING
        # Not over the heading: lines would run through its letters.
        down = y + LINE * len(group.bars)
        for value, x in at.items():
            kind = "mark" if value == base and base else "grid"
            svg.append(_line(x, x, y, down, kind))
        for bar in group.bars:
            _bar(svg, bar, y, [place(v) for v in (base, *_values(bar))], unit)
            y += LINE
    for value, x in at.items():
        svg.append(_text(x, TOP + lines + 18, short(value), "tick"))
    return svg


def _values(bar: Bar) -> tuple[float, float, float]:
    return bar.spread.median, bar.spread.lowest, bar.spread.highest


def dots(title: str, rows: Sequence[Dots], names: Sequence[str], unit: str) -> Element:
    """Values on a logarithmic axis: what waits longest is far from what waits shortest."""
    values = [value for row in rows for value in row.values if value > 0]
    low = math.floor(math.log10(min(values, default=1.0)))
    high = max(math.ceil(math.log10(max(values, default=10.0))), low + 1)
    lines = LINE * len(rows)
    told = "; ".join(
        f"{row.label}: " + ", ".join(f"{n} {number(v)} {unit}" for n, v in _named(names, row))
        for row in rows
    )
    svg = _frame(title, told, TOP + lines + AXIS)
    for power in range(low, high + 1):
        x = LEFT + ROOM * (power - low) / (high - low)
        svg.append(_line(x, x, TOP, TOP + lines, "grid"))
        svg.append(_text(x, TOP + lines + 18, short(10.0**power), "tick"))
    for place, row in enumerate(rows):
        y = TOP + LINE * place + LINE / 2
        svg.append(_text(LEFT - 10, y + 4, row.label, "label"))
        found = [
            (LEFT + ROOM * (math.log10(value) - low) / (high - low), shape)
            for value, shape in zip(row.values, SHAPES, strict=False)
            if value > 0
        ]
        if found:
            svg.append(_line(found[0][0], found[-1][0], y, y, "span"))
        svg.extend(_shape(shape, x, y, row.kind) for x, shape in found)
        shown = " · ".join(short(value) for value in row.values)
        svg.append(_text(LEFT + ROOM + 10, y + 4, shown, "value"))
    return svg


def key(names: Sequence[str]) -> Element:
    """Say which shape is which value."""
    made = element("p", class_="key")
    for name, shape in zip(names, SHAPES, strict=False):
        drawn = element("svg", width=14, height=14, viewBox="0 0 14 14", aria_hidden="true")
        drawn.append(_shape(shape, 7, 7, "plain"))
        made.append(element("span", drawn, f" {name}"))
    return made


def ticks(highest: float) -> list[float]:
    """Round values from 0 up to that, about five of them."""
    power = 10.0 ** math.floor(math.log10(highest / 4))
    step = next(step * power for step in STEPS if highest / (step * power) <= 5.5)
    return [step * count for count in range(int(highest / step + 1e-9) + 1)]


def short(value: float) -> str:
    """Three digits of it, or all those before the point."""
    return f"{value:.3g}" if abs(value) < 1000 else f"{value:,.0f}"


def _frame(title: str, told: str, height: float) -> Element:
    name = f"chart-{next(_ids)}"
    return element(
        "svg",
        element("title", title, id=f"{name}-title"),
        element("desc", told, id=f"{name}-desc"),
        xmlns="http://www.w3.org/2000/svg",
        viewBox=f"0 0 {WIDTH} {height:g}",
        role="img",
        aria_labelledby=f"{name}-title {name}-desc",
    )


def _told(groups: Sequence[Group], unit: str) -> str:
    return "; ".join(
        f"{f'{group.title}, ' if group.title else ''}{bar.label}: {number(bar.spread.median)} "
        f"{unit}, {number(bar.spread.lowest)} to {number(bar.spread.highest)}"
        for group in groups
        for bar in group.bars
    )


def _bar(svg: Element, bar: Bar, y: float, places: Sequence[float], unit: str) -> None:
    """`places` are the x of the bar's begin, its median, lowest and highest."""
    middle = y + LINE / 2
    begin, end, low, high = places
    svg.append(_text(LEFT - 10, middle + 4, bar.label, "label"))
    svg.append(
        element(
            "rect",
            x=f"{min(begin, end):.1f}",
            y=f"{middle - BAR / 2:g}",
            width=f"{max(abs(end - begin), 1):.1f}",
            height=BAR,
            class_=bar.kind,
        )
    )
    path = f"M{low:.1f} {middle:g}H{high:.1f}" + "".join(
        f"M{x:.1f} {middle - 5:g}V{middle + 5:g}" for x in (low, high)
    )
    svg.append(element("path", d=path, class_="whisker"))
    svg.append(_text(LEFT + ROOM + 10, middle + 4, f"{short(bar.spread.median)} {unit}", "value"))


def _line(x1: float, x2: float, y1: float, y2: float, kind: str) -> Element:
    return element("line", x1=f"{x1:.1f}", x2=f"{x2:.1f}", y1=f"{y1:g}", y2=f"{y2:g}", class_=kind)


def _shape(shape: str, x: float, y: float, kind: str) -> Element:
    if shape == "circle":
        return element("circle", cx=f"{x:.1f}", cy=y, r=5, class_=kind)
    if shape == "square":
        return element("rect", x=f"{x - 4.5:.1f}", y=y - 4.5, width=9, height=9, class_=kind)
    corners = f"{x:.1f},{y - 6:g} {x + 6:.1f},{y:g} {x:.1f},{y + 6:g} {x - 6:.1f},{y:g}"
    return element("polygon", points=corners, class_=kind)


def _named(names: Sequence[str], row: Dots) -> Iterator[tuple[str, float]]:
    return zip(names, row.values, strict=True)


def _text(x: float, y: float, text: str, kind: str) -> Element:
    return element("text", text, x=f"{x:.1f}", y=f"{y:g}", class_=kind)
