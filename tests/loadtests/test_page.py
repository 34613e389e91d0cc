"""The report as a page: whole, escaped, complete, and in need of no network."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from itertools import pairwise
from xml.etree import ElementTree as ET

import pytest

from loadtests.charts import Bar, Dots, Group, bars, dots, ratio_bars, ticks
from loadtests.contestants import CONTESTANTS
from loadtests.figures import Spread
from loadtests.markdown import headline_cells, line_cells
from loadtests.markup import element, html
from loadtests.page import STYLE, kind_of, page
from loadtests.report import Report
from tests.loadtests.reports import ABOUT, full_report

VOID = {"meta"}
OKABE_ITO = {"e69f00", "56b4e9", "009e73", "f0e442", "0072b2", "d55e00", "cc79a7", "999999"}


class Reader(HTMLParser):
    """Reads a page, and notes its texts, cells, attributes, and what is not closed in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.texts: list[str] = []
        self.cells: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.wrong: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.attributes += [(name, value or "") for name, value in attrs]
        if tag not in VOID:
            self.open.append(tag)
        if tag in {"td", "th"}:
            self.cells.append("")

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            self.wrong.append(tag)

    def handle_data(self, data: str) -> None:
        self.texts.append(data)
        if self.open and self.open[-1] in {"td", "th"}:
            self.cells[-1] += data


@pytest.fixture(scope="module")
def shown() -> str:
    return page(full_report())


def svgs(text: str) -> list[ET.Element]:
    # Our own page, and well-formed XML or this fails.
    found = re.findall(r"<svg.*?</svg>", text, re.DOTALL)
    return [ET.fromstring(svg) for svg in found]  # noqa: S314


def test_it_is_whole_and_asks_for_nothing(shown: str) -> None:
    reader = Reader(shown)
    assert (reader.open, reader.wrong) == ([], [])
    assert shown.startswith("<!doctype html>")
    assert "<script" not in shown
    assert "@import" not in shown
    assert "url(" not in shown
    links = [value for name, value in reader.attributes if name in {"src", "href"}]
    assert links
    assert all(link.startswith("#") for link in links)
    ids = [value for name, value in reader.attributes if name == "id"]
    assert len(ids) == len(set(ids))
    assert {link.removeprefix("#") for link in links} <= set(ids)


def test_it_holds_every_figure(shown: str) -> None:
    report = full_report()
    cells = Reader(shown).cells
    for row in (
        *map(line_cells, report.lines),
        *map(headline_cells, report.headlines),
        *(figure.cells() for chapter in report.chapters for figure in chapter.figures),
    ):
        width = len(row)
        assert tuple(row) in {tuple(cells[at : at + width]) for at in range(len(cells))}, row


def test_it_says_what_the_text_says(shown: str) -> None:
    report = full_report()
    texts = " ".join(Reader(shown).texts)
    for said in (
        *report.slower,
        *report.failures,
        *(line for each in report.lines for line in each.by_hand),
        "the <fastest> one: not measured",
        "How <it> was done.",
        "ValueError: <no>",
        "mcli-dualstack 0.1.0, python 3.11.0, flask 3.0",
        "2 processors (Some CPU), 16.5 GB, Some Linux",
        "1 REGRESSED",
        "shim, stage new: status 503 (2 times)",
    ):
        assert said in texts
    assert "<it>" not in shown
    assert "<fastest>" not in shown


def test_every_chart_says_in_text_what_it_shows(shown: str) -> None:
    charts = [svg for svg in svgs(shown) if svg.get("role") == "img"]
    # One of ratios, and two for each row.
    assert len(charts) == 1 + 2 * len(full_report().rows)
    space = "{http://www.w3.org/2000/svg}"
    for chart in charts:
        title, desc = chart.find(f"{space}title"), chart.find(f"{space}desc")
        assert title is not None
        assert desc is not None
        assert title.text
        assert desc.text
        assert chart.get("aria-labelledby") == f"{title.get('id')} {desc.get('id')}"
    first = charts[0].find(f"{space}desc")
    assert first is not None
    assert "shim, stage new: 3 x, 2.50 to 4" in (first.text or "")


def test_an_empty_report_is_a_page() -> None:
    reader = Reader(page(Report(ABOUT)))
    assert (reader.open, reader.wrong) == ([], [])
    assert "There is no baseline to compare with." in reader.texts


def test_colours_hold_for_the_colour_blind() -> None:
    style = STYLE.read_text(encoding="utf-8")
    fills = dict(re.findall(r"^\.([a-z]+)[^{]*\{ fill: #([0-9a-f]{6}); \}$", style, re.MULTILINE))
    fills |= dict(re.findall(r"\.[a-z]+, \.([a-z]+) \{ fill: #([0-9a-f]{6}); \}", style))
    assert set(fills.values()) <= OKABE_ITO
    assert {kind_of(key) for key in (*CONTESTANTS, "mclictl")} <= fills.keys()


def places(svg: ET.Element, name: str, attribute: str) -> list[float]:
    return [float(found.get(attribute, "nan")) for found in svg.iter(name)]


def test_bars_are_as_long_as_what_they_show() -> None:
    group = Group("", [Bar("a", "old", Spread(10, 5, 20)), Bar("b", "shim", Spread(20, 20, 20))])
    short, long = places(bars("x", [group], "s"), "rect", "width")
    assert long == pytest.approx(2 * short, abs=0.2)
    (text,) = [each.text for each in bars("x", [group], "s").iter("desc")]
    assert text == "a: 10 s, 5 to 20; b: 20 s, 20 to 20"


def test_ratios_go_to_both_sides_of_one() -> None:
    spreads = [Spread(value, value, value) for value in (0.5, 2, 4)]
    svg = ratio_bars("x", [Group("g", [Bar("a", "old", spread) for spread in spreads])], "x")
    left, right = places(svg, "rect", "x"), places(svg, "rect", "width")
    half, double, fourfold = zip(left, right, strict=True)
    # Half begins where one bar's length is missing, and ends where the others begin.
    assert sum(half) == pytest.approx(double[0], abs=0.2)
    assert double[0] == fourfold[0]
    assert half[1] == pytest.approx(double[1], abs=0.2)
    assert fourfold[1] == pytest.approx(2 * double[1], abs=0.3)


def test_dots_stand_in_their_order_and_nothing_is_left_out() -> None:
    svg = dots("x", [Dots("a", "old", [1, 10, 100])], ("p50", "p95", "p99"), "ms")
    xs = [*places(svg, "circle", "cx"), *places(svg, "rect", "x")]
    xs += [float(each.get("points", "").split(",")[0]) for each in svg.iter("polygon")]
    assert len(xs) == 3
    assert all(low < high for low, high in pairwise(xs))
    # What never answered has no place on a logarithmic axis.
    nothing = dots("x", [Dots("a", "old", [0, 0, 0])], ("p50", "p95", "p99"), "ms")
    assert not [*nothing.iter("circle")]


@pytest.mark.parametrize("highest", [0.013, 0.9, 1, 4.2, 99, 12_345])
def test_ticks_are_few_and_round(highest: float) -> None:
    found = ticks(highest)
    assert 3 <= len(found) <= 7
    assert found[0] == 0
    assert highest * 0.7 < found[-1] <= highest * 1.001


def test_elements_are_escaped() -> None:
    made = element("p", "a < b ", element("b", "&"), " c", class_="x", aria_label='"')
    assert html(made) == (
        '<!doctype html>\n<p class="x" aria-label="&quot;">a &lt; b <b>&amp;</b> c</p>\n'
    )
