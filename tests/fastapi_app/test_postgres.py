"""The engine and the live streams on PostgreSQL, and what happens when that goes away."""

from __future__ import annotations

import asyncio
import json
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import asyncpg
import httpx
import pytest
from sqlalchemy import URL, make_url
from websockets.sync.client import connect

from tests.fastapi_app.routers.wire import (
    COMMANDS,
    RUNS,
    created,
    execute,
    finished,
    printed,
    problem,
    show,
    start,
)
from tests.fastapi_app.starting import start_app, until
from tests.postgres import admin

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.servers import Server

STEPS = """
steps:
  one: {run: echo one}
  two: {run: 'echo two; exit 3', needs: [one], retries: {times: 1, delay: 0.01}}
  three: {run: echo never, needs: [two]}
  four: {run: echo four, needs: [two], when: any}
"""
CUT = (
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
    " WHERE datname = $1 AND pid <> pg_backend_pid()"
)
GATED = "echo $$; while [ ! -e {gate} ]; do sleep 0.01; done; exit 6"


@contextmanager
def serving(home: Path, url: str, **settings: str) -> Iterator[tuple[Server, httpx.Client]]:
    """A server on that database, and a client of it."""
    with (
        start_app(home, database_url=url, stop_grace="0.3", **settings) as server,
        server.client(timeout=30) as client,
    ):
        yield server, client


@pytest.fixture
def outage(postgres: URL, postgres_url: str) -> Outage:
    """Lets the database of the test go away."""
    return Outage(postgres, make_url(postgres_url).database or "")


class Outage:
    """A database that nobody can reach while the context lasts."""

    def __init__(self, postgres: URL, name: str) -> None:
        self._postgres = postgres
        self._name = name

    def __enter__(self) -> None:
        self._do(f"ALTER DATABASE {self._name} ALLOW_CONNECTIONS false")
        self.cut()

    def __exit__(self, *_: object) -> None:
        self._do(f"ALTER DATABASE {self._name} ALLOW_CONNECTIONS true")

    def cut(self) -> None:
        """End every connection; new ones are welcome."""
        self._do(CUT, self._name)

    def read_only(self, value: str) -> None:
        """Let new connections write nothing, or everything again."""
        self._do(f"ALTER DATABASE {self._name} SET default_transaction_read_only = {value}")
        self.cut()

    def _do(self, statement: str, *arguments: str) -> None:
        async def work() -> None:
            connection = await admin(self._postgres)
            await connection.execute(statement, *arguments)
            await connection.close()

        with ThreadPoolExecutor(1) as other:  # where no event loop runs
            other.submit(asyncio.run, work()).result()


def silent(server: Server) -> None:
    """The server must end cleanly and not have met anything it did not expect."""
    assert server.stop() == 0
    said = b"".join(server.printed).decode()
    assert "Traceback" not in said, said


def test_runs_retries_groups_and_documents(home: Path, postgres_url: str) -> None:
    with serving(home, postgres_url) as (server, client):
        assert execute(client, "echo hi; exit 2")["returncode"] == 2
        run = finished(client, start(client, "exit 3", retries={"times": 1, "delay": 0.01}))
        assert (run["status"], run["attempt"], run["returncode"]) == ("failed", 2, 3)
        items = client.get(f"{RUNS}/{run['id']}/history").json()["items"]
        assert [(item["status"], item["attempt"]) for item in items] == [
            ("queued", 1), ("running", 1), ("queued", 2), ("running", 2), ("failed", 2),
        ]  # fmt: skip
        client.put("/api/v1/groups/one", json={"slots": 1})
        client.post("/api/v1/groups/one/pause")
        waiting = [start(client, "true", group="one", priority=n) for n in (1, 2)]
        assert [show(client, run_id)["status"] for run_id in waiting] == ["queued"] * 2
        client.post("/api/v1/groups/one/resume")
        ended = [finished(client, run_id) for run_id in waiting]
        assert ended[1]["started_at"] < ended[0]["started_at"]
        name = created(client, uuid4().hex, STEPS, language="yaml")
        doc = client.post(f"{RUNS}/start", json={"name": name}).json()["job_id"]
        run = finished(client, doc)
        assert (run["status"], run["returncode"]) == ("failed", 3)
        steps = client.get(f"{RUNS}/{doc}/steps").json()["items"]
        assert {step["name"]: step["status"] for step in steps} == {
            "one": "completed", "two": "failed", "three": "cancelled", "four": "completed",
        }  # fmt: skip
        follower = start(client, "true", after=[doc], on="failure")
        assert finished(client, follower)["status"] == "completed"
        assert client.delete(f"{RUNS}/{doc}").status_code == 204
        problem(client.get(f"{RUNS}/{steps[0]['id']}"), 404, "run-not-found")
        counted = client.post(f"{RUNS}/clean", json={"dry_run": True}).json()
        assert client.post(f"{RUNS}/clean", json={}).json() == counted
        assert counted["removed"] == 5
        assert client.get(f"{RUNS}/list").json()["items"] == []
        silent(server)


