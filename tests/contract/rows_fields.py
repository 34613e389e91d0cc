"""Every field rule, on every route that has the field."""

from __future__ import annotations

import json

from tests.contract.steps import Scenario, Step, error, post, raw

ROUTES_WITH_COMMAND = ["/execute", "/processes", "/processes/run"]
BASES: dict[str, dict[str, object]] = {
    "/execute": {"command": "true"},
    "/workflow/start": {"name": "quick"},
    "/processes": {"command": "true"},
    "/processes/run": {"command": "true"},
}
TIMEOUT = error("timeout must be a number of seconds above 0 and at most 31536000")
LONG = 131071


def refused(path: str, fields: dict[str, object], message: str) -> Step:
    """A request that is refused because of one of its fields."""
    return post(path, fields, error(message), 400)


def args(path: str) -> list[Step]:
    """The rules of `args`."""
    base = BASES[path]
    wrong: list[object] = ["", "x", 0, False, {}, [True], [None], [[]], [{}], ["x", False]]
    kind = [refused(path, base | {"args": it}, "args must be a list of strings") for it in wrong]
    return [
        *kind,
        refused(path, base | {"args": ["\0", None]}, "args must be a list of strings"),
        refused(path, base | {"args": ["a\0b"]}, "args must not contain NUL characters"),
        refused(path, base | {"args": ["\ud800", "\0"]}, "args must not contain NUL characters"),
        refused(path, base | {"args": ["\udfff"]}, "args is not valid Unicode"),
        refused(path, base | {"args": ["x" * (LONG + 1)]}, "args is too long"),
        refused(path, base | {"args": ["é" * 65536]}, "args is too long"),
        refused(path, base | {"args": ["x" * 100_000] * 10 + ["x"]}, "args is too long"),
    ]


def env(path: str, key: str) -> list[Step]:
    """The rules of `env` and `environment`."""
    base = BASES[path]
    wrong: list[object] = ["", 0, False, [], {"A": None}, {"A": True}, {"A": []}, {"A": {}}]
    names = ["", "A=B", "=", "A\0"]
    return [
        *(refused(path, base | {key: it}, f"{key} must be an object of strings") for it in wrong),
        *(
            refused(
                path,
                base | {key: {it: "x"}},
                f"{key} names must not be empty or contain '=' or NUL",
            )
            for it in names
        ),
        refused(path, base | {key: {"": True}}, f"{key} must be an object of strings"),
        refused(path, base | {key: {"A": "\0"}}, f"{key} must not contain NUL characters"),
        refused(path, base | {key: {"A": "\ud800"}}, f"{key} is not valid Unicode"),
        refused(path, base | {key: {"\ud800": "x"}}, f"{key} is not valid Unicode"),
        refused(path, base | {key: {"A": "x" * (LONG - 1)}}, f"{key} is too long"),
        refused(
            path,
            base | {key: {f"K{n}": "x" * 99_998 for n in range(10)}},
            f"{key} is too long",
        ),
    ]


def commands(path: str) -> list[Step]:
    """The rules of `command`."""
    wrong: list[object] = [5, 1.5, True, ["ls"], {"a": 1}]
    return [
        *(refused(path, {"command": it}, "command must be a string") for it in wrong),
        refused(path, {"command": "a\0b"}, "command must not contain NUL characters"),
        refused(path, {"command": "\ud800\0"}, "command must not contain NUL characters"),
        raw(path, b'{"command":"echo \\ud83d"}', error("command is not valid Unicode"), 400),
        # json.loads lets through what UTF-8 forbids; the check finds it all the same.
        raw(path, b'{"command":"echo \xed\xa0\x80"}', error("command is not valid Unicode"), 400),
        refused(
            path,
            {"command": "\ud800" + "x" * LONG},
            "command is not valid Unicode",
        ),
        refused(
            path,
            {"command": "x" * (LONG + 1)},
            f"command is too long: {LONG + 1} bytes, at most {LONG}",
        ),
    ]


def words(path: str, key: str, base: dict[str, object] | None = None) -> list[Step]:
    """The one rule of ids and names."""
    wrong: list[object] = [1, 0.5, True, ["x"], {"a": 1}]
    return [refused(path, (base or {}) | {key: it}, f"{key} must be a string") for it in wrong]


