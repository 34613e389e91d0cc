"""Who calls is told apart, added up and bounded, in memory and in the database."""

from __future__ import annotations

import resource
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from compat import callers as module
from compat.callers import IN_MEMORY, OTHERS, Callers
from compat.cutover import Cutover
from compat.measures import Measures
from compat.settings import DualSettings
from compat.stages import Stage
from fastapi_app.factory import Services, open_services

ROUTE = "GET /status"
MILLION = 1_000_000


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest) -> str | None:
    """Where the database is; without one, in the home folder."""
    return request.getfixturevalue("postgres_url") if request.param == "postgresql" else None


@pytest.fixture
async def services(url: str | None, tmp_path: Path) -> AsyncIterator[Services]:
    """The services, with the tables of the cut-over."""
    async with open_services(DualSettings(home=tmp_path / "home", database_url=url)) as found:
        await Cutover(found, [ROUTE], Measures(found, "-"), Stage.LEGACY).load()
        yield found


def scope(client: str, agent: str = "curl/8") -> dict[str, Any]:
    headers = [(b"x-client-id", client.encode()), (b"user-agent", agent.encode())]
    return {"headers": headers, "client": ("127.0.0.1", 4000)}


async def test_calls_add_up_over_writes_and_servers(services: Services) -> None:
    one, two = Callers(services), Callers(services)
    for server, agent in ((one, "curl/8"), (two, "curl/9"), (one, "curl/10")):
        for client in ("a", "b"):
            server.note(ROUTE, Stage.SHADOW, scope(client, agent))
        await server.flush()
    found = {caller.label: caller for caller in await two.all()}
    assert {label: caller.count for label, caller in found.items()} == {"a": 3, "b": 3}
    assert found["a"].user_agent == "curl/10"
    assert found["a"].first_seen < found["a"].last_seen
    assert await one.counts(0) == {ROUTE: 2}


def resident() -> int:
    """Bytes of memory this process has."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize()


@pytest.mark.parametrize("url", [None])
async def test_a_million_clients_do_not_fill_the_memory(services: Services) -> None:
    callers = Callers(services)
    for number in range(MILLION // 10):
        callers.note(ROUTE, Stage.NEW, scope(f"script-{number}"))
    some = resident()
    for number in range(MILLION // 10, MILLION):
        callers.note(ROUTE, Stage.NEW, scope(f"script-{number}"))
    assert resident() - some < 4_000_000
    found = await callers.all(limit=MILLION)
    assert len(found) == IN_MEMORY + 1
    assert sum(caller.count for caller in found) == MILLION
    assert max(found, key=lambda caller: caller.count).label == OTHERS.label


async def test_the_latest_clients_stay_in_the_database(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "IN_DATABASE", 1000)
    callers = Callers(services)
    for begin in range(0, 5000, 1000):
        for number in range(begin, begin + 1000):
            callers.note(ROUTE, Stage.NEW, scope(f"script-{number}"))
        await callers.flush()
    labels = {caller.label for caller in await callers.all(limit=MILLION)}
    assert len(labels) == 1000
    assert labels == {f"script-{number}" for number in range(4000, 5000)}


async def test_what_could_not_be_written_is_written_with_the_next(services: Services) -> None:
    callers = Callers(services)
    callers.note(ROUTE, Stage.NEW, scope("a"))
    async with services.database.write() as connection:
        await connection.execute(text("ALTER TABLE cutover_callers RENAME TO hidden"))
    with pytest.raises(Exception, match="cutover_callers"):
        await callers.flush()
    callers.note(ROUTE, Stage.NEW, scope("a"))
    async with services.database.write() as connection:
        await connection.execute(text("ALTER TABLE hidden RENAME TO cutover_callers"))
    assert [caller.count for caller in await callers.all()] == [2]
