"""The announcement headers, and what they do to headers that are there."""

from __future__ import annotations

import pytest

from compat.headers import deprecation_headers, with_announcement

DAY = 86_400
ANNOUNCED = deprecation_headers(
    deprecated=1767225600, sunset=1798761600, successor="/api/v1/x", documentation="/migration"
)


def test_the_values_are_those_of_the_rfcs() -> None:
    headers = dict(ANNOUNCED)
    assert headers[b"deprecation"] == b"@1767225600"  # RFC 9745: a structured-field date
    assert headers[b"sunset"] == b"Fri, 01 Jan 2027 00:00:00 GMT"  # RFC 8594: an HTTP-date
    assert headers[b"link"] == (
        b'</api/v1/x>; rel="successor-version", </migration>; rel="deprecation"; type="text/html"'
    )


def test_a_route_cannot_end_before_it_is_deprecated() -> None:
    with pytest.raises(ValueError, match="before it is deprecated"):
        deprecation_headers(deprecated=2 * DAY, sunset=DAY, successor="/x", documentation="/m")


def test_an_existing_link_is_extended_and_nothing_else_changes() -> None:
    answer = [(b"Content-Type", b"text/plain"), (b"Link", b"</a>; rel=next"), (b"X-A", b"1")]
    merged = with_announcement(answer, ANNOUNCED)
    assert merged[:2] == [answer[0], answer[2]]
    links = [value for name, value in merged if name.lower() == b"link"]
    assert links == [b"</a>; rel=next, " + dict(ANNOUNCED)[b"link"]]
