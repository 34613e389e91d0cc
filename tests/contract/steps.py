"""Requests and expected answers as data."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypedDict, Unpack

VOLATILE = "~"
Headers = Mapping[str, str]
JSON_TYPE = "application/json"
HTML_TYPE = "text/html; charset=utf-8"
AS_JSON: Headers = {"Content-Type": JSON_TYPE}


@dataclass(frozen=True)
class Step:
    """One request and what must come back.

    `$name` in path and body stands for a saved value, or for `home` or `pid` of the server.
    """

    method: str
    path: str
    body: bytes | None = None
    headers: Headers = field(default_factory=dict)
    status: int = 200
    expect: bytes | None = None  # masked body; None: only what the old daemon answers
    content_type: str = JSON_TYPE
    allow: frozenset[str] | None = None
    save: Mapping[str, str] = field(default_factory=dict)  # name -> key of the answer
    same: Mapping[str, str] = field(default_factory=dict)  # key of the answer -> saved name
    until: Mapping[str, object] | None = None  # ask again until the answer holds these
    chunked: bool = False
    within: float = 10.0  # seconds


@dataclass(frozen=True)
class Scenario:
    """Steps in order; `cleanup` runs whatever happened."""

    name: str
    steps: Sequence[Step]
    cleanup: Sequence[Step] = ()


class More(TypedDict, total=False):
    """What else a step may say."""

    headers: Headers
    allow: frozenset[str]
    save: Mapping[str, str]
    same: Mapping[str, str]
    until: Mapping[str, object]
    chunked: bool
    within: float


def line(answer: object) -> bytes:
    """Write JSON as the contract does: sorted, compact, ASCII, final newline."""
    return json.dumps(answer, sort_keys=True, separators=(",", ":")).encode() + b"\n"


def get(path: str, answer: object = None, status: int = 200, **more: Unpack[More]) -> Step:
    """A GET with its expected JSON."""
    return Step("GET", path, status=status, expect=_expected(answer), **more)


def post(
    path: str, fields: object, answer: object = None, status: int = 200, **more: Unpack[More]
) -> Step:
    """A POST of JSON with its expected JSON."""
    return raw(path, json.dumps(fields).encode(), answer, status, **more)


def raw(
    path: str, body: bytes, answer: object = None, status: int = 200, **more: Unpack[More]
) -> Step:
    """A POST of these very bytes as JSON, with its expected JSON."""
    more.setdefault("headers", AS_JSON)
    return Step("POST", path, status=status, expect=_expected(answer), body=body, **more)


def bare(
    method: str, path: str, answer: object = None, status: int = 200, **more: Unpack[More]
) -> Step:
    """A request without a body, with its expected JSON."""
    return Step(method, path, status=status, expect=_expected(answer), **more)


def error(message: str) -> dict[str, str]:
    """The shape of every refusal."""
    return {"error": message}


def page(
    method: str, path: str, status: int, body: bytes | None = None, **more: Unpack[More]
) -> Step:
    """A request that Flask itself refuses, with its page."""
    expect = b"" if method == "HEAD" else PAGES[status]
    return Step(method, path, body, status=status, expect=expect, content_type=HTML_TYPE, **more)


def ran(output: str = "", error: str = "", returncode: int = 0) -> dict[str, object]:
    """The answer of `/execute`."""
    success = returncode == 0
    return {
        "success": success,
        "output": output,
        "error": error,
        "returncode": returncode,
        "execution_time_ms": VOLATILE,
        "status": "completed" if success else "failed",
    }


def process(
    command: str, status: str, *, name: str | None = None, args: Sequence[str] = (), **more: object
) -> dict[str, object]:
    """A process as lists show it."""
    over = status not in {"created", "running"}
    return {
        "id": VOLATILE,
        "name": command.split(maxsplit=1)[0] if name is None else name,
        "command": command,
        "args": list(args),
        "status": status,
        "pid": VOLATILE if status == "running" else None,
        "exit_code": None,
        "created_at": VOLATILE,
        "started_at": None if status == "created" else VOLATILE,
        "finished_at": VOLATILE if over else None,
    } | more


def in_full(listed: dict[str, object], **more: object) -> dict[str, object]:
    """A process as its own page shows it."""
    use = VOLATILE if listed["status"] == "running" else None
    extra: dict[str, object] = {
        "working_dir": None,
        "environment": {},
        "cpu_percent": use,
        "memory_mb": use,
    }
    return listed | extra | more


def _expected(answer: object) -> bytes | None:
    return None if answer is None else line(answer)


def _page(title: str, heading: str, text: str) -> bytes:
    return (
        f"<!doctype html>\n<html lang=en>\n<title>{title}</title>\n"
        f"<h1>{heading}</h1>\n<p>{text}</p>\n"
    ).encode()


PAGES = {
    400: _page(
        "400 Bad Request",
        "Bad Request",
        "The browser (or proxy) sent a request that this server could not understand.",
    ),
    404: _page(
        "404 Not Found",
        "Not Found",
        "The requested URL was not found on the server. If you entered the URL manually please "
        "check your spelling and try again.",
    ),
    405: _page(
        "405 Method Not Allowed",
        "Method Not Allowed",
        "The method is not allowed for the requested URL.",
    ),
    413: _page(
        "413 Request Entity Too Large",
        "Request Entity Too Large",
        "The data value transmitted exceeds the capacity limit.",
    ),
    415: _page(
        "415 Unsupported Media Type",
        "Unsupported Media Type",
        "Did not attempt to load JSON data because the request Content-Type was not "
        "&#39;application/json&#39;.",
    ),
}