def test_what_was_accepted_survives_the_server(
    home: Path, postgres_url: str, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    steps = f"steps: {{a: {{run: '{GATED.format(gate=gate)}', retries: 0}}}}"
    with serving(home, postgres_url, max_concurrent_commands="2") as (server, client):
        name = created(client, "doc", steps, language="yaml")
        running = start(client, GATED.format(gate=gate))
        doc = client.post(f"{RUNS}/start", json={"name": name}).json()["job_id"]
        printed(client, running)
        waiting = [start(client, f"echo ran >> {tmp_path}/ran") for _ in range(5)]
        until(lambda: show(client, doc)["status"] == "running")
        server.kill()
    with serving(home, postgres_url, max_concurrent_commands="2") as (server, client):
        assert show(client, running)["status"] == "running"
        gate.touch()
        assert finished(client, running)["returncode"] == 6
        assert finished(client, doc)["returncode"] == 6
        assert [finished(client, run_id)["status"] for run_id in waiting] == ["completed"] * 5
        assert (tmp_path / "ran").read_text() == "ran\n" * 5
        silent(server)


def test_events_in_order_from_many_writers_at_once(home: Path, postgres_url: str) -> None:
    """Two servers write; whoever listens to either hears everything, in order and once."""
    told: dict[int, list[dict[str, Any]]] = {0: [], 1: []}
    rounds, clients = 25, 4

    def listen(number: int, server: Server, ready: threading.Event) -> None:
        url = server.new.replace("http", "ws", 1) + "/ws/workflows?kind=execute&since=0"
        with connect(url, additional_headers=server.auth, proxy=None, open_timeout=15) as socket:
            ready.set()
            finals = 0
            while finals < 2 * rounds * clients:
                event = json.loads(socket.recv(timeout=30))
                told[number].append(event)
                finals += event["status"] == "completed"

    with (
        serving(home, postgres_url) as (first, one),
        serving(home.with_name("other"), postgres_url) as (second, other),
        ThreadPoolExecutor(2 + 2 * clients) as pool,
    ):
        ready = [threading.Event(), threading.Event()]
        hearing = [
            pool.submit(listen, number, server, ready[number])
            for number, server in enumerate((first, second))
        ]
        assert all(event.wait(15) for event in ready)

        def work(client: httpx.Client) -> None:
            for _ in range(rounds):
                start(client, "true")

        for done in [pool.submit(work, client) for client in [one, other] * clients]:
            done.result()
        for done in hearing:
            done.result()
        for said in told.values():
            assert [e["seq"] for e in said] == sorted({e["seq"] for e in said})
            assert len(said) == 3 * 2 * rounds * clients
            assert said[-1]["seq"] - said[0]["seq"] == len(said) - 1, "nothing was rolled back"
            by_run: dict[str, list[str]] = {}
            for event in said:
                by_run.setdefault(event["job_id"], []).append(event["status"])
            assert set(map(tuple, by_run.values())) == {("queued", "running", "completed")}
        silent(first)
        silent(second)


def test_two_servers_leave_the_runs_of_each_other_alone(
    home: Path, postgres_url: str, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    with serving(home, postgres_url, max_concurrent_commands="1") as (first, one):
        running = start(one, GATED.format(gate=gate))
        printed(one, running)
        queued = start(one, f"echo ran >> {tmp_path}/ran")
        with serving(home.with_name("other"), postgres_url) as (second, other):
            assert show(other, running)["status"] == "running"
            assert show(other, queued)["status"] == "queued"
            assert finished(other, start(other, "true"))["status"] == "completed"
            # Whoever is asked can stop a run, even one that is still to start.
            stopped = other.post(f"{RUNS}/{queued}/stop").json()
            assert (stopped["status"], stopped["signal"]) == ("cancelled", None)
            silent(second)
        assert show(one, running)["status"] == "running"
        gate.touch()
        assert finished(one, running)["returncode"] == 6
        assert finished(one, start(one, "true"))["status"] == "completed"
        assert not (tmp_path / "ran").exists(), "what was stopped never runs"
        assert show(one, queued)["status"] == "cancelled"
        silent(first)


def test_a_database_that_goes_away_and_comes_back(
    home: Path, postgres_url: str, outage: Outage, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    with serving(home, postgres_url) as (server, client):
        ending = start(client, GATED.format(gate=gate))
        name = created(client, "doc", "steps: {a: {run: 'sleep 60'}}", language="yaml")
        doc = client.post(f"{RUNS}/start", json={"name": name, "timeout": 1.0}).json()["job_id"]
        printed(client, ending)
        until(lambda: show(client, doc)["status"] == "running")
        with connect(
            server.new.replace("http", "ws", 1) + f"/ws/workflows/{ending}",
            additional_headers=server.auth,
            proxy=None,
        ) as socket:
            assert json.loads(socket.recv(timeout=15))["status"] == "running"
            with outage:
                body = {"command": "true", "background": True}
                for answer in (
                    client.post(f"{RUNS}/execute", json=body),
                    client.get(f"{RUNS}/list"),
                    client.get("/readyz"),
                    client.post(f"{RUNS}/{ending}/stop"),
                ):
                    problem(answer, 503, "storage-unavailable")
                assert client.get("/livez").status_code == 200
                gate.touch()
                until(lambda: b"trying again" in b"".join(server.printed))
            last = json.loads(socket.recv(timeout=15))
            assert (last["status"], last["returncode"]) == ("failed", 6)
        assert finished(client, ending)["returncode"] == 6
        until(lambda: show(client, doc)["status"] == "timed_out")
        assert execute(client, "echo back")["output"] == "back\n"
        said = b"".join(server.printed)
        assert said.count(b"\n") < 300, "it says so, but not again and again"
        silent(server)


def test_connections_cut_under_load(home: Path, postgres_url: str, outage: Outage) -> None:
    with (
        serving(home, postgres_url) as (server, client),
        ThreadPoolExecutor(8) as pool,
    ):
        over = threading.Event()

        def work(number: int) -> list[str]:
            accepted = []
            while not over.is_set():
                answer = client.post(
                    f"{RUNS}/execute",
                    json={"command": f"echo {number}", "background": number % 2 == 0},
                )
                if answer.status_code in {200, 202}:
                    accepted.append(answer.json()["job_id"])
                else:
                    problem(answer, 503, "storage-unavailable")
            return accepted

        working = [pool.submit(work, number) for number in range(8)]
        for seen in range(0, 100, 10):
            until(lambda: _total(client) > seen)  # noqa: B023 - called at once
            outage.cut()
        over.set()
        accepted = [run_id for done in working for run_id in done.result()]
        assert len(accepted) > 50
        until(lambda: _are_over(client))
        for run_id in accepted:
            run = show(client, run_id)
            assert (run["status"], run["returncode"]) == ("completed", 0)
        silent(server)


def _total(client: httpx.Client) -> int:
    """How many runs there are; none while nobody can tell."""
    return int(client.get(f"{RUNS}/status").json().get("total_runs", 0))


def _are_over(client: httpx.Client) -> bool:
    """Whether no run waits or goes on."""
    now = client.get(f"{RUNS}/status").json()
    return (now.get("active_runs"), now.get("queued_runs")) == (0, 0)


def test_a_database_that_only_reads(
    home: Path, tmp_path: Path, postgres_url: str, outage: Outage
) -> None:
    gate = tmp_path / "gate"
    with serving(home, postgres_url) as (server, client):
        run_id = start(client, GATED.format(gate=gate), secrets={"TOKEN": "s3cret-value"})
        printed(client, run_id)
        until(lambda: show(client, run_id)["status"] == "running")
        outage.read_only("on")
        body = {"command": "true", "background": True, "secrets": {"TOKEN": "s3cret-value"}}
        answer = client.post(f"{RUNS}/execute", json=body)
        assert "read-only" in problem(answer, 503, "storage-unavailable")["detail"]
        assert show(client, run_id)["status"] == "running"
        gate.touch()
        until(lambda: b"trying again" in b"".join(server.printed))
        outage.read_only("off")
        assert finished(client, run_id)["returncode"] == 6
        assert b"s3cret-value" not in b"".join(server.printed)
        silent(server)


async def test_an_accepted_run_is_acknowledged_whatever_comes_next(
    home: Path, postgres_url: str
) -> None:
    with serving(home, postgres_url) as (server, client):
        name = created(client, "stored", "echo ran")
        plain = make_url(postgres_url).set(drivername="postgresql")
        holder = await asyncpg.connect(plain.render_as_string(hide_password=False))
        async with holder.transaction():
            await holder.execute("SELECT * FROM commands FOR UPDATE")
            asking = asyncio.create_task(
                asyncio.to_thread(client.post, f"{RUNS}/start", json={"name": name})
            )
            waiting = (
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND wait_event_type = 'Lock'"
            )
            async with asyncio.timeout(15):
                while not await holder.fetch(waiting):
                    await asyncio.sleep(0.01)
            answer = await asking
        await holder.close()
        assert answer.status_code == 202, answer.text
        assert finished(client, answer.json()["job_id"])["status"] == "completed"
        assert len(client.get(f"{RUNS}/list").json()["items"]) == 1
        silent(server)


def test_stored_commands_in_depth(tmp_path: Path, postgres_url: str) -> None:
    with serving(tmp_path, postgres_url) as (_, client):
        name = created(client, "deploy-site", "rsync public/ web:/srv/www", tags=["web"])
        created(client, "deploy-api", "rsync dist/ api:/srv/api", tags=["api"])
        client.put(f"{COMMANDS}/{name}", json={"code": "rsync public/ web:/srv/www && true"})
        client.post(f"{COMMANDS}/{name}/rollback", json={"version": 1}).raise_for_status()
        versions = client.get(f"{COMMANDS}/{name}/versions").json()["items"]
        assert [(v["version"], v["author"]) for v in versions] == [(n, "owner") for n in (3, 2, 1)]
        finished(client, client.post(f"{RUNS}/start", json={"name": name}).json()["job_id"])
        assert client.get(f"{COMMANDS}/{name}/stats").json()["runs"] == 1

        def found(query: str) -> list[str]:
            items = client.get(f"{COMMANDS}/search", params={"q": query}).json()["items"]
            return [item["command"]["name"] for item in items]

        assert found("rsync") == ["deploy-api", "deploy-site"]
        assert found("srv/www") == found("web") == ["deploy-site"]
        assert found("deplyo-site")[0] == "deploy-site"
        near = client.get(f"{COMMANDS}/{name}/similar").json()["items"]
        assert [item["command"]["name"] for item in near] == ["deploy-api"]
        assert (
            client.get(f"{COMMANDS}/list", params={"tag": "web"}).json()["items"][0]["name"] == name
        )


def test_imports_at_once_do_not_wait_for_each_other_for_ever(
    tmp_path: Path, postgres_url: str
) -> None:
    with serving(tmp_path, postgres_url) as (_, client):
        names = [created(client, f"c{n}") for n in range(20)]

        def load(number: int) -> int:
            order = names if number % 2 else names[::-1]
            items = [{"name": name, "code": f"echo {number}"} for name in order]
            url = f"{COMMANDS}/import"
            return client.post(url, json={"items": items}, params={"update": True}).status_code

        with ThreadPoolExecutor(6) as threads:
            assert set(threads.map(load, range(12))) == {200}
        codes = {client.get(f"{COMMANDS}/{name}").json()["code"] for name in names}
        assert len(codes) == 1, "each import is there as a whole"
