"""Defaults and parameters of stored commands: declared, checked, handed to the script."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import httpx
import pytest

from tests.fastapi_app.routers.wire import (
    COMMANDS,
    RUNS,
    created,
    events,
    finished,
    problem,
    show,
    text_of,
)

HEADER = """#!/bin/sh
# Greets.

# mcli:param who: string(world|you) = world -- Whom
# mcli:param times: integer -- How often
# mcli:param loud: boolean? -- Shout
echo "$@" "env=$MCLI_PARAM_WHO,$MCLI_PARAM_TIMES,$MCLI_PARAM_LOUD" "A=$A" "in=$PWD"
"""
SCHEMA = {
    "type": "object",
    "properties": {
        "dry-run": {"type": "boolean", "default": False},
        "ratio": {"type": "number", "minimum": 0, "maximum": 1},
        "hosts": {"type": "array", "items": {"type": "string"}},
    },
    "required": ["ratio"],
    "additionalProperties": False,
}


def made(client: httpx.Client, code: str = HEADER, **fields: object) -> str:
    """A command of this test's own."""
    return created(client, f"p-{uuid4().hex}", code, **fields)


def run(client: httpx.Client, name: str, **fields: object) -> dict[str, Any]:
    """The answer to running it and waiting for it."""
    answer = client.post(f"{RUNS}/execute", json={"name": name, **fields})
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def refused(client: httpx.Client, name: str, params: object) -> dict[str, str]:
    """What is wrong with each field, by its pointer."""
    answer = client.post(f"{RUNS}/start", json={"name": name, "params": params})
    errors = problem(answer, 422, "invalid-parameters")["errors"]
    return {error["pointer"]: error["detail"] for error in errors}


def test_declared_parameters_reach_the_script_with_their_defaults(client: httpx.Client) -> None:
    name = made(client)
    done = run(client, name, params={"times": 3}, args=["last"], cwd="/")
    assert done["output"] == "--times 3 --who world last env=world,3, A= in=/\n"
    assert show(client, done["job_id"])["args"] == ["--times", "3", "--who", "world", "last"]


def test_a_start_gets_them_too(client: httpx.Client) -> None:
    body = {"name": made(client), "params": {"times": "2", "who": "you", "loud": "true"}}
    run_id = client.post(f"{RUNS}/start", json=body).json()["job_id"]
    ended = finished(client, run_id)
    assert ended["status"] == "completed"
    printed = client.get(f"{RUNS}/{run_id}/logs").text
    assert printed.startswith("--times 2 --who you --loud true env=you,2,true")


def test_what_is_wrong_is_told_by_its_pointer_and_not_repeated(client: httpx.Client) -> None:
    name = made(client)
    assert refused(client, name, {}) == {"/params/times": "is required"}
    wrong = {"times": "s3cret", "who": "nobody", "lowd": 1}
    assert refused(client, name, wrong) == {
        "/params/times": 'must be of type "integer"',
        "/params/who": 'must be one of ["world", "you"]',
        "/params/lowd": "is not declared (there are who, times, loud)",
    }
    answer = client.post(f"{RUNS}/start", json={"name": name, "params": wrong})
    assert "s3cret" not in answer.text
    assert refused(client, made(client, "true"), {"x": 1}) == {
        "/params": "the command declares none"
    }


def test_a_json_schema_is_held_to(client: httpx.Client) -> None:
    name = made(client, 'echo "$@"', parameters=SCHEMA)
    assert client.get(f"{COMMANDS}/{name}").json()["declared"] == SCHEMA
    done = run(client, name, params={"ratio": 0.5, "hosts": ["a", "b"]})
    assert done["output"] == '--ratio 0.5 --hosts ["a", "b"] --dry-run false\n'
    assert refused(client, name, {"ratio": 2, "hosts": ["a", 1], "other": 1}) == {
        "/params/ratio": "must be at most 1",
        "/params/hosts/1": 'must be of type "string"',
        "/params/other": "is not declared (there are dry-run, ratio, hosts)",
    }


