"""What the server says of itself: the request a line belongs to, secrets hidden, one pipeline.

Nothing here is slow to import: what renders lines is loaded by the first one (decision 0005).
"""

from __future__ import annotations

import importlib
import logging
import re
import sys
from collections.abc import Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, TextIO

from fastapi_app.identity import PRINCIPAL

HIDDEN = "[redacted]"
PIPELINE = "fastapi_app.log_lines"
"""The module that renders lines; it imports structlog."""

_SECRET_NAME = re.compile(
    r"authori[sz]ation|cookie|passw|passphrase|secret|token|api[_-]?key|credential|private[_-]?key",
    re.IGNORECASE,
)
_MAY_HOLD_ONE = re.compile(
    r"mcli[hr]?_|eyJ|bearer|basic|://|authori|passw|secret|token|api[_-]?key|cookie", re.IGNORECASE
)
_SECRETS = (
    re.compile(r"()\bmcli[hr]?_[A-Za-z0-9_-]{16,}"),
    re.compile(r"()\beyJ[\w-]{4,}(?:\.[\w-]*){1,4}"),  # a JWT (RFC 7519)
    re.compile(r"\b((?:bearer|basic)\s+)[^\s\"',;]+", re.IGNORECASE),
    re.compile(r"(://[^/\s:@]*:)[^/\s@]+(?=@)"),
    re.compile(
        r"((?:proxy-)?authorization\b[\"']?\s*[=:,]\s*b?[\"']?)(?!bearer|basic)[^\"'\r\n,;]+",
        re.IGNORECASE,
    ),
    re.compile(
        r"((?:[\w-]*token|[\w-]*secret|[\w-]*passw(?:or)?d|[\w-]*api[_-]?key|(?:set-)?cookie)"
        r"\b[\"']?\s*[=:,]\s*b?[\"']?)[^\s\"'&,;]+",
        re.IGNORECASE,
    ),
)


@dataclass(slots=True, eq=False)  # not frozen: one is made for each request
class Caller:
    """The request that is being answered: its id, who asked (`state` may tell) and from where.

    `state` is the request's own; what identifies clients puts a `principal` into it.
    """

    request_id: str
    address: str
    state: Mapping[str, Any]

    @property
    def principal(self) -> Any | None:  # noqa: ANN401 - whatever identifies clients
        """Who asked, with a `key` and a `name`; `None` when nobody is known."""
        return self.state.get(PRINCIPAL)


CALLER: ContextVar[Caller | None] = ContextVar("caller", default=None)
"""Of the request that is being answered here; work it starts inherits it."""


def request_id() -> str | None:
    """The id of the request that is being answered."""
    caller = CALLER.get()
    return None if caller is None else caller.request_id


def is_secret(name: str) -> bool:
    """Whether what has this name is nobody's business."""
    return _SECRET_NAME.search(name) is not None


def without_secrets(text: str) -> str:
    """The same text; what looks like a secret in it is replaced."""
    if _MAY_HOLD_ONE.search(text) is None:
        return text
    for secret in _SECRETS:
        text = secret.sub(rf"\g<1>{HIDDEN}", text)
    return text


def redacted(value: Any, name: str = "") -> Any:  # noqa: ANN401 - any value of a line
    """The same value without secrets: by the name it has, by the names in it, and by its looks."""
    if name and is_secret(name):
        return HIDDEN
    if isinstance(value, str):
        return without_secrets(value)
    if isinstance(value, Mapping):
        return {key: redacted(item, str(key)) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [redacted(item) for item in value]
    return value


class Rendered(logging.Formatter):
    """Lines of JSON, or for people; loads what renders them with the first line."""

    def __init__(self, *, as_json: bool, coloured: bool) -> None:
        super().__init__()
        self._as_json = as_json
        self._coloured = coloured
        self._formatter: logging.Formatter | None = None

    def format(self, record: logging.LogRecord) -> str:
        """One line (and a traceback, for people)."""
        if self._formatter is None:
            made: logging.Formatter = importlib.import_module(PIPELINE).formatter(
                as_json=self._as_json, coloured=self._coloured
            )
            self._formatter = made
        return self._formatter.format(record)


def is_json(form: str, stream: TextIO) -> bool:
    """Whether lines are JSON: as `form` says; `auto` looks whether a person may be reading."""
    return form == "json" or (form == "auto" and not stream.isatty())


def set_up(level: str, form: str) -> None:
    """Send what any logger says to standard error; `form` is auto, console or json."""
    stream = sys.stderr
    handler = logging.StreamHandler(stream)
    handler.setFormatter(Rendered(as_json=is_json(form, stream), coloured=stream.isatty()))
    logging.basicConfig(level=level.upper(), handlers=[handler])
