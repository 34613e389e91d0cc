"""What all that stands before a route costs: `python -m loadtests.stack`.

Read routes of the new app with everything on (request id, counts, host, compression, limits of
bodies, identity, rates), asked with an API key, against the same handlers on a bare FastAPI. Two
servers, asked in turn, so that what the machine does besides is in both.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from collections.abc import Sequence
from urllib.parse import urlsplit

import uvloop

from loadtests.api import Api
from loadtests.bare import COMMANDS, STATUS
from loadtests.hammer import Plan, hammer, request_bytes
from loadtests.homes import new_home
from loadtests.owner import TOKEN
from loadtests.servers import Launch, dual

BARE = Launch("loadtests.bare --port {port} --home {home}", frozenset({"limit"}))
AT_LEAST = 0.75
"""Of the bare one's throughput."""
RATE = "1000000/second"
"""So that requests are counted and none is refused."""


def throughput(url: str, path: str, token: str, seconds: float) -> float:
    """Requests a second on ten connections; an answer other than 200 is an error.

    Raises:
        ValueError: there was one.
    """
    parts = urlsplit(url + path)
    plan = Plan(
        host=parts.hostname or "",
        port=parts.port or 80,
        request=request_bytes(parts, "GET", None).replace(TOKEN.encode(), token.encode()),
        connections=10,
        seconds=seconds,
        warmup=seconds / 4,
    )
    figures = uvloop.run(hammer(plan))
    if figures.errors:
        raise ValueError(f"{url}{path}: {figures.error_kinds}")
    return figures.throughput


def key_of(url: str) -> str:
    """An API key that may read: the owner's own token has no limit of rates."""
    with Api(url) as api:
        body = {"name": "stack", "scopes": ["commands:read", "daemon:read"]}
        return str(api.call("POST", "/api/v1/auth/keys", body).json(201)["key"])


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the ratios; 1 when one is too low."""
    parser = argparse.ArgumentParser(
        prog="loadtests.stack", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("--rounds", type=int, default=7, help="of each server (7)")
    parser.add_argument("--seconds", type=float, default=2.0, help="of each round (2)")
    options = parser.parse_args(arguments)
    whole = dual("new", MCLI_RATE_LIMIT=RATE).start(new_home("whole"))
    met = True
    with whole, BARE.start(new_home("bare")) as bare:
        token = key_of(whole.urls["new API"])
        for path in (COMMANDS, STATUS):
            ratios = []
            for _ in range(options.rounds):
                rates = [
                    throughput(url, path, token, options.seconds)
                    for url in (whole.urls["new API"], bare.urls["limit"])
                ]
                ratios.append(rates[0] / rates[1])
            ratio = statistics.median(ratios)
            met = met and ratio >= AT_LEAST
            spread = f"{min(ratios):.2f}..{max(ratios):.2f}"
            print(f"GET {path}: {ratio:.2f} of a bare FastAPI ({spread}; at least {AT_LEAST:g})")
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
