"""What the gateway adds to `/metrics`: calls of old routes, the shadow, the mount."""

from __future__ import annotations

from typing import TYPE_CHECKING

import httpx
import pytest

from tests.fastapi_app.starting import until
from tests.metrics import Scrape
from tests.servers import Server, start_dual

if TYPE_CHECKING:
    from collections.abc import Iterator

STATUS = {"method": "GET", "route": "/status"}


@pytest.fixture(scope="module")
def dual(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    home = tmp_path_factory.mktemp("home")
    with start_dual(home, MCLI_DEFAULT_STAGE="shadow", MCLI_LEGACY_THREADS="3") as running:
        yield running
        assert running.stop() == 0


def test_calls_of_old_routes_are_counted_once_and_by_stack(dual: Server) -> None:
    before = Scrape(dual)
    for url in (dual.legacy, dual.new):
        assert httpx.get(f"{url}/status", timeout=15).status_code == 200
    stage = {"route": "GET /status", "stage": "new"}
    assert (
        httpx.put(f"{dual.new}/api/v1/cutover/routes", headers=dual.auth, json=stage).status_code
        == 200
    )
    assert httpx.get(f"{dual.legacy}/status").status_code == 200
    after = Scrape(dual)

    def grown(name: str, **labels: str) -> float:
        return after(name, **labels) - before(name, **labels)

    for stack, calls in (("legacy", 2), ("new", 1)):
        assert grown("mcli_legacy_requests_total", stack=stack, **STATUS) == calls
        name = "mcli_legacy_request_duration_seconds"
        assert grown(f"{name}_count", stack=stack, **STATUS) == calls
        assert grown(f"{name}_sum", stack=stack, **STATUS) > 0
        assert grown("mcli_legacy_errors_total", stack=stack, **STATUS) == 0
    assert "/status" not in after.labels("mcli_http_requests_total", "route")


def test_the_shadow_and_the_mount(dual: Server) -> None:
    assert httpx.get(f"{dual.legacy}/health", timeout=15).status_code == 200
    labels = {"method": "GET", "route": "/health"}
    until(lambda: Scrape(dual)("mcli_shadow_compared_total", **labels))
    scrape = Scrape(dual)
    for outcome in ("mismatched", "dropped", "skipped"):
        assert f"mcli_shadow_{outcome}_total" in scrape.names
        assert scrape(f"mcli_shadow_{outcome}_total", **labels) == 0
    assert scrape("mcli_mount_threads") == 3
    for name in ("threads_busy", "queue_length", "shed_total"):
        assert f"mcli_mount_{name}" in scrape.names
        assert scrape(f"mcli_mount_{name}") == 0


def test_the_old_port_knows_no_metrics(dual: Server) -> None:
    assert httpx.get(f"{dual.legacy}/metrics", timeout=15).status_code == 404


def test_refusals_of_the_guard_are_counted_by_rule(dual: Server) -> None:
    before = Scrape(dual)
    refused = httpx.get(f"{dual.legacy}/status", headers={"Origin": "http://evil.example"})
    assert refused.status_code == 403
    name = "mcli_guard_refused_total"
    after = Scrape(dual)
    assert after(name, rule="no-browser") == before(name, rule="no-browser") + 1
    assert after(name, rule="known-host") == before(name, rule="known-host")
