"""The tab that compares the stacks, in a real browser, with both of them under load."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import psutil
import pytest
import requests

from loadtests.calls import OPERATIONS
from loadtests.compare.tally import STACKS
from loadtests.owner import authorization
from loadtests.servers import ROOT
from tests.browser import Browser, browsing, needed
from tests.loadtests.test_locust import web_page

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ENDS_WITHIN = 60  # seconds
SCRIPTS = ("LegacyScript", "ShimScript", "NewClient")
PICTURE = ROOT / "build" / "locust-compare.png"
IN_DOCS = ROOT / "docs" / "locust-compare.png"
UPDATE = "UPDATE_SCREENSHOTS"
"""Set it to have the picture in docs/ replaced."""

DOCUMENT = "document"
FRAME = "document.querySelector('iframe#compare')?.contentDocument"
ROWS = (len(OPERATIONS) + 1) * len(STACKS)


def full(document: str) -> str:
    """Every operation of every stack has figures, and every line of the charts several points."""
    curve = f"{document}.querySelector(`#${{id}} path.${{stack}}`)?.getAttribute('d')"
    return (
        f"{document}?.querySelectorAll('#operations tbody tr').length === {ROWS}"
        f" && ['rate', 'p95'].every(id => {list(STACKS)}.every("
        f"stack => {curve}?.includes('L')))"
    )


def text(document: str, name: str) -> str:
    return f"{document}.getElementById('{name}').textContent"


@dataclass(frozen=True)
class LoadTest:
    """`make loadtest` with a load on all stacks; `urls` by the first word of its lines."""

    process: subprocess.Popen[str]
    urls: dict[str, str]

    @property
    def page(self) -> str:
        return self.urls["Locust"]


@contextmanager
def load_test(port: int, users: int = 6) -> Iterator[LoadTest]:
    argv = [sys.executable, "-m", "loadtests.run", "--web-port", str(port), "--autostart"]
    with subprocess.Popen(
        [*argv, "-u", str(users), "-r", str(users), *SCRIPTS],
        cwd=ROOT,
        env=os.environ | {"PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        try:
            assert process.stdout is not None
            lines = [process.stdout.readline().split() for _ in range(4)]
            test = LoadTest(process, {line[0]: line[1] for line in lines})
            web_page(test.page)
            yield test
        finally:
            process.terminate()
            process.wait(ENDS_WITHIN)


@pytest.fixture(scope="module")
def _browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with browsing(needed(), tmp_path_factory.mktemp("browser")) as browser:
        yield browser


@pytest.fixture
def browser(_browser: Browser) -> Browser:
    """A light browser of 1,200 pixels without problems so far."""
    _browser.goto("about:blank")
    _browser.prefer("light")
    _browser.resize(1200, 900)
    _browser.problems.clear()
    return _browser


def table(browser: Browser, document: str, name: str) -> dict[tuple[str, str], list[str]]:
    """The rows of a table of the page: the cells by what stands in the first two."""
    rows: list[list[str]] = browser.evaluate(
        f"[...{document}.querySelectorAll('#{name} tbody tr')]"
        ".map(row => [...row.cells].map(cell => cell.textContent))"
    )
    return {(row[0], row[1]): row[2:] for row in rows}


def test_both_stacks_are_compared_live(
    browser: Browser, unused_tcp_port: int, tmp_path: Path
) -> None:
    update = os.environ.get(UPDATE)
    with load_test(unused_tcp_port, 12 if update else 6) as test:
        for route in ("GET /status", "POST /execute"):
            move = {"route": route, "stage": "canary", "percent": 50}
            url = f"{test.urls['NewClient']}/api/v1/cutover/routes"
            assert (
                requests.put(url, headers=authorization("/api/"), json=move, timeout=10).status_code
                == 200
            )

        browser.goto(f"{test.page}/?tab=compare")
        browser.until(full(FRAME))
        browser.until(f"{FRAME}.querySelector('#routes tbody')?.textContent.includes('canary')")
        if update:  # a picture of more than the first moments
            path = f"{FRAME}.querySelector('#rate path.new').getAttribute('d')"
            browser.until(f"{path}.split('L').length > 30")
        browser.screenshot(PICTURE, 1200, 1300)

        rows = table(browser, FRAME, "operations")
        names = ("all shared operations", *OPERATIONS)
        assert rows.keys() == {(name, stack) for name in names for stack in STACKS.values()}
        for (_, stack), (sent, failed, rate, *cells) in rows.items():
            assert int(sent.replace(",", "")) > 0
            assert failed == "0 %"
            assert float(rate) > 0
            # Three percentiles; then ratios to the old daemon, which has none to itself.
            ratios = cells[3:7]
            assert all(cell.endswith("\u00d7") for cell in ratios) == (stack != "old daemon")
        routes = table(browser, FRAME, "routes")
        assert routes["GET /status", "canary"][0] == "50 %"
        assert routes["GET /health", "new"][2:] == ["0 %", "100 %"]
        for chart in ("rate", "p95"):
            said = browser.evaluate(text(FRAME, f"{chart}-text"))
            assert all(name in said for name in STACKS.values())

        # Locust's own switch, and its other tabs.
        browser.evaluate("[...document.querySelectorAll('header button')].at(-1).click()")
        browser.until(f"{FRAME}.documentElement.dataset.theme === 'dark'")
        click = "[...document.querySelectorAll('[role=tab]')].find(t => /^{}$/i.test(t.innerText))"
        browser.evaluate(click.format("charts") + ".click()")
        browser.until("document.querySelector('iframe#compare') === null")
        browser.evaluate("localStorage.clear()")

        # The page by itself, as dark as the system.
        browser.prefer("dark")
        browser.goto(f"{test.page}/compare/")
        browser.until(full(DOCUMENT))
        assert (
            browser.evaluate("getComputedStyle(document.body).backgroundColor")
            != "rgb(255, 255, 255)"
        )
        browser.screenshot(PICTURE.with_stem("locust-compare-dark"), 1200, 1500)
        browser.evaluate(
            "{ const choice = document.getElementById('operation'); choice.value = 'status';"
            " choice.dispatchEvent(new Event('change')) }"
        )
        path = "document.querySelector('#rate path.shim')?.getAttribute('d')"
        browser.evaluate(f"window.before = {path}; 0")
        browser.until(f"{path} && {path} !== window.before")

        # The report, as a file without a server.
        report = tmp_path / "report.html"
        report.write_bytes(requests.get(f"{test.page}/compare/comparison.html", timeout=10).content)
        csv = requests.get(f"{test.page}/compare/comparison.csv", timeout=10)
        assert csv.text.startswith("operation,stack,requests,")
        assert "/compare/comparison.csv" in web_page(test.page)
        browser.goto(report.as_uri())
        browser.until(full(DOCUMENT))
        assert browser.evaluate("document.getElementById('actions')") is None

        # A reset: what was counted before is gone.
        browser.goto(f"{test.page}/compare/")
        browser.until(full(DOCUMENT))
        sent = "document.querySelector('#operations td:nth-child(3)')?.textContent"
        count = f"Number({sent}?.replaceAll(',', ''))"
        browser.evaluate(f"window.before = {count}; document.getElementById('reset').click()")
        browser.until(f"{count} < window.before")
        assert browser.problems == []
    if update:
        IN_DOCS.write_bytes(PICTURE.read_bytes())


def test_servers_that_are_gone(browser: Browser, unused_tcp_port: int) -> None:
    with load_test(unused_tcp_port) as test:
        browser.goto(f"{test.page}/compare/")
        browser.until(full(DOCUMENT))
        children = psutil.Process(test.process.pid).children()
        (dual,) = (child for child in children if {"cli", "serve"} <= set(child.cmdline()))
        dual.terminate()
        browser.until(f"{text(DOCUMENT, 'routes-problem')}.includes('does not answer')")
        browser.until(
            "[...document.querySelectorAll('#operations td.shim')].some(({ parentElement: row }) =>"
            " row.cells[0].textContent === 'status' && row.cells[3].textContent !== '0 %')"
        )
        rows = table(browser, DOCUMENT, "operations")
        assert rows["status", "old daemon"][1] == "0 %"
        # Refusing at once is not being fast.
        better = "[...document.querySelectorAll('#operations tr.sum .better')].length"
        assert browser.evaluate(better) == 0
        assert len(table(browser, DOCUMENT, "routes")) > 0
        assert browser.problems == []
    browser.until(f"{text(DOCUMENT, 'problem')}.startsWith('Locust does not answer since')")
    assert len(table(browser, DOCUMENT, "operations")) == len(rows)
    # The browser tells of the questions without an answer; the script itself has no error.
    assert {each.partition(":")[0] for each in browser.problems} == {"log", "not loaded"}


def test_a_host_without_cut_over(browser: Browser, limit: str, unused_tcp_port: int) -> None:
    argv = [sys.executable, "-m", "locust", "-f", "loadtests/locustfile.py", "--autostart"]
    argv += ["--web-host", "127.0.0.1", "--web-port", str(unused_tcp_port)]
    kept = {name: value for name, value in os.environ.items() if not name.startswith("LOADTEST_")}
    with subprocess.Popen(
        [*argv, "--host", limit, "LegacyScript"],
        cwd=ROOT,
        env=kept,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as process:
        try:
            page = f"http://127.0.0.1:{unused_tcp_port}"
            web_page(page)
            browser.goto(f"{page}/compare/")
            browser.until("document.querySelectorAll('#operations tbody tr').length > 3")
            browser.until(f"{text(DOCUMENT, 'routes-problem')}.includes('has no cut-over (404)')")
            assert table(browser, DOCUMENT, "routes") == {}
            assert {stack for _, stack in table(browser, DOCUMENT, "operations")} == {"old daemon"}
            assert browser.evaluate(text(DOCUMENT, "summary")) == ""
            assert browser.problems == []
        finally:
            process.terminate()
            process.wait(ENDS_WITHIN)
