"""Parameters that a script declares in the comment it begins with.

# mcli:param stage: string(test|live) = test -- Where to
# mcli:param count: integer -- How many; without a default it must be given
# mcli:param note: string? -- May be left out
"""

from __future__ import annotations

import contextlib
import json
import math
import re
from collections.abc import Iterator, Mapping
from typing import Any

from fastapi_app.errors import FieldProblem, InvalidParametersError
from fastapi_app.models import Language

MARK = "mcli:param"
HEADER = 64 * 1024
"""Characters of code in which the header has to end."""
MAX_PARAMETERS = 64
NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,63}")
_COMMENT = {Language.NODE: "//", Language.TYPESCRIPT: "//", Language.LUA: "--"}
_TYPES = ("string", "integer", "number", "boolean")
_LINE = re.compile(
    rf"(?P<name>{NAME.pattern})\s*:\s*(?P<type>[a-z]+)"
    r"(?:\((?P<choices>[^()]*)\))?(?P<optional>\?)?"
    r"(?:\s*=\s*(?P<default>.*?))?(?:\s+--\s+(?P<description>.*))?"
)


def declared_in_header(language: Language, code: str) -> Mapping[str, Any] | None:
    """The parameters of a script as a JSON schema; `None` when it declares none.

    Raises:
        InvalidParametersError: with every line that is not right.
    """
    head = code[:HEADER]
    if MARK not in head:
        return None
    properties: dict[str, Any] = {}
    required: list[str] = []
    problems: list[FieldProblem] = []
    for number, text in _lines(language, head):
        try:
            name, about, needed = _declaration(text)
            _require_new(name, properties)
        except ValueError as error:
            problems.append(FieldProblem("/code", f"line {number}: {error}"))
        else:
            properties[name] = about
            required += [name] if needed else []
    if problems:
        raise InvalidParametersError(problems)
    if not properties:
        return None
    schema = {"type": "object", "properties": properties, "additionalProperties": False}
    return schema | ({"required": required} if required else {})


def _lines(language: Language, head: str) -> Iterator[tuple[int, str]]:
    """What follows the mark, with the number of its line, as long as there are only comments."""
    comment = _COMMENT.get(language, "#")
    for number, line in enumerate(head.split("\n"), 1):
        text = line.strip()
        if not text or (number == 1 and text.startswith("#!")):
            continue
        if not text.startswith(comment):
            return
        said = text.lstrip(comment[0]).strip()
        if said.startswith(MARK):
            yield number, said.removeprefix(MARK).strip()


def _declaration(text: str) -> tuple[str, dict[str, Any], bool]:
    """Name, schema, and whether it must be given.

    Raises:
        ValueError: says what is wrong.
    """
    found = _LINE.fullmatch(text)
    if found is None:
        raise ValueError(
            f"{MARK} wants NAME: TYPE = DEFAULT -- DESCRIPTION, such as"
            f" `{MARK} count: integer = 3 -- How many`"
        )
    kind, default, choices = found["type"], found["default"], found["choices"]
    if kind not in _TYPES:
        raise ValueError(f"there is no type {kind!r}; there are {', '.join(_TYPES)}")
    about: dict[str, Any] = {"type": kind}
    if choices is not None:
        about["enum"] = [_value(kind, choice.strip()) for choice in choices.split("|")]
    if default is not None:
        about["default"] = _value(kind, default)
        if choices is not None and about["default"] not in about["enum"]:
            raise ValueError(f"the default {default[:100]!r} is none of the choices")
    if found["description"]:
        about["description"] = found["description"].strip()
    return found["name"], about, default is None and not found["optional"]


def _value(kind: str, text: str) -> object:
    if kind == "string":
        return json.loads(text) if text.startswith('"') else text
    value: Any = None
    with contextlib.suppress(ValueError):
        value = json.loads(text)
    fits = {
        "integer": type(value) is int,
        "number": type(value) in (int, float) and math.isfinite(value),
        "boolean": type(value) is bool,
    }
    if not fits[kind]:
        raise ValueError(f"{text[:100]!r} is not of type {kind}")
    return value


def _require_new(name: str, known: Mapping[str, Any]) -> None:
    if name in known:
        raise ValueError(f"{name!r} is there already")
    if other := next((n for n in known if same_variable(n, name)), None):
        raise ValueError(f"{name!r} and {other!r} have one variable for both")
    if len(known) == MAX_PARAMETERS:
        raise ValueError(f"there are more than {MAX_PARAMETERS} parameters")


def same_variable(one: str, other: str) -> bool:
    """Whether both names stand for one variable of the environment."""
    return one.replace("-", "_").upper() == other.replace("-", "_").upper()
