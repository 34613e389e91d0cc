"""The headers that announce the end of an old route; nothing else of its answer changes."""

from __future__ import annotations

from collections.abc import Iterable
from email.utils import formatdate

Headers = list[tuple[bytes, bytes]]


def deprecation_headers(
    *, deprecated: int, sunset: int, successor: str, documentation: str
) -> Headers:
    """`Deprecation` (RFC 9745), `Sunset` (RFC 8594) and `Link` (RFC 8288) of one route.

    Times are Unix seconds. A sunset before the deprecation is an error in the table.
    """
    if sunset < deprecated:
        raise ValueError("a route cannot end before it is deprecated (RFC 9745, section 5)")
    link = (
        f'<{successor}>; rel="successor-version", '
        f'<{documentation}>; rel="deprecation"; type="text/html"'
    )
    return [
        (b"deprecation", f"@{deprecated}".encode()),
        (b"sunset", formatdate(sunset, usegmt=True).encode()),
        (b"link", link.encode()),
    ]


def with_announcement(answer: Iterable[tuple[bytes, bytes]], announcement: Headers) -> Headers:
    """The answer's headers with ours; a `Link` it has already is extended, not replaced."""
    merged: Headers = []
    links: list[bytes] = []
    for name, value in answer:
        if name.lower() == b"link":
            links.append(value)
        else:
            merged.append((name, value))
    if not links:
        return merged + announcement
    for name, value in announcement:
        merged.append((name, b", ".join([*links, value]) if name == b"link" else value))
    return merged
