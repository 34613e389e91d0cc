"""The OpenAPI document is complete and true, and the documentation needs no internet."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from fastapi_app.schemas.events import RunEvent
from tests.fastapi_app.routers.wire import NDJSON, PROBLEM, RUNS, created, execute
from tests.servers import ROOT, environment

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

Document = dict[str, Any]
PATHS = {
    "/api/v1/workflows/execute": {"post"},
    "/api/v1/workflows/start": {"post"},
    "/api/v1/workflows/list": {"get"},
    "/api/v1/workflows/status": {"get"},
    "/api/v1/workflows/clean": {"post"},
    "/api/v1/workflows/events": {"get"},
    "/api/v1/workflows/{run_id}/events": {"get"},
    "/api/v1/workflows/{run_id}": {"get", "delete"},
    "/api/v1/workflows/{run_id}/history": {"get"},
    "/api/v1/workflows/{run_id}/steps": {"get"},
    "/api/v1/workflows/{run_id}/input": {"post"},
    "/api/v1/workflows/{run_id}/retry": {"post"},
    "/api/v1/workflows/{run_id}/status": {"get"},
    "/api/v1/workflows/{run_id}/stop": {"post"},
    "/api/v1/workflows/{run_id}/logs": {"get"},
    "/api/v1/groups": {"get"},
    "/api/v1/groups/{name}": {"put", "delete"},
    "/api/v1/groups/{name}/pause": {"post"},
    "/api/v1/groups/{name}/resume": {"post"},
    "/api/v1/sync/status": {"get"},
    "/api/v1/sync/verify": {"get"},
    "/api/v1/sync/diff/{name}": {"get"},
    "/api/v1/sync/push": {"post"},
    "/api/v1/sync/pull": {"post"},
    "/api/v1/sync/watch": {"post"},
    "/api/v1/commands/create": {"post"},
    "/api/v1/commands/list": {"get"},
    "/api/v1/commands/search": {"get"},
    "/api/v1/commands/tags": {"get"},
    "/api/v1/commands/import": {"post"},
    "/api/v1/commands/export": {"get"},
    "/api/v1/commands/{name}": {"get", "put", "delete"},
    "/api/v1/commands/{name}/versions": {"get"},
    "/api/v1/commands/{name}/versions/{version}": {"get"},
    "/api/v1/commands/{name}/diff": {"get"},
    "/api/v1/commands/{name}/rollback": {"post"},
    "/api/v1/commands/{name}/stats": {"get"},
    "/api/v1/commands/{name}/similar": {"get"},
    "/api/v1/scheduler/jobs": {"get", "post"},
    "/api/v1/scheduler/jobs/{job}": {"get", "patch", "delete"},
    "/api/v1/scheduler/jobs/{job}/run": {"post"},
    "/api/v1/scheduler/jobs/{job}/pause": {"post"},
    "/api/v1/scheduler/jobs/{job}/resume": {"post"},
    "/api/v1/scheduler/jobs/{job}/runs": {"get"},
    "/api/v1/scheduler/preview": {"post"},
    "/api/v1/daemon/status": {"get"},
    "/api/v1/auth/login": {"post"},
    "/api/v1/auth/refresh": {"post"},
    "/api/v1/auth/logout": {"post"},
    "/api/v1/auth/me": {"get"},
    "/api/v1/auth/password": {"post"},
    "/api/v1/auth/sessions": {"get"},
    "/api/v1/auth/sessions/{session_id}": {"delete"},
    "/api/v1/auth/keys": {"get", "post"},
    "/api/v1/auth/keys/{key_id}": {"delete"},
    "/api/v1/auth/users": {"get", "post"},
    "/api/v1/auth/users/{name}": {"patch", "delete"},
    "/api/v1/audit": {"get"},
    "/livez": {"get"},
    "/readyz": {"get"},
    "/metrics": {"get"},
}


@pytest.fixture(scope="module")
def document(client: httpx.Client) -> Document:
    """The OpenAPI document as clients get it."""
    answer = client.get("/openapi.json")
    assert answer.status_code == 200
    found: Document = answer.json()
    return found


def operations(document: Document) -> Iterator[tuple[str, str, Document]]:
    """Every route: method, path, operation."""
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield method, path, operation


def nodes(value: Any) -> Iterator[Any]:  # noqa: ANN401 - any JSON
    """Every value in a JSON document."""
    yield value
    below: Any = value.values() if isinstance(value, dict) else value
    for each in () if isinstance(below, str | int | float | None) else below:
        yield from nodes(each)


def test_every_route_is_there(document: Document) -> None:
    assert document["openapi"].startswith("3.")
    assert {path: set(methods) for path, methods in document["paths"].items()} == PATHS


def test_every_reference_leads_somewhere(document: Document) -> None:
    objects = [node for node in nodes(document) if isinstance(node, dict)]
    references = {node["$ref"] for node in objects if "$ref" in node}
    assert references
    for reference in references:
        found = document
        for part in reference.removeprefix("#/").split("/"):
            assert part in found, reference
            found = found[part]


def test_operation_ids_are_unique(document: Document) -> None:
    ids = [operation["operationId"] for _, _, operation in operations(document)]
    assert len(ids) == len(set(ids)) == sum(len(methods) for methods in PATHS.values())


def test_every_route_says_what_it_does_and_how_it_fails(document: Document) -> None:
    for method, path, operation in operations(document):
        where = f"{method} {path}"
        assert operation["summary"], where
        assert operation["description"], where
        assert operation["tags"], where
        answers = operation["responses"]
        assert any(status.startswith("2") for status in answers), where
        if path in {"/livez", "/metrics"}:
            continue
        assert "503" in answers, where
        takes_a_name = "{" in path or path.endswith(("/start", "/execute"))
        assert ("404" in answers) == takes_a_name, where
        assert ({"400", "413", "422"} <= answers.keys()) == ("requestBody" in operation), where
        for status, answer in answers.items():
            if status.startswith(("4", "5")):
                assert list(answer["content"]) == [PROBLEM], f"{where} {status}"
                assert answer["content"][PROBLEM]["schema"]["$ref"].endswith("/Problem")


def test_every_body_has_an_example(document: Document) -> None:
    for method, path, operation in operations(document):
        if "requestBody" not in operation:
            continue
        [content] = operation["requestBody"]["content"].values()
        reference = content["schema"]["$ref"]
        schema = document["components"]["schemas"][reference.rpartition("/")[2]]
        assert schema["examples"], f"{method} {path}"
        assert schema["examples"][0].keys() <= schema["properties"].keys()


def test_the_examples_work(client: httpx.Client, document: Document) -> None:
    schemas = document["components"]["schemas"]
    client.delete("/api/v1/commands/deploy")
    for schema, path, status in (
        ("ExecuteRequest", f"{RUNS}/execute", 200),
        ("CommandRequest", "/api/v1/commands/create", 201),
        ("StartRequest", f"{RUNS}/start", 202),
    ):
        for example in schemas[schema]["examples"]:
            assert client.post(path, json=example).status_code == status, schema
    for example in schemas["CommandChanges"]["examples"]:
        assert client.put("/api/v1/commands/deploy", json=example).status_code == 200


def test_streams_are_described(document: Document) -> None:
    for path, method in ((f"{RUNS}/execute", "post"), (f"{RUNS}/{{run_id}}/logs", "get")):
        content = document["paths"][path][method]["responses"]["200"]["content"]
        assert content[NDJSON]["schema"]["$ref"].endswith("/RunEvent")
    logs = document["paths"][f"{RUNS}/{{run_id}}/logs"]["get"]["responses"]["200"]["content"]
    assert set(logs) == {NDJSON, "text/plain", "text/event-stream"}


def test_events_are_what_their_schema_says(client: httpx.Client) -> None:
    run_id = execute(client, "echo hi; echo err >&2; exit 1")["job_id"]
    with client.stream("GET", f"{RUNS}/{run_id}/logs", headers={"Accept": NDJSON}) as answer:
        for line in answer.iter_lines():
            event = json.loads(line)
            assert RunEvent.model_validate_json(line).type == event["type"]
            assert event.keys() <= RunEvent.model_fields.keys()


def test_the_documentation_needs_no_internet(client: httpx.Client) -> None:
    page = client.get("/docs")
    assert page.status_code == 200
    addresses = re.findall(r"""(?:src|href|url)\s*[=:]\s*["']([^"']+)""", page.text)
    assert len(addresses) >= 3
    for address in addresses:
        assert address.startswith("/"), address
        assert not address.startswith("//"), address
        assert client.get(address).status_code == 200, address
    assert not re.findall(r"https?://(?!127\.0\.0\.1)\S+", page.text)


def test_the_document_can_be_printed_without_a_server(document: Document, tmp_path: Path) -> None:
    printed = subprocess.run(
        [sys.executable, "-m", "fastapi_app.openapi"],
        cwd=ROOT,
        env=environment(tmp_path / "home"),
        capture_output=True,
        check=True,
    )
    assert json.loads(printed.stdout) == document
    assert not (tmp_path / "home").exists()


def test_answers_are_what_the_document_says(client: httpx.Client, document: Document) -> None:
    schemas = document["components"]["schemas"]
    name = created(client, "described")
    run_id = execute(client, "true")["job_id"]
    for path, schema in (
        (f"{RUNS}/{run_id}", "RunDetails"),
        (f"{RUNS}/{run_id}/history", "History"),
        ("/api/v1/groups", "GroupList"),
        (f"{RUNS}/{run_id}/status", "RunStatusAnswer"),
        (f"{RUNS}/status", "WorkflowsStatus"),
        (f"{RUNS}/list", "RunList"),
        (f"/api/v1/commands/{name}", "CommandAnswer"),
        ("/api/v1/commands/list", "CommandList"),
        ("/api/v1/sync/status", "SyncStatus"),
        ("/api/v1/sync/verify", "VerifyAnswer"),
        ("/api/v1/daemon/status", "DaemonStatus"),
    ):
        assert client.get(path).json().keys() == schemas[schema]["properties"].keys(), path
