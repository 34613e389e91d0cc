"""Names in `Host` headers and origins: what they are, and whether they mean this server."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import AddressValueError, IPv4Address, IPv6Address, ip_address

LONGEST = 255 + len(":65535")
"""Bytes of a name (RFC 1035, section 2.3.4) and a port."""
LOCALHOST = "localhost"
PORTS = {"http": 80, "https": 443}
REMEMBERED = 1024
"""Verdicts that are kept: clients write the same few hosts again and again."""
_LOOPBACK = IPv6Address("::1")
_HOST = re.compile(
    r"(\[[0-9a-f:.]+\]|[0-9a-z_-]{1,63}(?:\.[0-9a-z_-]{1,63})*\.?)(?::([1-9][0-9]{0,4}))?",
    re.ASCII,
)
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*", re.ASCII)
_ORIGIN = re.compile(r"(https?)://([^/?#@]+)", re.ASCII)


@dataclass(frozen=True, slots=True)
class Host:
    """Where a request goes: a name in lower case without its last dot, or an address."""

    name: str
    port: int | None = None


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a page comes from (RFC 6454, section 4)."""

    scheme: str
    name: str
    port: int


def parse_host(text: str) -> Host | None:
    """What a `Host` header names (RFC 9110, section 7.2); `None` for what is malformed.

    One dot behind a name is the root of the DNS and makes no other name. What ends in a number is
    an address, in full or not at all: programs do not agree on what `127.1` is.
    """
    found = _HOST.fullmatch(text.lower()) if len(text) <= LONGEST else None
    if found is None:
        return None
    name, port = found[1], int(found[2]) if found[2] else None
    if port is not None and port > 65535:
        return None
    try:
        if name.startswith("["):
            name = str(IPv6Address(name[1:-1]))
        elif _NUMBER.fullmatch(name.rstrip(".").rpartition(".")[2]):
            name = str(IPv4Address(name))
    except AddressValueError:
        return None
    return Host(name.removesuffix("."), port)


def parse_origin(text: str) -> Origin | None:
    """What an `Origin` header names; `None` for `null`, other schemes and what is malformed."""
    found = _ORIGIN.fullmatch(text.lower())
    host = parse_host(found[2]) if found else None
    if found is None or host is None:
        return None
    return origin_of(found[1], host)


def origin_of(scheme: str, host: Host) -> Origin:
    """The origin of what a host serves."""
    return Origin(scheme, host.name, host.port or PORTS.get(scheme, 0))


@lru_cache(REMEMBERED)
def is_loopback(name: str) -> bool:
    """Whether a name or an address is this machine and nothing else."""
    if name == LOCALHOST:
        return True
    try:
        address = ip_address(name)
    except ValueError:
        return False
    return address.is_loopback if isinstance(address, IPv4Address) else address == _LOOPBACK


class KnownHosts:
    """The hosts a server answers to: loopback addresses, `localhost`, and some names."""

    def __init__(self, names: Iterable[str] = ()) -> None:
        self._names = frozenset(names)
        self._remembered = lru_cache(REMEMBERED)(self._find)

    def find(self, value: bytes) -> Host | None:
        """The host that the header names, if it is known."""
        return self._remembered(value) if len(value) <= LONGEST else None

    def _find(self, value: bytes) -> Host | None:
        # The parser leaves tabs, which are no part of a value (RFC 9110, section 5.5).
        host = parse_host(value.strip(b" \t").decode("latin-1"))
        known = host is not None and (host.name in self._names or is_loopback(host.name))
        return host if known else None


def checked_names(names: Iterable[str]) -> tuple[str, ...]:
    """Names for a list of known ones, as they are compared.

    Raises:
        ValueError: one is a pattern, has a port, or is the address of no host at all.
    """
    return tuple(map(_checked_name, names))


def checked_origins(origins: Iterable[str]) -> tuple[str, ...]:
    """Origins for a list of known ones.

    Raises:
        ValueError: one is no `http://host` or `https://host`, with or without a port.
    """
    for origin in origins:
        if parse_origin(origin) is None:
            raise ValueError(f"each must be like https://name or http://name:3000; {origin} is not")
    return tuple(origins)


def names_bound_to(address: str) -> tuple[str, ...]:
    """The name that an address to listen on is asked under; none if it is that of every host."""
    host = parse_host(_bracketed(address))
    return (host.name,) if host and not _is_nowhere(host) else ()


def _checked_name(name: str) -> str:
    host = parse_host(_bracketed(name))
    if host is None or host.port is not None:
        raise ValueError(
            f"each must be one name or address, without pattern and port; {name} is not"
        )
    if _is_nowhere(host):
        raise ValueError(f"{name} is an address to listen on, not the name of a host")
    return host.name


def _bracketed(name: str) -> str:
    try:
        return f"[{IPv6Address(name)}]"
    except AddressValueError:
        return name


def _is_nowhere(host: Host) -> bool:
    try:
        return ip_address(host.name).is_unspecified
    except ValueError:
        return False
