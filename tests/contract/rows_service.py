"""`/`, `/health`, `/status`, `/daemon/*`, and what Flask answers by itself."""

from __future__ import annotations

from typing import Unpack

from tests.contract.steps import (
    HTML_TYPE,
    JSON_TYPE,
    VOLATILE,
    More,
    Scenario,
    Step,
    bare,
    error,
    get,
    page,
    post,
    ran,
)

ENDPOINTS = [
    "DELETE /processes/<id>",
    "GET /",
    "GET /commands",
    "GET /commands/<id>",
    "GET /health",
    "GET /processes",
    "GET /processes/<id>",
    "GET /processes/<id>/logs",
    "GET /status",
    "POST /daemon/start",
    "POST /daemon/stop",
    "POST /execute",
    "POST /processes",
    "POST /processes/<id>/kill",
    "POST /processes/<id>/start",
    "POST /processes/<id>/stop",
    "POST /processes/run",
    "POST /workflow/start",
    "POST /workflow/stop",
]
STOPPED = error("daemon is stopped")
HEALTH = {"status": "healthy", "service": "MCLI Daemon", "timestamp": VOLATILE}


def index(status: str) -> dict[str, object]:
    """The answer of `GET /`."""
    return {
        "service": "MCLI Daemon",
        "version": "1.0.0",
        "status": status,
        "endpoints": ENDPOINTS,
    }


def status(history: int, *, running: bool = True) -> dict[str, object]:
    """The answer of `GET /status` when nothing runs."""
    return {
        "running": running,
        "active_commands": 0,
        "active_workflows": [],
        "command_history_count": history,
        "uptime_seconds": VOLATILE,
        "config": {
            "host": "127.0.0.1",
            "port": VOLATILE,
            "command_timeout": 300,
            "max_concurrent_commands": 1024,
        },
    }


def nothing(
    method: str,
    path: str,
    status: int = 200,
    content_type: str = JSON_TYPE,
    **more: Unpack[More],
) -> Step:
    """A request whose answer has no body."""
    return Step(method, path, status=status, expect=b"", content_type=content_type, **more)


FRESH = [
    Scenario(
        "what was executed is counted",
        [
            get("/status", status(0)),
            get("/health", HEALTH | {"active_commands": 0}),
            post("/execute", {"command": "true"}, ran()),
            post("/execute", {"command": "false"}, ran(returncode=1)),
            post("/execute", {"command_name": "quick"}, ran()),
            post("/execute", {"command": ""}, status=400),
            get("/status", status(3)),
        ],
    ),
]

SCENARIOS = [
    Scenario("index", [get("/", index("running")), get("/?x=1", index("running"))]),
    Scenario(
        "stopped daemon",
        [
            bare("POST", "/daemon/start", {"status": "already_running"}),
            bare("POST", "/daemon/stop", {"status": "stopped"}),
            bare("POST", "/daemon/stop", {"status": "already_stopped"}),
            get("/", index("stopped")),
            get("/health", HEALTH | {"active_commands": 0}),
            post("/execute", {"command": "true"}, STOPPED, 503),
            post("/execute", {}, STOPPED, 503),
            post("/execute", {"command": 5}, STOPPED, 503),
            post("/execute", [], error("JSON object required"), 400),
            page("POST", "/execute", 415),
            page("POST", "/execute", 400, body=b"{", headers={"Content-Type": "application/json"}),
            post("/workflow/start", {"name": "quick"}, STOPPED, 503),
            post("/workflow/start", {}, STOPPED, 503),
            page("POST", "/workflow/start", 415),
            post("/workflow/stop", {"name": "nobody"}, error("workflow not found"), 404),
            post("/processes", {}, error("Command is required"), 400),
            get("/commands/nobody", error("Command not found"), 404),
            Step("POST", "/daemon/start", b"{", content_type="application/json"),
            bare("POST", "/daemon/start", {"status": "already_running"}),
            post("/execute", {"command": "echo back"}, ran("back\n")),
        ],
        cleanup=[bare("POST", "/daemon/start")],
    ),
    Scenario(
        "unknown paths",
        [
            page("GET", "/nope", 404),
            page("POST", "/nope", 404, body=b"{}"),
            page("GET", "/health/", 404),
            page("GET", "/processes/", 404),
            page("GET", "/commands/", 404),
            page("GET", "/commands/a/b", 404),
            page("GET", "/commands/a%2Fb", 404),
            page("POST", "/workflow", 404),
            page("POST", "/execute/", 404, body=b"{}"),
            page("GET", "/static/x", 404),
            page("GET", "/favicon.ico", 404),
            page("GET", "/Health", 404),
            page("HEAD", "/nope", 404),
            page("OPTIONS", "/nope", 404),
            page("GET", "/processes/x/nope", 404),
        ],
    ),
    Scenario(
        "wrong methods",
        [
            page("POST", "/", 405, allow=frozenset({"GET", "HEAD", "OPTIONS"})),
            page("POST", "/health", 405, allow=frozenset({"GET", "HEAD", "OPTIONS"})),
            page("GET", "/execute", 405, allow=frozenset({"POST", "OPTIONS"})),
            page("HEAD", "/execute", 405, allow=frozenset({"POST", "OPTIONS"})),
            page("PUT", "/execute", 405, allow=frozenset({"POST", "OPTIONS"})),
            page("GET", "/daemon/stop", 405, allow=frozenset({"POST", "OPTIONS"})),
            page("PATCH", "/commands", 405, allow=frozenset({"GET", "HEAD", "OPTIONS"})),
            page("DELETE", "/commands/x", 405, allow=frozenset({"GET", "HEAD", "OPTIONS"})),
            page("DELETE", "/processes", 405, allow=frozenset({"GET", "HEAD", "OPTIONS", "POST"})),
            page(
                "POST",
                "/processes/x",
                405,
                allow=frozenset({"GET", "HEAD", "OPTIONS", "DELETE"}),
            ),
            page("GET", "/processes/x/start", 405, allow=frozenset({"POST", "OPTIONS"})),
            page("POST", "/processes/x/logs", 405, allow=frozenset({"GET", "HEAD", "OPTIONS"})),
            page("PROPFIND", "/status", 405, allow=frozenset({"GET", "HEAD", "OPTIONS"})),
        ],
    ),
    Scenario(
        "HEAD and OPTIONS",
        [
            nothing("HEAD", "/"),
            nothing("HEAD", "/health"),
            nothing("HEAD", "/status"),
            nothing("HEAD", "/commands"),
            nothing("HEAD", "/commands/nobody", 404),
            nothing("HEAD", "/processes"),
            nothing("HEAD", "/processes/nobody/logs?lines=x", 400),
            nothing(
                "OPTIONS",
                "/",
                content_type=HTML_TYPE,
                allow=frozenset({"GET", "HEAD", "OPTIONS"}),
            ),
            nothing(
                "OPTIONS",
                "/execute",
                content_type=HTML_TYPE,
                allow=frozenset({"POST", "OPTIONS"}),
            ),
            nothing(
                "OPTIONS",
                "/processes",
                content_type=HTML_TYPE,
                allow=frozenset({"GET", "HEAD", "OPTIONS", "POST"}),
            ),
        ],
    ),
]
