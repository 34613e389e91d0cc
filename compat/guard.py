"""Decides what may talk to the old contract, which runs whatever it is sent and asks for no name.

Old scripts are programs on this machine. What else can reach a loopback port is a page in a browser
(its requests carry headers that no program sends), a name of its own that it has led here (DNS
rebinding: the `Host` header tells), and a proxy that passes strangers on (it says so).
"""

from __future__ import annotations

import hmac
from collections import Counter
from collections.abc import Awaitable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from typing import Self

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from compat.legacy_json import dumps
from compat.settings import DualSettings
from fastapi_app.errors import StartupError
from fastapi_app.hosts import KnownHosts, is_loopback, names_bound_to

Headers = Sequence[tuple[bytes, bytes]]
Address = tuple[str, int | None]
"""As in an ASGI scope; a unix socket has a path, and no port."""

SHORTEST_TOKEN = 32
"""Characters: 128 bits, even if they are hexadecimal digits."""
BEARER = b"bearer "
_BROWSER = frozenset({b"origin", b"sec-fetch-site"})
_BROWSER_PREFIX = b"access-control-request-"
_PROXY = frozenset({b"forwarded", b"x-real-ip", b"via"})
_PROXY_PREFIX = b"x-forwarded-"
_TOLD = _BROWSER | _PROXY
_PREFIXES = (_BROWSER_PREFIX, _PROXY_PREFIX)
_USUAL = frozenset(
    b"accept accept-encoding connection content-length content-type user-agent x-client-id".split()
)
"""Headers of nearly every call, about which there is nothing to be found out."""
REMEMBERED = 1024
"""Pairs of addresses whose verdict is kept."""
_MAPPED = "::ffff:"
"""What the address of an IPv4 peer begins with on an IPv6 socket (RFC 4291, section 2.5.5.2)."""
ANSWERED_HANDSHAKE = "websocket.http.response"


class Rule(StrEnum):
    """What a call may break. The names are part of the answer, and stay."""

    BIND = "loopback-bind"
    PEER = "loopback-peer"
    HOST = "known-host"
    BROWSER = "no-browser"
    PROXY = "no-proxy"
    TOKEN = "token"  # noqa: S105 - the name of a rule


@dataclass(frozen=True, slots=True)
class Refusal:
    """What is answered to a call that breaks a rule: why, which setting allows it, what to do."""

    status: int
    error: str
    setting: str | None
    hint: str

    def body(self, rule: Rule) -> bytes:
        return dumps(
            {"error": self.error, "rule": rule, "setting": self.setting, "hint": self.hint}
        )


REFUSALS: Mapping[Rule, Refusal] = {
    Rule.BIND: Refusal(
        403,
        "the old contract is not served on this address",
        "MCLI_LEGACY_REMOTE",
        "Ask 127.0.0.1. MCLI_LEGACY_REMOTE=true and MCLI_LEGACY_TOKEN open it to other machines.",
    ),
    Rule.PEER: Refusal(
        403,
        "the old contract is for programs on its own machine",
        "MCLI_LEGACY_REMOTE",
        "Ask from there. MCLI_LEGACY_REMOTE=true and MCLI_LEGACY_TOKEN open it to other machines.",
    ),
    Rule.HOST: Refusal(
        403,
        "there must be one Host header with a name that is known",
        "MCLI_LEGACY_ALLOWED_HOSTS",
        "Ask http://127.0.0.1 or http://localhost, or list the name in MCLI_LEGACY_ALLOWED_HOSTS.",
    ),
    Rule.BROWSER: Refusal(
        403,
        "the old contract answers programs and no browsers",
        None,
        "Origin, Sec-Fetch-Site and Access-Control-Request-* are sent by browsers; leave them out."
        " Pages use /api/v1 on the other port, those of other sites by MCLI_ALLOWED_ORIGINS.",
    ),
    Rule.PROXY: Refusal(
        403,
        "the old contract takes no calls that were passed on",
        "MCLI_LEGACY_PROXIES",
        "Forwarded, X-Forwarded-*, X-Real-IP and Via are sent by proxies; ask without one, or list"
        " its address in MCLI_LEGACY_PROXIES.",
    ),
    Rule.TOKEN: Refusal(
        401,
        "the token is missing or wrong",
        "MCLI_LEGACY_TOKEN",
        "Send 'Authorization: Bearer TOKEN' with the server's MCLI_LEGACY_TOKEN, or use its unix"
        " socket, which needs none.",
    ),
}
_BODIES = {rule: refusal.body(rule) for rule, refusal in REFUSALS.items()}


def body_of(rule: Rule) -> bytes:
    """The whole answer to a call that breaks the rule, as JSON."""
    return _BODIES[rule]


def tells(name: bytes) -> bool:
    """Whether a header, in lower case, tells of a browser or of a proxy."""
    return name in _TOLD or name.startswith(_PREFIXES)


def rule_of(name: bytes) -> Rule:
    """The rule that a header breaks which `tells`."""
    browser = name in _BROWSER or name.startswith(_BROWSER_PREFIX)
    return Rule.BROWSER if browser else Rule.PROXY


