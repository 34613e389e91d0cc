"""What differs between two answers to one request: status, headers, and the body field by field."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from itertools import zip_longest
from typing import Any

CUT = 200
"""Characters of a value that are shown."""
MOST = 50
"""Differences of one answer that are told apart."""
COMPARED = (b"content-type", b"allow", b"retry-after")
_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}\+00:00")
_INDEX = re.compile(r"/\d+(?=/|$)")
_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[^\s"{}\[\],:]+|\s+|[{}\[\],:]', re.DOTALL)
_ABSENT = object()


class Shape(StrEnum):
    """What a value looks like that is never twice the same."""

    ID = "id"
    """A UUID as text."""
    MOMENT = "moment"
    """ISO 8601, UTC, with microseconds."""
    NUMBER = "number"
    """A number of at least 0."""


_FITS: Mapping[Shape, Callable[[Any], bool]] = {
    Shape.ID: lambda value: isinstance(value, str) and bool(_UUID.fullmatch(value)),
    Shape.MOMENT: lambda value: isinstance(value, str) and bool(_MOMENT.fullmatch(value)),
    Shape.NUMBER: lambda value: type(value) in {int, float} and 0 <= value < math.inf,
}


@dataclass(frozen=True, slots=True)
class Volatile:
    """A field that differs from itself; `pointer` is a JSON pointer, `*` for any index or key.

    Only its shape is compared, and that it is null on both sides or on none. What has not that
    shape on the control's side is compared as any other value.
    """

    pointer: str
    shape: Shape


@dataclass(frozen=True, slots=True)
class Answer:
    """What a stack answered."""

    status: int
    headers: Sequence[tuple[bytes, bytes]]
    body: bytes

    def header(self, name: bytes) -> list[bytes]:
        """All values of a header, which is named in lower case."""
        return [value for key, value in self.headers if key.lower() == name]


@dataclass(frozen=True, slots=True)
class Difference:
    """A place where two answers differ, and how.

    `pointer` is a JSON pointer into the body (RFC 6901; "" is the whole of it), `status`, or
    `header:NAME`. `kind` is status, header, missing, extra, type, value, order or bytes. Both sides
    are shown as text, cut to 200 characters.
    """

    pointer: str
    kind: str
    control: str
    candidate: str

    @property
    def group(self) -> str:
        """The pointer with `*` for every index, so that the same thing counts as the same."""
        return _INDEX.sub("/*", self.pointer)


def differences(
    control: Answer,
    candidate: Answer,
    volatile: Sequence[Volatile] = (),
    headers: Sequence[bytes] = COMPARED,
) -> list[Difference]:
    """Everything in which `candidate` is not what `control` is; nothing when they are the same.

    Bodies that one of both calls JSON are compared field by field, all others byte for byte. No
    body makes it raise.
    """
    found = []
    if control.status != candidate.status:
        sides = str(control.status), str(candidate.status)
        found.append(Difference("status", "status", *sides))
    for name in headers:
        mine, its = _header(control, name), _header(candidate, name)
        if mine != its:
            pointer = f"header:{name.decode('latin-1')}"
            found.append(Difference(pointer, "header", _listed(mine), _listed(its)))
    if control.body != candidate.body:
        if _is_json(control) or _is_json(candidate):
            found += _json_bodies(control.body, candidate.body, _tree(tuple(volatile)))
        else:
            found.append(_as_bytes(control.body, candidate.body))
    return found


def values_differ(control: object, candidate: object, prefix: str = "") -> list[Difference]:
    """The same of two JSON values that are no answers; pointers begin with `prefix`."""
    comparison = _Comparison()
    comparison.walk(control, candidate, prefix, {})
    return comparison.found


def _header(answer: Answer, name: bytes) -> list[bytes]:
    values = answer.header(name)
    if name == b"allow":  # a set, whose order Flask leaves to chance
        return sorted({part.strip() for value in values for part in value.split(b",")})
    return values


def _is_json(answer: Answer) -> bool:
    for value in answer.header(b"content-type"):
        kind = value.partition(b";")[0].strip().lower()
        if kind == b"application/json" or kind.endswith(b"+json"):
            return True
    return False


def _json_bodies(control: bytes, candidate: bytes, shapes: _Tree) -> list[Difference]:
    try:
        mine, its = control.decode(), candidate.decode()
        comparison = _Comparison()
        comparison.walk(_parsed(mine), _parsed(its), "", shapes)
        if comparison.found:
            return comparison.found
        alike = _written_alike(mine, its)
    except (ValueError, RecursionError):  # no UTF-8, no JSON, too deep, a number too long
        alike = False
    return [] if alike else [_as_bytes(control, candidate)]


def _parsed(text: str) -> object:
    return json.loads(text, object_pairs_hook=_object)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object that keeps what follows under an equal key: as `key#2` and so on."""
    found = dict(pairs)
    if len(found) == len(pairs):
        return found
    found = {}
    for key, value in pairs:
        name, number = key, 1
        while name in found:
            number += 1
            name = f"{key}#{number}"
        found[name] = value
    return found


