"""Requests as data: sent as these very bytes, saved as lines of JSON, played again later."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Any, Self

Headers = tuple[tuple[bytes, bytes], ...]


class Framing(StrEnum):
    """How the end of a body is told (RFC 9112, section 6)."""

    NONE = "none"
    LENGTH = "length"
    CHUNKED = "chunked"


class CorpusError(ValueError):
    """A file that holds no cases; the message names the line."""


@dataclass(frozen=True, slots=True)
class Request:
    """One request. `headers` are those behind `Host`, without the ones that frame the body.

    `chunks` are the bytes of each piece of a chunked body; the rest goes in one more. With
    `settle`, the next request waits until nothing runs in the background.
    """

    method: bytes
    target: bytes
    headers: Headers = ()
    body: bytes = b""
    framing: Framing = Framing.NONE
    chunks: tuple[int, ...] = ()
    version: bytes = b"HTTP/1.1"
    settle: bool = False

    def wire(self) -> bytes:
        """The bytes to send."""
        lines = [b" ".join((self.method, self.target, self.version))]
        lines += [b": ".join(header) for header in self.headers]
        body = b""
        if self.framing is Framing.LENGTH:
            lines.append(b"Content-Length: %d" % len(self.body))
            body = self.body
        elif self.framing is Framing.CHUNKED:
            lines.append(b"Transfer-Encoding: chunked")
            body = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in self._pieces())
        return b"\r\n".join((*lines, b"", body))

    @property
    def path(self) -> bytes:
        """The target without query and fragment."""
        return self.target.partition(b"#")[0].partition(b"?")[0]

    def values(self, name: bytes) -> list[bytes]:
        """All values of a header, which is named in lower case."""
        return [value for key, value in self.headers if key.lower() == name]

    def as_json(self) -> dict[str, Any]:
        """What differs from the defaults, bytes as Latin-1 or base64."""
        found: dict[str, Any] = {"method": _text(self.method), "target": _text(self.target)}
        if self.headers:
            found["headers"] = [[_text(name), _text(value)] for name, value in self.headers]
        if self.framing is not Framing.NONE:
            found["framing"] = str(self.framing)
            found |= _body(self.body)
        if self.chunks:
            found["chunks"] = list(self.chunks)
        if self.version != b"HTTP/1.1":
            found["version"] = _text(self.version)
        if self.settle:
            found["settle"] = True
        return found

    @classmethod
    def from_json(cls, found: Mapping[str, Any]) -> Self:
        body = base64.b64decode(found.get("body64", "")) or _bytes(found.get("body", ""))
        framing = Framing.LENGTH if body else Framing.NONE
        return cls(
            method=_bytes(found["method"]),
            target=_bytes(found["target"]),
            headers=tuple((_bytes(n), _bytes(v)) for n, v in found.get("headers", ())),
            body=body,
            framing=Framing(found.get("framing", framing)),
            chunks=tuple(found.get("chunks", ())),
            version=_bytes(found.get("version", "HTTP/1.1")),
            settle=bool(found.get("settle", False)),
        )

    def _pieces(self) -> Iterator[bytes]:
        rest = self.body
        for size in self.chunks:
            if not rest:
                break
            yield rest[:size]
            rest = rest[size:]
        if rest:
            yield rest
        yield b""


@dataclass(frozen=True, slots=True)
class Case:
    """Requests that belong together: they leave a server as it was.

    `route` is the row they try. `seed` and `number` make a generated case again.
    """

    route: str
    steps: tuple[Request, ...]
    seed: int | None = None
    number: int | None = None

    @property
    def name(self) -> str:
        """What names it in a report."""
        return self.route if self.number is None else f"{self.route} {self.seed}:{self.number}"

    @property
    def size(self) -> int:
        """Bytes it sends."""
        return sum(len(step.wire()) for step in self.steps)

    def with_step(self, index: int, step: Request) -> Case:
        """The same with another step there."""
        return replace(self, steps=(*self.steps[:index], step, *self.steps[index + 1 :]))

    def as_json(self) -> dict[str, Any]:
        """One line of a corpus."""
        found: dict[str, Any] = {"route": self.route}
        if self.number is not None:
            found |= {"seed": self.seed, "number": self.number}
        return found | {"steps": [step.as_json() for step in self.steps]}

    @classmethod
    def from_json(cls, found: Mapping[str, Any]) -> Self:
        """Read what `as_json` has written.

        Raises:
            KeyError, TypeError, ValueError: it is no case.
        """
        steps = tuple(Request.from_json(step) for step in found["steps"])
        return cls(str(found["route"]), steps, found.get("seed"), found.get("number"))


def read(path: Path) -> list[Case]:
    """The cases of a corpus.

    Raises:
        CorpusError: a line is no case.
        OSError: the file cannot be read.
    """
    found = []
    for number, line in enumerate(path.read_text("utf-8", "replace").splitlines(), 1):
        if not line.strip():
            continue
        try:
            found.append(Case.from_json(json.loads(line)))
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise CorpusError(f"{path}, line {number} is no case: {error!r}") from error
    return found


def write(path: Path, cases: Iterable[Case]) -> None:
    """Save a corpus."""
    lines = (json.dumps(case.as_json(), separators=(",", ":")) for case in cases)
    path.write_text("".join(f"{line}\n" for line in lines))


def _text(raw: bytes) -> str:
    return raw.decode("latin-1")


def _bytes(text: str) -> bytes:
    return text.encode("latin-1")


def _body(body: bytes) -> dict[str, str]:
    """As text when a person can read it."""
    if body.isascii():
        return {"body": _text(body)}
    return {"body64": base64.b64encode(body).decode("ascii")}
