"""`POST /execute`: shell texts, stored commands, ends of every kind."""

from __future__ import annotations

import shutil
from collections.abc import Mapping

from tests.contract.seeds import SEEDS
from tests.contract.steps import Scenario, Step, error, post, ran, raw

IDS = {seed.name: seed.id for seed in SEEDS}
UNKNOWN = error("Command not found")
NEEDED = error("command, command_id or command_name required")
GONE = (
    "if [ -e /proc/$P ] && ! grep -q 'State:.*Z' /proc/$P/status; then echo alive; else echo gone;"
    " fi"
)


def shell(command: str, answer: Mapping[str, object], status: int = 200, within: int = 5) -> Step:
    """Run a shell text."""
    return post("/execute", {"command": command}, answer, status, within=within)


def timed(command: str, timeout: float, output: str = "") -> Step:
    """Run a shell text that will not end in time."""
    answer = ran(output, f"Command timed out after {timeout} seconds", -1)
    return post("/execute", {"command": command, "timeout": timeout}, answer, within=timeout + 3)


def stored(name: str, answer: dict[str, object], **fields: object) -> Step:
    """Run a stored command by its name."""
    return post("/execute", {"command_name": name, **fields}, answer)


LUA = (
    stored("lua-hello", ran("hello\tyou\n"), args=["you"])
    if shutil.which("lua")
    else stored("lua-hello", ran("", "lua: interpreter not found", 127), args=["you"])
)

SCENARIOS = [
    Scenario(
        "shell texts",
        [
            shell("echo hi", ran("hi\n")),
            shell("echo err >&2; exit 3", ran("", "err\n", 3)),
            shell("printf out; printf err >&2", ran("out", "err")),
            shell("printf '%s' \"$0\"", ran("/bin/sh")),
            shell("nosuchprogram 2>/dev/null", ran(returncode=127)),
            shell(" ", ran()),
            shell("# nothing", ran()),
            shell("echo é 😀 '\"\\'", ran('é 😀 "\\\n')),
            shell("printf 'a\\r\\n\\tb\\0c'", ran("a\r\n\tb\0c")),
            shell("printf '\\377\\376ok\\303'; printf '\\200' >&2", ran("��ok�", "�")),
            shell("printf '\\355\\240\\200'", ran("���")),
            shell("cat; echo done", ran("done\n")),
            shell("exit 255", ran(returncode=255)),
            shell("kill -9 $$", ran(returncode=-9)),
            shell("echo first; kill -TERM $$", ran("first\n", "", -15)),
            shell("sleep 3 & echo quick", ran("quick\n"), within=2),
            shell("head -c 300000 /dev/zero | tr '\\0' x", ran("x" * 300000)),
            shell("ps -o sid= -p $$ | tr -d ' ' | grep -qx $$ && echo leader", ran("leader\n")),
        ],
    ),
    Scenario(
        "the longest command",
        [
            shell("#" * 131071, ran()),
            shell(
                "#" * 131072, error("command is too long: 131072 bytes, at most 131071"), status=400
            ),
            shell(
                "é" * 65536, error("command is too long: 131072 bytes, at most 131071"), status=400
            ),
            shell(
                "x" * 1_000_000,
                error("command is too long: 1000000 bytes, at most 131071"),
                status=400,
            ),
        ],
    ),
    Scenario(
        "time-outs",
        [
            timed("echo begun; exec sleep 60", 0.3, "begun\n"),
            timed("sleep 60", 1),
            raw(
                "/execute",
                b'{"command":"sleep 60","timeout":5e-1}',
                ran("", "Command timed out after 0.5 seconds", -1),
            ),
            raw(
                "/execute",
                b'{"command":"sleep 60","timeout":1.0}',
                ran("", "Command timed out after 1.0 seconds", -1),
            ),
            timed("sleep 65 & echo $! > $home/late; wait", 0.3),
            shell(f"P=$(cat $home/late); {GONE}", ran("gone\n")),
            timed("trap '' TERM; sleep 60", 0.2),
            post("/execute", {"command": "echo ok", "timeout": 31536000}, ran("ok\n")),
            post("/execute", {"command": "echo ok", "timeout": None}, ran("ok\n")),
            stored("slow", ran("begun\n", "Command timed out after 0.3 seconds", -1), timeout=0.3),
        ],
    ),
    Scenario(
        "which command is meant",
        [
            post("/execute", {}, NEEDED, 400),
            post("/execute", {"args": ["x"], "timeout": 5}, NEEDED, 400),
            post("/execute", {"command": None, "command_id": "", "command_name": 0}, NEEDED, 400),
            post("/execute", {"command": [], "command_id": {}, "command_name": False}, NEEDED, 400),
            post("/execute", {"command": "echo me", "command_id": 5, "args": []}, ran("me\n")),
            post(
                "/execute",
                {"command": "", "command_id": IDS["alpha"], "command_name": "nobody"},
                ran("alpha\n"),
            ),
            post("/execute", {"command_id": "nobody", "command_name": "alpha"}, UNKNOWN, 404),
            post("/execute", {"command_id": None, "command_name": "alpha"}, ran("alpha\n")),
            post("/execute", {"command_id": "alpha"}, UNKNOWN, 404),
            post("/execute", {"command_name": IDS["alpha"]}, UNKNOWN, 404),
            post("/execute", {"command_name": "ALPHA"}, UNKNOWN, 404),
            post("/execute", {"command_name": "hidden"}, UNKNOWN, 404),
            post("/execute", {"command_id": IDS["hidden"]}, UNKNOWN, 404),
            post("/execute", {"command_name": "a\0b"}, UNKNOWN, 404),
            raw("/execute", b'{"command_name":"\\ud800"}', UNKNOWN, 404),
            post("/execute", {"command_name": "x" * 5000}, UNKNOWN, 404),
            raw("/execute", b'{"command":"echo 1","command":"echo 2"}', ran("2\n")),
            raw("/execute", b'{"command":"echo \\u0068i", "unknown": [1]}', ran("hi\n")),
        ],
    ),
    Scenario(
        "stored commands",
        [
            stored("sh-args", ran("script.sh\n[a b][$x][]script.sh\n"), args=["a b", "$x", ""]),
            stored("sh-args", ran("script.sh\n[]script.sh\n")),
            stored("sh-args", ran("script.sh\n[-x][--]script.sh\n"), args=["-x", "--"]),
            stored(
                "py-args",
                ran("['script.py', '1', '2.5', 'é']\n", "oops\n", 2),
                args=[1, 2.5, "é"],
            ),
            stored("node-args", ran("script.js [ 'one', '-2' ]\n"), args=["one", -2]),
            LUA,
            stored("éclair", ran("éclair\n"), args=None),
            stored("failing", ran(returncode=7)),
            raw(
                "/execute",
                b'{"command_name":"py-args","args":[1e3,1E400,-0,100000000000000000000,1.10]}',
                ran(
                    "['script.py', '1000.0', 'inf', '0', '100000000000000000000', '1.1']\n",
                    "oops\n",
                    2,
                ),
            ),
            shell("ls $home/work", ran()),
        ],
    ),
]