def timeouts() -> list[Step]:
    """The rules of `timeout`."""
    wrong: list[object] = [0, -1, -0.5, 31536001, "", "5", True, False, [], {}]
    literals = [b"NaN", b"Infinity", b"-Infinity", b"1e400", b"0.0", b"31536000.1", b"9" * 400]
    return [
        *(post("/execute", {"command": "true", "timeout": it}, TIMEOUT, 400) for it in wrong),
        *(
            raw("/execute", b'{"command":"true","timeout":%b}' % it, TIMEOUT, 400)
            for it in literals
        ),
    ]


def process_fields(path: str) -> list[Step]:
    """The rules that only processes have."""
    base = BASES[path]
    folder = "working_dir is not a folder: "
    required = "Command is required"
    missing: list[object] = [None, "", 0, False, [], {}]
    return [
        refused(path, {}, required),
        *(refused(path, {"command": it, "name": 5}, required) for it in missing),
        refused(path, base | {"name": "x" * 201}, "name is too long: 201 characters, at most 200"),
        refused(path, base | {"name": "a\0b"}, "name must not contain NUL characters"),
        refused(path, base | {"name": "\ud800"}, "name is not valid Unicode"),
        refused(path, base | {"working_dir": 5}, "working_dir must be a string"),
        refused(path, base | {"working_dir": False}, "working_dir must be a string"),
        refused(path, base | {"working_dir": "/\0"}, "working_dir must not contain NUL characters"),
        refused(path, base | {"working_dir": "/\ud800"}, "working_dir is not valid Unicode"),
        refused(path, base | {"working_dir": "/no/such"}, f"{folder}/no/such"),
        refused(path, base | {"working_dir": "/dev/null"}, f"{folder}/dev/null"),
        refused(path, base | {"working_dir": ""}, folder),
        refused(path, base | {"working_dir": "/é😀"}, f"{folder}/é😀"),
        refused(path, base | {"working_dir": "/" + "x" * 5000}, f"{folder}/" + "x" * 5000),
    ]


def order(path: str, *faults: tuple[str, object, str]) -> list[Step]:
    """Requests with ever fewer faults: the first one left is the one reported."""
    steps = []
    for first in range(len(faults)):
        fields = dict(BASES.get(path, {})) | {key: value for key, value, _ in faults[first:]}
        steps.append(refused(path, json.loads(json.dumps(fields)), faults[first][2]))
    return steps


ARGS_FAULT = ("args", "x", "args must be a list of strings")
PROCESS_FAULTS = (
    ("command", 5, "command must be a string"),
    ("name", 5, "name must be a string"),
    ARGS_FAULT,
    ("working_dir", 5, "working_dir must be a string"),
    ("environment", 5, "environment must be an object of strings"),
)

SCENARIOS = [
    *(Scenario(f"command of {path}", commands(path)) for path in ROUTES_WITH_COMMAND),
    *(Scenario(f"args of {path}", args(path)) for path in BASES),
    Scenario("env of /workflow/start", env("/workflow/start", "env")),
    *(
        Scenario(f"environment of {path}", env(path, "environment"))
        for path in ("/processes", "/processes/run")
    ),
    Scenario("timeout of /execute", timeouts()),
    *(
        Scenario(f"fields of {path}", process_fields(path) + words(path, "name", BASES[path]))
        for path in ("/processes", "/processes/run")
    ),
    Scenario(
        "ids and names",
        words("/execute", "command_id")
        + words("/execute", "command_name")
        + words("/workflow/start", "name")
        + words("/workflow/stop", "id")
        + words("/workflow/stop", "name"),
    ),
    Scenario(
        "order of checks",
        [
            *order(
                "/execute",
                ("command", 5, "command must be a string"),
                ARGS_FAULT,
                ("timeout", "x", str(TIMEOUT["error"])),
            ),
            post(
                "/execute", {"command_id": 5, "args": 5}, error("command_id must be a string"), 400
            ),
            post("/execute", {"command_name": "nobody", "args": 5}, error(ARGS_FAULT[2]), 400),
            post("/execute", {"command_name": "nobody", "timeout": 0}, TIMEOUT, 400),
            *order(
                "/workflow/start",
                ("name", 5, "name must be a string"),
                ARGS_FAULT,
                ("env", 5, "env must be an object of strings"),
            ),
            post("/workflow/start", {"name": "nobody", "args": 5}, error(ARGS_FAULT[2]), 400),
            post("/workflow/stop", {"id": 5, "name": 5}, error("id must be a string"), 400),
            post("/workflow/stop", {"id": "x", "name": 5}, error("workflow not found"), 404),
            *order("/processes", *PROCESS_FAULTS),
            *order("/processes/run", *PROCESS_FAULTS),
        ],
    ),
]
