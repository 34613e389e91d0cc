"""Makes a case smaller for as long as it still shows the same difference."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

from compat.prove.cases import Case, Framing, Request
from compat.prove.json_text import PLAIN, Pairs, Raw, parsed, written

SIMPLE: tuple[Any, ...] = (None, "", "a", Raw("0"), Raw("1"), [], Pairs())
MOST = 20
"""Items of a list that are tried one by one."""
PLAIN_HEADERS = {b"content-type": b"application/json", b"host": b"prove"}


def shrunk(case: Case, shows: Callable[[Case], bool], attempts: int) -> Case:
    """The smallest case found that still `shows` the difference, after so many tries at most."""
    left = attempts
    while True:
        for smaller in _smaller(case):
            if left == 0:
                return case
            left -= 1
            if shows(smaller):
                case = smaller
                break
        else:
            return case


def _smaller(case: Case) -> Iterator[Case]:
    """What is a little smaller, the boldest first."""
    if len(case.steps) > 1:
        for index in range(len(case.steps)):
            yield replace(case, steps=(*case.steps[:index], *case.steps[index + 1 :]))
    for index, step in enumerate(case.steps):
        for smaller in _requests(step):
            yield case.with_step(index, smaller)


def _requests(request: Request) -> Iterator[Request]:
    if len(request.headers) > 3:
        half = len(request.headers) // 2
        yield replace(request, headers=request.headers[half:])
        yield replace(request, headers=request.headers[:half])
    for index in range(len(request.headers)):
        kept = (*request.headers[:index], *request.headers[index + 1 :])
        yield replace(request, headers=kept)
    yield from _framings(request)
    for body in _bodies(request.body):
        yield replace(request, body=body)
    for target in _targets(request.target):
        yield replace(request, target=target)
    for index, (name, value) in enumerate(request.headers):
        for simple in _header_values(name, value):
            kept = (*request.headers[:index], (name, simple), *request.headers[index + 1 :])
            yield replace(request, headers=kept)


def _framings(request: Request) -> Iterator[Request]:
    if request.framing is not Framing.NONE:
        yield replace(request, body=b"", framing=Framing.NONE, chunks=())
    if request.framing is Framing.CHUNKED:
        yield replace(request, framing=Framing.LENGTH, chunks=())
    if request.chunks:
        yield replace(request, chunks=())
        yield replace(request, chunks=request.chunks[1:])
    if request.version != b"HTTP/1.1":
        yield replace(request, version=b"HTTP/1.1")
    if request.method not in {b"GET", b"POST"} and request.method.upper() != request.method:
        yield replace(request, method=request.method.upper())


def _bodies(body: bytes) -> Iterator[bytes]:
    if not body:
        return
    try:
        value = parsed(body)
        plain = written(value, PLAIN)
    except (ValueError, RecursionError):
        yield from _cuts(body)
        return
    if len(plain) < len(body) or (plain != body and not body.isascii()):
        yield plain
    for smaller in _values(value):
        yield written(smaller, PLAIN)
    if len(body) < len(plain):
        yield from _cuts(body)


def _values(value: object) -> Iterator[object]:
    """Simpler values in the place of this one, or of one within it."""
    if isinstance(value, Pairs):
        yield from _objects(value)
    elif isinstance(value, list):
        yield from _lists(value)
    elif isinstance(value, str) and not isinstance(value, Raw):
        yield from _texts(value)
    if _weight(value) > 1:
        yield from (simple for simple in SIMPLE if _weight(simple) < _weight(value))


def _objects(value: Pairs) -> Iterator[object]:
    for index in range(len(value)):
        yield Pairs((*value[:index], *value[index + 1 :]))
    for index, (key, below) in enumerate(value):
        for smaller in _values(below):
            yield Pairs((*value[:index], (key, smaller), *value[index + 1 :]))
        for shorter in _texts(key):
            yield Pairs((*value[:index], (shorter, below), *value[index + 1 :]))


def _lists(value: list[Any]) -> Iterator[object]:
    if len(value) > 3:
        yield value[len(value) // 2 :]
        yield value[: len(value) // 2]
    for index in range(min(len(value), MOST)):
        yield [*value[:index], *value[index + 1 :]]
    for index, below in enumerate(value[:MOST]):
        for smaller in _values(below):
            yield [*value[:index], smaller, *value[index + 1 :]]


def _texts(text: str) -> Iterator[str]:
    for begin, end in _spans(len(text)):
        yield text[:begin] + text[end:]


def _cuts(raw: bytes) -> Iterator[bytes]:
    for begin, end in _spans(len(raw)):
        yield raw[:begin] + raw[end:]


def _targets(target: bytes) -> Iterator[bytes]:
    path, mark, query = target.partition(b"?")
    if mark:
        yield path
        for begin, end in _spans(len(query)):
            yield path + mark + query[:begin] + query[end:]
    segments = path.split(b"/")
    for index in range(1, len(segments)):
        if len(segments) > 2:
            yield b"/".join((*segments[:index], *segments[index + 1 :])) + mark + query
        for begin, end in _spans(len(segments[index])):
            cut = segments[index][:begin] + segments[index][end:]
            yield b"/".join((*segments[:index], cut, *segments[index + 1 :])) + mark + query


def _header_values(name: bytes, value: bytes) -> Iterator[bytes]:
    plain = PLAIN_HEADERS.get(name.lower())
    if plain is not None and value not in {plain, b""} and len(value) >= len(plain):
        yield plain
    for begin, end in _spans(len(value)):
        yield value[:begin] + value[end:]


def _spans(length: int) -> Iterator[tuple[int, int]]:
    """What may be cut out: all, halves, quarters, and so on to single places near both ends."""
    size = length
    while size >= 1:
        for begin in range(0, length, size)[:16]:
            yield begin, min(length, begin + size)
        size //= 2


def _weight(value: object) -> int:
    """How much there is to a value."""
    if isinstance(value, Pairs):
        return 1 + sum(len(key) + _weight(below) for key, below in value)
    if isinstance(value, list):
        return 1 + sum(map(_weight, value))
    return len(value) + 1 if isinstance(value, str) else 1
