"""Two servers plan on one database, and either is killed: no slot is lost, none fires twice."""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter, defaultdict
from typing import TYPE_CHECKING, Any

import asyncpg
import pytest

from tests.fastapi_app.starting import start_app, until

if TYPE_CHECKING:
    from pathlib import Path

    import httpx

    from tests.servers import Server

pytestmark = pytest.mark.postgres
JOBS = "/api/v1/scheduler/jobs"
MANY = 25


def asked(url: str, query: str) -> list[Any]:
    """Rows of the database both servers use."""

    async def ask() -> list[Any]:
        connection = await asyncpg.connect(url.replace("+asyncpg", ""))
        try:
            return list(await connection.fetch(query))
        finally:
            await connection.close()

    return asyncio.run(ask())


def make_jobs(client: httpx.Client) -> None:
    for number in range(MANY):
        body = {
            "name": f"job-{number}",
            "schedule": {"every": "1s"},
            "task": {"type": "shell", "command": "true"},
            "catch_up": "all",
            "overlap": "allow",
        }
        assert client.post(JOBS, json=body).status_code == 201


def test_two_planners_and_a_kill_of_either(tmp_path: Path, postgres_url: str) -> None:
    settings = {"database_url": postgres_url}
    first: Server = start_app(tmp_path / "a", **settings)
    second: Server = start_app(tmp_path / "b", **settings)
    with first, second:
        with first.client(timeout=30) as client:
            make_jobs(client)

        def fired_by() -> Counter[str]:
            rows = asked(postgres_url, "SELECT owner FROM slots WHERE state <> 'missed'")
            return Counter(str(row["owner"]).split(":")[1] for row in rows)

        until(lambda: fired_by().total() >= 2 * MANY)
        first.kill()
        seen = fired_by().total()
        until(lambda: fired_by().total() >= seen + 2 * MANY)
        again: Server = start_app(tmp_path / "a", **settings)
        with again:
            second.kill()
            seen = fired_by().total()
            until(lambda: fired_by().total() >= seen + 2 * MANY)
            last: Server = start_app(tmp_path / "b", **settings)
            with last, last.client(timeout=30) as client:
                for number in range(MANY):
                    assert client.post(f"{JOBS}/job-{number}/pause").status_code == 200
                unsettled = "SELECT 1 FROM slots WHERE state IN ('claimed', 'fired', 'waiting')"
                until(lambda: not asked(postgres_url, unsettled), within=30)
                slots = asked(postgres_url, "SELECT job_id, at, id, state, reason FROM slots")
                runs = asked(postgres_url, "SELECT id, status FROM runs")
                assert last.stop() == 0
            assert again.stop() == 0
    moments = defaultdict(list)
    for slot in slots:
        moments[slot["job_id"]].append(slot["at"])
    assert len(moments) == MANY
    for found in moments.values():
        found.sort()
        gaps = [after - before for before, after in itertools.pairwise(found)]
        assert gaps == [pytest.approx(1.0)] * len(gaps)
    assert Counter(slot["state"] for slot in slots) == {"completed": len(slots)}
    assert {run["id"] for run in runs} == {slot["id"] for slot in slots}
    assert Counter(run["status"] for run in runs) == {"completed": len(slots)}


RUNNING = "SELECT 1 FROM runs WHERE status = 'running'"
DOCUMENT = """
[steps.one]
run = "echo one >> {ran}"
[steps.two]
run = "echo two >> {ran}"
needs = ["one"]
"""


def test_what_a_dead_server_had_accepted_is_started_by_the_other(
    tmp_path: Path, postgres_url: str
) -> None:
    ran, gate = tmp_path / "ran", tmp_path / "gate"
    settings = {"database_url": postgres_url, "stop_grace": "0.3"}
    first: Server = start_app(tmp_path / "a", max_concurrent_commands="1", **settings)
    second: Server = start_app(tmp_path / "b", **settings)
    with first, second, first.client(timeout=30) as client:
        for name, language, code in (
            ("stored", "shell", f"echo $1 >> {ran}"),
            ("steps", "toml", DOCUMENT.format(ran=ran)),
        ):
            body = {"name": name, "language": language, "code": code}
            assert client.post("/api/v1/commands/create", json=body).status_code == 201
        tasks: dict[str, dict[str, object]] = {
            "blocks": {"type": "shell", "command": f"while [ ! -e {gate} ]; do sleep 0.01; done"},
            "shell": {"type": "shell", "command": f"echo shell >> {ran}"},
            "command": {"type": "command", "name": "stored", "args": ["stored"]},
            "workflow": {"type": "workflow", "name": "steps"},
        }
        for name, task in tasks.items():
            job = {"name": name, "schedule": {"cron": "0 0 1 1 *"}, "task": task}
            assert client.post(JOBS, json=job).status_code == 201
            assert client.post(f"{JOBS}/{name}/run").status_code == 202
            if name == "blocks":  # the only slot of the first server is taken from now on
                until(lambda: asked(postgres_url, RUNNING))
        first.kill()
        until(lambda: ran.exists() and len(ran.read_text().split()) == 4)
        assert sorted(ran.read_text().split()) == ["one", "shell", "stored", "two"]
        with start_app(tmp_path / "a", **settings) as again:
            gate.touch()
            unsettled = "SELECT 1 FROM slots WHERE state <> 'completed'"
            until(lambda: not asked(postgres_url, unsettled), within=30)
            assert again.stop() == 0
        assert sorted(ran.read_text().split()) == ["one", "shell", "stored", "two"]
        assert second.stop() == 0
