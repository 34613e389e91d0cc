"""The judge: what counts as the same, and what does not."""

from __future__ import annotations

from collections import deque
from dataclasses import replace
from pathlib import Path

import pytest

from compat.diff import Answer
from compat.guard import Rule
from compat.legacy_json import dumps
from compat.prove.cases import Case, Request
from compat.prove.guarded import Refused
from compat.prove.judge import Judge, Verdict
from compat.prove.seeds import planted_id
from compat.prove.servers import Server
from compat.routes import route_table

JSON = ((b"Content-Type", b"application/json"),)
OTHER_ID = "fd0fd1c6-94e7-4bd2-8e5a-5f0c8d1d7a66"


def server(port: int) -> Server:
    return Server("any", Path(), ("127.0.0.1", port), None, deque())


def judged(
    request: Request, control: Answer, candidate: Answer, *, api: str | None = None
) -> Verdict:
    """The old daemon listens on 5001, the candidate on 5002; with `api` it has a guard."""
    judge = Judge(route_table(), server(5001))
    its = replace(server(5002), api=api)
    return judge.judge(Case("x", (request,)), [control], [candidate], its)


def found(
    control: object, candidate: object, target: bytes = b"/status", method: bytes = b"GET"
) -> list[str]:
    sides = (Answer(200, JSON, dumps(value)) for value in (control, candidate))
    return [d.pointer for _, d in judged(Request(method, target), *sides).unexplained]


def test_the_port_of_each_server_is_its_own() -> None:
    assert found({"config": {"port": 5001}}, {"config": {"port": 5002}}) == []
    assert found({"config": {"port": 5001}}, {"config": {"port": 5001}}) == ["/config/port"]
    assert found({"config": {"port": 5001}}, {"config": {"port": 50021}}) == ["/config/port"]


@pytest.mark.parametrize("target", [b"/status", b"//status", b"http://a/status", b"/st%61tus?x"])
def test_volatile_fields_are_those_of_the_row_that_is_reached(target: bytes) -> None:
    assert found({"uptime_seconds": 1}, {"uptime_seconds": 2}, target) == []
    assert found({"uptime_seconds": 1}, {"uptime_seconds": -2}, target) == ["/uptime_seconds"]


def test_what_is_volatile_on_one_row_is_not_on_another() -> None:
    assert found({"uptime_seconds": 1}, {"uptime_seconds": 2}, b"/health") == ["/uptime_seconds"]
    assert found({"uptime_seconds": 1}, {"uptime_seconds": 2}, b"/nope") == ["/uptime_seconds"]


def test_a_planted_id_is_the_same_everywhere_though_ids_are_volatile() -> None:
    answer = {"id": planted_id(200), "name": "x", "status": "failed"}
    another = answer | {"id": OTHER_ID}
    path = b"/workflow/stop"
    assert found(answer, answer, path, b"POST") == []
    assert found(answer, another, path, b"POST") == ["planted"]
    assert found(another, answer | {"id": planted_id(201)}, path, b"POST") == ["planted"]
    assert found(another, another | {"id": OTHER_ID.replace("f", "e")}, path, b"POST") == []


def test_the_order_of_planted_rows_counts() -> None:
    rows = [{"id": planted_id(n)} for n in (301, 300)]
    assert found({"processes": rows}, {"processes": rows[::-1]}, b"/processes") == ["planted"]


def headers(control: list[tuple[bytes, bytes]], candidate: list[tuple[bytes, bytes]]) -> list[str]:
    sides = (Answer(200, side, b"") for side in (control, candidate))
    return [d.pointer for _, d in judged(Request(b"GET", b"/"), *sides).unexplained]


def test_the_announcement_and_the_listeners_own_headers_do_not_count() -> None:
    own = [(b"Date", b"x"), (b"Server", b"Werkzeug"), (b"Connection", b"close")]
    more = [(b"Deprecation", b"@1"), (b"Sunset", b"x"), (b"Link", b"<x>"), (b"X-Served-By", b"new")]
    assert headers(own, more) == []


def test_any_other_header_counts() -> None:
    assert headers([], [(b"X-More", b"1")]) == ["header:x-more"]
    assert headers([(b"X-More", b"1")], []) == ["header:x-more"]
    assert headers([(b"Allow", b"A, B")], [(b"allow", b"B,A")]) == []
    assert headers([(b"Location", b"http://127.0.0.1:5001/")], []) == ["header:location"]


def test_the_port_in_a_location_is_its_own() -> None:
    sides = [[(b"Location", b"http://127.0.0.1:%d/x" % port)] for port in (5001, 5002)]
    assert headers(*sides) == []


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        (b"/commands", ["header:content-length"]),
        (b"/status", []),
        (b"/x", ["header:content-length"]),
    ],
)
def test_the_length_of_a_head_counts_unless_it_differs_from_itself(
    target: bytes, expected: list[str]
) -> None:
    sides = (Answer(200, [(b"Content-Length", length)], b"") for length in (b"10", b"11"))
    verdict = judged(Request(b"HEAD", target), *sides)
    assert [d.pointer for _, d in verdict.unexplained] == expected


