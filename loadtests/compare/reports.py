"""The comparison as files: CSV for programs, HTML for people. Both stand for themselves."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

from loadtests.compare.tally import COMPARED, SHARED, STACKS

PAGE = Path(__file__).resolve().parent / "page"
ALL_SHARED = "all shared operations"
FIGURES = ("requests", "failures", "error_rate", "rate", "p50", "p95", "p99")
ANSWERED = ("legacy", "new")
HEAD = (
    *("operation", "stack", "requests", "failures", "error rate"),
    *("right answers/s", "p50 ms", "p95 ms", "p99 ms"),
    *(f"{name} / old daemon's" for name in ("right answers/s", "p50", "p95", "p99", "error rate")),
    *(f"answered by {stack} stack" for stack in ANSWERED),
)


def as_csv(comparison: dict[str, Any]) -> str:
    """A line for each operation on each stack; what is not known is empty."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(HEAD)
    for row in comparison["operations"]:
        operation = row["operation"]
        for stack, figures in row["stacks"].items():
            ratios = figures.get("ratios", {})
            answered = comparison["answered"].get(operation, {}) if stack == "shim" else {}
            cells = [
                *(figures[name] for name in FIGURES),
                *(ratios.get(name) for name in COMPARED),
                *(answered.get(name) for name in ANSWERED),
            ]
            name = ALL_SHARED if operation == SHARED else operation
            writer.writerow([name, STACKS[stack], *map(_cell, cells)])
    return text.getvalue()


def as_html(comparison: dict[str, Any]) -> str:
    """The page as it was at that moment, in one file."""
    # Nothing inside a script element may look like its end.
    data = json.dumps(comparison).replace("<", "\\u003c")
    page = (PAGE / "compare.html").read_text(encoding="utf-8")
    for link, content in (
        ('<link rel="stylesheet" href="page/compare.css">', _element("style", "compare.css")),
        ('<script src="page/compare.js"></script>', _element("script", "compare.js")),
        ("</main>", f'</main>\n<script id="frozen" type="application/json">{data}</script>'),
    ):
        assert link in page
        page = page.replace(link, content)
    return page


def _element(tag: str, name: str) -> str:
    return f"<{tag}>\n{(PAGE / name).read_text(encoding='utf-8')}</{tag}>"


def _cell(value: float | None) -> str:
    if value is None:
        return ""
    return str(value) if isinstance(value, int) else f"{value:.4g}"
