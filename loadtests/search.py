"""How fast stored commands are found: `python -m loadtests.search`.

Ten thousand commands, made of words as unevenly used as those of a language (Zipf), are imported
into a server. Then one client asks over HTTP, again and again: for rare and for common words, for
the beginnings of words, for names spelled wrong, for similar commands, and for pages of the list.
"""

from __future__ import annotations

import argparse
import itertools
import random
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import psutil

from loadtests.api import Api
from loadtests.hammer import percentile
from loadtests.homes import new_home
from loadtests.servers import dual

COMMANDS = "/api/v1/commands"
AT_MOST = 20.0
"""Milliseconds that 95 % of the searches may take."""
BATCH = 1000
WORDS = 5000
MIB = 1024 * 1024
SYLLABLES = [
    *("ba", "ce", "di", "fo", "gu", "ha", "je", "ki", "lo", "mu", "na", "pe", "qui", "ro", "su"),
    *("ta", "ve", "wi", "xo", "ya", "ze"),
]
COMMON = [
    *("deploy", "backup", "report", "sync", "clean", "build", "start", "stop", "check", "update"),
    *("data", "user", "file", "run"),
]


@dataclass(frozen=True, slots=True)
class Row:
    """Seconds that each question of one kind took."""

    what: str
    times: list[float]

    def line(self) -> str:
        """Milliseconds, to print."""
        figures = (self.at(share) for share in (0.5, 0.95, 1.0))
        return f"{self.what:42} " + " ".join(f"{figure:8.2f}" for figure in figures)

    def at(self, share: float) -> float:
        """Milliseconds that this share of the questions took at most."""
        return percentile(sorted(self.times), share)


def vocabulary(luck: random.Random) -> list[str]:
    """Words, the commonest first."""
    made: dict[str, None] = dict.fromkeys(COMMON)
    while len(made) < WORDS:
        made["".join(luck.choices(SYLLABLES, k=luck.randint(2, 4)))] = None
    return list(made)


def commands(count: int, luck: random.Random) -> Iterator[dict[str, object]]:
    """So many commands of about a kilobyte."""
    words = vocabulary(luck)
    weights = list(itertools.accumulate(1 / rank for rank in range(1, len(words) + 1)))

    def some(least: int, most: int) -> list[str]:
        return luck.choices(words, cum_weights=weights, k=luck.randint(least, most))

    for number in range(count):
        lines = [" ".join(some(3, 9)) for _ in range(luck.randint(10, 40))]
        yield {
            "name": f"{'-'.join(some(2, 3))}-{number}",
            "description": " ".join(some(5, 20)),
            "code": "\n".join(["#!/bin/sh", *lines]) + "\n",
            "group": luck.choice(COMMON),
            "tags": sorted(set(some(0, 3))),
        }


def misspelled(name: str, luck: random.Random) -> str:
    """The same with two neighbours swapped, and a letter left out."""
    at = luck.randrange(1, len(name) - 2)
    swapped = name[:at] + name[at + 1] + name[at] + name[at + 2 :]
    gone = luck.randrange(len(swapped))
    return swapped[:gone] + swapped[gone + 1 :]


def fill(api: Api, items: Sequence[dict[str, object]]) -> float:
    """Import them; how many seconds it took."""
    began = time.perf_counter()
    for start in range(0, len(items), BATCH):
        body = {"items": items[start : start + BATCH]}
        api.call("POST", f"{COMMANDS}/import", body).json(200)
    return time.perf_counter() - began


def asked(what: str, times: int, ask: Callable[[], object]) -> Row:
    """Ask so many times, after a few that do not count."""
    for _ in range(5):
        ask()
    taken = []
    for _ in range(times):
        began = time.perf_counter()
        ask()
        taken.append(time.perf_counter() - began)
    return Row(what, taken)


def measure(api: Api, items: Sequence[dict[str, object]], times: int) -> Iterator[Row]:
    """Every kind of question."""
    luck = random.Random(2)
    names = [str(item["name"]) for item in items]
    descriptions = [str(item["description"]).split() for item in items]
    rare = sorted({word for words in descriptions for word in words} - set(COMMON))

    def search(query: str, mode: str = "text") -> object:
        return api.get(f"{COMMANDS}/search", q=query, mode=mode)

    yield asked(
        "full text, two words of a description",
        times,
        lambda: search(" ".join(luck.sample(luck.choice(descriptions), 2))),
    )
    yield asked("full text, a word that few have", times, lambda: search(luck.choice(rare)))
    yield asked("full text, a word that most have", times, lambda: search(luck.choice(COMMON)))
    yield asked(
        "full text, how a word begins (2 letters)", times, lambda: search(luck.choice(rare)[:2])
    )
    yield asked("full text, the name of a command", times, lambda: search(luck.choice(names)))
    yield asked(
        "fuzzy, a name spelled wrong",
        times,
        lambda: search(misspelled(luck.choice(names), luck), "fuzzy"),
    )
    yield asked(
        "fuzzy after a text that nothing has",
        times,
        lambda: search(misspelled(luck.choice(names), luck), "auto"),
    )
    yield asked("similar", times, lambda: api.get(f"{COMMANDS}/{luck.choice(names)}/similar"))
    yield asked("a page of the list, 50", times, lambda: api.get(f"{COMMANDS}/list"))


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the times; 1 when a search is too slow."""
    parser = argparse.ArgumentParser(
        prog="loadtests.search", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("--commands", type=int, default=10_000, help="how many (10000)")
    parser.add_argument("--times", type=int, default=300, help="each question is asked (300)")
    options = parser.parse_args(arguments)
    items = list(commands(options.commands, random.Random(1)))
    with dual("new").start(new_home("search")) as server, Api(server.urls["new API"]) as api:
        process = psutil.Process(server.process.pid)
        before = process.memory_info().rss
        print(f"{len(items)} commands imported in {fill(api, items):.1f} s")
        filled = process.memory_info().rss
        began = time.perf_counter()
        api.get(f"{COMMANDS}/{items[0]['name']}/similar")
        print(f"the first question for similar ones: {time.perf_counter() - began:.1f} s")
        print(f"{'milliseconds':42} {'p50':>8} {'p95':>8} {'max':>8}")
        rows = []
        for row in measure(api, items, options.times):
            print(row.line(), flush=True)
            rows.append(row)
        api.call("PUT", f"{COMMANDS}/{items[0]['name']}", {"code": "echo changed"}).json(200)
        began = time.perf_counter()
        api.get(f"{COMMANDS}/{items[1]['name']}/similar")
        print(f"similar, the first after a change: {(time.perf_counter() - began) * 1000:.0f} ms")
        after = process.memory_info().rss
        compares = sum(
            child.memory_info().rss
            for child in process.children()
            if any("similarity_child" in word for word in child.cmdline())
        )
        print(
            f"memory of the server: {before / MIB:.0f} MiB empty, {filled / MIB:.0f} filled,"
            f" {after / MIB:.0f} searched; of the process that compares: {compares / MIB:.0f} MiB"
        )
    slow = [row.what for row in rows[:-1] if row.at(0.95) > AT_MOST]
    print(f"too slow: {', '.join(slow)}" if slow else f"all searches: p95 at most {AT_MOST:g} ms")
    return 1 if slow else 0


if __name__ == "__main__":
    sys.exit(main())
