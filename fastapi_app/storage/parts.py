"""Many ids in several statements: databases bound the number of parameters of one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

MANY = 500


def parts(keys: Sequence[str]) -> Iterator[Sequence[str]]:
    """The keys in order, at most `MANY` together."""
    for start in range(0, len(keys), MANY):
        yield keys[start : start + MANY]
