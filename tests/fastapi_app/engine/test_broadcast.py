"""Every transition is told to all who listen, in order, once, and a slow one holds up nobody."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from fastapi_app.engine import broadcast
from fastapi_app.engine.broadcast import QUEUED, RECENT, Hub
from fastapi_app.errors import StorageUnavailableError
from fastapi_app.models import RunKind, RunStatus, Transition
from fastapi_app.slow import TooSlowError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Sequence

    from fastapi_app.engine.broadcast import Change

PLAIN = Transition(
    seq=0,
    run_id="r",
    attempt=1,
    status=RunStatus.RUNNING,
    at=1.0,
    reason=None,
    kind=RunKind.EXECUTE,
    name="",
    group="default",
    returncode=None,
)


class Table:
    """Transitions, as a database shows them to its readers: only what has been committed."""

    def __init__(self) -> None:
        self.rows: dict[int, Transition] = {}
        self.reads = 0
        self.broken = False

    def commit(self, *seqs: int, run_id: str = "r") -> None:
        for seq in seqs:
            self.rows[seq] = replace(PLAIN, seq=seq, run_id=run_id)

    async def read(self, after: int, limit: int) -> Sequence[Transition]:
        self.reads += 1
        await asyncio.sleep(0)
        if self.broken:
            raise StorageUnavailableError("it is broken")
        return [self.rows[seq] for seq in sorted(self.rows) if seq > after][:limit]

    async def last_seq(self) -> int:
        await asyncio.sleep(0)
        return max(self.rows, default=0)


@pytest.fixture
def table() -> Table:
    return Table()


@pytest.fixture
async def hub(table: Table) -> AsyncIterator[Hub]:
    opened = Hub(table.read, table.last_seq)
    yield opened
    await opened.aclose()


def everything(_: Transition) -> bool:
    return True


async def taken(changes: AsyncIterator[Change], count: int) -> list[int]:
    """The numbers of the next so many events."""
    async with asyncio.timeout(10):
        return [(await anext(changes)).transition.seq for _ in range(count)]


async def listening(hub: Hub, since: int | None = None) -> AsyncGenerator[Change, None]:
    """One that listens, and waits for its first event by now."""
    changes = hub.events(everything, since)
    first = asyncio.ensure_future(anext(changes))
    while not hub._subscriptions:
        await asyncio.sleep(0)

    async def all_of_them() -> AsyncGenerator[Change, None]:
        yield await first
        async for change in changes:
            yield change

    return all_of_them()


async def test_what_happens_is_told_at_once(table: Table, hub: Hub) -> None:
    table.commit(1, 2, 3)
    changes = await listening(hub)
    for seq in range(4, 10):
        table.commit(seq)
        hub.wake()
        async with asyncio.timeout(broadcast.POLL * 0.9):
            assert await taken(changes, 1) == [seq]


async def test_what_others_commit_is_noticed_without_being_woken(table: Table, hub: Hub) -> None:
    changes = await listening(hub)
    table.commit(1)
    assert await taken(changes, 1) == [1]


async def test_replay_goes_over_into_what_happens(
    table: Table, hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(broadcast, "PAGE", 10)
    monkeypatch.setattr(broadcast, "MOST_MISSING", 5)
    table.commit(*range(1, 101))
    changes = hub.events(everything, 42)
    seen = await taken(changes, 5)
    for seq in range(101, 201):
        table.commit(seq)
        hub.wake()
        seen += await taken(changes, 1)
    seen += await taken(changes, 200 - 42 - len(seen))
    assert seen == list(range(43, 201))
    past = [change.transition.seq async for change in hub.events(everything, 0, follow=False)]
    assert past == list(range(1, 201))


async def test_many_listen_and_each_gets_what_it_wants(table: Table, hub: Hub) -> None:
    async def listen(wanted: str) -> list[int]:
        async with hub.listen(lambda what: what.run_id == wanted) as subscription:
            ready.release()
            return [(await subscription.next()).transition.seq for _ in range(3)]

    ready = asyncio.Semaphore(0)
    table.commit(1, run_id="a")
    listeners = [asyncio.create_task(listen(wanted)) for wanted in "abab"]
    for _ in listeners:
        await ready.acquire()
    table.commit(2, 4, 6, run_id="a")
    table.commit(3, 5, 7, run_id="b")
    before = table.reads
    hub.wake()
    async with asyncio.timeout(10):
        assert await asyncio.gather(*listeners) == [[2, 4, 6], [3, 5, 7]] * 2
    assert table.reads - before < 4


async def test_what_many_get_is_one_thing(table: Table, hub: Hub) -> None:
    async with hub.listen(everything) as one, hub.listen(everything) as other:
        table.commit(1)
        hub.wake()
        async with asyncio.timeout(10):
            change = await one.next()
            assert change is await other.next()
    assert change.encoded(lambda it: it.transition.seq) == 1


async def test_a_number_waits_for_a_smaller_one_that_is_to_come(table: Table, hub: Hub) -> None:
    table.commit(1)
    changes = await listening(hub)
    table.commit(3, 4)
    hub.wake()
    upcoming = asyncio.ensure_future(taken(changes, 3))
    await asyncio.sleep(0.1)
    assert not upcoming.done()
    table.commit(2)
    hub.wake()
    assert await upcoming == [2, 3, 4]


async def test_a_number_that_never_comes_is_passed_over(
    table: Table, hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(broadcast, "HELD_BACK", 0.1)
    changes = await listening(hub)
    table.commit(2)
    hub.wake()
    assert await taken(changes, 1) == [2]
    table.commit(3)
    hub.wake()
    assert await taken(changes, 1) == [3]
    # It does come, far too late: better out of order than never.
    table.commit(1)
    hub.wake()
    table.commit(4)
    assert await taken(changes, 2) == [1, 4]


async def test_a_transaction_that_was_open_at_the_start_is_not_missed(
    table: Table, hub: Hub
) -> None:
    table.commit(*range(1, 2 * RECENT))
    del table.rows[2 * RECENT - 5]
    changes = await listening(hub)
    table.commit(2 * RECENT - 5)
    hub.wake()
    assert await taken(changes, 1) == [2 * RECENT - 5]


async def test_a_listener_that_takes_nothing_is_dropped_and_no_other(
    table: Table, hub: Hub
) -> None:
    async with hub.listen(everything) as idle:
        changes = await listening(hub)
        for start in range(1, QUEUED + 200, 100):
            table.commit(*range(start, start + 100))
            hub.wake()
            assert await taken(changes, 100) == list(range(start, start + 100))
        with pytest.raises(TooSlowError):
            await idle.next()


async def test_nobody_listens_and_nothing_is_read(table: Table, hub: Hub) -> None:
    changes = await listening(hub)
    table.commit(1)
    assert await taken(changes, 1) == [1]
    await changes.aclose()
    table.commit(2)
    hub.wake()
    await asyncio.sleep(0.05)
    before = table.reads
    hub.wake()
    await asyncio.sleep(0.05)
    assert table.reads == before
    # Who comes later hears what happens later.
    changes = await listening(hub)
    table.commit(3)
    assert await taken(changes, 1) == [3]


async def test_looking_costs_nothing_while_nothing_changes(table: Table) -> None:
    looked, version = asyncio.Event(), 1

    def look() -> int:
        looked.set()
        return version

    async def looks(times: int) -> None:
        for _ in range(times):
            looked.clear()
            await looked.wait()

    hub = Hub(table.read, table.last_seq, look)
    async with hub.listen(everything) as subscription, asyncio.timeout(10):
        await looks(2)
        before = table.reads
        await looks(3)
        assert table.reads == before
        table.commit(1)
        version = 2
        assert (await subscription.next()).transition.seq == 1
    await hub.aclose()


async def test_a_database_that_is_gone_for_a_while_makes_events_late(
    table: Table, hub: Hub, caplog: pytest.LogCaptureFixture
) -> None:
    changes = await listening(hub)
    table.broken = True
    table.commit(1)
    hub.wake()
    async with asyncio.timeout(10):
        while "events are late" not in caplog.text:
            await asyncio.sleep(0.01)
    table.broken = False
    assert await taken(changes, 1) == [1]
