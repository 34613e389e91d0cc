"""Whatever a client may send gets a clear 4xx, and the server goes on."""

from __future__ import annotations

import json

import httpx
import pytest

from tests.fastapi_app.routers.wire import COMMANDS, JSON, RUNS, execute, problem

EXECUTE = f"{RUNS}/execute"
START = f"{RUNS}/start"


@pytest.fixture(autouse=True)
def still_works(client: httpx.Client) -> None:
    """The request before did the server no harm."""
    assert execute(client, "echo hi")["output"] == "hi\n"


@pytest.mark.parametrize(
    ("body", "status", "detail"),
    [
        (b"", 422, "body: Field required"),
        (b"{", 422, "body: The body is not JSON: "),
        (b'{"command": "x",}', 422, "body: The body is not JSON: "),
        (b"command=x", 422, "body: The body is not JSON: "),
        (b"null", 422, "body"),
        (b"[]", 422, "body"),
        (b'"x"', 422, "body"),
        (b"{}", 422, "body: give `command` or `name`"),
        (b'{"command": "\xff"}', 400, "body"),
        (b"[" * 100_000, 400, "body"),
        (b'{"command":' + b"[" * 100_000 + b"]" * 100_000 + b"}", 400, "body"),
        (b'{"command": "x", "timeout": ' + b"9" * 5000 + b"}", 400, "body"),
        (rb'{"command": "\ud800"}', 422, "/command"),
        (rb'{"command": "x", "\ud800": 1}', 422, ""),
        (rb'{"command": "x", "env": {"\ud800": "1"}}', 422, "/env"),
        (rb'{"command": "x", "cwd": "\udcff"}', 422, "/cwd"),
        (b'{"command": "x", "timeout": NaN}', 422, "/timeout"),
        (b'{"command": "x", "timeout": 1e999}', 422, "/timeout"),
    ],
    ids=lambda value: repr(value)[:40],
)
def test_a_body_that_is_no_request(
    client: httpx.Client, body: bytes, status: int, detail: str
) -> None:
    answer = client.post(EXECUTE, content=body, headers=JSON)
    found = problem(answer, status, "invalid" if status == 422 else "bad-request")
    assert detail in found["detail"]
    if status == 422:
        assert found["errors"]
        for error in found["errors"]:
            assert error["pointer"] == "" or error["pointer"].startswith("/")
            assert error["detail"]


@pytest.mark.parametrize(
    ("fields", "pointer", "detail"),
    [
        ({"command": ""}, "/command", "at least 1 character"),
        ({"command": None}, "", "give `command` or `name`"),
        ({"name": "both"}, "", "give `command` or `name`"),
        ({"args": ["x"]}, "", "need `name`"),
        ({"params": {"x": 1}}, "", "need `name`"),
        ({"command": 5}, "/command", "valid string"),
        ({"command": ["echo"]}, "/command", "valid string"),
        ({"command": "a\0b"}, "/command", "must not contain NUL characters"),
        ({"command": "x" * 1_000_000}, "/command", "is too long: 1000000 bytes, at most 131071"),
        ({"command": "ä" * 65_536}, "/command", "is too long: 131072 bytes, at most 131071"),
        ({"timeout": 0}, "/timeout", "greater than 0"),
        ({"timeout": -1}, "/timeout", "greater than 0"),
        ({"timeout": 31_536_001}, "/timeout", "less than or equal to 31536000"),
        ({"timeout": "soon"}, "/timeout", "valid number"),
        ({"timeout": []}, "/timeout", "valid number"),
        ({"background": "perhaps"}, "/background", "valid boolean"),
        ({"stream": 2}, "/stream", "valid boolean"),
        ({"cwd": 5}, "/cwd", "valid string"),
        ({"cwd": "a\0b"}, "/cwd", "must not contain NUL characters"),
        ({"env": []}, "/env", "valid dictionary"),
        ({"env": {"A": 5}}, "/env/A", "valid string"),
        ({"env": {"A=B": "1"}}, "/env", "names must not be empty or contain '='"),
        ({"env": {"": "1"}}, "/env", "names must not be empty or contain '='"),
        ({"env": {"A\0": "1"}}, "/env", "must not contain NUL characters"),
        ({"env": {"A": "a\0b"}}, "/env/A", "must not contain NUL characters"),
        ({"env": {"A": "x" * 131_071}}, "/env", "is too long"),
        ({"env": {f"A{n}": "x" * 100_000 for n in range(11)}}, "/env", "1000000 bytes together"),
        ({"comand": "x"}, "/comand", "not permitted"),
    ],
    ids=lambda value: repr(value)[:40],
)
def test_a_wrong_field_is_named(
    client: httpx.Client, fields: dict[str, object], pointer: str, detail: str
) -> None:
    answer = client.post(EXECUTE, json={"command": "echo hi", **fields})
    (error,) = problem(answer, 422, "invalid")["errors"]
    assert error["pointer"] == pointer
    assert detail in error["detail"]
    assert len(answer.content) < 5000, "what was wrong is not sent back"


