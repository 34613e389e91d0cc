"""`/processes`: created, started, ended, listed, removed."""

from __future__ import annotations

from dataclasses import replace

from tests.contract.rows_execute import GONE, shell
from tests.contract.steps import (
    VOLATILE,
    Scenario,
    Step,
    bare,
    error,
    get,
    in_full,
    post,
    process,
    ran,
    raw,
)

FALSY: list[object] = [False, 0, "", [], {}]
UNKNOWN = error("Process not found")


def create(
    command: str, name: str | None = None, status: str = "created", /, **fields: object
) -> Step:
    """Create a process."""
    answer = {"id": VOLATILE, "name": name or command.split(maxsplit=1)[0], "status": status}
    return post("/processes", {"command": command, **fields}, answer, save={"id": "id"})


def starting(command: str, /, **fields: object) -> Step:
    """Create a process that starts at once."""
    return create(command, None, "starting", **fields)


def run(command: str, name: str | None = None, /, **fields: object) -> Step:
    """Create and start a process without waiting for its end."""
    answer = {"id": VOLATILE, "name": name or command.split(maxsplit=1)[0], "status": "running"}
    return post("/processes/run", {"command": command, **fields}, answer, save={"id": "id"})


def waited(
    command: str, status: str, code: int, out: str = "", err: str = "", **more: object
) -> Step:
    """Run a process to its end."""
    answer = {
        "id": VOLATILE,
        "name": command.split(maxsplit=1)[0],
        "status": status,
        "exit_code": code,
        "stdout": out,
        "stderr": err,
    }
    fields = {"command": command, "detach": False, **more}
    return post("/processes/run", fields, answer, save={"id": "id"})


def act(action: str, status: str, which: str = "id") -> Step:
    """Do something to a process."""
    return bare("POST", f"/processes/${which}/{action}", {"status": status})


def shown(command: str, status: str, which: str = "id", **more: object) -> Step:
    """Show a process, once it has this status."""
    full = {key: more.pop(key) for key in ("working_dir", "environment") if key in more}
    answer = in_full(process(command, status, **more), **full)  # type: ignore[arg-type]
    return get(f"/processes/${which}", answer, until={"status": status}, same={"id": which})


def logs(stdout: str, stderr: str = "", query: str = "") -> Step:
    """Show the logs of the process."""
    return get(f"/processes/$id/logs{query}", {"stdout": stdout, "stderr": stderr})


def remove(which: str = "id", query: str = "") -> Step:
    """Remove a process."""
    return bare("DELETE", f"/processes/${which}{query}", {"status": "removed"})


def listed(*rows: dict[str, object], query: str = "") -> Step:
    """List processes."""
    return get(f"/processes{query}", {"processes": list(rows), "total": len(rows)})


SLEEPER = process("sleep 66", "running")
IDLE = process("true", "created", name="later")
OVER = process("exit 4", "failed", exit_code=4)
LINES = "seq 1 250; echo one >&2; printf two >&2"
ALL_LINES = "".join(f"{n}\n" for n in range(1, 251))

FRESH = [
    Scenario(
        "list of processes",
        [
            listed(),
            listed(query="?all=true"),
            create("true", "later", name="later"),
            listed(),
            listed(IDLE, query="?all=true"),
            replace(run("sleep 66"), save={"sleeper": "id"}),
            waited("exit 4", "failed", 4),
            listed(SLEEPER),
            listed(IDLE, SLEEPER, OVER, query="?all=True"),
            listed(SLEEPER, query="?all=yes"),
        ],
        cleanup=[remove("sleeper", "?force=true")],
    ),
]

