"""`/api/v1/sync`: a folder of scripts and the stored commands, each made as the other is."""

from __future__ import annotations

import json
import stat
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx

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
from tests.fastapi_app.routers.wire import COMMANDS, NDJSON

if TYPE_CHECKING:
    from tests.servers import Server


def test_what_the_folder_has_is_stored(client: httpx.Client, folder: Path) -> None:
    put(folder, "hi.sh", "#!/bin/sh\n# @description: Say hi\n# @tags: a, b\necho hi\n")
    put(folder, "ops/deep/one.py", "print(1)\n")
    put(folder, "typed.ts", "const x: number = 1\n")
    put(folder, "book.ipynb", json.dumps({"cells": []}))
    assert lines(status(client)["push"]) == ["A book", "A hi", "A one", "A typed"]
    done = sync(client, "push")
    assert lines(done["done"]) == ["A book", "A hi", "A one", "A typed"]
    hi = stored(client, "hi")
    assert (hi["description"], hi["tags"], hi["group"]) == ("Say hi", ["a", "b"], "")
    one = stored(client, "one")
    assert (one["language"], one["group"], one["code"]) == ("python", "ops/deep", "print(1)\n")
    assert stored(client, "typed")["language"] == "typescript"
    assert stored(client, "book")["language"] == "notebook"
    assert clean(client)
    assert sync(client, "push")["done"] == sync(client, "pull")["done"] == []
    assert client.get(f"{SYNC}/verify").json()["ok"] is True


def test_what_the_store_has_is_written(client: httpx.Client, folder: Path) -> None:
    store(client, "deploy", "#!/bin/sh\necho\n", group="ops", description="Kept", tags=["x"])
    store(client, "calc", "print(1)", language="python")
    assert lines(status(client)["pull"]) == ["A calc", "A deploy"]
    assert lines(sync(client, "pull")["done"]) == ["A calc", "A deploy"]
    assert (folder / "ops/deploy.sh").read_bytes() == b"#!/bin/sh\necho\n"
    assert (folder / "ops/deploy.sh").stat().st_mode & stat.S_IXUSR
    assert (folder / "calc.py").read_bytes() == b"print(1)"
    assert clean(client)
    assert sync(client, "push")["done"] == []
    found = stored(client, "deploy")
    assert (found["description"], found["tags"]) == ("Kept", ["x"])
    assert found["version"] == 1


def test_each_side_gets_what_the_other_changed(client: httpx.Client, folder: Path) -> None:
    for name in ("mine", "theirs", "moved"):
        put(folder, f"{name}.sh").chmod(0o740)
    sync(client, "push")
    lock = (folder / LOCK).read_bytes()
    put(folder, "mine.sh", "echo mine\n")
    change(client, "theirs", code="echo theirs\r\n")
    change(client, "moved", group="ops")
    found = status(client)
    assert (lines(found["push"]), lines(found["pull"])) == (["M mine"], ["M moved", "M theirs"])
    assert (folder / LOCK).read_bytes() == lock
    assert lines(sync(client, "push")["done"]) == ["M mine"]
    assert lines(sync(client, "pull")["done"]) == ["M moved", "M theirs"]
    assert stored(client, "mine")["code"] == "echo mine\n"
    assert stored(client, "mine")["version"] == 2
    assert (folder / "theirs.sh").read_bytes() == b"echo theirs\r\n"
    assert stat.S_IMODE((folder / "theirs.sh").stat().st_mode) == 0o740
    assert not (folder / "moved.sh").exists()
    assert stat.S_IMODE((folder / "ops/moved.sh").stat().st_mode) == 0o740
    assert clean(client)


def test_what_both_changed_is_decided_by_nobody(client: httpx.Client, folder: Path) -> None:
    put(folder, "x.sh", "echo old\n")
    put(folder, "other.sh")
    sync(client, "push")
    put(folder, "x.sh", "echo mine\n")
    put(folder, "other.sh", "echo other\n")
    change(client, "x", code="echo theirs\n")
    conflict = [{"name": "x", "folder": "M", "store": "M"}]
    assert status(client)["conflicts"] == conflict
    for verb, done in (("pull", []), ("push", ["M other"])):
        found = sync(client, verb)
        assert (found["conflicts"], lines(found["done"])) == (conflict, done)
    assert (folder / "x.sh").read_bytes() == b"echo mine\n"
    assert stored(client, "x")["code"] == "echo theirs\n"
    both = client.get(f"{SYNC}/diff/x").json()
    assert (both["folder"], both["store"]) == ("echo mine\n", "echo theirs\n")
    assert both["diff"].splitlines()[:2] == ["--- store/x.sh", "+++ folder/x.sh"]
    assert {"-echo theirs", "+echo mine"} <= set(both["diff"].splitlines())
    assert lines(sync(client, "pull", take=["x"], dry_run=True)["done"]) == ["M x"]
    assert status(client)["conflicts"] == conflict
    assert lines(sync(client, "push", take=["x"])["done"]) == ["M x"]
    assert stored(client, "x")["code"] == "echo mine\n"
    change(client, "x", code="echo again\n")
    put(folder, "x.sh", "echo lost\n")
    assert lines(sync(client, "pull", take=["x"])["done"]) == ["M x"]
    assert (folder / "x.sh").read_bytes() == b"echo again\n"
    assert clean(client)


