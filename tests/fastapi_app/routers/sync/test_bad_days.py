"""`/api/v1/sync` when something is broken, in the way, or gone meanwhile: nothing is lost."""

from __future__ import annotations

import json
import os
import resource
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest

from fastapi_app.engine.interpreters import trouble_with
from fastapi_app.models import Language
from fastapi_app.storage.script_folder import LARGEST
from tests.fastapi_app.routers.sync.sides import (
    LOCK,
    SYNC,
    change,
    clean,
    lines,
    put,
    status,
    store,
    stored,
    sync,
    told,
)
from tests.fastapi_app.routers.wire import NDJSON, RUNS, finished, printed
from tests.fastapi_app.starting import until

if TYPE_CHECKING:
    from tests.servers import Server


def test_what_is_broken_is_told_and_the_others_go_on(client: httpx.Client, folder: Path) -> None:
    put(folder, "good.sh")
    put(folder, "broken.ipynb", '{"cells": [')
    put(folder, "latin.sh", b"echo \xff\n")
    put(folder, "large.sh", b"#" * (LARGEST + 1))
    put(folder, "list.sh")
    put(folder, "twice.sh")
    put(folder, "ops/twice.py")
    put(folder, "Case.sh")
    put(folder, "case.sh")
    put(folder, "steps.toml", "[steps.a]\n")
    put(folder, "tagged.sh", f"# @tags: {'t' * 10_000}\n")
    put(folder, "cr.sh", "#!/bin/sh\r\necho\r\n")
    (folder / "link.sh").symlink_to("/etc/passwd")
    store(client, "hidden", group="../..")
    found = sync(client, "push")
    assert lines(found["done"]) == ["A cr", "A good"]
    problems = told(found)
    expected = {
        "broken.ipynb": "no notebook",
        "latin.sh": "not UTF-8",
        "large.sh": "bytes",
        "list.sh": "a route has this name",
        "ops/twice.py": "ops/twice.py, twice.sh: a name can be there once",
        "Case": "differ in case alone",
        "steps.toml": "run",
        "tagged.sh": "a tag of it is longer",
        "link.sh": "symbolic link",
        "hidden": "a dot",
    }
    assert problems.keys() == expected.keys()
    for about, said in expected.items():
        assert said in problems[about], about
    assert [note["about"] for note in found["warnings"]] == ["cr.sh"]
    assert stored(client, "cr")["code"] == "#!/bin/sh\r\necho\r\n"
    assert sync(client, "pull")["done"] == []


def test_what_cannot_be_read_has_not_been_deleted(client: httpx.Client, folder: Path) -> None:
    put(folder, "ops/x.sh")
    put(folder, "y.sh")
    sync(client, "push")
    (folder / "ops").rename(folder / ".ops")
    (folder / "ops").symlink_to(".ops")
    put(folder, "y.sh", b"\xff")
    found = sync(client, "push", prune=True)
    assert (found["done"], found["kept"]) == ([], [])
    assert told(found).keys() == {"ops", "y.sh"}
    assert stored(client, "x")


def test_a_lock_edited_by_hand_costs_nothing(client: httpx.Client, folder: Path) -> None:
    for name in ("same", "mine", "gone"):
        put(folder, f"{name}.sh")
    sync(client, "push")
    good = (folder / LOCK).read_bytes()
    (folder / "gone.sh").unlink()
    put(folder, "mine.sh", "echo mine\n")
    broken = b"<<<<<<< HEAD\n" + good
    (folder / LOCK).write_bytes(broken)
    found = status(client)
    # Nobody can tell who changed it, and who deleted: so it is a conflict, and comes back.
    assert found["conflicts"] == [{"name": "mine", "folder": "A", "store": "A"}]
    assert lines(found["pull"]) == ["A gone"]
    assert "not JSON" in told(found)[LOCK]
    assert sync(client, "push")["done"] == []
    assert (folder / f"{LOCK}.broken").read_bytes() == broken
    assert json.loads((folder / LOCK).read_bytes())["scripts"].keys() == {"same"}
    foreign = json.loads(good)
    foreign["scripts"]["same"]["sha256"] = "0" * 64
    (folder / LOCK).write_text(json.dumps(foreign), encoding="ascii")
    wrong = {e["name"]: e for e in client.get(f"{SYNC}/verify").json()["wrong"]}
    assert wrong["same"] == {
        "name": "same",
        "file": "same.sh",
        "folder": "differs",
        "store": "differs",
    }
    assert (wrong["gone"]["folder"], wrong["gone"]["store"]) == ("missing", "same")
    assert (wrong["mine"]["folder"], wrong["mine"]["store"]) == ("differs", "same")
    assert lines(sync(client, "push")["done"]) == ["M mine"]
    assert "same" not in {e["name"] for e in client.get(f"{SYNC}/verify").json()["wrong"]}