@pytest.mark.parametrize(
    ("fields", "pointer"),
    [
        ({"name": ""}, "/name"),
        ({"name": 5}, "/name"),
        ({"args": "x"}, "/args"),
        ({"args": {"0": "x"}}, "/args"),
        ({"args": [1]}, "/args/0"),
        ({"args": ["ok", None]}, "/args/1"),
        ({"args": ["a\0b"]}, "/args/0"),
        ({"args": ["x" * 131_072]}, "/args/0"),
        ({"args": ["x" * 100_000] * 11}, "/args"),
        ({"env": {"A=B": "1"}}, "/env"),
        ({"timeout": True}, "/timeout"),
        ({"timeout": "5"}, "/timeout"),
        ({"extra": 1}, "/extra"),
    ],
    ids=lambda value: repr(value)[:40],
)
def test_a_wrong_field_of_start_is_named(
    client: httpx.Client, fields: dict[str, object], pointer: str
) -> None:
    answer = client.post(START, json={"name": "nosuch", **fields})
    assert [e["pointer"] for e in problem(answer, 422, "invalid")["errors"]] == [pointer]


def test_the_largest_of_everything_runs(client: httpx.Client) -> None:
    command = "printf %s ${#A} #"
    command += "x" * (131_071 - len(command))
    env = {"A": "x" * (131_071 - len("A="))}
    assert execute(client, command, env=env)["output"] == str(131_069)
    env = {f"A{n}": "x" * 99_990 for n in range(10)}
    assert execute(client, "printf %s ${#A9}", env=env)["output"] == "99990"


def test_another_content_type_is_no_json(client: httpx.Client) -> None:
    body = json.dumps({"command": "echo hi"}).encode()
    for kind in ("text/plain", "application/x-www-form-urlencoded", ""):
        answer = client.post(EXECUTE, content=body, headers={"Content-Type": kind})
        problem(answer, 422, "invalid")


@pytest.mark.parametrize(
    "path",
    [
        "/nosuch",
        "/api/v1",
        "/api/v1/nosuch",
        f"{RUNS}/list/",
        f"{RUNS}//list",
        f"{RUNS}/a/nosuch",
        "/docs/",
        "/..%2fetc",
        "/static-offline-docs/../../etc/passwd",
    ],
)
def test_an_unknown_path_is_a_problem(client: httpx.Client, path: str) -> None:
    problem(client.get(path), 404, "not-found")
    problem(client.post(path, json={}), 404, "not-found")


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("GET", COMMANDS + "/a/b", None),
        ("POST", f"{COMMANDS}/x", "GET, PUT, DELETE"),
        ("PATCH", f"{COMMANDS}/x", "GET, PUT, DELETE"),
        ("POST", f"{RUNS}/list", "GET"),
        ("PATCH", f"{RUNS}/x", "GET, DELETE"),
        ("GET", f"{RUNS}/x/stop", "POST"),
        ("PUT", EXECUTE, "POST"),
        ("POST", "/livez", "GET"),
        ("PROPFIND", "/livez", "GET"),
        ("OPTIONS", f"{RUNS}/list", "GET"),
    ],
)
def test_a_wrong_method_names_the_right_ones(
    client: httpx.Client, method: str, path: str, allowed: str | None
) -> None:
    answer = client.request(method, path)
    if allowed is None:
        problem(answer, 404, "not-found")
        return
    found = problem(answer, 405, "method-not-allowed")
    assert answer.headers["Allow"] == allowed
    assert allowed in found["detail"]


def test_head_has_no_body(client: httpx.Client) -> None:
    answer = client.head("/livez")
    assert (answer.status_code, answer.content) == (405, b"")
    assert answer.headers["Allow"] == "GET"


@pytest.mark.parametrize(
    "fields",
    [
        {"secrets": {"TOKEN": "hunter2\0"}},
        {"secrets": "hunter2"},
        {"secrets": {"TOKEN": {"value": "hunter2"}}},
        {"secrets": {"A=B": "hunter2"}},
        {"env": {"TOKEN": ["hunter2"]}},
        {"password": "hunter2"},
        {"timeout": "hunter2"},
        {"stream": "hunter2"},
    ],
    ids=repr,
)
def test_a_value_is_never_repeated(client: httpx.Client, fields: dict[str, object]) -> None:
    answer = client.post(EXECUTE, json={"command": "true", **fields})
    (error,) = problem(answer, 422, "invalid")["errors"]
    assert error["pointer"].startswith(f"/{next(iter(fields))}")
    assert "hunter2" not in answer.text
