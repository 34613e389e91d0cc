"""How fast a folder of scripts is synchronised, held against a bare look at its files.

    python -m loadtests.sync --scripts 10000

The server does the work, asked as `mclictl sync push` and `pull` ask it.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

import httpx

from loadtests.homes import new_home
from loadtests.servers import dual

SCRIPTS, CHANGED, ROUNDS = 10_000, 100, 5
UNCHANGED_WITHIN, CHANGED_WITHIN = 1.0, 1.0
"""Seconds; the second on top of the first."""
CODE = "#!/bin/sh\n# @description: Script {0} of many\n" + "echo {0}\n" * 20


@dataclass(frozen=True)
class Figure:
    """Seconds, the median of some rounds."""

    what: str
    seconds: float
    scanned: float
    hashed: float

    def line(self) -> str:
        """The same for people, with its ratios."""
        return (
            f"{self.what:<31}{self.seconds:7.3f} s{self.seconds / self.scanned:7.1f} x scandir+stat"
            f" {self.seconds / self.hashed:6.1f} x sha256 of all"
        )


def plant(folder: Path, scripts: int) -> list[Path]:
    """So many scripts, in ten groups."""
    paths = []
    for number in range(scripts):
        path = folder / f"group{number % 10}" / f"script{number:05d}.sh"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(CODE.format(number), encoding="ascii")
        paths.append(path)
    return paths


def scanned(folder: Path) -> int:
    """Look at every file and its times, and no more."""
    count = 0
    for group in os.scandir(folder):
        if group.is_dir():
            for entry in os.scandir(group.path):
                count += entry.stat(follow_symlinks=False).st_size > 0
    return count


def hashed(paths: Sequence[Path]) -> str:
    """Read and hash every file."""
    whole = hashlib.sha256()
    for path in paths:
        whole.update(hashlib.sha256(path.read_bytes()).digest())
    return whole.hexdigest()


def took(work: Callable[[], object]) -> float:
    """Seconds it takes."""
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin


def asked(client: httpx.Client, verb: str, expected: int) -> None:
    """Synchronise, which must do something to so many scripts."""
    answer = client.post(f"/api/v1/sync/{verb}", json={})
    done = len(answer.raise_for_status().json()["done"])
    if done != expected:
        raise AssertionError(f"{verb}: {done} scripts instead of {expected}: {answer.text[:2000]}")


@contextmanager
def serving() -> Iterator[tuple[httpx.Client, Path]]:
    """A server, and the folder of its scripts."""
    home = new_home("sync")
    with dual("new").start(home) as server:
        token = (home / "token").read_text(encoding="ascii").strip()
        headers = {"Authorization": f"Bearer {token}"}
        with httpx.Client(
            base_url=server.urls["new API"], headers=headers, timeout=600, trust_env=False
        ) as client:
            yield client, home / "workflows"


def measured(scripts: int, changed: int, rounds: int) -> list[Figure]:
    """All figures."""
    with serving() as (client, folder):
        paths = plant(folder, scripts)
        first = took(lambda: asked(client, "push", scripts))
        time.sleep(2.1)  # files that are as young as the look at them are read again
        asked(client, "push", 0)
        bare = median(took(lambda: scanned(folder)) for _ in range(rounds))
        whole = median(took(lambda: hashed(paths)) for _ in range(rounds))

        def figure(what: str, values: Sequence[float]) -> Figure:
            return Figure(what, median(values), bare, whole)

        still = [took(lambda: asked(client, "push", 0)) for _ in range(rounds)]
        status = [took(lambda: client.get("/api/v1/sync/status")) for _ in range(rounds)]
        pushed, pulled = [], []
        for number in range(rounds):
            for path in paths[:changed]:
                path.write_text(f"echo round {number}\n", encoding="ascii")
            pushed.append(took(lambda: asked(client, "push", changed)))
            for path in paths[:changed]:
                body = {"code": f"echo back {number}\n"}
                client.put(f"/api/v1/commands/{path.stem}", json=body).raise_for_status()
            pulled.append(took(lambda: asked(client, "pull", changed)))
        return [
            figure(f"first push of {scripts}", [first]),
            figure(f"push, {scripts} unchanged", still),
            figure(f"status, {scripts} unchanged", status),
            figure(f"push, {changed} of {scripts} changed", pushed),
            figure(f"pull, {changed} of {scripts} changed", pulled),
        ]


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the figures; exit code 1 when they miss their targets."""
    parser = argparse.ArgumentParser(prog="loadtests.sync", description=__doc__)
    parser.add_argument("--scripts", type=int, default=SCRIPTS)
    parser.add_argument("--changed", type=int, default=CHANGED)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(arguments)
    figures = measured(options.scripts, options.changed, options.rounds)
    if options.json:
        report: list[dict[str, Any]] = [asdict(figure) for figure in figures]
        print(json.dumps(report))
    else:
        print(*[figure.line() for figure in figures], sep="\n")
    _, still, _, pushed, pulled = figures
    most = still.seconds + CHANGED_WITHIN
    met = still.seconds <= UNCHANGED_WITHIN and max(pushed.seconds, pulled.seconds) <= most
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
