"""Users, their logins and API keys: who may make, see and revoke which."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from fastapi_app.errors import (
    ForbiddenError,
    InvalidAccountError,
    InvalidTokenError,
    KeyNotFoundError,
    NoSessionError,
    SessionNotFoundError,
    UserNotFoundError,
    WrongPasswordError,
)
from fastapi_app.identity import ROLES, ApiKey, Principal, Role, Session, User, unknown_scopes
from fastapi_app.services.audit import DENIED, AuditService
from fastapi_app.services.passwords import Passwords
from fastapi_app.services.tokens import (
    Claims,
    NotAToken,
    Signer,
    new_key,
    new_refresh,
    session_id_of,
)
from fastapi_app.storage.keys import KeyStore
from fastapi_app.storage.users import Stored, UserStore


@dataclass(frozen=True, slots=True)
class Tokens:
    """What a login gives. `expires_in` is seconds until the access token is good no more."""

    access: str
    refresh: str
    expires_in: int
    scopes: frozenset[str]


class AccountService:
    """Everything that can be done with users, logins and keys. Lifetimes are seconds."""

    def __init__(
        self,
        *,
        users: UserStore,
        keys: KeyStore,
        signer: Signer,
        audit: AuditService,
        access_lifetime: float,
        session_lifetime: float,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._users = users
        self._keys = keys
        self._signer = signer
        self._audit = audit
        self._passwords = Passwords()
        self._access_lifetime = access_lifetime
        self._session_lifetime = session_lifetime
        self._clock = clock

    async def login(self, name: str, password: str, *, address: str, client: str) -> Tokens:
        """Begin a session.

        Raises:
            WrongPasswordError: no active user has this name and password.
        """
        stored = await self._users.named(name)
        right = await self._passwords.matches(password, stored.password_hash if stored else None)
        if stored is None or not right or not stored.user.is_active:
            await self._audit.record("session.begin", name, outcome=DENIED)
            raise WrongPasswordError
        now = self._clock()
        session = Session(
            id=str(uuid.uuid4()),
            user_id=stored.user.id,
            created_at=now,
            expires_at=now + self._session_lifetime,
            last_used=now,
            address=address[:64],
            client=client[:200],
        )
        refresh = new_refresh(session.id)
        await self._users.logged_in(session, self._signer.digest(refresh))
        await self._audit.record("session.begin", name, detail=session.id)
        return self._tokens(stored.user, session, refresh, now)

    async def refresh(self, token: str) -> Tokens:
        """Go on with a session; the refresh token is good once.

        A token that comes again was stolen, from us or by us: the session ends for both (RFC 9700,
        section 4.14.2).

        Raises:
            InvalidTokenError: it is none, or the session has ended.
        """
        try:
            session_id = session_id_of(token)
        except NotAToken as error:
            raise InvalidTokenError(str(error)) from error
        now = self._clock()
        fresh = new_refresh(session_id)
        digest = self._signer.digest
        rotated = await self._users.rotate(session_id, digest(token), digest(fresh), now)
        session = await self._users.session(session_id)
        if not rotated or session is None:
            if session is not None and session.revoked_at is None:
                reason = "a refresh token came twice"
                await self._users.revoke(session_id, reason, now)
                await self._audit.record("session.end", session_id, detail=reason)
            raise InvalidTokenError("The refresh token was used before, or its session has ended")
        user = await self._users.get(session.user_id)
        if user is None or not user.is_active:
            raise InvalidTokenError("The user is not active any more")
        return self._tokens(user, session, fresh, now)

    async def logout(self, principal: Principal) -> None:
        """End the session the principal came with.

        Raises:
            NoSessionError: it came with a key, or the token in the home folder.
        """
        session_id = _session_of(principal)
        await self._users.revoke(session_id, "logged out", self._clock())
        await self._audit.record("session.end", session_id, detail="logged out")

    async def change_password(self, principal: Principal, current: str, new: str) -> None:
        """Put a new password in the place of the current one, and end all other sessions.

        Raises:
            NoSessionError: only a user has a password.
            WrongPasswordError: the current one is another.
            InvalidAccountError: the new one is too short or too long.
        """
        session_id = _session_of(principal)
        stored = await self._users.named(principal.name)
        right = await self._passwords.matches(current, stored.password_hash if stored else None)
        if stored is None or not right:
            await self._audit.record("password.change", principal.name, outcome=DENIED)
            raise WrongPasswordError
        values = {"password_hash": await self._passwords.hash(new)}
        await self._users.change(
            stored.user.id,
            values,
            revoke="the password was changed",
            but=session_id,
            now=self._clock(),
        )
        await self._audit.record("password.change", principal.name)

    async def sessions(self, principal: Principal, *, everybody: bool) -> list[Session]:
        """The sessions of the principal, or of everybody.

        Raises:
            ForbiddenError: not everybody's are for this principal.
        """
        if everybody:
            _demand(principal, "users:read")
        elif principal.user_id is None:
            return []
        now = self._clock()
        found = await self._users.sessions_of(None if everybody else principal.user_id)
        return [session for session in found if session.expires_at > now]

    async def end_session(self, principal: Principal, session_id: str) -> None:
        """End a session of the principal, or anybody's with the scope `users:write`.

        Raises:
            SessionNotFoundError: there is none that goes on.
        """
        session = await self._users.session(session_id)
        if session is None or not _owns(principal, session.user_id):
            raise SessionNotFoundError(session_id)
        if not await self._users.revoke(session_id, f"ended by {principal.name}", self._clock()):
            raise SessionNotFoundError(session_id)
        await self._audit.record("session.end", session_id)

    async def users(self) -> list[User]:
        """Every user, by name."""
        return await self._users.all()

    async def add_user(self, name: str, password: str, role: Role) -> User:
        """Make a user.

        Raises:
            UserExistsError: the name is taken.
            InvalidAccountError: the password is too short or too long.
        """
        hashed = await self._passwords.hash(password)
        user = User(str(uuid.uuid4()), name, role, is_active=True, created_at=self._clock())
        await self._users.add(user, hashed)
        await self._audit.record("user.create", name, detail=str(role))
        return user

    async def change_user(
        self,
        name: str,
        *,
        role: Role | None = None,
        is_active: bool | None = None,
        password: str | None = None,
    ) -> User:
        """Change what is given. A new password, or being active no more, ends all sessions.

        Raises:
            UserNotFoundError: there is none of this name.
            InvalidAccountError: the password is too short or too long.
        """
        user = (await self._stored(name)).user
        values: dict[str, Any] = {}
        if role is not None:
            values["role"] = str(role)
        if is_active is not None:
            values["is_active"] = is_active
        if password is not None:
            values["password_hash"] = await self._passwords.hash(password)
        ends = is_active is False or password is not None
        reason = "an admin changed the user" if ends else None
        await self._users.change(user.id, values, revoke=reason, but=None, now=self._clock())
        await self._audit.record("user.change", name, detail=_changes(role, is_active, password))
        return (await self._stored(name)).user

    async def delete_user(self, name: str) -> None:
        """Forget a user, with all sessions and keys.

        Raises:
            UserNotFoundError: there is none of this name.
        """
        await self._users.delete((await self._stored(name)).user.id)
        await self._audit.record("user.delete", name)

    async def keys(self, principal: Principal, *, everybody: bool) -> list[ApiKey]:
        """The keys of the principal, or of everybody.

        Raises:
            ForbiddenError: not everybody's are for this principal.
        """
        _demand_person(principal)
        if everybody:
            _demand(principal, "users:read")
        return await self._keys.of(principal.user_id, everybody=everybody)

    async def add_key(
        self, principal: Principal, name: str, scopes: Iterable[str], expires_at: float | None
    ) -> tuple[ApiKey, str]:
        """Make a key that may do no more than its maker; returns it, and its one and only text.

        Raises:
            InvalidAccountError: a scope does not exist, or the expiry is past.
            ForbiddenError: the principal has not got a scope itself.
        """
        _demand_person(principal)
        wanted = frozenset(scopes)
        if unknown := unknown_scopes(wanted):
            raise InvalidAccountError(f"There is no scope {', '.join(unknown)}.")
        for scope in sorted(wanted):
            _demand(principal, scope)
        now = self._clock()
        if expires_at is not None and expires_at <= now:
            raise InvalidAccountError("A key cannot expire in the past.")
        key_id, text = new_key()
        key = ApiKey(key_id, name, principal.user_id, wanted, now, expires_at)
        await self._keys.add(key, self._signer.digest(text))
        await self._audit.record("key.create", key_id, detail=" ".join(sorted(wanted)))
        return key, text

    async def revoke_key(self, principal: Principal, key_id: str) -> None:
        """Let nobody in with a key of the principal, or with anybody's by `users:write`.

        Raises:
            KeyNotFoundError: there is none that is good.
        """
        found = await self._keys.get(key_id)
        if found is None or found[0].revoked_at is not None:
            raise KeyNotFoundError(key_id)
        if not _owns(principal, found[0].user_id):
            raise KeyNotFoundError(key_id)
        await self._keys.revoke(key_id, self._clock())
        await self._audit.record("key.revoke", key_id)

    async def _stored(self, name: str) -> Stored:
        stored = await self._users.named(name)
        if stored is None:
            raise UserNotFoundError(name)
        return stored

    def _tokens(self, user: User, session: Session, refresh: str, now: float) -> Tokens:
        expires_at = min(now + self._access_lifetime, session.expires_at)
        access = self._signer.access(Claims(user.id, session.id, expires_at), now)
        return Tokens(access, refresh, int(expires_at - now), ROLES[user.role])


def _changes(role: Role | None, is_active: bool | None, password: str | None) -> str:
    """What was changed, as the audit log has it; a password is never told."""
    changed = [] if role is None else [f"role {role}"]
    if is_active is not None:
        changed.append("active" if is_active else "inactive")
    if password is not None:
        changed.append("a new password")
    return ", ".join(changed)


def _session_of(principal: Principal) -> str:
    kind, _, session_id = principal.credential.partition(":")
    if kind != "session":
        raise NoSessionError
    return session_id


def _owns(principal: Principal, user_id: str | None) -> bool:
    mine = principal.user_id is not None and principal.user_id == user_id
    return mine or principal.may("users:write")


def _demand_person(principal: Principal) -> None:
    """A key that was stolen must not make others, nor show which there are."""
    if principal.credential.startswith("key:"):
        _demand(principal, "users:write")


def _demand(principal: Principal, scope: str) -> None:
    if not principal.may(scope):
        raise ForbiddenError(scope)
