"""Makes cases for a row: the same seed and number, the same bytes."""

from __future__ import annotations

from dataclasses import replace
from random import Random

from compat.prove import bodies, heads, sequences
from compat.prove.cases import Case, Framing, Request
from compat.table import Row

SETTLING = ("/processes", "/workflow/start")
"""Below these something may run on when its request has been answered."""


def case(row: Row, seed: int, number: int) -> Case:
    """The case of that number. It can be made without those before it."""
    random = Random(f"{seed}/{row.name}/{number}")  # noqa: S311 - it must be repeatable

    def make(random: Random) -> Request:
        return _request(random, row, number)

    steps = sequences.steps(random, row.name, make)
    client = (b"X-Client-Id", b"c%d" % random.randrange(1_000_000))
    return Case(row.name, tuple(_of_client(step, client) for step in steps), seed, number)


def _request(random: Random, row: Row, number: int) -> Request:
    head = heads.headers(random, number)
    body = bodies.body(random, row.name, row.body)
    if row.body or random.random() < 0.2:
        place = random.randrange(len(head) + 1)
        head[place:place] = heads.content_type(random)
    framing, chunks = _framing(random, row, body)
    version = b"HTTP/1.0" if framing is not Framing.CHUNKED and random.random() < 0.03 else None
    if body and random.random() < 0.01 and version is None:
        head.append((b"Expect", random.choice((b"100-continue", b"100-Continue"))))
    return Request(
        method=heads.method(random, row),
        target=heads.target(random, row),
        headers=tuple(head),
        body=body,
        framing=framing,
        chunks=chunks,
        version=version or b"HTTP/1.1",
        settle=row.path.startswith(SETTLING) and row.method != "GET",
    )


def _framing(random: Random, row: Row, body: bytes) -> tuple[Framing, tuple[int, ...]]:
    if not body and random.random() < (0.3 if row.body else 0.7):
        return Framing.NONE, ()
    if random.random() > 0.12:
        return Framing.LENGTH, ()
    sizes = (1, 2, 3, 7, 16, 1000, 65536)
    return Framing.CHUNKED, tuple(random.choices(sizes, k=random.randrange(0, 8)))


def _of_client(step: Request, client: tuple[bytes, bytes]) -> Request:
    """The request of a client that can be told from others, unless it says who it is itself."""
    if step.values(b"x-client-id") or step.headers == ():
        return step
    return replace(step, headers=(*step.headers, client))
