"""Who a token is of, in every process at once when that changes."""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import logging
import time

from fastapi_app.errors import InvalidTokenError, StorageUnavailableError
from fastapi_app.identity import OWNER, ROLES, Principal, User
from fastapi_app.services.tokens import KEY_PREFIX, LONGEST, NotAToken, Signer, key_id_of
from fastapi_app.storage.epoch import Epoch
from fastapi_app.storage.keys import KeyStore
from fastapi_app.storage.users import UserStore

log = logging.getLogger(__name__)

KNOWN = 10_000
"""Tokens that are remembered; with one more all are looked up anew."""
KNOWN_FOR = 60.0
"""Seconds until a token is looked up again though nothing was changed."""
LOOK = 0.25
"""Seconds between two looks at whether what open connections came with was revoked."""


class IdentityService:
    """Tells principals by their tokens. `home_token` is the machine owner's."""

    def __init__(
        self, *, home_token: str, signer: Signer, users: UserStore, keys: KeyStore, epoch: Epoch
    ) -> None:
        self._home_token = home_token.encode()
        self._signer = signer
        self._users = users
        self._keys = keys
        self._epoch = epoch
        self._seen = ""
        self._known: dict[str, tuple[Principal, float]] = {}
        self._open: dict[asyncio.Future[None], Principal] = {}
        self._watching: asyncio.Task[None] | None = None

    async def principal(self, token: str) -> Principal:
        """Whose token this is.

        Raises:
            InvalidTokenError: nobody's, or not any more.
            StorageUnavailableError: nobody can tell.
        """
        if len(token) > LONGEST or not token.isascii():
            raise InvalidTokenError("The token is too long to be one, or has letters that none has")
        if hmac.compare_digest(token.encode(), self._home_token):
            return OWNER
        epoch = await self._epoch.current()
        if epoch != self._seen or len(self._known) >= KNOWN:
            self._known.clear()
            self._seen = epoch
        now = time.time()
        known = self._known.get(token)
        if known is None or now >= known[1]:
            found = await self._looked_up(token, now)
            until = min(now + KNOWN_FOR, found.expires_at or now + KNOWN_FOR)
            known = found, until
            if epoch == self._seen:
                self._known[token] = known
        return known[0]

    async def until_revoked(self, principal: Principal) -> None:
        """Wait until nothing may go on that this principal has begun."""
        waiter = asyncio.get_running_loop().create_future()
        self._open[waiter] = principal
        if self._watching is None:
            self._watching = asyncio.create_task(self._watch())
        try:
            with contextlib.suppress(StorageUnavailableError):  # what held goes on
                if not await self._holds(principal):  # it was taken away on the way here
                    return
            await waiter
        finally:
            self._open.pop(waiter, None)

    async def aclose(self) -> None:
        """Stop watching."""
        if self._watching is not None:
            self._watching.cancel()
            await asyncio.gather(self._watching, return_exceptions=True)

    async def _looked_up(self, token: str, now: float) -> Principal:
        try:
            if token.startswith(f"{KEY_PREFIX}_"):
                return await self._of_key(token, now)
            claims = self._signer.claims(token)
        except NotAToken as error:
            raise InvalidTokenError(str(error)) from error
        return await self._of_session(claims.session_id, claims.user_id, claims.expires_at, now)

    async def _of_key(self, token: str, now: float) -> Principal:
        key_id = key_id_of(token)
        found = await self._keys.get(key_id)
        digest = self._signer.digest(token)
        # Compared also when there is none: both take the same time.
        right = hmac.compare_digest(digest.encode(), (found[1] if found else "").encode())
        if found is None or not right:
            raise InvalidTokenError("There is no such API key")
        key = found[0]
        if key.revoked_at is not None:
            raise InvalidTokenError("The API key was revoked")
        if key.expires_at is not None and now >= key.expires_at:
            raise InvalidTokenError("The API key has expired")
        scopes = key.scopes
        if key.user_id is not None:
            scopes &= ROLES[(await self._active(key.user_id)).role]
        if key.last_used is None or now - key.last_used >= KNOWN_FOR:
            with contextlib.suppress(StorageUnavailableError):
                await self._keys.used(key_id, now)
        return Principal(
            key=f"key:{key_id}",
            name=key.name,
            scopes=scopes,
            credential=f"key:{key_id}",
            user_id=key.user_id,
            expires_at=key.expires_at,
        )

    async def _of_session(
        self, session_id: str, user_id: str, expires_at: float, now: float
    ) -> Principal:
        session = await self._users.session(session_id)
        if session is None or session.revoked_at is not None or now >= session.expires_at:
            raise InvalidTokenError("The login has ended")
        user = await self._active(user_id)
        return Principal(
            key=f"user:{user.name}",
            name=user.name,
            scopes=ROLES[user.role],
            credential=f"session:{session_id}",
            role=user.role,
            user_id=user.id,
            expires_at=expires_at,
        )

    async def _active(self, user_id: str) -> User:
        user = await self._users.get(user_id)
        if user is None or not user.is_active:
            raise InvalidTokenError("The user is not active any more")
        return user

    async def _watch(self) -> None:
        """Tell those who wait for it that what they came with does not hold any more."""
        seen = None
        while True:
            try:
                epoch = await self._epoch.current()
                if epoch != seen:
                    for waiter, principal in [*self._open.items()]:
                        if not await self._holds(principal) and not waiter.done():
                            waiter.set_result(None)
                    seen = epoch
            except StorageUnavailableError:
                pass  # what held goes on
            await asyncio.sleep(LOOK)

    async def _holds(self, principal: Principal) -> bool:
        """Whether what a connection was opened with was not taken away since."""
        kind, _, name = principal.credential.partition(":")
        try:
            if kind == "key":
                found = await self._keys.get(name)
                if found is None or found[0].revoked_at is not None:
                    return False
            elif kind == "session":
                session = await self._users.session(name)
                if session is None or session.revoked_at is not None:
                    return False
            if principal.user_id is None:
                return True
            user = await self._active(principal.user_id)
        except InvalidTokenError:
            return False
        return principal.scopes <= ROLES[user.role]
