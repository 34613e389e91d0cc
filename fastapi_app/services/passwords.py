"""Passwords: hashed with Argon2, a few at once, and as slowly for users that do not exist."""

from __future__ import annotations

import asyncio
from functools import cached_property

from pwdlib import PasswordHash

from fastapi_app.errors import InvalidAccountError
from fastapi_app.identity import LONGEST_PASSWORD, SHORTEST_PASSWORD

AT_ONCE = 2
"""Hashes that are computed at the same time: each takes 64 MiB and a good part of a second."""


class Passwords:
    """Hashes and verifies in threads."""

    def __init__(self) -> None:
        self._turn = asyncio.Semaphore(AT_ONCE)

    @cached_property
    def _hasher(self) -> PasswordHash:
        return PasswordHash.recommended()

    @cached_property
    def _nobodys(self) -> str:
        return self._hasher.hash("nobody has this password")

    async def hash(self, password: str) -> str:
        """What is stored instead of a new password.

        Raises:
            InvalidAccountError: it is too short or too long.
        """
        if not SHORTEST_PASSWORD <= len(password) <= LONGEST_PASSWORD:
            raise InvalidAccountError(
                f"A password has {SHORTEST_PASSWORD} to {LONGEST_PASSWORD} characters."
            )
        async with self._turn:
            return await asyncio.to_thread(self._hasher.hash, password)

    async def matches(self, password: str, stored: str | None) -> bool:
        """Whether this is the password; it takes as long when nothing is stored."""
        if len(password) > LONGEST_PASSWORD:
            password, stored = "", None
        async with self._turn:
            return await asyncio.to_thread(self._matches, password, stored)

    def _matches(self, password: str, stored: str | None) -> bool:
        # Before either case, so that the first unknown name takes no longer than the others.
        nobodys = self._nobodys
        right = self._hasher.verify(password, stored or nobodys)
        return right and stored is not None