SCENARIOS = [
    Scenario(
        "what there is not",
        [
            get("/processes/nobody", UNKNOWN, 404),
            bare("POST", "/processes/nobody/start", UNKNOWN, 404),
            bare("POST", "/processes/nobody/stop", UNKNOWN, 404),
            bare("POST", "/processes/nobody/kill", UNKNOWN, 404),
            bare("DELETE", "/processes/nobody", UNKNOWN, 404),
            bare("DELETE", "/processes/nobody?force=true", UNKNOWN, 404),
            get("/processes/nobody/logs", UNKNOWN, 404),
            get("/processes/a%00b", UNKNOWN, 404),
            get("/processes/%ED%A0%80/logs", UNKNOWN, 404),
            get("/processes/run", UNKNOWN, 404),
            get("/processes/nobody/logs?lines=x", status=400),
        ],
    ),
    Scenario(
        "a process from its creation to its removal",
        [
            create("echo out; echo err >&2; exec sleep 67"),
            shown("echo out; echo err >&2; exec sleep 67", "created"),
            logs(""),
            act("stop", "stopped"),
            act("kill", "killed"),
            shown("echo out; echo err >&2; exec sleep 67", "created"),
            act("start", "started"),
            act("start", "started"),
            shown("echo out; echo err >&2; exec sleep 67", "running"),
            get("/processes/$id/logs", until={"stdout": "out\n", "stderr": "err\n"}),
            bare("DELETE", "/processes/$id", error("Process is running"), 409),
            bare("DELETE", "/processes/$id?force=1", error("Process is running"), 409),
            act("stop", "stopped"),
            shown("echo out; echo err >&2; exec sleep 67", "stopped", exit_code=-15),
            act("stop", "stopped"),
            act("kill", "killed"),
            shown("echo out; echo err >&2; exec sleep 67", "stopped", exit_code=-15),
            act("start", "started"),
            act("kill", "killed"),
            shown("echo out; echo err >&2; exec sleep 67", "killed", exit_code=-9),
            act("stop", "stopped"),
            remove(),
            get("/processes/$id", UNKNOWN, 404),
            bare("DELETE", "/processes/$id", UNKNOWN, 404),
        ],
    ),
    Scenario(
        "a running process is removed by force",
        [
            run("sleep 68 & echo $! > $home/forced; wait", "sleep"),
            shell("until [ -s $home/forced ]; do sleep 0.01; done", ran()),
            remove(query="?force=TRUE"),
            get("/processes/$id", UNKNOWN, 404),
            shell(f"P=$(cat $home/forced); {GONE}", ran("gone\n")),
        ],
    ),
    Scenario(
        "bodies of actions are not read",
        [
            create("true"),
            raw("/processes/$id/start", b"{", {"status": "started"}),
            shown("true", "exited", exit_code=0),
            raw("/processes/$id/stop", b"[]", {"status": "stopped"}),
            raw(
                "/processes/$id/kill", b"\xff", {"status": "killed"}, headers={"Content-Type": "x"}
            ),
            raw("/processes/$id/kill", b"x", {"status": "killed"}, chunked=True),
            remove(),
        ],
    ),
    Scenario(
        "started at once",
        [
            starting("exit 0", auto_start=True),
            shown("exit 0", "exited", exit_code=0),
            remove(),
            starting("exit 5", auto_start="false"),
            shown("exit 5", "failed", exit_code=5),
            act("start", "started"),
            shown("exit 5", "failed", exit_code=5),
            remove(),
            *(create("true", auto_start=falsy) for falsy in [None, *FALSY]),
            shown("true", "created"),
            starting("kill -9 $$", auto_start=[0]),
            shown("kill -9 $$", "failed", exit_code=-9),
        ],
    ),
    Scenario(
        "run and waited for",
        [
            waited("echo a; echo b >&2", "exited", 0, "a\n", "b\n"),
            shown("echo a; echo b >&2", "exited", exit_code=0),
            logs("a\n", "b\n"),
            waited("printf '\\377'; exit 9", "failed", 9, "\ufffd"),
            logs("\ufffd"),
            waited("cat; pwd", "exited", 0, "/tmp\n", working_dir="/tmp"),
            shown("cat; pwd", "exited", exit_code=0, working_dir="/tmp"),
            waited('echo "$A $N"', "exited", 0, "x 1.5\n", environment={"A": "x", "N": 1.5}),
            shown('echo "$A $N"', "exited", exit_code=0, environment={"A": "x", "N": "1.5"}),
            waited(LINES, "exited", 0, ALL_LINES, "one\ntwo"),
            *(waited("true", "exited", 0, detach=falsy) for falsy in FALSY),
            *(run("true", detach=other) for other in (None, True, 1, "false", [0])),
            waited("sleep 3 & echo quick", "exited", 0, "quick\n"),
            waited("kill -15 $$", "failed", -15),
        ],
    ),
    Scenario(
        "programs with arguments",
        [
            waited("printf", "exited", 0, "a b|$HOME|", args=["%s|", "a b", "$HOME"]),
            shown("printf", "exited", exit_code=0, args=["%s|", "a b", "$HOME"]),
            waited("echo", "exited", 0, "1 2.5\n", args=[1, 2.5]),
            shown("echo", "exited", exit_code=0, args=["1", "2.5"]),
            waited("echo $((1+1))", "exited", 0, "2\n", args=[]),
            waited(
                "nosuchprogram",
                "failed",
                127,
                "",
                "nosuchprogram: No such file or directory\n",
                args=["x"],
            ),
            shown("nosuchprogram", "failed", exit_code=127, args=["x"], started_at=None),
            logs("", "nosuchprogram: No such file or directory\n"),
            waited(
                "/etc/passwd", "failed", 126, "", "/etc/passwd: Permission denied\n", args=["x"]
            ),
            waited("/tmp", "failed", 126, "", "/tmp: Permission denied\n", args=["x"]),
            run("/no/such", args=["x"]),
            shown("/no/such", "failed", exit_code=127, args=["x"], started_at=None),
            starting("/no/such", auto_start=True, args=["x"]),
            shown("/no/such", "failed", exit_code=127, args=["x"], started_at=None),
        ],
    ),
    Scenario(
        "names",
        [
            create("ls -l", "ls"),
            create("  spaced\tout ", "spaced"),
            create("true", "given", name="given"),
            create("true", "true", name=""),
            create("true", "true", name=0),
            create(" ", "process"),
            create("true", "n" * 200, name="n" * 200),
            create("x" * 300, "x" * 200),
            create("é😀" * 150, "é😀" * 100),
            create("a\u3000b", "a"),
        ],
    ),
    Scenario(
        "the last lines",
        [
            waited(LINES, "exited", 0, ALL_LINES, "one\ntwo"),
            logs("".join(f"{n}\n" for n in range(151, 251)), "one\ntwo"),
            logs("249\n250\n", "one\ntwo", "?lines=2"),
            logs("250\n", "two", "?lines=1"),
            logs("", "", "?lines=0"),
            logs("250\n", "two", "?lines=001"),
            logs("250\n", "two", "?lines=1&lines=x"),
            logs(ALL_LINES, "one\ntwo", "?lines=250"),
            logs(ALL_LINES, "one\ntwo", "?lines=251"),
            logs(ALL_LINES, "one\ntwo", "?lines=" + "9" * 5000),
            *(
                get(
                    f"/processes/$id/logs?lines={it}",
                    error("lines must be a whole number of at least 0"),
                    400,
                )
                for it in ("x", "", "-1", "1.0", "%2B1", "1_0", "%201", "1e2", "%D9%A3", "0x1")
            ),
            waited("printf 'a\\rb\\r\\nc'", "exited", 0, "a\rb\r\nc"),
            logs("c", "", "?lines=1"),
            logs("a\rb\r\nc", "", "?lines=2"),
            waited("printf '\\n\\n\\n'", "exited", 0, "\n\n\n"),
            logs("\n\n", "", "?lines=2"),
        ],
    ),
]
