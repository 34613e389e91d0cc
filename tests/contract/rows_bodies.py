"""Bodies that are not what they should be, on every route that reads one."""

from __future__ import annotations

from tests.contract.steps import AS_JSON, Headers, Scenario, Step, error, page, raw

# What each route says to an empty object: the proof that the body was read.
ROUTES = {
    "/execute": "command, command_id or command_name required",
    "/workflow/start": "name required",
    "/workflow/stop": "id or name required",
    "/processes": "Command is required",
    "/processes/run": "Command is required",
}
LIMIT = 16 * 1024 * 1024
DEEP = 100_000


def typed(content_type: str) -> Headers:
    """Headers with this content type."""
    return {"Content-Type": content_type}


def refused(path: str) -> list[Step]:
    """Bodies that Flask refuses."""
    no_json = ["text/plain", "application/x-www-form-urlencoded", "", "json", "application/jsonx"]
    broken = [
        b"",
        b"{",
        b"{}}",
        b"{'a':1}",
        b'{"a":1,}',
        b"nul",
        b'{"a":"\xff"}',
        b'{"a":"\n"}',
        b'{"a":01}',
        b'{"a":"\\ud8"}',
        b"\x00",
        b'{"a":' + b"9" * 5000 + b"}",
        b"[" * DEEP,
        b"[" * DEEP + b"]" * DEEP,
        b'{"a":' * DEEP + b"1" + b"}" * DEEP,
    ]
    return [
        page("POST", path, 415),
        page("POST", path, 415, body=b""),
        *(page("POST", path, 415, body=b"{}", headers=typed(it)) for it in no_json),
        page("POST", path, 415, body=b"{", headers=typed("text/plain")),
        page("POST", path, 400, headers=AS_JSON),
        *(page("POST", path, 400, body=it, headers=AS_JSON) for it in broken),
        page("POST", path, 400, body=b"{", headers=AS_JSON, chunked=True),
        page("POST", path, 400, body=b"", headers=AS_JSON, chunked=True),
    ]


def read(path: str) -> list[Step]:
    """Bodies that are read, whatever they look like."""
    required = error(ROUTES[path])
    an_object = error("JSON object required")
    types = [
        "application/json; charset=utf-8",
        "application/json;charset=latin-1",
        "APPLICATION/JSON",
        "application/vnd.api+json",
    ]
    return [
        *(raw(path, it, an_object, 400) for it in (b"[]", b"null", b"1", b'"x"', b"true", b"NaN")),
        *(raw(path, b"{}", required, 400, headers=typed(it)) for it in types),
        raw(path, b"{}", required, 400, chunked=True),
        raw(path, b" \r\n\t{ }\n", required, 400),
        raw(path, b'{"a":NaN,"b":-Infinity}', required, 400),
        raw(path, b"\xef\xbb\xbf{}", required, 400),
        raw(path, "{}".encode("utf-16"), required, 400),
        raw(path, "{}".encode("utf-32-le"), required, 400),
        raw(path, b'{"a":"\xed\xa0\x80"}', required, 400),
        raw(path, b'{"a":' + b"9" * 4000 + b"}", required, 400),
        raw(path, b'{"a":' + b"[" * 200 + b"]" * 200 + b"}", required, 400),
    ]


def large(path: str) -> list[Step]:
    """Bodies around the limit of 16 MiB."""
    largest = b"{}".ljust(LIMIT)
    return [
        raw(path, largest, error(ROUTES[path]), 400),
        page("POST", path, 413, body=largest + b" ", headers=AS_JSON),
        page("POST", path, 413, body=largest + b" " * LIMIT, headers=AS_JSON, chunked=True),
        page("POST", path, 415, body=largest + b" ", headers=typed("text/plain")),
    ]


SCENARIOS = [
    *(Scenario(f"bodies refused by {path}", refused(path)) for path in ROUTES),
    *(Scenario(f"bodies read by {path}", read(path)) for path in ROUTES),
    *(Scenario(f"large bodies for {path}", large(path)) for path in ("/execute", "/processes")),
]