class Rules:
    """What a call must be like, of all of which one passes over its headers decides.

    `hosts` are the names besides loopback; `proxies` the addresses that may pass calls on. With a
    `token` each call over TCP must have it, and with `remote` may then come from anywhere.
    """

    def __init__(
        self,
        *,
        hosts: Iterable[str] = (),
        proxies: Iterable[str] = (),
        remote: bool = False,
        token: bytes | None = None,
    ) -> None:
        self._hosts = KnownHosts(hosts)
        self._proxies = frozenset(proxies)
        self._remote = remote
        self._token = token
        self.refused: Counter[Rule] = Counter()
        """How many calls have broken which rule."""

    @classmethod
    def of(cls, settings: DualSettings) -> Self:
        """The rules that the settings make.

        Raises:
            StartupError: they serve strangers, or have a token that anybody could guess.
        """
        token = _token(settings)
        bound = settings.legacy_host
        if not is_loopback(bound) and not settings.legacy_remote:
            raise StartupError(
                f"MCLI_LEGACY_HOST={bound} serves the old contract, which runs any command it is"
                " sent, to other machines; that needs MCLI_LEGACY_REMOTE=true and"
                " MCLI_LEGACY_TOKEN."
            )
        if settings.legacy_remote and token is None:
            raise StartupError(
                "MCLI_LEGACY_REMOTE opens the old contract, which runs any command it is sent, to"
                f" other machines; that needs MCLI_LEGACY_TOKEN ({SHORTEST_TOKEN} characters or"
                " more)."
            )
        return cls(
            hosts=[*settings.legacy_allowed_hosts, *names_bound_to(bound)],
            proxies=settings.legacy_proxies,
            remote=settings.legacy_remote,
            token=token,
        )

    def broken(
        self, server: Address | None, client: Address | None, headers: Headers
    ) -> Rule | None:
        """The first rule that a call breaks; its ends and headers as in its ASGI scope."""
        # A peer that is gone already has no address either: only the socket's own end tells.
        unix = server is not None and server[1] is None
        peer = "" if client is None else client[0]
        if not unix and not self._remote:
            rule = _broken_by_ends("" if server is None else server[0], peer)
            if rule is not None:
                return rule
        rule = self._broken_by_headers(headers, peer)
        if rule is None and self._token is not None and not unix:
            return None if _has_token(headers, self._token) else Rule.TOKEN
        return rule

    def _broken_by_headers(self, headers: Headers, peer: str) -> Rule | None:
        hosts = 0
        host = b""
        browser = proxy = False
        for name, value in headers:
            if name in _USUAL:
                continue
            if name == b"host":
                hosts += 1
                host = value
            elif name in _TOLD or name.startswith(_PREFIXES):
                if rule_of(name) is Rule.BROWSER:
                    browser = True
                else:
                    proxy = True
        if hosts != 1 or self._hosts.find(host) is None:
            return Rule.HOST
        if browser:
            return Rule.BROWSER
        if proxy and peer.removeprefix(_MAPPED) not in self._proxies:
            return Rule.PROXY
        return None


@lru_cache(REMEMBERED)
def _broken_by_ends(bound: str, peer: str) -> Rule | None:
    """The rule that is broken by where a call comes in, or where it comes from."""
    if not is_loopback(bound.removeprefix(_MAPPED)):
        return Rule.BIND
    return None if is_loopback(peer.removeprefix(_MAPPED)) else Rule.PEER


class Guard:
    """An ASGI application that answers 403 (401 for the token) to what breaks a rule."""

    def __init__(self, app: ASGIApp, rules: Rules) -> None:
        self._app = app
        self._broken = rules.broken
        self._refused = rules.refused

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        # Not a coroutine of its own: every old call would pay for it at each of its steps.
        rule = self._broken(scope["server"], scope["client"], scope["headers"])
        if rule is None:
            return self._app(scope, receive, send)
        self._refused[rule] += 1
        return _refuse(rule, scope, receive, send)


async def _refuse(rule: Rule, scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "http":
        await _answer(send, rule, "http.response")
        return
    await receive()  # the handshake, which gets an answer like any request
    if ANSWERED_HANDSHAKE in scope.get("extensions", {}):
        await _answer(send, rule, ANSWERED_HANDSHAKE)
    else:
        await send({"type": "websocket.close", "code": 1008})


async def _answer(send: Send, rule: Rule, kind: str) -> None:
    body = body_of(rule)
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
    ]
    if rule is Rule.TOKEN:
        headers.append((b"www-authenticate", b"Bearer"))
    start: Message = {
        "type": f"{kind}.start",
        "status": REFUSALS[rule].status,
        "headers": headers,
    }
    await send(start)
    await send({"type": f"{kind}.body", "body": body})


def _has_token(headers: Headers, token: bytes) -> bool:
    given = [value for name, value in headers if name == b"authorization"]
    if len(given) != 1 or given[0][: len(BEARER)].lower() != BEARER:
        return False
    return hmac.compare_digest(given[0][len(BEARER) :].strip(b" "), token)


def _token(settings: DualSettings) -> bytes | None:
    if settings.legacy_token is None:
        return None
    text = settings.legacy_token.get_secret_value()
    if len(text) < SHORTEST_TOKEN or not text.isascii() or not text.isprintable() or " " in text:
        raise StartupError(
            f"MCLI_LEGACY_TOKEN must have {SHORTEST_TOKEN} characters or more, all of them visible"
            " ASCII; `openssl rand -hex 32` makes one."
        )
    return text.encode()
