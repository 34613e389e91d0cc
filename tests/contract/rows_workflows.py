"""`POST /workflow/start` and `POST /workflow/stop`."""

from __future__ import annotations

from tests.contract.rows_execute import GONE, shell
from tests.contract.steps import VOLATILE, Scenario, Step, error, get, post, ran, raw

UNKNOWN = error("workflow not found")
NEEDED = error("id or name required")
NONE_LEFT: dict[str, object] = {"active_workflows": []}


def start(name: str, save: str | None = None, /, **fields: object) -> Step:
    """Start a workflow."""
    answer = {"id": VOLATILE, "name": name, "status": "running", "started_at": VOLATILE}
    kept = {} if save is None else {save: "id"}
    return post("/workflow/start", {"name": name, **fields}, answer, save=kept)


def stop(name: str, status: str, which: str | None = None, /, **fields: object) -> Step:
    """Stop a workflow of this name and expect this status, and the id saved as `which`."""
    answer = {"id": VOLATILE, "name": name, "status": status}
    same = {} if which is None else {"id": which}
    return post("/workflow/stop", fields or {"name": name}, answer, same=same)


def idle() -> Step:
    """Wait until no workflow runs."""
    return get("/status", until=NONE_LEFT)


def unknown(**fields: object) -> Step:
    """Stop something that there is not."""
    return post("/workflow/stop", fields, UNKNOWN, 404)


SCENARIOS = [
    Scenario(
        "starting what there is not",
        [
            post("/workflow/start", {}, error("name required"), 400),
            post("/workflow/start", {"name": ""}, error("name required"), 400),
            post("/workflow/start", {"name": None, "args": 5}, error("name required"), 400),
            *(
                post("/workflow/start", {"name": it}, error(f"workflow '{it}' not found"), 404)
                for it in ("nobody", "hidden", "it's", 'a"b', "é😀", "a\0b", " ", "\ud800", "<id>")
            ),
            raw(
                "/workflow/start",
                b'{"name":"\xed\xa0\x80"}',
                error("workflow '\ud800' not found"),
                404,
            ),
        ],
    ),
    Scenario(
        "stopping what there is not",
        [
            post("/workflow/stop", {}, NEEDED, 400),
            post("/workflow/stop", {"id": None, "name": ""}, NEEDED, 400),
            post("/workflow/stop", {"id": 0, "name": []}, NEEDED, 400),
            unknown(id="nobody"),
            unknown(name="nobody"),
            unknown(name="alpha"),
            unknown(id="a\0b"),
            unknown(name="\ud800"),
            unknown(id="nobody", name="alpha"),
        ],
    ),
    Scenario(
        "a workflow is stopped by its id",
        [
            idle(),
            start("sleeper", "id"),
            stop("sleeper", "stopped", "id", id="$id"),
            stop("sleeper", "stopped", "id", id="$id"),
            stop("sleeper", "stopped", "id", id="$id", name="nobody"),
            stop("sleeper", "stopped", "id"),
            idle(),
        ],
    ),
    Scenario(
        "a name means the workflow that started last",
        [
            start("sleeper", "first"),
            start("sleeper", "second"),
            start("sleeper", "third"),
            stop("sleeper", "stopped", "second", id="$second"),
            stop("sleeper", "stopped", "third"),
            stop("sleeper", "stopped", "first"),
            stop("sleeper", "stopped", "first"),
            stop("sleeper", "stopped", "third", id="$third"),
        ],
    ),
    Scenario(
        "a workflow that is over",
        [
            idle(),
            start("quick", "quick"),
            start("failing", "failing"),
            start("lua-hello", "lua"),
            start("node-args", "node", args=["x"]),
            idle(),
            stop("quick", "completed", "quick", id="$quick"),
            stop("quick", "completed", "quick"),
            stop("failing", "failed", "failing"),
            post("/workflow/stop", {"id": "$lua"}, same={"id": "lua"}),
            stop("node-args", "completed", "node"),
        ],
    ),
    Scenario(
        "the whole group is stopped",
        [
            start("family", "id", args=["$home/family"]),
            shell("until [ -e $home/family ]; do sleep 0.01; done", ran()),
            stop("family", "stopped", "id"),
            shell(f"P=$(cat $home/family); {GONE}", ran("gone\n")),
        ],
    ),
    Scenario(
        "arguments and environment of a workflow",
        [
            start(
                "note",
                args=["$home/note", 5],
                env={"GREETING": "hé llo", "COUNT": 1.5, "LANG": ""},
            ),
            idle(),
            shell("cat $home/note", ran("hé llo,1.5,5")),
            start("note", args=["$home/note2", "$(id)"], env={}),
            idle(),
            shell("cat $home/note2; ls $home/work", ran(",,$(id)")),
            start("quick", args=None, env=None),
            idle(),
        ],
    ),
]