def test_a_lock_of_a_later_version_stops_all(client: httpx.Client, folder: Path) -> None:
    put(folder, "x.sh")
    content = b'{"version": 2, "scripts": {}}'
    (folder / LOCK).write_bytes(content)
    for answer in (client.get(f"{SYNC}/status"), client.post(f"{SYNC}/push", json={})):
        assert (answer.status_code, answer.json()["code"]) == (409, "lock-too-new")
    assert (folder / LOCK).read_bytes() == content


def test_a_folder_that_cannot_be_used_is_told(client: httpx.Client, folder: Path) -> None:
    moved = folder.rename(folder.with_name("moved"))
    try:
        assert clean(client)
        folder.write_bytes(b"")
        for answer in (client.get(f"{SYNC}/status"), client.post(f"{SYNC}/pull", json={})):
            assert (answer.status_code, answer.json()["code"]) == (503, "folder-unusable")
            assert str(folder) in answer.json()["detail"]
    finally:
        folder.unlink(missing_ok=True)
        moved.rename(folder)


def test_a_full_disk_loses_nothing(own: Server, client: httpx.Client, folder: Path) -> None:
    put(folder, "old.sh", "echo old\n")
    sync(client, "push")
    change(client, "old", code="echo new\n" * 2000)
    store(client, "another", "echo small\n")
    limits = (4096, resource.RLIM_INFINITY)
    resource.prlimit(own.pid, resource.RLIMIT_FSIZE, limits)
    try:
        answer = client.post(f"{SYNC}/pull", json={})
    finally:
        endless = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
        resource.prlimit(own.pid, resource.RLIMIT_FSIZE, endless)
    assert (answer.status_code, answer.json()["code"]) == (503, "folder-unusable")
    assert (folder / "old.sh").read_bytes() == b"echo old\n"
    assert (folder / "another.sh").read_bytes() == b"echo small\n"
    assert {f.name for f in folder.iterdir()} == {"old.sh", "another.sh", LOCK}
    assert lines(sync(client, "pull")["done"]) == ["M old"]
    assert clean(client)


def test_another_server_that_holds_the_folder_is_told_of(
    client: httpx.Client, folder: Path
) -> None:
    import fcntl

    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        answer = client.post(f"{SYNC}/push", json={})
        assert (answer.status_code, answer.json()["code"]) == (409, "folder-busy")
        assert client.get(f"{SYNC}/status").status_code == 200
    finally:
        os.close(descriptor)


def test_a_client_that_leaves_leaves_nothing_half_done(
    own: Server, client: httpx.Client, folder: Path
) -> None:
    for number in range(300):
        put(folder, f"s{number:03d}.sh")
    with (
        own.client() as leaving,
        leaving.stream("POST", f"{SYNC}/push", json={}, headers={"Accept": NDJSON}) as answer,
    ):
        next(answer.iter_lines())
    until(lambda: clean(client))
    assert client.get(f"{SYNC}/verify").json()["ok"] is True


def test_a_script_that_cannot_run_here_is_told_of_twice(client: httpx.Client, folder: Path) -> None:
    put(folder, "typed.ts", "const said: string = 'hi'\nconsole.log(said)\n")
    put(folder, "book.ipynb", json.dumps({"cells": []}))
    warned = {note["about"]: note["detail"] for note in sync(client, "push")["warnings"]}
    for name, language in (("typed", Language.TYPESCRIPT), ("book", Language.NOTEBOOK)):
        trouble = trouble_with(language)
        assert (language in warned) == bool(trouble)
        answer = client.post(f"{RUNS}/start", json={"name": name})
        assert answer.status_code == 202
        run = finished(client, answer.json()["job_id"])
        assert run["status"] == ("failed" if trouble else "completed")
        if trouble:
            assert run["returncode"] in (126, 127)
            text = printed(client, run["id"]) if run["stderr_bytes"] else run["reason"]
            assert "TypeScript" in text or "interpreter not found" in text
            assert trouble in warned[language]


@pytest.mark.parametrize(
    "body",
    [
        {"names": "x"},
        {"names": ["a/b"]},
        {"names": [""]},
        {"take": ["\ud800"]},
        {"prune": "yes"},
        {"dry_run": 1},
        {"else": 1},
    ],
)
@pytest.mark.parametrize("verb", ["push", "pull"])
def test_a_wrong_request_is_told(client: httpx.Client, verb: str, body: dict[str, object]) -> None:
    content = json.dumps(body).encode()
    answer = client.post(
        f"{SYNC}/{verb}", content=content, headers={"Content-Type": "application/json"}
    )
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid")
