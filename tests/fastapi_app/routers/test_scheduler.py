"""`/api/v1/scheduler` over HTTP."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest

from tests.fastapi_app.routers.wire import created, finished, problem, show
from tests.fastapi_app.starting import until

if TYPE_CHECKING:
    import httpx

SCHEDULER = "/api/v1/scheduler"
JOBS = f"{SCHEDULER}/jobs"
NEVER = {"cron": "0 0 1 1 *", "timezone": "Europe/Berlin"}
SHELL = {"type": "shell", "command": "echo hi"}


def job(client: httpx.Client, **fields: Any) -> dict[str, Any]:  # noqa: ANN401
    """A job of its own name that is not due for long."""
    body = {"name": f"job {uuid4().hex[:8]}", "schedule": NEVER, "task": SHELL, **fields}
    answer = client.post(JOBS, json=body)
    assert answer.status_code == 201, answer.text
    found: dict[str, Any] = answer.json()
    assert answer.headers["location"] == f"{JOBS}/{found['id']}"
    return found


def test_a_job_is_made_found_changed_and_removed(client: httpx.Client) -> None:
    made = job(client, catch_up="all", max_runs=3, description="why")
    assert (made["schedule"]["cron"], made["schedule"]["at"]) == ("0 0 1 1 *", None)
    assert made["next_at"].endswith("-12-31T23:00:00.000000Z")
    assert made["task"] == SHELL
    for one in (made["id"], made["name"], made["name"].upper()):
        assert client.get(f"{JOBS}/{one}").json() == made
    changes = {"schedule": {"every": "2h"}, "max_runs": None, "overlap": "queue"}
    changed = client.patch(f"{JOBS}/{made['id']}", json=changes).json()
    assert changed["schedule"] == {"cron": None, "every": "2h", "at": None, "timezone": "UTC"}
    assert (changed["max_runs"], changed["overlap"], changed["catch_up"]) == (None, "queue", "all")
    assert client.delete(f"{JOBS}/{made['id']}").status_code == 204
    problem(client.get(f"{JOBS}/{made['id']}"), 404, "job-not-found")
    problem(client.delete(f"{JOBS}/{made['id']}"), 404, "job-not-found")


def test_jobs_come_in_pages_by_name(client: httpx.Client) -> None:
    names = sorted(job(client)["name"] for _ in range(3))
    found, cursor = [], None
    while True:
        query = {"limit": 2} | ({"cursor": cursor} if cursor else {})
        page = client.get(JOBS, params=query).json()
        found += [each["name"] for each in page["items"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert found == sorted(found)
    assert [name for name in found if name in names] == names
    problem(client.get(JOBS, params={"cursor": "x"}), 422, "invalid-cursor")


def test_a_job_fires_by_itself(client: httpx.Client) -> None:
    made = job(client, schedule={"every": "1s"}, max_runs=1)
    assert made["last"] is None
    path = f"{JOBS}/{made['id']}/runs"
    (slot,) = until(lambda: client.get(path).json()["items"])
    until(lambda: client.get(f"/api/v1/workflows/{slot['id']}").is_success)
    assert finished(client, slot["id"])["status"] == "completed"
    until(lambda: client.get(path).json()["items"][0]["state"] == "completed")
    after = client.get(f"{JOBS}/{made['id']}").json()
    assert (after["fired"], after["next_at"]) == (1, None)
    assert client.get(path).json()["items"] == [after["last"]]
    assert (after["last"]["id"], after["last"]["status"]) == (slot["id"], "completed")
    listed = client.get(JOBS, params={"limit": 1000}).json()["items"]
    assert after in listed


def test_a_job_is_run_at_once_paused_or_not(client: httpx.Client) -> None:
    name = created(client, f"c{uuid4().hex[:8]}", "echo $1")
    made = job(client, task={"type": "command", "name": name, "args": ["x"]})
    assert client.post(f"{JOBS}/{made['id']}/pause").json()["next_at"] is None
    answer = client.post(f"{JOBS}/{made['id']}/run")
    assert answer.status_code == 202
    slot = answer.json()
    assert slot["manual"] is True
    assert finished(client, slot["id"])["status"] == "completed"
    assert show(client, slot["id"])["name"] == name
    assert client.post(f"{JOBS}/{made['id']}/resume").json()["next_at"] == made["next_at"]
    client.delete(f"/api/v1/commands/{name}")
    problem(client.post(f"{JOBS}/{made['id']}/run"), 404, "command-not-found")
    states = [each["state"] for each in client.get(f"{JOBS}/{made['id']}/runs").json()["items"]]
    assert states[0] == "failed"
    assert "completed" in states or "fired" in states


def test_a_schedule_can_be_looked_ahead_in(client: httpx.Client) -> None:
    body = {
        "schedule": {"cron": "30 2 29 3 *", "timezone": "Europe/Berlin"},
        "count": 1,
        "start": "2026-03-01T00:00:00Z",
        "end": "2099-12-31T00:00:00Z",
    }
    (found,) = client.post(f"{SCHEDULER}/preview", json=body).json()["items"]
    assert found["local"].endswith("-03-29T02:30:00+02:00") or "T03:00:00+02:00" in found["local"]
    far = {"schedule": {"cron": "@daily"}, "end": "2026-01-01T00:00:00Z"}
    assert client.post(f"{SCHEDULER}/preview", json=far).json() == {"items": []}


def test_names_that_differ_in_case_alone_are_one(client: httpx.Client) -> None:
    made = job(client)
    body = {"name": made["name"].upper(), "schedule": NEVER, "task": SHELL}
    told = problem(client.post(JOBS, json=body), 409, "job-exists")
    assert "differs only in case" in told["detail"]
    body["name"] = made["name"]
    assert "exists already" in problem(client.post(JOBS, json=body), 409, "job-exists")["detail"]
    other = job(client)
    problem(client.patch(f"{JOBS}/{other['id']}", json={"name": made["name"]}), 409, "job-exists")
    changed = client.patch(f"{JOBS}/{made['id']}", json={"name": made["name"].upper()})
    assert changed.json()["name"] == made["name"].upper()


def test_of_two_made_at_once_one_is_made(client: httpx.Client) -> None:
    name = f"straße-{uuid4().hex[:8]}"
    with ThreadPoolExecutor(4) as threads:

        def make(called: str) -> int:
            body = {"name": called, "schedule": NEVER, "task": SHELL}
            return client.post(JOBS, json=body).status_code

        answers = list(threads.map(make, [name, name.upper(), name.title(), name.casefold()]))
    assert sorted(answers) == [201, 409, 409, 409]
    assert client.get(f"{JOBS}/{name.upper()}").json()["name"].casefold() == name.casefold()


@pytest.mark.parametrize(
    ("fields", "pointer", "told"),
    [
        ({"schedule": {"cron": "61 * * * *"}}, "/schedule/cron", "the minute '61'"),
        ({"schedule": {"every": "soon"}}, "/schedule/every", "is no period"),
        ({"schedule": {"at": "soon"}}, "/schedule/at", "is no moment"),
        ({"schedule": {"at": "2020-01-01T00:00:00Z"}}, "/schedule", "lies in the past"),
        (
            {"schedule": {"cron": "@daily", "timezone": "Mars"}},
            "/schedule/timezone",
            "no time zone",
        ),
        (
            {"start": "2098-01-01T00:00:00Z", "end": "2097-01-01T00:00:00Z"},
            "/end",
            "before the start",
        ),
        ({"end": "2020-01-01T00:00:00Z"}, "/schedule", "lies in the past"),
    ],
)
def test_a_schedule_that_cannot_be_is_told(
    client: httpx.Client, fields: dict[str, Any], pointer: str, told: str
) -> None:
    body = {"name": uuid4().hex, "schedule": NEVER, "task": SHELL, **fields}
    found = problem(client.post(JOBS, json=body), 422, "invalid-job")
    (error,) = found["errors"]
    assert error["pointer"] == pointer
    assert told in error["detail"]


@pytest.mark.parametrize(
    "fields",
    [
        {"schedule": {}},
        {"schedule": {"cron": "@daily", "every": "5m"}},
        {"task": {"type": "shell"}},
        {"task": {"type": "http", "url": "ftp://x"}},
        {"task": {"type": "http", "url": "http://x", "headers": {"a b": "c"}}},
        {"task": {"type": "what"}},
        {"task": {"type": "cleanup", "older_than": -1}},
        {"jitter": 86_401},
        {"max_runs": 0},
        {"catch_up": "some"},
        {"start": "2026-01-01T00:00:00"},
        {"name": "a/b"},
        {"name": ""},
        {"on_failure": {"url": "http://x", "secret": "short"}},
        {"on_failure": {"url": "http://x", "secret": "whsec_no base64 at all"}},
        {"on_failure": {"url": "http://x", "secret": f"whsec_{'A' * 20}"}},
        {"color": "red"},
    ],
)
def test_a_body_that_is_wrong_is_told(client: httpx.Client, fields: dict[str, Any]) -> None:
    body = {"name": uuid4().hex, "schedule": NEVER, "task": SHELL, **fields}
    problem(client.post(JOBS, json=body), 422, "invalid")


def test_a_task_that_cannot_be_done_is_told(client: httpx.Client) -> None:
    body = {"name": uuid4().hex, "schedule": NEVER, "task": {"type": "command", "name": "none"}}
    told = problem(client.post(JOBS, json=body), 422, "invalid-job")
    assert told["errors"][0]["pointer"] == "/task/name"
    plain = created(client, f"c{uuid4().hex[:8]}", "echo hi")
    body["task"] = {"type": "workflow", "name": plain}
    told = problem(client.post(JOBS, json=body), 422, "invalid-job")
    assert told["errors"][0]["pointer"] == "/task/type"
    made = job(client)
    problem(client.patch(f"{JOBS}/{made['id']}", json={"schedule": None}), 422, "invalid")
    problem(client.patch(f"{JOBS}/none", json={"name": "x"}), 404, "job-not-found")


def test_secrets_are_not_shown(client: httpx.Client) -> None:
    secret = "only for signing this"
    made = job(client, on_failure={"url": "https://example.com/hook", "secret": secret})
    assert made["on_failure"] == {"url": "https://example.com/hook", "signed": True}
    assert secret not in client.get(f"{JOBS}/{made['id']}").text