def test_no_answer_is_not_the_same_as_an_answer() -> None:
    silent = Answer(0, (), b"closed")
    for control in (Answer(200, JSON, b"{}"), silent):
        [(_, found)] = judged(Request(b"GET", b"/"), control, silent).unexplained
        assert found.pointer == "answer"
        assert found.candidate == "closed"


def test_what_is_meant_to_differ_is_counted_with_its_reason() -> None:
    many = tuple((b"X-%d" % n, b"") for n in range(101))
    control, candidate = Answer(431, (), b"html"), Answer(200, (), b"{}")
    verdict = judged(Request(b"GET", b"/", many), control, candidate)
    assert verdict.unexplained == []
    assert sum(verdict.explained.values()) == 2
    assert judged(Request(b"GET", b"/", many[:50]), control, candidate).explained == {}


def test_a_redirect_of_raw_bytes_names_another_address() -> None:
    sides = [
        Answer(308, [(b"Content-Type", b"text/html"), (b"Location", place)], b"")
        for place in (b"/%C3%83%C2%A9/kill", b"/%C3%A9/kill")
    ]
    raw = judged(Request(b"POST", b"/processes/\xc3\xa9//kill"), *sides)
    assert raw.unexplained == []
    assert raw.explained.total() == 1
    plain = judged(Request(b"POST", b"/processes/x//kill"), *sides)
    assert [found.pointer for _, found in plain.unexplained] == ["header:location"]


API = "http://127.0.0.1:5003"
HOST = (b"Host", b"prove")
OLD = Answer(200, JSON, b"{}")


def guarded(request: Request, candidate: Answer, control: Answer = OLD) -> list[str]:
    """The differences of a guarded server, each as what should have been refused and what was."""
    verdict = judged(request, control, candidate, api=API)
    return [f"{found.control}/{found.candidate}" for _, found in verdict.unexplained]


def test_what_the_guard_refuses_rightly_is_explained_by_its_rule() -> None:
    request = Request(b"GET", b"/x", (HOST, (b"Via", b"1.0 x")))
    its = Refused(200, JSON, b"{}", Rule.PROXY, mended=True)
    verdict = judged(request, OLD, its, api=API)
    assert verdict.unexplained == []
    [(reason, count)] = verdict.explained.items()
    assert count == 1
    assert "no-proxy" in reason


def test_behind_the_guard_all_is_compared_as_ever() -> None:
    request = Request(b"GET", b"/x", (HOST, (b"Via", b"1.0 x")))
    assert guarded(request, Refused(404, JSON, b"{}", Rule.PROXY, mended=True)) == ["200/404"]


@pytest.mark.parametrize("asked", [b"", b"elsewhere", b"elsewhere:80"])
def test_a_redirect_behind_the_guard_names_the_host_that_was_asked_then(asked: bytes) -> None:
    def redirect(host: bytes, path: bytes) -> tuple[int, list[tuple[bytes, bytes]], bytes]:
        url = b"http://" + host + path
        length = str(len(url)).encode()
        return 308, [(b"Content-Length", length), (b"Location", url)], b"<a>" + url

    control = Answer(*redirect(asked, b"/x/kill"))
    for method in (b"POST", b"HEAD"):
        request = Request(method, b"/x//kill", ((b"Host", asked),))
        its = Refused(*redirect(b"prove", b"/x/kill"), Rule.HOST, mended=True)
        assert guarded(request, its, control) == []
        other = Refused(*redirect(b"prove", b"/x/y"), Rule.HOST, mended=True)
        assert "/x/kill//x/y" in guarded(request, other, control)


@pytest.mark.parametrize(
    ("headers", "candidate", "expected"),
    [
        ((HOST,), Refused(200, JSON, b"{}", Rule.HOST, mended=True), "none/known-host"),
        ((HOST, (b"Via", b"x")), OLD, "no-proxy/none"),
        ((), OLD, "known-host/none"),
        (
            (HOST, (b"Via", b"x")),
            Refused(200, JSON, b"{}", Rule.HOST, mended=True),
            "no-proxy/known-host",
        ),
    ],
)
def test_a_guard_that_refuses_wrongly_or_not_at_all_is_found(
    headers: tuple[tuple[bytes, bytes], ...], candidate: Answer, expected: str
) -> None:
    assert guarded(Request(b"GET", b"/x", headers), candidate) == [expected]


def test_a_refusal_that_was_not_the_guards_is_a_difference() -> None:
    assert guarded(Request(b"GET", b"/x", (HOST,)), Answer(403, JSON, b"{}")) == ["200/403"]


def test_a_host_the_old_daemon_refuses_itself_must_be_refused_by_it() -> None:
    request = Request(b"GET", b"/x", ((b"Host", b"x" * 300),))
    its = Refused(403, JSON, b"{}", Rule.HOST, mended=False)
    assert guarded(request, its, Answer(400, JSON, b"html")) == []
    assert guarded(request, its, OLD) == ["200/400"]
