"""Who calls: one key for each client, and a share of all keys that only ever grows.

The place of a key is the same on every route, in every process and for ever. So a script meets one
stack wherever the percentages are the same, and a higher percentage only adds clients.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import blake2b

from starlette.types import Scope

CLIENT_ID = b"x-client-id"
API_KEY = b"x-api-key"
AUTHORIZATION = b"authorization"
USER_AGENT = b"user-agent"
_TELLING = frozenset({CLIENT_ID, API_KEY, AUTHORIZATION, USER_AGENT})
_WHOLE = 1 << 64
LONGEST = 256
"""Bytes of a key that are kept as they are; a client may send megabytes."""
SHOWN = 120
"""Characters of what a client says of itself that are shown."""


@dataclass(frozen=True, slots=True)
class Client:
    """What a call tells of its client. `key` names it; `label` shows it without any secret."""

    key: bytes
    label: str
    address: str
    user_agent: str

    @property
    def id(self) -> str:
        """A short name that tells nothing."""
        return digest(self.key).hex()


def key_of(scope: Scope) -> bytes:
    """What names the client: its API key, else its `X-Client-Id`, else address and user agent.

    At most some hundred bytes: of what is longer, a digest.
    """
    api_key = client_id = agent = b""
    for name, value in scope["headers"]:
        if name in _TELLING:
            if name == USER_AGENT:
                agent = agent or value
            elif name == CLIENT_ID:
                client_id = client_id or value
            else:
                api_key = api_key or value
    if api_key:
        return b"key:" + _short(api_key)
    if client_id:
        return b"id:" + _short(client_id)
    return b"peer:%s %s" % (_address(scope).encode(), _short(agent))


def client_of(scope: Scope) -> Client:
    """The client of a call, as people may see it."""
    key = key_of(scope)
    agent = next((value for name, value in scope["headers"] if name == USER_AGENT), b"")
    kind, _, value = key.partition(b":")
    label = f"key {digest(key).hex()[:8]}" if kind == b"key" else _shown(value)
    return Client(key, label, _address(scope), _shown(agent))


def is_within(key: bytes, percent: int, salt: bytes = b"") -> bool:
    """Whether the client is among the first `percent` of all; another salt orders them anew."""
    if percent <= 0:
        return False
    return int.from_bytes(digest(key, salt)) * 100 < percent * _WHOLE


def digest(key: bytes, salt: bytes = b"") -> bytes:
    """Eight bytes that are the same for the same key, and spread evenly over all."""
    return blake2b(key, digest_size=8, salt=salt).digest()


def _address(scope: Scope) -> str:
    peer = scope.get("client")
    return str(peer[0]) if peer else "-"


def _short(text: bytes) -> bytes:
    return text if len(text) <= LONGEST else digest(text).hex().encode()


def _shown(text: bytes) -> str:
    return text[:SHOWN].decode("utf-8", "replace").replace("\0", "\ufffd")