@pytest.mark.parametrize(
    ("params", "detail"),
    [
        (b'{"ratio": NaN}', "not finite"),
        (b'{"ratio": 1e999}', "not finite"),
        (b'{"ratio": 0.5, "hosts": ["\\u0000"]}', None),
        (b'{"ratio": 0.5, "hosts": ["\\ud800"]}', None),
        (b'{"ratio": 0.5, "a b": 1}', "is no name"),
    ],
)
def test_what_no_script_can_be_given_is_refused(
    client: httpx.Client, params: bytes, detail: str | None
) -> None:
    name = made(client, 'echo "$@"', parameters=SCHEMA)
    body = b'{"name": "' + name.encode() + b'", "params": ' + params + b"}"
    headers = {"Content-Type": "application/json"}
    answer = client.post(f"{RUNS}/execute", content=body, headers=headers)
    if detail is None:  # JSON escapes them
        assert answer.status_code == 200, answer.text
    else:
        assert detail in problem(answer, 422, "invalid-parameters")["detail"]


def test_a_value_must_fit(client: httpx.Client) -> None:
    schema = {"type": "object", "properties": {f"v{n}": {"type": "string"} for n in range(9)}}
    name = made(client, "true", parameters=schema)
    assert refused(client, name, {"v1": "x" * 131_000})["/params/v1"].startswith("has 131000 bytes")
    assert refused(client, name, {"v1": "a\0"})["/params/v1"] == "must not contain NUL characters"
    many = {f"v{n}": "x" * 130_000 for n in range(9)}
    assert "1000000 together" in refused(client, name, many)["/params"]


@pytest.mark.parametrize(
    ("schema", "detail"),
    [
        ({"type": "array"}, 'must be a JSON schema with "type": "object"'),
        ({"properties": {}}, 'must be a JSON schema with "type": "object"'),
        ({"type": "object", "properties": {"a b": {}}}, "'a b' is no name of a parameter"),
        ({"type": "object", "properties": {"a-b": {}, "a_b": {}}}, "have one variable for both"),
        (
            {"type": "object", "properties": {"a": {"type": "text"}}},
            "/parameters/properties/a/type",
        ),
        ({"type": "object", "properties": {"a": {"$ref": "http://127.0.0.1:1/x"}}}, "elsewhere"),
        ({"type": "object", "properties": {"a": {"pattern": "("}}}, "is not a 'regex'"),
    ],
)
def test_a_schema_that_cannot_be_used_is_not_stored(
    client: httpx.Client, schema: dict[str, Any], detail: str
) -> None:
    body = {"name": f"p-{uuid4().hex}", "code": "true", "parameters": schema}
    answer = client.post(f"{COMMANDS}/create", json=body)
    assert detail in problem(answer, 422, "invalid-parameters")["detail"]
    name = made(client, "true")
    answer = client.put(f"{COMMANDS}/{name}", json={"parameters": schema})
    problem(answer, 422, "invalid-parameters")
    assert client.get(f"{COMMANDS}/{name}").json()["version"] == 1


def test_a_header_that_cannot_be_read_is_not_stored(client: httpx.Client) -> None:
    code = "# mcli:param a: text\n# mcli:param b: integer = x\n# mcli:param c\ntrue"
    body = {"name": f"p-{uuid4().hex}", "code": code}
    errors = problem(client.post(f"{COMMANDS}/create", json=body), 422, "invalid-parameters")
    assert [error["pointer"] for error in errors["errors"]] == ["/code"] * 3
    assert "line 1: there is no type 'text'" in errors["detail"]
    assert "line 2: 'x' is not of type integer" in errors["detail"]
    assert "line 3: mcli:param wants NAME: TYPE" in errors["detail"]


