"""TOML and YAML text to plain values: no aliases, no tags, no key twice, nothing too deep."""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from typing import Any

import yaml
from yaml.constructor import SafeConstructor
from yaml.resolver import Resolver

MAX_DEPTH = 16
MAX_KEY_PARTS = 32
# tomllib takes the square of a dotted key's parts: 128,000 of them would take minutes.
KEY_PART = r"""(?>[\w-]+|"(?>[^"\\\n]|\\.)*"|'[^'\n]*')"""
LONG_KEY = re.compile(
    rf"""(?<![\w\-"'.]){KEY_PART}(?>[ \t]*\.[ \t]*{KEY_PART}){{{MAX_KEY_PARTS}}}""", re.ASCII
)
# Ten times as fast; PyYAML lacks it only where it was built without libyaml.
LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
RESOLVER: Any = Resolver()
CONSTRUCTOR: Any = SafeConstructor()
READ_AS = "tag:yaml.org,2002:"
"""Of plain scalars only these are more than text; a date stays as it is written."""
TYPED = {READ_AS + name for name in ("bool", "int", "float", "null")}


class SyntaxProblemError(Exception):
    """The text cannot be read; the message names the line."""


@dataclass
class _Open:
    """A list or mapping whose end has not been read; `key` waits for its value."""

    values: dict[str, Any] | list[Any]
    key: str | None = None


def read_toml(text: str) -> Any:  # noqa: ANN401 - whatever was written
    """Read TOML.

    Raises:
        SyntaxProblemError: it is none.
    """
    if found := LONG_KEY.search(text):
        line = line_of(text, found.start())
        raise SyntaxProblemError(f"line {line}: a key of more than {MAX_KEY_PARTS} parts")
    try:
        return tomllib.loads(text)
    except RecursionError:
        raise SyntaxProblemError("values are nested too deeply") from None
    except tomllib.TOMLDecodeError as error:
        raise SyntaxProblemError(str(error)) from error
    except ValueError as error:  # Python reads no integer of more than 4,300 digits
        raise SyntaxProblemError("a number is too long; quote it") from error


def read_yaml(text: str) -> Any:  # noqa: ANN401 - whatever was written
    """Read YAML 1.1 as PyYAML's safe loader does, but keys are text as written.

    Raises:
        SyntaxProblemError: it is none, or uses what a document of steps has no need of.
    """
    try:
        return _built(text)
    except yaml.MarkedYAMLError as error:
        raise SyntaxProblemError(_explained(error)) from error
    except yaml.reader.ReaderError as error:
        line = line_of(text, error.position)
        raise SyntaxProblemError(f"line {line}: {error.reason}") from error
    except (ValueError, OverflowError) as error:
        raise SyntaxProblemError(str(error)) from error


def _explained(error: Any) -> str:  # noqa: ANN401
    """Where it went wrong, and in what that began."""
    mark = error.problem_mark or error.context_mark
    where = f"line {mark.line + 1}: " if mark else ""
    begun = error.context_mark
    inside = f", {error.context} of line {begun.line + 1}" if begun and error.context else ""
    return f"{where}{error.problem}{inside}"


def line_of(text: str, position: int) -> int:
    """Number of the line a position is on, from 1."""
    return text.count("\n", 0, position) + 1


def _built(text: str) -> Any:  # noqa: ANN401
    # From events, without recursion: composing nodes would first expand what is refused here.
    root: list[Any] = []
    stack = [_Open(root)]
    events: Any = yaml.parse(text, Loader=LOADER)
    for event in events:
        line = event.start_mark.line + 1
        if isinstance(event, yaml.DocumentStartEvent) and root:
            raise SyntaxProblemError(f"line {line}: there must be one document only")
        if isinstance(event, yaml.AliasEvent):
            raise SyntaxProblemError(f"line {line}: aliases (*{event.anchor}) are not supported")
        if isinstance(event, yaml.CollectionEndEvent):
            stack.pop()
        elif isinstance(event, yaml.NodeEvent):
            _refuse_tag(event, line)
            value = _value(event, is_key=_at_key(stack[-1]), line=line)
            _put(stack[-1], value, line)
            if isinstance(value, dict | list):
                stack.append(_Open(value))
        if len(stack) > MAX_DEPTH:
            raise SyntaxProblemError(f"line {line}: values are nested too deeply")
    return root[0] if root else None


def _refuse_tag(event: Any, line: int) -> None:  # noqa: ANN401
    if event.tag is not None:
        raise SyntaxProblemError(f"line {line}: tags ({event.tag}) are not supported")


def _at_key(parent: _Open) -> bool:
    return isinstance(parent.values, dict) and parent.key is None


def _value(event: Any, *, is_key: bool, line: int) -> Any:  # noqa: ANN401
    if isinstance(event, yaml.ScalarEvent):
        plain = event.implicit[0] and not is_key
        return _scalar(event.value) if plain else event.value
    if is_key:
        raise SyntaxProblemError(f"line {line}: a key must be text")
    return {} if isinstance(event, yaml.MappingStartEvent) else []


def _scalar(text: str) -> Any:  # noqa: ANN401
    tag = RESOLVER.resolve(yaml.ScalarNode, text, (True, False))
    if tag not in TYPED:
        return text
    try:
        return CONSTRUCTOR.construct_object(yaml.ScalarNode(tag, text))
    except (ValueError, OverflowError):  # such as `0b_`, which looks like a number and is none
        return text


def _put(parent: _Open, value: Any, line: int) -> None:  # noqa: ANN401
    if isinstance(parent.values, list):
        parent.values.append(value)
    elif parent.key is None:
        if value in parent.values:
            raise SyntaxProblemError(f"line {line}: the key {value!r} is there twice")
        parent.key = value
    else:
        parent.values[parent.key] = value
        parent.key = None
