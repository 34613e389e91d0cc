"""What counts as a right answer."""

from __future__ import annotations

import pytest

from loadtests.calls import NEW_API, OLD_CONTRACT, Call, Dialect

RIGHT = b'{"status":"completed","output":"a\\n","error":"","returncode":0,"success":true}'


@pytest.mark.parametrize("dialect", [OLD_CONTRACT, NEW_API])
def test_answers(dialect: Dialect) -> None:
    call = dialect.execute("echo a", "a\n")
    assert call.wrong(200, RIGHT) is None
    assert all(fragment.encode() in RIGHT for fragment in call.fragments)
    problems = {
        "status 503 instead of 200": (503, RIGHT),
        "not JSON": (200, b"<html>"),
        "not a JSON object": (200, b"[]"),
        "output is not 'a\\n'": (200, RIGHT.replace(b"a\\n", b"b\\n")),
        "returncode is not 0": (200, RIGHT.replace(b":0", b":1")),
    }
    for problem, (status, content) in problems.items():
        assert (call.wrong(status, content) or "").startswith(problem)


@pytest.mark.parametrize(("dialect", "key"), [(OLD_CONTRACT, "commands"), (NEW_API, "items")])
def test_lists(dialect: Dialect, key: str) -> None:
    call = dialect.list_commands("x")
    assert call.wrong(200, b'{"%s":[{"name":"w"},{"name":"x"}]}' % key.encode()) is None
    for content in (b'{"%s":[{"name":"w"}]}' % key.encode(), b"{}"):
        assert "'x' is not listed" in (call.wrong(200, content) or "")
    assert call.fragments == ['"name":"x"']
    assert dialect.every_command("x").fragments == call.fragments


def test_texts() -> None:
    call = Call("GET", "/", text="line 9")
    assert call.wrong(200, b'{"stdout":"line 8\\nline 9"}') is None
    assert "'line 9' is missing" in (call.wrong(200, b'{"stdout":"line 8"}') or "")
    assert call.fragments == ["line 9"]
