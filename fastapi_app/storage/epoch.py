"""A number that grows whenever rights are taken away or changed, for every process to see."""

from __future__ import annotations

from sqlalchemy import Integer, bindparam, cast, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from fastapi_app.storage.database import Database
from fastapi_app.storage.tables import service_state

KEY = "auth_epoch"
_READ = select(service_state.c.value).where(service_state.c.key == bindparam("key"))
_RAISE = (
    update(service_state)
    .where(service_state.c.key == KEY)
    .values(value=cast(cast(service_state.c.value, Integer) + 1, service_state.c.value.type))
)


class Epoch:
    """Tells whether what was known of anybody's rights still holds."""

    def __init__(self, database: Database) -> None:
        self._db = database
        self._version: bytes | None = None
        self._value = ""

    async def current(self) -> str:
        """The number as it is now, in whichever process it was raised.

        On SQLite it is read again only after a commit.

        Raises:
            StorageUnavailableError: nobody can tell.
        """
        version = self._db.version()
        if version is None or version != self._version:
            row = await self._db.first(_READ, {"key": KEY})
            self._value = "0" if row is None else str(row["value"])
            self._version = version
        return self._value


async def raise_epoch(connection: AsyncConnection) -> None:
    """Raise it, in the transaction that changes the rights."""
    if not (await connection.execute(_RAISE)).rowcount:
        await connection.execute(service_state.insert(), {"key": KEY, "value": "1"})
