"""JSON as clients write it: keys twice, in any order, numbers of any size, in any encoding."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any


class Raw(str):
    """Text that is written as it is: a number no Python number is."""

    __slots__ = ()


class Pairs(list[tuple[str, Any]]):
    """The members of an object, in order."""


@dataclass(frozen=True, slots=True)
class Style:
    """How a value is written."""

    comma: str = ","
    colon: str = ":"
    escaped: bool = True
    before: str = ""
    after: str = ""
    encoding: str = "utf-8"


PLAIN = Style(", ", ": ")
COMPACT = Style()


def written(value: object, style: Style = PLAIN) -> bytes:
    """The bytes of a JSON text. Lone surrogates are written too, escaped or not."""
    pieces: list[str] = [style.before]
    _write(value, style, pieces)
    pieces.append(style.after)
    return "".join(pieces).encode(style.encoding, "surrogatepass")


def parsed(body: bytes) -> object:
    """A JSON text, so that it can be written again: objects as pairs, numbers as their text.

    Raises:
        ValueError: it is none.
        RecursionError: it is too deep.
    """
    text = body.decode(json.detect_encoding(body), "surrogatepass")
    return json.loads(
        text, object_pairs_hook=Pairs, parse_int=Raw, parse_float=Raw, parse_constant=Raw
    )


def _write(value: object, style: Style, pieces: list[str]) -> None:
    if isinstance(value, Raw):
        pieces.append(value)
    elif isinstance(value, dict | Pairs):
        pieces.append("{")
        for number, (key, below) in enumerate(value.items() if isinstance(value, dict) else value):
            pieces.append(style.comma if number else "")
            pieces.append(json.dumps(key, ensure_ascii=style.escaped) + style.colon)
            _write(below, style, pieces)
        pieces.append("}")
    elif isinstance(value, list | tuple):
        pieces.append("[")
        for number, below in enumerate(value):
            pieces.append(style.comma if number else "")
            _write(below, style, pieces)
        pieces.append("]")
    else:
        pieces.append(json.dumps(value, ensure_ascii=style.escaped))
