"""Secrets that a run prints: found however they are written, and shown as `***`."""

from __future__ import annotations

import base64
import json
import re
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from urllib.parse import quote, quote_plus

from fastapi_app.models import Run

STARS = "***"
SHORTEST_LINE = 8
"""Characters a line of a secret of several lines must have to be a secret by itself."""
_LINE_ENDS = b"\r\n"
_WRAPPED = re.compile(rb"[^\r\n]+(?:\r?\n[^\r\n]+)*")
_WRAPPED_OPEN = re.compile(rb"[^\r\n]+(?:\r?\n[^\r\n]+)*(?:\r\n?|\n)?")

Span = tuple[int, int]


class Mask:
    """Hides some values in bytes and text.

    A byte is hidden when any occurrence of a secret covers it, so what is shown of a byte depends
    on at most `reach` bytes to each side of it, never on how the log was cut into pieces. Adjoining
    hidden bytes are shown as one `***`, in the place of the first.
    """

    def __init__(self, values: Iterable[str]) -> None:
        plain: set[bytes] = set()
        wrapped: set[bytes] = set()
        for value in values:
            plain.update(_written(value))
            wrapped.update(_in_base64(value))
        self._plain = sorted(plain)
        self._wrapped = sorted(wrapped)
        # Each base64 character may be followed by a line end of two bytes.
        self.reach = max(
            [*map(len, self._plain), *(3 * len(core) for core in self._wrapped)] or [0]
        )

    def __bool__(self) -> bool:
        return bool(self._plain)

    def text(self, value: str) -> str:
        """The same text without the secrets."""
        if not self:
            return value
        data = value.encode("utf-8", "surrogatepass")
        return self.hide(data).decode("utf-8", "surrogatepass")

    def hide(self, data: bytes) -> bytes:
        """The same bytes without the secrets."""
        return STARS.encode().join(stretches(data, self.covered(data), 0, len(data)))

    def covered(self, data: bytes) -> list[Span]:
        """Where secrets lie in `data`: ascending, and neither overlapping nor touching."""
        spans = [span for secret in self._plain for span in _occurrences(data, secret)]
        if self._wrapped:
            spans += self._covered_in_base64(data)
        return merged(spans)

    def open_end(self, data: bytes) -> int:
        """From where on the end of `data` could be the beginning of a secret."""
        start = len(data)
        for secret in self._plain:
            first = max(0, len(data) - len(secret) + 1)
            start = min(start, _open_at(data, secret, first))
        for core in self._wrapped:
            first = max(0, len(data) - 3 * len(core))
            tail = _Unwrapped(data[first:])
            at = _open_at(tail.text, core, max(0, len(tail.text) - len(core) + 1), tail.is_open)
            if at < len(tail.text):
                start = min(start, first + tail.origin(at))
        return start

    def _covered_in_base64(self, data: bytes) -> Iterator[Span]:
        unwrapped = _Unwrapped(data)
        for core in self._wrapped:
            for start, end in _occurrences(unwrapped.text, core):
                span = unwrapped.origin(start), unwrapped.origin(end - 1) + 1
                # Only line by line: a match across empty lines could be of any length.
                if _WRAPPED.fullmatch(data, *span):
                    yield span


NOTHING = Mask(())


def mask_of(run: Run) -> Mask:
    """What hides the secrets of a run."""
    if not run.options.secrets:
        return NOTHING
    return Mask(run.env[name] for name in run.options.secrets if name in run.env)


def stretches(data: bytes, covered: Sequence[Span], start: int, stop: int) -> list[bytes]:
    """What is visible from `start` to `stop`; between each two of them something is hidden.

    What was hidden before `start` already, and goes on there, leaves no further trace.
    """
    found: list[bytes] = []
    position = start
    for begin, end in covered:
        if begin >= stop:
            break
        if begin >= start:
            found.append(data[position:begin])
        position = max(position, end)
    found.append(data[position:stop])
    return found


def merged(spans: Iterable[Span]) -> list[Span]:
    """The same bytes in as few spans as possible, ascending."""
    found: list[Span] = []
    for start, end in sorted(spans):
        if found and start <= found[-1][1]:
            found[-1] = found[-1][0], max(end, found[-1][1])
        else:
            found.append((start, end))
    return found


class _Unwrapped:
    """Bytes without their line ends, and where each came from."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._starts: list[int] | None = None
        self._origins: list[int] = []
        self.text = data.translate(None, _LINE_ENDS)

    def origin(self, at: int) -> int:
        """The position in the original of the byte at `at`."""
        if self._starts is None:
            self._map()
        starts = self._starts or [0]
        line = bisect_right(starts, at) - 1
        return self._origins[line] + at - starts[line]

    def is_open(self, at: int) -> bool:
        """Whether what is there from `at` to the end is wrapped line by line."""
        return _WRAPPED_OPEN.fullmatch(self._data, self.origin(at)) is not None

    def _map(self) -> None:
        self._starts, length = [], 0
        for line in re.finditer(rb"[^\r\n]+", self._data):
            self._starts.append(length)
            self._origins.append(line.start())
            length += line.end() - line.start()


def _occurrences(data: bytes, secret: bytes) -> Iterator[Span]:
    at = data.find(secret)
    while at != -1:
        yield at, at + len(secret)
        at = data.find(secret, at + 1)


def _open_at(
    data: bytes, secret: bytes, first: int, holds: Callable[[int], bool] = lambda _: True
) -> int:
    """The first position from `first` on where all that follows begins `secret`, else the end."""
    at = data.find(secret[:1], first)
    while at != -1:
        if secret.startswith(data[at:]) and holds(at):
            return at
        at = data.find(secret[:1], at + 1)
    return len(data)


def _written(value: str) -> set[bytes]:
    """The ways in which text shows a value: as it is, line by line, in URLs, in JSON."""
    lines = {line for line in value.splitlines() if len(line) >= SHORTEST_LINE}
    whole = {value, value.rstrip("\r\n") or value} | lines
    in_urls = {quote(value, safe=""), quote(value), quote_plus(value), quote_plus(value, safe="/")}
    in_urls |= {re.sub("%..", lambda code: code[0].lower(), url) for url in in_urls}
    in_json = {json.dumps(value, ensure_ascii=ascii_only)[1:-1] for ascii_only in (True, False)}
    return {text.encode() for text in whole | in_urls | in_json if text}


def _in_base64(value: str) -> Iterator[bytes]:
    """What longer base64 (RFC 4648) has in common wherever in it the value lies.

    One character stands for six bits: those that hold bits of a neighbour are left out.
    """
    data = value.encode()
    for before in range(3):
        padded = bytes(before) + data
        first, last = -(-8 * before // 6), 8 * len(padded) // 6
        yield base64.b64encode(padded)[first:last]
        yield base64.urlsafe_b64encode(padded)[first:last]
