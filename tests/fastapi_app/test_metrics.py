"""`/metrics` of real servers, read with Prometheus' own parser."""

from __future__ import annotations

import math
import threading
from typing import TYPE_CHECKING

import httpx
import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from fastapi_app.metrics import Histogram, Metrics, counter
from tests.fastapi_app.routers.wire import RUNS, connected, execute, request, show, start
from tests.fastapi_app.starting import start_app, until
from tests.metrics import Scrape

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.servers import Server


@pytest.fixture
def own(home: Path) -> Iterator[tuple[Server, httpx.Client]]:
    """A server nobody else asks anything."""
    with start_app(home, max_concurrent_commands="1", stop_grace="0.2") as server:
        with server.client(timeout=15) as client:
            yield server, client
        assert server.stop() == 0
        assert b"Traceback" not in b"".join(server.printed)


def test_the_form_is_what_the_scraper_accepts(client: httpx.Client) -> None:
    plain = client.get("/metrics")
    assert plain.headers["Content-Type"].startswith("text/plain; version=0.0.4")
    accept = "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5"
    answer = client.get("/metrics", headers={"Accept": accept})
    assert answer.headers["Content-Type"].startswith("application/openmetrics-text; version=1.0.0")
    assert answer.text.endswith("# EOF\n")
    families = text_string_to_metric_families(answer.text)  # type: ignore[no-untyped-call]
    names = {family.name for family in families}
    assert {"mcli_http_requests", "mcli_event_loop_lag_seconds", "process_cpu_seconds"} <= names


def test_requests_are_counted_by_route_and_never_by_path(
    own: tuple[Server, httpx.Client],
) -> None:
    server, client = own
    run_id = execute(client, "true")["job_id"]
    for _ in range(3):
        show(client, run_id)
    for number in range(20):
        client.get(f"{RUNS}/nobody-{number}")
        client.get(f"/nope/{number}")
    client.get("/static-offline-docs/favicon.png")
    client.post("/livez")
    body = request("GET", "/livez").replace(b"GET", b"BREW")
    with connected(server.new, body) as wire:
        assert b" 405 " in wire.recv(1000)
    scrape = Scrape(server)
    show_route = f"{RUNS}/{{run_id}}"

    def requests(method: str, route: str, status: str) -> float:
        return scrape("mcli_http_requests_total", method=method, route=route, status=status)

    assert requests("GET", show_route, "200") == 3
    assert requests("GET", show_route, "404") == 20
    assert requests("GET", "(unmatched)", "404") == 20
    assert requests("GET", "(other)", "200") == 1
    assert requests("POST", "/livez", "405") == 1
    assert requests("other", "/livez", "405") == 1
    assert requests("POST", f"{RUNS}/execute", "200") == 1
    assert scrape.labels("mcli_http_requests_total", "route") == {
        show_route, "(unmatched)", "(other)", "/livez", f"{RUNS}/execute",
    }  # fmt: skip
    durations = "mcli_http_request_duration_seconds"
    assert scrape(f"{durations}_count", method="GET", route=show_route) == 23
    assert scrape(f"{durations}_bucket", method="GET", route=show_route, le="+Inf") == 23
    assert scrape(f"{durations}_sum", method="GET", route=show_route) > 0
    assert Scrape(server)("mcli_http_in_flight") == 1, "the scrape itself"


def test_runs_spawns_and_sockets(own: tuple[Server, httpx.Client]) -> None:
    server, client = own
    assert execute(client, "exit 3")["returncode"] == 3
    running = start(client, "sleep 60")
    until(lambda: show(client, running)["status"] == "running")
    waiting = start(client, "true")
    with server.following():
        now = until(lambda: s if (s := Scrape(server))("mcli_websocket_clients") else None)
        assert now is not None
        assert now("mcli_websocket_clients") == 1
    until(lambda: not Scrape(server)("mcli_websocket_clients"))
    assert now("mcli_runs_running") == 1
    assert now("mcli_queue_length") == 1
    assert now("mcli_spawn_duration_seconds_count") == 2
    assert now("mcli_database_up") == 1
    statuses = {
        status: now("mcli_database_runs", status=status)
        for status in now.labels("mcli_database_runs", "status")
    }
    assert statuses == {
        "queued": 1, "running": 1, "failed": 1, "completed": 0, "cancelled": 0, "timed_out": 0,
        "lost": 0,
    }  # fmt: skip
    for run_id in (waiting, running):
        client.post(f"{RUNS}/{run_id}/stop")


def test_the_loop_s_lag_and_the_process(own: tuple[Server, httpx.Client]) -> None:
    server, _ = own
    until(lambda: Scrape(server)("mcli_event_loop_lag_seconds_count") > 1)
    scrape = Scrape(server)
    assert scrape("process_resident_memory_bytes") > 1e6
    assert scrape("process_open_fds") > 3
    assert scrape("process_start_time_seconds") > 1.7e9
    assert scrape("mcli_uptime_seconds") > 0


def test_every_family_says_what_it_is(client: httpx.Client, server: Server) -> None:
    client.get("/livez")
    for family in Scrape(server).families.values():
        assert family.documentation, family.name
        assert family.name.startswith(("mcli_", "process_")), family.name


def test_a_database_that_does_not_answer_is_told(own: tuple[Server, httpx.Client]) -> None:
    server, client = own
    import sqlite3

    with sqlite3.connect(server.home / "mcli.db") as other:
        other.execute("ALTER TABLE runs RENAME TO away")
    other.close()
    try:
        scrape = Scrape(server)
        assert scrape("mcli_database_up") == 0
        assert "mcli_database_runs" not in scrape.names
    finally:
        with sqlite3.connect(server.home / "mcli.db") as other:
            other.execute("ALTER TABLE away RENAME TO runs")
        other.close()
    assert client.get("/livez").status_code == 200


def test_two_servers_of_one_database_tell_its_runs_alike(tmp_path: Path, postgres_url: str) -> None:
    with (
        start_app(tmp_path / "a", database_url=postgres_url) as one,
        start_app(tmp_path / "b", database_url=postgres_url) as two,
        one.client(timeout=15) as client,
    ):
        for _ in range(3):
            execute(client, "true")
        scrapes = [Scrape(server) for server in (one, two)]
        assert [s("mcli_database_runs", status="completed") for s in scrapes] == [3, 3]
        assert [s("mcli_spawn_duration_seconds_count") for s in scrapes] == [3, 0]
        route = {"method": "POST", "route": f"{RUNS}/execute", "status": "200"}
        assert [s("mcli_http_requests_total", **route) for s in scrapes] == [3, 0]
        assert "max without (instance)" in scrapes[0].families["mcli_database_runs"].documentation


def test_whoever_counts_something_can_register_it() -> None:
    metrics, fallbacks = Metrics(), 0
    metrics.register(lambda: [counter("mcli_rate_limit_fallbacks", "Times", fallbacks)])
    fallbacks = 7
    (found,) = (f for f in metrics.collect() if f.name == "mcli_rate_limit_fallbacks")
    assert found.samples == [((), 7)]


def test_times_fall_into_the_bucket_that_holds_them() -> None:
    times = Histogram((0.1, 1.0))
    for seconds in (0.0, 0.1, 0.2, 1.0, 1.1, math.inf):
        times.note(seconds)
    assert times.counts == [2, 2, 2]


def test_scrapes_at_the_same_time_all_answer(client: httpx.Client) -> None:
    answers: list[int] = []

    def scrape() -> None:
        answers.append(client.get("/metrics").status_code)

    threads = [threading.Thread(target=scrape) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == [200] * 8