def test_a_schema_is_taken_away_and_a_reference_may_lead_nowhere(client: httpx.Client) -> None:
    schema = {"type": "object", "properties": {"a": {"$ref": "#/$defs/none"}}}
    name = made(client, "true", parameters=schema)
    assert "not right" in refused(client, name, {"a": 1})["/params"]
    changed = client.put(f"{COMMANDS}/{name}", json={"parameters": {}}).json()
    assert (changed["parameters"], changed["declared"]) == ({}, None)


def test_defaults_fill_in_what_a_start_leaves_out(client: httpx.Client) -> None:
    client.put("/api/v1/groups/slots-c", json={"slots": 2})
    defaults = {"timeout": 33, "env": {"A": "1", "B": "2"}, "cwd": "/", "group": "slots-c"}
    name = made(client, 'echo "$A $B $PWD"', defaults=defaults)
    for path in ("start", "execute"):
        answer = client.post(f"{RUNS}/{path}", json={"name": name})
        ended = finished(client, answer.json()["job_id"])
        assert (ended["timeout"], ended["cwd"], ended["group"]) == (33, "/", "slots-c")
        assert ended["env"] == {"A": "1", "B": "2"}
    said = {"timeout": 44, "env": {"B": "3"}, "cwd": "/tmp", "group": "default"}
    done = run(client, name, **said)
    assert done["output"] == "1 3 /tmp\n"
    ended = show(client, done["job_id"])
    assert (ended["timeout"], ended["group"]) == (44, "default")


def test_a_default_that_cannot_be_used_is_told_by_the_start(client: httpx.Client) -> None:
    name = made(client, "true", defaults={"cwd": "/nosuch"})
    problem(client.post(f"{RUNS}/start", json={"name": name}), 422, "invalid-run")
    name = made(client, "true", defaults={"group": "nosuch"})
    for path in ("start", "execute"):
        answer = client.post(f"{RUNS}/{path}", json={"name": name})
        problem(answer, 404, "group-not-found")


def test_execute_by_name_waits_streams_or_leaves(client: httpx.Client) -> None:
    name = made(client, "echo out; echo err >&2; exit 3")
    done = run(client, name)
    assert (done["output"], done["error"], done["returncode"]) == ("out\n", "err\n", 3)
    body = {"name": name, "stream": True}
    with client.stream("POST", f"{RUNS}/execute", json=body) as answer:
        said = events(answer)
    assert text_of(said) == "out\n"
    assert said[-1]["returncode"] == 3
    answer = client.post(f"{RUNS}/execute", json={"name": name, "background": True})
    assert answer.status_code == 202
    assert finished(client, answer.json()["job_id"])["kind"] == "workflow"


def test_execute_by_name_refuses(client: httpx.Client) -> None:
    problem(client.post(f"{RUNS}/execute", json={"name": "nobody"}), 404, "command-not-found")
    off = made(client, "true", is_active=False)
    problem(client.post(f"{RUNS}/execute", json={"name": off}), 409, "command-inactive")
    steps = made(client, "[steps.a]\nrun = 'exit 4'", language="toml")
    assert run(client, steps)["returncode"] == 4
    answer = client.post(f"{RUNS}/execute", json={"name": steps, "stream": True})
    problem(answer, 422, "invalid-run")


def test_documents_take_parameters_as_their_arguments(client: httpx.Client) -> None:
    code = "# mcli:param n: integer = 1\n[steps.a]\nrun = 'echo \"$@\" $MCLI_PARAM_N'\n"
    name = made(client, code, language="toml")
    body = {"name": name, "params": {"n": 5}}
    run_id = client.post(f"{RUNS}/start", json=body).json()["job_id"]
    finished(client, run_id)
    (step,) = client.get(f"{RUNS}/{run_id}/steps").json()["items"]
    assert client.get(f"{RUNS}/{step['id']}/logs").text == "--n 5 5\n"


def test_a_retry_has_the_same_values(client: httpx.Client) -> None:
    name = made(client)
    first = run(client, name, params={"times": 3})
    again = client.post(f"{RUNS}/{first['job_id']}/retry").json()["job_id"]
    assert finished(client, again)["args"] == ["--times", "3", "--who", "world"]