def test_the_same_change_on_both_sides_is_none(client: httpx.Client, folder: Path) -> None:
    put(folder, "x.sh")
    sync(client, "push")
    put(folder, "x.sh", "echo same\n")
    change(client, "x", code="echo same\n")
    put(folder, "new.sh")
    store(client, "new")
    assert clean(client)
    assert client.get(f"{SYNC}/verify").json()["ok"] is False
    assert sync(client, "pull")["done"] == []
    assert client.get(f"{SYNC}/verify").json()["ok"] is True


def test_deletions_are_done_only_when_asked_for(client: httpx.Client, folder: Path) -> None:
    for name in ("here", "there", "both"):
        put(folder, f"ops/{name}.sh")
    sync(client, "push")
    (folder / "ops/here.sh").unlink()
    client.delete(f"{COMMANDS}/there")
    (folder / "ops/both.sh").unlink()
    client.delete(f"{COMMANDS}/both")
    for verb, name in (("push", "here"), ("pull", "there")):
        found = sync(client, verb)
        assert (found["done"], lines(found["kept"])) == ([], [f"D {name}"])
        assert lines(sync(client, verb, prune=True, dry_run=True)["done"]) == [f"D {name}"]
    assert stored(client, "here")
    assert (folder / "ops/there.sh").exists()
    assert lines(sync(client, "push", prune=True)["done"]) == ["D here"]
    assert lines(sync(client, "pull", prune=True)["done"]) == ["D there"]
    assert client.get(f"{COMMANDS}/here").status_code == 404
    assert not (folder / "ops").exists()
    assert json.loads((folder / LOCK).read_bytes())["scripts"] == {}


def test_a_dry_run_does_nothing(client: httpx.Client, folder: Path) -> None:
    put(folder, "mine.sh")
    put(folder, "wrong.yaml", "steps: 3\n")
    store(client, "theirs")
    found = sync(client, "push", dry_run=True)
    assert (found["dry_run"], lines(found["done"])) == (True, ["A mine"])
    assert "wrong.yaml" in told(found)
    assert lines(sync(client, "pull", dry_run=True)["done"]) == ["A theirs"]
    assert client.get(f"{COMMANDS}/mine").status_code == 404
    assert {file.name for file in folder.iterdir()} == {"mine.sh", "wrong.yaml"}


def test_only_what_is_named_is_done(client: httpx.Client, folder: Path) -> None:
    put(folder, "a.sh")
    put(folder, "b.sh")
    assert lines(sync(client, "push", names=["b"])["done"]) == ["A b"]
    answer = client.post(f"{SYNC}/push", json={"names": ["nobody"], "take": ["b"]})
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid-sync")
    assert "'nobody'" in answer.json()["detail"]
    answer = client.get(f"{SYNC}/diff/nobody")
    assert (answer.status_code, answer.json()["code"]) == (404, "script-not-found")


def test_a_stream_tells_how_far_it_is(client: httpx.Client, folder: Path) -> None:
    for number in range(250):
        put(folder, f"s{number:03d}.sh")
    answer = client.post(f"{SYNC}/push", json={}, headers={"Accept": NDJSON})
    assert answer.headers["content-type"] == NDJSON
    *told, last = [json.loads(line) for line in answer.text.splitlines()]
    assert [(event["done"], event["total"]) for event in told] == [
        (100, 250),
        (200, 250),
        (250, 250),
    ]
    assert (last["type"], len(last["result"]["done"])) == ("result", 250)
    wrong = client.post(f"{SYNC}/push", json={"names": ["no"]}, headers={"Accept": NDJSON})
    assert (wrong.status_code, wrong.json()["code"]) == (422, "invalid-sync")


def test_two_at_once_wait_for_each_other(client: httpx.Client, folder: Path) -> None:
    for number in range(50):
        put(folder, f"s{number}.sh")
    found: list[dict[str, Any]] = []
    work = [threading.Thread(target=lambda: found.append(sync(client, "push"))) for _ in "ab"]
    for thread in work:
        thread.start()
    for thread in work:
        thread.join()
    assert sorted(len(each["done"]) for each in found) == [0, 50]


def test_scripts_are_stored_as_they_are_saved(
    own: Server, client: httpx.Client, folder: Path
) -> None:
    put(folder, "first.sh")
    with (
        own.client(timeout=30) as watching,
        watching.stream("POST", f"{SYNC}/watch", json={}) as answer,
    ):
        events = (json.loads(line)["result"] for line in answer.iter_lines())
        assert lines(next(events)["done"]) == ["A first"]
        put(folder, "second.sh")
        assert lines(next(events)["done"]) == ["A second"]
        put(folder, "ops/third.sh")
        assert lines(next(events)["done"]) == ["A third"]
        change(client, "second", code="echo theirs\n")
        put(folder, "second.sh", "echo mine\n")
        assert next(events)["conflicts"] == [{"name": "second", "folder": "M", "store": "M"}]
        (folder / "first.sh").unlink()
        assert lines(next(events)["kept"]) == ["D first"]
    assert stored(client, "first")
    once = client.post(f"{SYNC}/watch", json={"prune": True}, params={"follow": False})
    [event] = [json.loads(line) for line in once.text.splitlines()]
    assert lines(event["result"]["done"]) == ["D first"]


def test_what_was_done_is_in_the_audit_log(client: httpx.Client, folder: Path) -> None:
    put(folder, "seen.sh")
    sync(client, "push")
    change(client, "seen", code="echo other\n")
    sync(client, "pull")
    items = client.get("/api/v1/audit", params={"subject": str(folder)}).json()["items"]
    assert [(item["action"], item["detail"]) for item in items[:2]] == [
        ("sync.pull", "1 scripts: M seen"),
        ("sync.push", "1 scripts: A seen"),
    ]
