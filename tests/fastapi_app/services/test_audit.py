"""What is written down, of whom, and what happens when it cannot be."""

from __future__ import annotations

import asyncio
import logging
from contextvars import copy_context
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from fastapi_app.factory import Services, open_services
from fastapi_app.models import AuditEntry, AuditFilter
from fastapi_app.observability import CALLER, Caller
from fastapi_app.settings import Settings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


@dataclass(frozen=True)
class Ann:
    """Somebody known."""

    key: str = "user:ann"
    name: str = "ann"


@pytest.fixture
async def services(home: Path) -> AsyncIterator[Services]:
    async with open_services(Settings.load(home=home)) as found:
        yield found


async def latest(services: Services) -> AuditEntry:
    return (await services.audit.page(AuditFilter(), None, 1)).items[0]


async def test_an_entry_tells_of_the_request_that_is_being_answered(services: Services) -> None:
    state: dict[str, object] = {}

    def entered() -> asyncio.Task[None]:
        CALLER.set(Caller("the-id", "10.0.0.1", state))
        state["principal"] = Ann()  # it is known later than the request begins
        return asyncio.create_task(services.audit.record("key.create", "ci", detail="token=abcdef"))

    await copy_context().run(entered)
    entry = await latest(services)
    assert (entry.action, entry.subject, entry.outcome) == ("key.create", "ci", "done")
    assert (entry.principal, entry.name) == ("user:ann", "ann")
    assert (entry.address, entry.request_id) == ("10.0.0.1", "the-id")
    assert entry.detail == "token=[redacted]"


async def test_whoever_has_just_become_known_is_named(services: Services) -> None:
    await services.audit.record("login", outcome="denied", principal=Ann())
    entry = await latest(services)
    assert (entry.outcome, entry.principal, entry.address) == ("denied", "user:ann", "")


async def test_any_text_is_kept_as_far_as_it_can_be(services: Services) -> None:
    await services.audit.record("x", "\0\ud800" + "y" * 5000)
    entry = await latest(services)
    assert entry.subject == "␀?" + "y" * 998


async def test_what_the_database_does_not_take_is_in_the_log(
    services: Services, caplog: pytest.LogCaptureFixture
) -> None:
    await services.database.grouped.aclose()
    with caplog.at_level(logging.WARNING):
        await services.audit.record("user.delete", "bob")
    (record,) = caplog.records
    assert "not in the audit log" in record.getMessage()
    assert "user.delete" in record.getMessage()
    assert "bob" in record.getMessage()


async def test_without_a_retention_everything_stays(home: Path) -> None:
    async with open_services(Settings.load(home=home, audit_retention=0)) as services:
        assert await services.audit.forget_old() == 0
        assert (await latest(services)).action == "server.start"
