"""The lock file: made for git, and read whatever somebody has done to it."""

from __future__ import annotations

import json

import pytest

from fastapi_app.errors import LockTooNewError
from fastapi_app.storage.script_lock import Lock, Locked, read_lock, write_lock

ENTRY = Locked("ops/d\u00e9ploy.sh", "shell", "0" * 64)


def test_what_is_written_is_read() -> None:
    scripts = {"d\u00e9ploy": ENTRY, 'a "b"\\': ENTRY._replace(file="x.sh")}
    assert read_lock(write_lock(scripts)) == Lock(scripts)
    assert read_lock(write_lock({})) == Lock()
    assert read_lock(None) == Lock()


def test_it_is_sorted_and_has_a_line_for_each_script() -> None:
    one = write_lock({"b": ENTRY, "a": ENTRY})
    assert one == write_lock({"a": ENTRY, "b": ENTRY})
    lines = one.decode().splitlines()
    assert lines[:2] + lines[-2:] == ["{", '  "version": 1,', "  }", "}"]
    assert [line.split(":")[0].strip() for line in lines[3:-2]] == ['"a"', '"b"']
    assert json.loads(one)["scripts"]["a"]["file"] == ENTRY.file


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "not JSON"),
        (b"{", "not JSON"),
        (b"<<<<<<< HEAD\n{}", "not JSON"),
        (b"\xff", "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b"[]", "no table 'scripts'"),
        (b'{"scripts": []}', "no table 'scripts'"),
    ],
)
def test_a_broken_one_is_told_and_says_nothing(content: bytes, said: str) -> None:
    lock = read_lock(content)
    assert lock.scripts == {}
    assert said in lock.problems[0]


@pytest.mark.parametrize(
    "entry",
    [
        None,
        {},
        {"file": "x.sh", "language": "shell", "sha256": "0" * 63},
        {"file": "../x.sh", "language": "shell", "sha256": "0" * 64},
        {"file": "/etc/x.sh", "language": "shell", "sha256": "0" * 64},
        {"file": "a//x.sh", "language": "shell", "sha256": "0" * 64},
        {"file": 1, "language": "shell", "sha256": "0" * 64},
    ],
)
def test_an_entry_that_is_not_right_is_told_alone(entry: object) -> None:
    good = {"file": "g.sh", "language": "shell", "sha256": "1" * 64}
    content = json.dumps({"version": 1, "scripts": {"bad": entry, "good": good}}).encode()
    lock = read_lock(content)
    assert list(lock.scripts) == ["good"]
    assert lock.problems == ("the entry of 'bad' is not right",)


def test_one_of_a_later_version_is_left_alone() -> None:
    with pytest.raises(LockTooNewError):
        read_lock(b'{"version": 2, "scripts": {}}')
