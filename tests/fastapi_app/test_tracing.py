"""Spans that a real collector receives over HTTP, and what happens without one."""

from __future__ import annotations

import gzip
import subprocess
import sys
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tests.fastapi_app.routers.wire import RUNS, execute
from tests.fastapi_app.starting import start_app
from tests.servers import ROOT, environment

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

TRACE = "0af7651916cd43dd8448eb211c80319c"
PARENT = "b7ad6b7169203331"
WITHOUT = """
import sys
sys.modules["opentelemetry.sdk"] = None
from fastapi_app.serve import serve
sys.exit(serve({"port": 0, "otel_endpoint": "http://127.0.0.1:4318"}))
"""


class Collector(ThreadingHTTPServer):
    """Takes spans; `spans` are dictionaries of what matters here."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.spans: list[dict[str, Any]] = []
        self.services: set[str] = set()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def take(self, body: bytes) -> None:
        request = ExportTraceServiceRequest.FromString(body)
        for resource in request.resource_spans:
            named = {each.key: each.value.string_value for each in resource.resource.attributes}
            self.services.add(named["service.name"])
            for scope in resource.scope_spans:
                for span in scope.spans:
                    values = {
                        each.key: each.value.string_value or each.value.int_value
                        for each in span.attributes
                    }
                    ids = {"trace": span.trace_id.hex(), "parent": span.parent_span_id.hex()}
                    self.spans.append({"name": span.name, "kind": span.kind, **ids, **values})


class _Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        assert isinstance(self.server, Collector)
        assert self.path == "/v1/traces"
        self.server.take(body)
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def collecting() -> Iterator[Collector]:
    with Collector() as collector:
        thread = threading.Thread(target=collector.serve_forever)
        thread.start()
        try:
            yield collector
        finally:
            collector.shutdown()
            thread.join()


def test_a_collector_gets_a_span_of_each_request(home: Path) -> None:
    with collecting() as collector:
        with (
            start_app(home, otel_endpoint=collector.url) as server,
            server.client(timeout=15) as client,
        ):
            run_id = execute(client, "true")["job_id"]
            headers = {"traceparent": f"00-{TRACE}-{PARENT}-01", "X-Request-Id": "traced"}
            path = f"{RUNS}/{run_id}?token=hunter2hunter2"
            assert client.get(path, headers=headers).headers["X-Request-Id"] == "traced"
            client.get("/nope")
            assert server.stop() == 0
            assert b"Traceback" not in b"".join(server.printed)
        assert collector.services == {"mcli-dualstack"}
        by_name = {span["name"]: span for span in collector.spans}
        assert by_name.keys() == {f"POST {RUNS}/execute", f"GET {RUNS}/{{run_id}}", "GET"}
        span = by_name[f"GET {RUNS}/{{run_id}}"]
        assert (span["trace"], span["parent"]) == (TRACE, PARENT)
        assert span["http.route"] == f"{RUNS}/{{run_id}}"
        assert span["http.response.status_code"] == 200
        assert span["mcli.request_id"] == "traced"
        assert span["kind"] == 2, "server"
        assert "hunter2" not in repr(collector.spans)
        assert by_name["GET"]["http.response.status_code"] == 404
        assert by_name[f"POST {RUNS}/execute"]["trace"] != TRACE


def test_a_collector_that_is_away_harms_nobody(home: Path) -> None:
    with collecting() as collector:
        gone = collector.url
    with (
        start_app(home, otel_endpoint=f"{gone}/v1/traces") as server,
        server.client(timeout=15) as client,
    ):
        assert execute(client, "echo hi")["output"] == "hi\n"
        assert server.process.poll() is None
        assert server.stop() == 0


def test_a_missing_extra_is_told(home: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT],
        cwd=ROOT,
        env=environment(home),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith("mclictl serve: MCLI_OTEL_ENDPOINT needs the extra otel")
    assert "pip install 'mcli-dualstack[otel]'" in line


def test_without_the_setting_nothing_of_it_is_loaded(home: Path) -> None:
    code = """
import sys
from fastapi_app.app import create_app
from fastapi_app.settings import Settings
create_app(Settings.load())
lazy = ("opentelemetry.sdk", "structlog", "prometheus_client")
print([name for name in lazy if name in sys.modules])
"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env=environment(home),
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "[]\n"
