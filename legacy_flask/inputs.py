"""What a request may say: fields and queries, each checked in a fixed order."""

from __future__ import annotations

import os
import re
from typing import Any

LONGEST_STRING_BYTES = 131071  # MAX_ARG_STRLEN of the kernel, without the final NUL
LONGEST_LIST_BYTES = 1_000_000
LONGEST_TIMEOUT_SECONDS = 31_536_000
LONGEST_NAME = 200
DEFAULT_LINES = 100
WHOLE_NUMBER = re.compile(r"[0-9]+")


class InputError(Exception):
    """A request that is refused with 400."""


def word(body: dict[str, Any], key: str) -> str | None:
    """Read a string; None when it is absent or falsy."""
    value = body.get(key)
    if not value:
        return None
    if not isinstance(value, str):
        raise InputError(f"{key} must be a string")
    return value


def command(body: dict[str, Any]) -> str | None:
    """Read the `command` field: shell text or a program."""
    text = word(body, "command")
    if text is None:
        return None
    size = _child_bytes("command", text)
    if size > LONGEST_STRING_BYTES:
        raise InputError(f"command is too long: {size} bytes, at most {LONGEST_STRING_BYTES}")
    return text


def args(body: dict[str, Any]) -> list[str]:
    """Read the `args` field, numbers as strings."""
    given = body.get("args")
    if given is None:
        return []
    if not isinstance(given, list) or not all(_is_text(item) for item in given):
        raise InputError("args must be a list of strings")
    texts = [str(item) for item in given]
    _check_sizes("args", texts)
    return texts


def environment(body: dict[str, Any], key: str) -> dict[str, str]:
    """Read the `env` or `environment` field, numbers as strings."""
    given = body.get(key)
    if given is None:
        return {}
    if not isinstance(given, dict) or not all(_is_text(value) for value in given.values()):
        raise InputError(f"{key} must be an object of strings")
    if any(not name or "=" in name or "\0" in name for name in given):
        raise InputError(f"{key} names must not be empty or contain '=' or NUL")
    texts = {name: str(value) for name, value in given.items()}
    pairs = [f"{name}={value}" for name, value in texts.items()]
    _check_sizes(key, pairs)
    return texts


def timeout(body: dict[str, Any]) -> int | float | None:
    """Read the `timeout` field, seconds, as JSON gave it."""
    value = body.get("timeout")
    if value is None:
        return None
    if not _is_number(value) or not 0 < value <= LONGEST_TIMEOUT_SECONDS:
        raise InputError(
            f"timeout must be a number of seconds above 0 and at most {LONGEST_TIMEOUT_SECONDS}"
        )
    number: int | float = value
    return number


def process_name(body: dict[str, Any], default_from: str) -> str:
    """Read the `name` field, or the first word of the command."""
    name = word(body, "name")
    if name is None:
        return (default_from.split() or ["process"])[0][:LONGEST_NAME]
    _child_bytes("name", name)
    if len(name) > LONGEST_NAME:
        raise InputError(f"name is too long: {len(name)} characters, at most {LONGEST_NAME}")
    return name


def working_dir(body: dict[str, Any]) -> str | None:
    """Read the `working_dir` field: an existing folder."""
    value = body.get("working_dir")
    if value is None:
        return None
    if not isinstance(value, str):
        raise InputError("working_dir must be a string")
    _child_bytes("working_dir", value)
    if not os.path.isdir(value):  # noqa: PTH112 - Path would raise on a path too long to exist
        raise InputError(f"working_dir is not a folder: {value}")
    return value


def lines(text: str | None) -> int:
    """Read the `lines` query: how many to show."""
    if text is None:
        return DEFAULT_LINES
    if not WHOLE_NUMBER.fullmatch(text):
        raise InputError("lines must be a whole number of at least 0")
    # int() refuses thousands of digits; nobody has 10**18 lines.
    return int(text.lstrip("0")[:18] or "0")


def is_true(text: str | None) -> bool:
    """Whether a query reads `true`, in any case."""
    return (text or "").lower() == "true"


def is_storable(text: str) -> bool:
    """Whether a database can hold the text; what it cannot hold, it does not contain."""
    return "\0" not in text and _size(text) is not None


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_text(value: object) -> bool:
    return isinstance(value, str) or _is_number(value)


def _size(text: str) -> int | None:
    """Bytes in UTF-8; None for a lone surrogate."""
    try:
        return len(text.encode())
    except UnicodeEncodeError:
        return None


def _child_bytes(field: str, text: str) -> int:
    if "\0" in text:
        raise InputError(f"{field} must not contain NUL characters")
    size = _size(text)
    if size is None:
        raise InputError(f"{field} is not valid Unicode")
    return size


def _check_sizes(field: str, texts: list[str]) -> None:
    if any("\0" in text for text in texts):
        raise InputError(f"{field} must not contain NUL characters")
    sizes = [_size(text) for text in texts]
    known = [size for size in sizes if size is not None]
    if len(known) < len(sizes):
        raise InputError(f"{field} is not valid Unicode")
    if sum(known) > LONGEST_LIST_BYTES or any(size > LONGEST_STRING_BYTES for size in known):
        raise InputError(f"{field} is too long")
