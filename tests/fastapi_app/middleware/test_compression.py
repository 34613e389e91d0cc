"""Answers are compressed for those who ask, but nothing that is read as it comes."""

from __future__ import annotations

import gzip

import httpx
import pytest

from tests.fastapi_app.routers.wire import COMMANDS, NDJSON, RUNS, created, finished, start

GZIP = {"Accept-Encoding": "gzip"}


def raw(client: httpx.Client, path: str, **headers: str) -> tuple[httpx.Headers, bytes]:
    """The answer as it came over the wire."""
    with client.stream("GET", path, headers={**GZIP, **headers}) as answer:
        assert answer.status_code == 200
        return answer.headers, b"".join(answer.iter_raw())


def test_a_long_answer_is_compressed_for_who_asks(client: httpx.Client) -> None:
    name = created(client, "long-code", "echo " + "long " * 2000)
    headers, body = raw(client, f"{COMMANDS}/{name}")
    assert headers["Content-Encoding"] == "gzip"
    assert headers["Vary"] == "Accept-Encoding"
    assert len(body) == int(headers["Content-Length"]) < 1000
    plain = client.get(f"{COMMANDS}/{name}", headers={"Accept-Encoding": "identity"})
    assert "Content-Encoding" not in plain.headers
    assert plain.headers["Vary"] == "Accept-Encoding"
    assert gzip.decompress(body) == plain.content


def test_a_short_answer_is_not(client: httpx.Client) -> None:
    headers, body = raw(client, "/livez")
    assert "Content-Encoding" not in headers
    assert body.startswith(b"{")


@pytest.mark.parametrize(
    ("path", "accept", "kind"),
    [
        ("logs", "*/*", "text/plain; charset=utf-8"),
        ("logs?follow=true", NDJSON, NDJSON),
        ("logs?follow=true", "text/event-stream", "text/event-stream; charset=utf-8"),
        ("events", NDJSON, NDJSON),
        ("events", "text/event-stream", "text/event-stream; charset=utf-8"),
    ],
)
def test_a_stream_is_not(client: httpx.Client, path: str, accept: str, kind: str) -> None:
    run = start(client, "yes | head -c 20000")
    finished(client, run)
    headers, body = raw(client, f"{RUNS}/{run}/{path}", Accept=accept)
    assert headers["Content-Type"] == kind
    assert "Content-Encoding" not in headers
    assert (b"y\ny" if path == "logs" else b"type") in body


def test_a_stream_begins_before_it_ends(client: httpx.Client) -> None:
    run = start(client, "echo first; sleep 600")
    with client.stream("GET", f"{RUNS}/{run}/logs?follow=true", headers=GZIP) as answer:
        assert next(answer.iter_raw()) == b"first\n"
    client.post(f"{RUNS}/{run}/stop", json={})
