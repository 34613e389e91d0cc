"""Rows of the `users` and `sessions` tables to `User` and `Session` and back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, bindparam, delete, select, update
from sqlalchemy.exc import IntegrityError

from fastapi_app.errors import UserExistsError
from fastapi_app.identity import Role, Session, User
from fastapi_app.storage.database import Database
from fastapi_app.storage.epoch import raise_epoch
from fastapi_app.storage.tables import api_keys, sessions, users

_BY_ID = select(users).where(users.c.id == bindparam("key"))
_SESSION = select(sessions).where(sessions.c.id == bindparam("key"))


@dataclass(frozen=True, slots=True)
class Stored:
    """A user, and the hash of the password."""

    user: User
    password_hash: str


class UserStore:
    """Users and their logins in the database."""

    def __init__(self, database: Database) -> None:
        self._db = database

    async def all(self) -> list[User]:
        """Every user, by name."""
        async with self._db.read() as connection:
            rows = await connection.execute(select(users).order_by(users.c.name))
            return [_user(row._mapping) for row in rows]  # noqa: SLF001 - its public name

    async def named(self, name: str) -> Stored | None:
        """The user of this name."""
        async with self._db.read() as connection:
            row = (await connection.execute(select(users).where(users.c.name == name))).first()
        if row is None:
            return None
        return Stored(_user(row._mapping), row.password_hash)  # noqa: SLF001

    async def get(self, user_id: str) -> User | None:
        """The user with this id."""
        row = await self._db.first(_BY_ID, {"key": user_id})
        return None if row is None else _user(row)

    async def add(self, user: User, password_hash: str) -> None:
        """Commit a new user.

        Raises:
            UserExistsError: the name is taken.
        """
        values = {
            "id": user.id,
            "name": user.name,
            "password_hash": password_hash,
            "role": str(user.role),
            "is_active": user.is_active,
            "created_at": user.created_at,
        }
        try:
            async with self._db.write() as connection:
                await connection.execute(users.insert(), values)
        except IntegrityError as error:
            raise UserExistsError(user.name) from error

    async def change(
        self,
        user_id: str,
        values: dict[str, Any],
        *,
        revoke: str | None,
        but: str | None,
        now: float,
    ) -> None:
        """Commit columns of a user; `revoke` all logins for that reason, except the one `but`."""
        async with self._db.write() as connection:
            if values:
                await connection.execute(
                    update(users).where(users.c.id == user_id).values(**values)
                )
            if revoke is not None:
                others = (sessions.c.user_id == user_id) & (sessions.c.id != (but or ""))
                await connection.execute(_revoke(others, now, revoke))
            await raise_epoch(connection)

    async def logged_in(self, session: Session, digest: str) -> None:
        """Commit a new login."""
        row = {
            "id": session.id,
            "user_id": session.user_id,
            "digest": digest,
            "created_at": session.created_at,
            "expires_at": session.expires_at,
            "last_used": session.last_used,
            "address": session.address,
            "client": session.client,
        }
        seen = update(users).where(users.c.id == session.user_id)
        over = (sessions.c.user_id == session.user_id) & (
            sessions.c.expires_at < session.created_at
        )
        async with self._db.write() as connection:
            await connection.execute(delete(sessions).where(over))
            await connection.execute(sessions.insert(), row)
            await connection.execute(seen.values(last_login=session.created_at))

    async def delete(self, user_id: str) -> None:
        """Forget a user, with all logins and keys."""
        async with self._db.write() as connection:
            await connection.execute(delete(sessions).where(sessions.c.user_id == user_id))
            await connection.execute(delete(api_keys).where(api_keys.c.user_id == user_id))
            await connection.execute(delete(users).where(users.c.id == user_id))
            await raise_epoch(connection)

    async def sessions_of(self, user_id: str | None) -> list[Session]:
        """The logins that are not revoked, the latest first; of everybody without `user_id`."""
        query = select(sessions).where(sessions.c.revoked_at.is_(None))
        if user_id is not None:
            query = query.where(sessions.c.user_id == user_id)
        async with self._db.read() as connection:
            rows = await connection.execute(query.order_by(sessions.c.created_at.desc()))
            return [_session(row._mapping) for row in rows]  # noqa: SLF001

    async def session(self, session_id: str) -> Session | None:
        """The login with this id."""
        row = await self._db.first(_SESSION, {"key": session_id})
        return None if row is None else _session(row)

    async def rotate(self, session_id: str, old: str, new: str, now: float) -> bool:
        """Put the digest of a new refresh token in the place of the old one's.

        Of two who try to do so at once only the first does.
        """
        good = (
            (sessions.c.id == session_id)
            & (sessions.c.digest == old)
            & sessions.c.revoked_at.is_(None)
            & (sessions.c.expires_at > now)
        )
        async with self._db.write() as connection:
            done = await connection.execute(
                update(sessions).where(good).values(digest=new, last_used=now)
            )
        return bool(done.rowcount)

    async def revoke(self, session_id: str, reason: str, now: float) -> bool:
        """End a login; false when there is none that goes on."""
        async with self._db.write() as connection:
            done = await connection.execute(_revoke(sessions.c.id == session_id, now, reason))
            await raise_epoch(connection)
        return bool(done.rowcount)


def _revoke(which: ColumnElement[bool], now: float, reason: str) -> Any:  # noqa: ANN401
    going_on = sessions.c.revoked_at.is_(None)
    return update(sessions).where(which & going_on).values(revoked_at=now, reason=reason)


def _user(row: Any) -> User:  # noqa: ANN401 - a row's mapping
    return User(
        id=row["id"],
        name=row["name"],
        role=Role(row["role"]),
        is_active=bool(row["is_active"]),
        created_at=row["created_at"],
        last_login=row["last_login"],
    )


def _session(row: Any) -> Session:  # noqa: ANN401
    names = Session.__dataclass_fields__
    return Session(**{name: row[name] for name in names})
