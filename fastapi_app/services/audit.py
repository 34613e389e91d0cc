"""The audit log: who did what that matters for security, when, from where, and how it went."""

from __future__ import annotations

import logging
import time
from typing import Protocol

from fastapi_app.errors import StorageUnavailableError
from fastapi_app.models import AuditEntry, AuditFilter, Page
from fastapi_app.observability import CALLER, Caller, without_secrets
from fastapi_app.services import cursors
from fastapi_app.storage.audit import AuditStore
from fastapi_app.storage.text import storable

log = logging.getLogger(__name__)

DONE, DENIED, FAILED = "done", "denied", "failed"
LONGEST = 1000
"""Characters of a subject or a detail that are kept."""
NOBODY = Caller("", "", {})


class Principal(Protocol):
    """Whoever acts: `key` names it for ever, `name` is for people."""

    @property
    def key(self) -> str: ...
    @property
    def name(self) -> str: ...


class AuditService:
    """Writes down and shows. `retention` is seconds; 0 keeps everything."""

    def __init__(self, entries: AuditStore, *, retention: float) -> None:
        self._entries = entries
        self._retention = retention

    async def record(
        self,
        action: str,
        subject: str = "",
        *,
        outcome: str = DONE,
        detail: str = "",
        principal: Principal | None = None,
    ) -> None:
        """Write down that `action` (`noun.verb`) was done to `subject`; committed on return.

        Who asked, from where and under which id is known of the request that is being answered;
        `principal` is whom it has just come to be known as. The act has happened: when the
        database does not take the entry, it goes into the server's log, and nothing is raised.
        """
        caller = CALLER.get() or NOBODY
        who: Principal | None = principal or caller.principal
        entry = AuditEntry(
            seq=0,
            at=time.time(),
            action=action,
            subject=_kept(subject),
            outcome=outcome,
            detail=_kept(without_secrets(detail)),
            principal="" if who is None else _kept(who.key, 200),
            name="" if who is None else _kept(who.name, 200),
            address=caller.address[:64],
            request_id=caller.request_id,
        )
        try:
            await self._entries.add(entry)
        except StorageUnavailableError as error:
            log.warning("not in the audit log, for %s: %s", error, entry)

    async def page(self, wanted: AuditFilter, cursor: str | None, limit: int) -> Page[AuditEntry]:
        """The newest entries, behind the cursor.

        Raises:
            InvalidCursorError: the cursor is not one of ours.
        """
        before = cursors.decode_number(cursor) if cursor else None
        if not storable(wanted.action, wanted.principal, wanted.subject, wanted.outcome):
            return Page([], None)
        found = await self._entries.page(wanted, before, limit + 1)
        items = found[:limit]
        return Page(items, cursors.encode(items[-1].seq) if len(found) > limit else None)

    async def forget_old(self) -> int:
        """Remove what is older than the retention; returns how many entries that were."""
        if not self._retention:
            return 0
        return await self._entries.remove_before(time.time() - self._retention)


def caller_name() -> str:
    """The name of whoever asks for what is being done; "" when nobody is known."""
    caller = CALLER.get()
    return "" if caller is None or caller.principal is None else _kept(caller.principal.name, 200)


def _kept(text: str, longest: int = LONGEST) -> str:
    """As much of a text as is kept, in a form every database takes."""
    return text[:longest].encode("utf-8", "replace").decode().replace("\0", "\N{SYMBOL FOR NULL}")
