"""Which token `mclictl` sends: MCLI_TOKEN, a login, or the machine owner's from the home folder."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click
import httpx

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from cli.client import Json

VARIABLE = "MCLI_TOKEN"
LOGINS = "logins.json"
REFRESH = "/api/v1/auth/refresh"
LOOPBACK = ("localhost", "127.0.0.1", "::1")


def home() -> Path:
    """`$MCLI_HOME`, else `~/.mcli-dualstack`: the same as the server's."""
    return Path(os.environ.get("MCLI_HOME") or "~/.mcli-dualstack").expanduser()


@dataclass(frozen=True)
class Login:
    """What a login has left for us."""

    name: str
    access: str
    refresh: str

    @classmethod
    def of(cls, name: str, answer: Json) -> Login:
        return cls(name, str(answer["access_token"]), str(answer["refresh_token"]))


class Logins:
    """The logins of this user, by the address of the server, in a file nobody else can read."""

    def __init__(self) -> None:
        self._path = home() / LOGINS

    def get(self, url: str) -> Login | None:
        """The login at this server."""
        found = self._all().get(url)
        return None if found is None else Login(**found)

    def put(self, url: str, login: Login | None) -> None:
        """Keep a login, or forget it."""
        logins = self._all()
        logins.pop(url, None)
        if login is not None:
            logins[url] = vars(login)
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        new = self._path.with_suffix(f".{os.getpid()}")
        descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            json.dump(logins, file, indent=2)
        new.replace(self._path)

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Alone among all `mclictl` of this user: a refresh token is good once."""
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with self._path.with_suffix(".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _all(self) -> dict[str, dict[str, str]]:
        try:
            logins = json.loads(self._path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return {}
        except (OSError, ValueError) as failure:
            raise click.ClickException(
                f"{self._path} cannot be read: {failure}. Delete it, and log in again."
            ) from failure
        return logins if isinstance(logins, dict) else {}


class Bearer(httpx.Auth):
    """Sends the token with each request; a login that has expired is refreshed on the way."""

    def __init__(self, url: httpx.URL) -> None:
        self._url = str(url).rstrip("/")
        self._local = url.host in LOOPBACK

    def token(self) -> str | None:
        """The token as it is now; the machine owner's never leaves the machine."""
        if given := os.environ.get(VARIABLE):
            return given.strip()
        if login := Logins().get(self._url):
            return login.access
        if not self._local:
            return None
        try:
            return (home() / "token").read_text(encoding="ascii").strip() or None
        except (OSError, ValueError):
            return None

    def headers(self) -> dict[str, str]:
        """For a WebSocket's handshake."""
        token = self.token()
        return {"Authorization": f"Bearer {token}"} if token else {}

    def sync_auth_flow(
        self, request: httpx.Request
    ) -> Generator[httpx.Request, httpx.Response, None]:
        """Send it; when the login has expired, refresh it and send it again."""
        sent = self.token()
        request.headers.update(self.headers())
        response = yield request
        if response.status_code != httpx.codes.UNAUTHORIZED or os.environ.get(VARIABLE):
            return
        logins = Logins()
        with logins.locked():
            login = logins.get(self._url)
            if login is None:
                return
            if login.access == sent:  # nobody else has refreshed it meanwhile
                refreshed = yield self._refresh(request, login)
                refreshed.read()
                if not refreshed.is_success:
                    logins.put(self._url, None)
                    return
                logins.put(self._url, Login.of(login.name, refreshed.json()))
        request.headers.update(self.headers())
        yield request

    def _refresh(self, request: httpx.Request, login: Login) -> httpx.Request:
        return httpx.Request(
            "POST",
            f"{self._url}{REFRESH}",
            json={"refresh_token": login.refresh},
            extensions=request.extensions,
        )
