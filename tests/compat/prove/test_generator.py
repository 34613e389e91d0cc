"""Generated cases: repeatable, valid as HTTP, harmless, and of every kind."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator

import httptools
import pytest

from compat.prove.cases import Case, Framing, Request
from compat.prove.generator import case
from compat.prove.seeds import COMMAND_IDS, PROCESS_IDS
from compat.routes import ROWS
from compat.table import Row

NAMES = [row.name for row in ROWS]


def cases(row: Row, count: int, seed: int = 1) -> Iterator[Case]:
    return (case(row, seed, number) for number in range(count))


class Parsed:
    """What a strict parser makes of some bytes."""

    def __init__(self, wire: bytes) -> None:
        self.headers: list[tuple[bytes, bytes]] = []
        self.body = b""
        self.complete = 0
        parser = httptools.HttpRequestParser(self)
        parser.feed_data(wire)

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers.append((name, value))

    def on_body(self, body: bytes) -> None:
        self.body += body

    def on_message_complete(self) -> None:
        self.complete += 1


@pytest.mark.parametrize("row", ROWS, ids=NAMES)
def test_the_same_seed_makes_the_same_bytes(row: Row) -> None:
    once, again = (b"".join(s.wire() for c in cases(row, 50) for s in c.steps) for _ in range(2))
    assert once == again
    assert once != b"".join(s.wire() for c in cases(row, 50, seed=2) for s in c.steps)


def test_a_case_can_be_made_without_those_before_it() -> None:
    row = ROWS[3]
    assert case(row, 1, 99) == list(cases(row, 100))[99]
    assert case(row, 1, 99).name == "POST /execute 1:99"


@pytest.mark.parametrize("row", ROWS, ids=NAMES)
def test_framing_is_valid_so_that_no_request_hangs(row: Row) -> None:
    for made in cases(row, 300):
        for step in made.steps:
            # The head's first line is not the parser's matter here: methods and raw bytes are odd.
            _, _, rest = step.wire().partition(b"\r\n")
            found = Parsed(b"POST / %b\r\n%b" % (step.version, rest))
            assert (found.complete, found.body) == (1, step.body), made
            if step.version == b"HTTP/1.0":
                assert step.framing is not Framing.CHUNKED


@pytest.mark.parametrize("row", ROWS, ids=NAMES)
def test_each_row_is_mostly_asked_as_it_should_be(row: Row) -> None:
    path = row.path.partition("<")[0].encode()
    made = [step for one in cases(row, 1000) for step in one.steps]
    right = [s for s in made if s.method == row.method.encode() and s.path.startswith(path)]
    assert len(right) > 700
    assert {b"HEAD", b"OPTIONS", b"PUT"} <= {step.method for step in made}
    assert any(step.framing is Framing.CHUNKED and step.chunks for step in made) or not row.body


def test_every_kind_of_body_is_made() -> None:
    row = next(row for row in ROWS if row.name == "POST /execute")
    kinds: Counter[str] = Counter()
    for made in cases(row, 3000):
        kinds[_kind(made.steps[0])] += 1
    assert min(kinds[kind] for kind in ("object", "list", "broken", "empty", "other type")) > 2
    assert kinds["object"] > 1500


def _kind(step: Request) -> str:
    if not step.body:
        return "empty"
    if [value for value in step.values(b"content-type") if b"json" not in value.lower()]:
        return "other type"
    try:
        value = json.loads(step.body)
    except (ValueError, RecursionError):
        return "broken"
    if isinstance(value, list):
        return "list"
    return "object" if isinstance(value, dict) else "scalar"


@pytest.mark.parametrize("row", ROWS, ids=NAMES)
def test_what_sleeps_is_ended_in_the_same_case(row: Row) -> None:
    process = f"/processes/{PROCESS_IDS['sleeper']}".encode()
    for made in cases(row, 600):
        for index, step in enumerate(made.steps):
            later = made.steps[index + 1 :]
            if step.target.startswith(b"/workflow/start") and _names_a_sleeper(step):
                assert any(it.target == b"/workflow/stop" for it in later), made
            if step.method == b"POST" and step.target == process + b"/start":
                ends = (process + b"/stop", process + b"/kill", process + b"?force=true")
                assert any(it.target in ends for it in later), made


def _names_a_sleeper(step: Request) -> bool:
    return b"sleeper" in step.body or COMMAND_IDS["sleeper"].encode() in step.body


def test_a_stopped_daemon_is_started_again() -> None:
    for row in ROWS:
        for made in cases(row, 300):
            targets = [step.target for step in made.steps]
            if b"/daemon/stop" in targets:
                assert targets[-1] == b"/daemon/start", made


def test_each_client_can_be_told_from_others() -> None:
    row = ROWS[0]
    clients = [step.values(b"x-client-id") for made in cases(row, 500) for step in made.steps]
    named = {values[0] for values in clients if values}
    assert len(named) > 300
