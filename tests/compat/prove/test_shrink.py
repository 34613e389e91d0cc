"""Shrinking: the smallest case that still shows it, within bounds."""

from __future__ import annotations

import json

from compat.prove.cases import Case, Framing, Request
from compat.prove.shrink import shrunk


def case(*steps: Request) -> Case:
    return Case("POST /x", steps)


def post(body: bytes, *headers: tuple[bytes, bytes], target: bytes = b"/x") -> Request:
    return Request(b"POST", target, headers, body, Framing.LENGTH)


def test_all_that_does_not_matter_goes() -> None:
    noisy = post(
        json.dumps({"a": [1, 2, {"deep": "x" * 500}], "bad": "y" * 300, "c": None}).encode(),
        *((b"X-%d" % n, b"v" * 50) for n in range(20)),
        target=b"/x/yy/z?q=1&r=2",
    )
    before, after = Request(b"GET", b"/"), Request(b"GET", b"/")

    def shows(tried: Case) -> bool:
        return any(b'"bad"' in step.body for step in tried.steps)

    small = shrunk(case(before, noisy, after), shows, 2000)
    assert small == case(post(b'{"bad": null}', target=b"/x")) or len(small.steps[0].wire()) < 75
    assert len(small.steps) == 1
    assert small.steps[0].headers == ()
    assert json.loads(small.steps[0].body).keys() == {"bad"}


def test_a_string_is_shortened_to_what_matters() -> None:
    body = json.dumps({"name": "x" * 1000 + "\u00e9" + "y" * 1000}).encode()

    def shows(tried: Case) -> bool:
        try:
            return "\u00e9" in json.loads(tried.steps[0].body)["name"]
        except (ValueError, KeyError, TypeError, IndexError):
            return False

    small = shrunk(case(post(body)), shows, 2000)
    assert json.loads(small.steps[0].body) == {"name": "\u00e9"}


def test_a_body_that_is_no_json_is_cut() -> None:
    def shows(tried: Case) -> bool:
        return b"\xff" in tried.steps[0].body

    small = shrunk(case(post(b"{" * 3000 + b"\xff" + b"[" * 3000)), shows, 500)
    assert small.steps[0].body == b"\xff"


def test_a_header_that_matters_stays_and_gets_simple() -> None:
    headers = ((b"A", b"1"), (b"Content-Type", b"text/plain; charset=x; y=z"), (b"B", b"2"))

    def shows(tried: Case) -> bool:
        return b"text" in b"".join(tried.steps[0].values(b"content-type"))

    small = shrunk(case(post(b"{}", *headers)), shows, 500)
    assert small.steps[0].headers == ((b"Content-Type", b"text"),)
    assert small.steps[0].body == b""


def test_framing_and_version_become_plain() -> None:
    request = Request(b"POST", b"/x", (), b"abc", Framing.CHUNKED, (1, 1), b"HTTP/1.1")

    def shows(tried: Case) -> bool:
        return tried.steps[0].body == b"abc"

    small = shrunk(case(request), shows, 500)
    assert small.steps[0] == Request(b"POST", b"/", (), b"abc", Framing.LENGTH)


def test_steps_that_matter_stay_in_order() -> None:
    steps = tuple(Request(b"POST", b"/%d" % n) for n in range(6))

    def shows(tried: Case) -> bool:
        targets = [step.target for step in tried.steps]
        return b"/1" in targets and b"/4" in targets

    small = shrunk(case(*steps), shows, 500)
    assert [step.target for step in small.steps] == [b"/1", b"/4"]


def test_the_number_of_tries_is_bounded() -> None:
    tries = 0

    def shows(_: Case) -> bool:
        nonlocal tries
        tries += 1
        return False

    shrunk(case(post(b"x" * 100_000)), shows, 7)
    assert tries == 7


def test_nothing_that_does_not_show_it_is_taken() -> None:
    original = case(post(b'{"a": 1}', (b"Host", b"x")))
    assert shrunk(original, lambda _: False, 500) == original
