"""What the guard must refuse, worked out from the bytes, and what is sent instead."""

from __future__ import annotations

import pytest

from compat.diff import Answer
from compat.guard import Rule, body_of
from compat.prove.cases import Request
from compat.prove.guarded import broken, is_refusal, mended

HOST = (b"Host", b"prove")
Headers = tuple[tuple[bytes, bytes], ...]


def get(
    *headers: tuple[bytes, bytes], target: bytes = b"/x", version: bytes = b"HTTP/1.1"
) -> Request:
    return Request(b"GET", target, headers, version=version)


@pytest.mark.parametrize(
    ("request_", "rule"),
    [
        (get(HOST), None),
        (get((b"hOST", b" PROVE\t")), None),
        (get(), Rule.HOST),
        (get(version=b"HTTP/1.0"), Rule.HOST),
        (get(HOST, HOST), Rule.HOST),
        (get((b"Host", b"a b")), Rule.HOST),
        (get(HOST, (b"oRIGIN", b"null")), Rule.BROWSER),
        (get(HOST, (b"Access-Control-Request-Method", b"PUT")), Rule.BROWSER),
        (get(HOST, (b"X-Forwarded-Host", b"evil")), Rule.PROXY),
        (get(HOST, (b"X_Forwarded_Host", b"evil")), None),
        (get(HOST, target=b"*"), None),
        (get((b"Host", b"x"), target=b"http://prove/x?y"), None),
        (get(target=b"http://prove/x"), None),
        (get(HOST, HOST, target=b"http://prove/x"), Rule.HOST),
        (get(HOST, target=b"http://other/x"), Rule.HOST),
        (get(HOST, target=b"https://u:p@prove:1/x"), Rule.HOST),
        (get(HOST, target=b"http:///x"), None),
    ],
)
def test_the_rule_a_request_breaks(request_: Request, rule: Rule | None) -> None:
    assert broken(request_) == rule


def test_a_mended_request_breaks_no_rule_and_is_else_the_same() -> None:
    odd = get(
        *((b"Via", b"x"), (b"A", b"1"), (b"Host", b"a b"), (b"Origin", b"x"), (b"B", b"2")),
        target=b"http://u@other/x?y",
    )
    found = mended(odd)
    assert found == get(HOST, (b"A", b"1"), (b"B", b"2"), target=b"/x?y")
    assert found is not None
    assert broken(found) is None


def test_a_host_that_the_old_daemon_refuses_itself_is_not_mended() -> None:
    assert mended(get((b"Host", b"x" * 300))) is None
    assert mended(get(HOST, target=b"http://a..b/x")) is None


def test_a_refusal_is_known_to_the_last_byte() -> None:
    body = body_of(Rule.HOST)
    kind = (b"Content-Type", b"application/json")
    length = (b"Content-Length", str(len(body)).encode())
    request, head = get(), Request(b"HEAD", b"/x")
    assert is_refusal(request, Answer(403, (kind, length), body), Rule.HOST)
    assert is_refusal(head, Answer(403, (kind, length), b""), Rule.HOST)
    for status, headers, said in (
        (200, (kind, length), body),
        (403, (length,), body),
        (403, (kind,), body),
        (403, (kind, length, (b"X-Served-By", b"new")), body),
        (403, (kind, length), body + b"x"),
        (403, (kind, length), b""),
        (403, (kind, length), body_of(Rule.PROXY)),
    ):
        assert not is_refusal(request, Answer(status, headers, said), Rule.HOST)
