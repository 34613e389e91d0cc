"""Cases: the bytes they send, and the lines they are saved as."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compat.prove.cases import Case, CorpusError, Framing, Request, read, write

LATIN = st.binary(max_size=20)
REQUESTS = st.builds(
    Request,
    method=LATIN,
    target=LATIN,
    headers=st.lists(st.tuples(LATIN, LATIN), max_size=3).map(tuple),
    body=LATIN,
    framing=st.sampled_from([Framing.LENGTH, Framing.CHUNKED]),
    chunks=st.lists(st.integers(1, 9), max_size=3).map(tuple),
    version=st.sampled_from([b"HTTP/1.1", b"HTTP/1.0"]),
    settle=st.booleans(),
)


def test_a_request_without_a_body() -> None:
    request = Request(b"GET", b"/a?b", ((b"Host", b"x"), (b"X-Y", b"\xff")))
    assert request.wire() == b"GET /a?b HTTP/1.1\r\nHost: x\r\nX-Y: \xff\r\n\r\n"


def test_a_body_with_its_length() -> None:
    request = Request(b"POST", b"/", (), b"{}", Framing.LENGTH, version=b"HTTP/1.0")
    assert request.wire() == b"POST / HTTP/1.0\r\nContent-Length: 2\r\n\r\n{}"


def test_a_body_in_pieces() -> None:
    request = Request(b"POST", b"/", (), b"abcdef", Framing.CHUNKED, (1, 3))
    head, _, body = request.wire().partition(b"\r\n\r\n")
    assert head == b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked"
    assert body == b"1\r\na\r\n3\r\nbcd\r\n2\r\nef\r\n0\r\n\r\n"


def test_more_pieces_than_there_is_body() -> None:
    request = Request(b"POST", b"/", (), b"ab", Framing.CHUNKED, (2, 3, 4))
    assert request.wire().endswith(b"\r\n\r\n2\r\nab\r\n0\r\n\r\n")


@given(REQUESTS)
def test_requests_are_the_same_when_saved_and_read(request: Request) -> None:
    assert Request.from_json(json.loads(json.dumps(request.as_json()))) == request


def test_a_body_that_people_can_read_is_saved_as_text() -> None:
    saved = Request(b"POST", b"/", (), b'{"a":1}', Framing.LENGTH).as_json()
    assert saved["body"] == '{"a":1}'
    assert Request.from_json({"method": "POST", "target": "/", "body": "{}"}).wire() == (
        b"POST / HTTP/1.1\r\nContent-Length: 2\r\n\r\n{}"
    )


def test_a_corpus_is_the_same_when_saved_and_read(tmp_path: Path) -> None:
    cases = [
        Case("GET /", (Request(b"GET", b"/"), Request(b"POST", b"/", (), b"\xff", Framing.LENGTH))),
        Case("POST /execute", (Request(b"POST", b"/execute", settle=True),), 7, 12),
    ]
    write(tmp_path / "corpus.jsonl", cases)
    assert read(tmp_path / "corpus.jsonl") == cases


@pytest.mark.parametrize("line", ["{", "[]", "1", "{}", '{"route":"x","steps":[{"method":"G"}]}'])
def test_what_is_no_case_is_refused_with_its_line(line: str, tmp_path: Path) -> None:
    path = tmp_path / "corpus.jsonl"
    write(path, [Case("GET /", (Request(b"GET", b"/"),))])
    path.write_text(path.read_text() + "\n" + line + "\n")
    with pytest.raises(CorpusError, match="line 3 is no case"):
        read(path)


def test_a_case_has_a_name_that_makes_it_again() -> None:
    assert Case("GET /", (), 7, 12).name == "GET / 7:12"
    assert Case("GET /", ()).name == "GET /"
