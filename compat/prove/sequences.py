"""Cases of more than one request: what is started is stopped again, and looked at in between."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from random import Random

from compat.prove.cases import Framing, Request
from compat.prove.json_text import written
from compat.prove.seeds import COMMAND_IDS, PROCESS_IDS

Steps = list[Request]
Make = Callable[[Random], Request]
"""Makes a request for the row that is tried."""


def get(path: str) -> Request:
    """A GET and nothing more."""
    return Request(b"GET", path.encode(), ((b"Host", b"prove"),))


def post(path: str, fields: object = None, *, settle: bool = False) -> Request:
    """A POST of JSON; without `fields`, of nothing."""
    headers = ((b"Host", b"prove"), (b"Content-Type", b"application/json"))
    body = b"" if fields is None else written(fields)
    return Request(b"POST", path.encode(), headers, body, Framing.LENGTH, settle=settle)


def delete(path: str) -> Request:
    """A DELETE and nothing more."""
    return Request(b"DELETE", path.encode(), ((b"Host", b"prove"),))


def stopped(random: Random, make: Make) -> Steps:
    """What the row answers while the daemon is stopped."""
    return [post("/daemon/stop"), make(random), post("/daemon/start")]


def ends_started(random: Random, make: Make) -> Steps:
    """A row that may stop the daemon, and that undone."""
    return [make(random), post("/daemon/start")]


def _switch(path: str, fields: object) -> tuple[Request, Request]:
    return post(f"{path}/start", fields), post(f"{path}/stop", fields)


def _meanwhile(random: Random, make: Make) -> Steps:
    """A request of the row while something runs, unless it starts more, which would be a race."""
    request = make(random)
    return [] if request.settle else [request]


def _sleeping_workflow(random: Random, make: Make) -> Steps:
    start, stop = _switch("/workflow", {"name": "sleeper"})
    return [start, *_meanwhile(random, make), get("/status"), stop, stop]


def _two_workflows(random: Random, make: Make) -> Steps:
    start, stop = _switch("/workflow", {"name": "sleeper", "args": ["x"]})
    return [start, start, get("/status"), *_meanwhile(random, make), stop, stop, stop]


def _ended_workflow(random: Random, make: Make) -> Steps:
    name = random.choice(("quick", "failing", "bytes", "lua-args"))
    start = post("/workflow/start", {"name": name}, settle=True)
    return [start, post("/workflow/stop", {"name": name}), make(random)]


def _used_command(random: Random, make: Make) -> Steps:
    name = random.choice(("alpha", "failing", "lua-args", "\u00e9clair"))
    execute = post("/execute", {"command_name": name})
    return [execute, get(f"/commands/{COMMAND_IDS[name]}"), make(random)]


def _running_process(random: Random, make: Make) -> Steps:
    path = f"/processes/{PROCESS_IDS['sleeper']}"
    end = random.choice((post(f"{path}/stop"), post(f"{path}/kill"), delete(f"{path}?force=true")))
    looks = [get(path), get("/processes"), post(f"{path}/start"), delete(path)]
    looks += _meanwhile(random, make)
    middle = random.sample(looks, random.randrange(1, 5))
    return [post(f"{path}/start"), *middle, end, get(path), get(f"{path}/logs")]


def _ended_process(random: Random, make: Make) -> Steps:
    name = random.choice(("noisy", "absent", "with args", "quick", "made"))
    path = f"/processes/{PROCESS_IDS[name]}"
    start = post(f"{path}/start", settle=True)
    looks = [get(path), get(f"{path}/logs?lines=1"), get("/processes?all=true"), make(random)]
    return [start, *random.sample(looks, random.randrange(1, 5))]


def _auto_started(random: Random, make: Make) -> Steps:
    fields = {"command": random.choice(("true", "exit 5", "echo hi")), "auto_start": True}
    return [post("/processes", fields, settle=True), get("/processes?all=true"), make(random)]


_WORKFLOWS = (_sleeping_workflow, _two_workflows, _ended_workflow)
_PROCESSES = (_running_process, _ended_process)
_BY_ROUTE: Mapping[str, tuple[Callable[[Random, Make], Steps], ...]] = {
    "GET /status": _WORKFLOWS,
    "GET /health": (_used_command,),
    "POST /execute": (_used_command,),
    "GET /commands": (_used_command,),
    "GET /commands/<id>": (_used_command,),
    "POST /workflow/start": _WORKFLOWS,
    "POST /workflow/stop": _WORKFLOWS,
    "GET /processes": (*_PROCESSES, _auto_started),
    "POST /processes": (_auto_started,),
    "GET /processes/<id>": _PROCESSES,
    "DELETE /processes/<id>": _PROCESSES,
    "POST /processes/<id>/start": _PROCESSES,
    "POST /processes/<id>/stop": _PROCESSES,
    "POST /processes/<id>/kill": _PROCESSES,
    "GET /processes/<id>/logs": _PROCESSES,
}


def steps(random: Random, route: str, make: Make) -> Steps:
    """The requests of a case: mostly one."""
    number = random.random()
    if route == "POST /daemon/stop":
        return ends_started(random, make)
    if number < 0.03:
        return stopped(random, make)
    if number < 0.09 and route in _BY_ROUTE:
        return random.choice(_BY_ROUTE[route])(random, make)
    return [make(random)]