def _written_alike(control: str, candidate: str) -> bool:
    """Whether equal texts are also written alike: every token, but for the volatile values.

    Only those may differ, as all others were found equal; so tokens that differ but mean the same
    are two ways to write one value.
    """
    for mine, its in zip_longest(_TOKEN.findall(control), _TOKEN.findall(candidate)):
        if mine != its:
            if mine is None or its is None or mine.isspace() or its.isspace():
                return False
            if json.loads(mine) == json.loads(its):
                return False
    return True


class _Comparison:
    """Walks two values at once and collects where they differ."""

    def __init__(self) -> None:
        self.found: list[Difference] = []

    def walk(self, mine: Any, its: Any, pointer: str, shapes: _Tree) -> None:  # noqa: ANN401
        """Compare two JSON values; absent ones too."""
        if len(self.found) >= MOST:
            return
        if mine is _ABSENT or its is _ABSENT:
            self._note(pointer, "extra" if mine is _ABSENT else "missing", mine, its)
        elif shapes and _has_shape(mine, shapes):
            if not ((its is None) == (mine is None) and _has_shape(its, shapes)):
                self._note(pointer, "type", mine, its)
        elif type(mine) is not type(its):
            self._note(pointer, "type", mine, its)
        elif isinstance(mine, dict):
            self._objects(mine, its, pointer, shapes)
        elif isinstance(mine, list):
            below = _below(shapes, "*")
            for index, (one, other) in enumerate(zip_longest(mine, its, fillvalue=_ABSENT)):
                self.walk(one, other, f"{pointer}/{index}", below)
        elif mine != its and (mine == mine or its == its):  # noqa: PLR0124 - NaN is NaN here
            self._note(pointer, "value", mine, its)

    def _objects(
        self, mine: Mapping[str, Any], its: Mapping[str, Any], pointer: str, shapes: _Tree
    ) -> None:
        for key in dict.fromkeys((*mine, *its)):
            token = str(key).replace("~", "~0").replace("/", "~1")
            values = mine.get(key, _ABSENT), its.get(key, _ABSENT)
            self.walk(*values, f"{pointer}/{token}", _below(shapes, token))
        if mine.keys() == its.keys() and list(mine) != list(its):
            self._note(pointer, "order", list(mine), list(its))

    def _note(self, pointer: str, kind: str, mine: object, its: object) -> None:
        if len(self.found) < MOST:
            self.found.append(Difference(pointer, kind, _shown(mine), _shown(its)))


_Tree = Mapping[str | None, Any]
"""Shapes by the tokens of their pointers; that of the place itself is under `None`."""


@lru_cache(256)
def _tree(volatile: tuple[Volatile, ...]) -> _Tree:
    root: dict[str | None, Any] = {}
    for field in volatile:
        node = root
        for token in field.pointer.split("/")[1:]:
            node = node.setdefault(token, {})
        node[None] = field.shape
    return root


def _has_shape(value: object, shapes: _Tree) -> bool:
    shape = shapes.get(None)
    return shape is not None and (value is None or _FITS[shape](value))


def _below(shapes: _Tree, token: str) -> _Tree:
    found: _Tree = shapes.get(token) or shapes.get("*") or {}
    return found


def _as_bytes(control: bytes, candidate: bytes) -> Difference:
    """Two bodies from shortly before the first byte that differs."""
    where = _first(control, candidate)
    begin = max(0, where - CUT // 4) if where > CUT // 2 else 0
    sides = (body[begin : begin + CUT] for body in (control, candidate))
    mine, its = (side.decode("utf-8", "backslashreplace")[:CUT] for side in sides)
    return Difference("", "bytes", mine, its)


def _first(one: bytes, other: bytes) -> int:
    """Where two byte strings begin to differ."""
    low, high = 0, min(len(one), len(other))
    while low < high:
        middle = (low + high + 1) // 2
        if one[low:middle] == other[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low


def _listed(values: Sequence[bytes]) -> str:
    return b", ".join(values)[:CUT].decode("latin-1")


def _shown(value: object) -> str:
    if value is _ABSENT:
        return ""
    if isinstance(value, str):
        value = value[:CUT]
    text = ""
    for piece in json.JSONEncoder().iterencode(value):
        text += piece
        if len(text) >= CUT:
            break
    return text[:CUT]
