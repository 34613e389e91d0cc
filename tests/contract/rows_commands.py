"""`GET /commands` and `GET /commands/<id>`."""

from __future__ import annotations

import json

from tests.contract.seeds import SEEDS, Seed
from tests.contract.steps import VOLATILE, Scenario, error, get, post, ran

QUICK_WAS_RUN = {"quick": 1}  # by the scenario that counts executions
BY_NAME = {seed.name: seed for seed in SEEDS}


def shown(seed: Seed, count: int = 0) -> dict[str, object]:
    """A stored command as lists show it."""
    return {
        "id": seed.id,
        "name": seed.name,
        "description": seed.description,
        "language": seed.language,
        "group": seed.group or None,
        "tags": json.loads(seed.tags),
        "created_at": VOLATILE,
        "updated_at": VOLATILE,
        "execution_count": count,
        "last_executed": VOLATILE if count else None,
        "is_active": seed.active,
    }


def listed(*, inactive_too: bool) -> dict[str, object]:
    """The answer of `GET /commands`."""
    rows = [
        shown(seed, QUICK_WAS_RUN.get(seed.name, 0))
        for seed in sorted(SEEDS, key=lambda seed: seed.name)
        if seed.active or inactive_too
    ]
    return {"commands": rows, "total": len(rows)}


def one(name: str, count: int = 0) -> dict[str, object]:
    """The answer of `GET /commands/<id>`."""
    return shown(BY_NAME[name], count) | {"code": BY_NAME[name].code}


UNKNOWN = error("Command not found")
FRESH = [
    Scenario(
        "list of commands",
        [
            get("/commands", listed(inactive_too=False)),
            get("/commands?all=true", listed(inactive_too=True)),
            get("/commands?all=TRUE", listed(inactive_too=True)),
            get("/commands?all=1", listed(inactive_too=False)),
            get("/commands?all=", listed(inactive_too=False)),
            get("/commands?all=false&all=true", listed(inactive_too=False)),
            get("/commands?ALL=true", listed(inactive_too=False)),
        ],
    ),
    Scenario(
        "one command",
        [
            get(f"/commands/{BY_NAME['alpha'].id}", one("alpha")),
            get(f"/commands/{BY_NAME['hidden'].id}", one("hidden")),
            get(f"/commands/{BY_NAME['éclair'].id}", one("éclair")),
            get(f"/commands/{BY_NAME['alpha'].id.upper()}X", UNKNOWN, 404),
            get("/commands/alpha", UNKNOWN, 404),
            get("/commands/nobody", UNKNOWN, 404),
            get("/commands/%00", UNKNOWN, 404),
            get("/commands/%FF%ED%A0%80", UNKNOWN, 404),
            get("/commands/" + "x" * 5000, UNKNOWN, 404),
        ],
    ),
    Scenario(
        "running a command counts as a use",
        [
            post("/execute", {"command_id": BY_NAME["alpha"].id}, ran("alpha\n")),
            get(f"/commands/{BY_NAME['alpha'].id}", one("alpha", 1)),
            post("/execute", {"command_name": "alpha"}, ran("alpha\n")),
            get(f"/commands/{BY_NAME['alpha'].id}", one("alpha", 2)),
            post("/execute", {"command_name": "hidden"}, UNKNOWN, 404),
            get(f"/commands/{BY_NAME['hidden'].id}", one("hidden")),
            post("/workflow/start", {"name": "failing"}, status=200),
            get(f"/commands/{BY_NAME['failing'].id}", one("failing", 1)),
        ],
    ),
]
