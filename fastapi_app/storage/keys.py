"""Rows of the `api_keys` table to `ApiKey` and back."""

from __future__ import annotations

import json
from typing import Any

from sqlalchemy import bindparam, select, update

from fastapi_app.identity import ApiKey
from fastapi_app.storage.database import Database
from fastapi_app.storage.epoch import raise_epoch
from fastapi_app.storage.tables import api_keys

_BY_ID = select(api_keys).where(api_keys.c.id == bindparam("key"))


class KeyStore:
    """API keys in the database: what they are, never what they look like."""

    def __init__(self, database: Database) -> None:
        self._db = database

    async def add(self, key: ApiKey, digest: str) -> None:
        """Commit a new key; `digest` is the HMAC of its secret."""
        row = {name: getattr(key, name) for name in ("id", "name", "user_id", "created_at")}
        row |= {"digest": digest, "scopes": json.dumps(sorted(key.scopes))}
        async with self._db.write() as connection:
            await connection.execute(api_keys.insert(), row | {"expires_at": key.expires_at})

    async def get(self, key_id: str) -> tuple[ApiKey, str] | None:
        """The key with this id, and the HMAC of its secret."""
        row = await self._db.first(_BY_ID, {"key": key_id})
        return None if row is None else (_key(row), row["digest"])

    async def of(self, user_id: str | None, *, everybody: bool) -> list[ApiKey]:
        """The keys of one, or of everybody, that are not revoked; the latest first."""
        query = select(api_keys).where(api_keys.c.revoked_at.is_(None))
        if not everybody:
            query = query.where(api_keys.c.user_id.is_not_distinct_from(user_id))
        async with self._db.read() as connection:
            rows = await connection.execute(query.order_by(api_keys.c.created_at.desc()))
            return [_key(row._mapping) for row in rows]  # noqa: SLF001 - its public name

    async def used(self, key_id: str, now: float) -> None:
        """Note when it was last used."""
        async with self._db.write() as connection:
            await connection.execute(
                update(api_keys).where(api_keys.c.id == key_id).values(last_used=now)
            )

    async def revoke(self, key_id: str, now: float) -> None:
        """Let nobody in with it any more."""
        async with self._db.write() as connection:
            await connection.execute(
                update(api_keys).where(api_keys.c.id == key_id).values(revoked_at=now)
            )
            await raise_epoch(connection)


def _key(row: Any) -> ApiKey:  # noqa: ANN401 - a row's mapping
    names = set(ApiKey.__dataclass_fields__) - {"scopes"}
    values = {name: row[name] for name in names}
    return ApiKey(**values, scopes=frozenset(json.loads(row["scopes"])))
