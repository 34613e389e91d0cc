"""`/api/v1/sync`: a folder of scripts and the stored commands, each made as the other is."""

from __future__ import annotations

import json
import os
import resource
import stat
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from fastapi_app.engine.interpreters import trouble_with
from fastapi_app.models import Language
from fastapi_app.storage.script_folder import LARGEST
from tests.fastapi_app.routers.wire import COMMANDS, NDJSON, RUNS, finished, printed
from tests.fastapi_app.starting import start_app, until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.servers import Server

SYNC = "/api/v1/sync"
LOCK = "workflows.lock.json"


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server whose folder these tests have for themselves; it must end cleanly at last."""
    with start_app(tmp_path_factory.mktemp("home")) as running:
        yield running
        assert running.stop() == 0
        assert b"Traceback" not in b"".join(running.printed), b"".join(running.printed).decode()


@pytest.fixture
def client(own: Server) -> Iterator[httpx.Client]:
    with own.client(timeout=30) as client:
        yield client


@pytest.fixture
def folder(own: Server, client: httpx.Client) -> Iterator[Path]:
    """Its folder, empty as the store is, and a lock that says so."""
    root = own.home / "workflows"
    root.mkdir(exist_ok=True)
    yield root
    for file in sorted(root.rglob("*"), reverse=True):
        file.rmdir() if file.is_dir() and not file.is_symlink() else file.unlink()
    items = client.get(f"{COMMANDS}/list", params={"limit": 1000, "all": True}).json()["items"]
    for item in items:
        assert client.delete(f"{COMMANDS}/{item['name']}").status_code == 204


def put(folder: Path, path: str, code: str | bytes = "echo hi\n") -> Path:
    file = folder / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(code if isinstance(code, bytes) else code.encode())
    return file


def store(client: httpx.Client, name: str, code: str = "echo hi\n", **fields: object) -> None:
    body = {"name": name, "code": code, **fields}
    assert client.post(f"{COMMANDS}/create", json=body).status_code == 201


def change(client: httpx.Client, name: str, **fields: object) -> None:
    assert client.put(f"{COMMANDS}/{name}", json=fields).status_code == 200


def stored(client: httpx.Client, name: str) -> dict[str, Any]:
    answer = client.get(f"{COMMANDS}/{name}")
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def status(client: httpx.Client) -> dict[str, Any]:
    answer = client.get(f"{SYNC}/status")
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def sync(client: httpx.Client, verb: str, **body: object) -> dict[str, Any]:
    answer = client.post(f"{SYNC}/{verb}", json=body)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def lines(found: list[dict[str, str]]) -> list[str]:
    return [f"{line['change']} {line['name']}" for line in found]


def told(found: dict[str, Any]) -> dict[str, str]:
    return {note["about"]: note["detail"] for note in found["problems"]}


def clean(client: httpx.Client) -> bool:
    found = status(client)
    return not (found["push"] or found["pull"] or found["conflicts"] or found["problems"])


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
