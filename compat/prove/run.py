"""`mclictl prove`: starts the servers, plays cases on all of them, and reports what differs."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby, islice
from pathlib import Path

from compat.errors import UnknownRouteError
from compat.prove import cases as corpus
from compat.prove import servers
from compat.prove.cases import Case
from compat.prove.generator import case as generated
from compat.prove.judge import Judge
from compat.prove.players import Answers, Company, company
from compat.prove.report import Finding, Part, Report, signature
from compat.prove.servers import STAGES, Under, started
from compat.prove.shadow import shadow_counts, shadow_findings
from compat.prove.shrink import shrunk
from compat.routes import route_table
from compat.table import Row

BATCH = 100
"""Cases between two plantings."""
SHOWN = 5
"""Differences of a route in a stage that are shrunk; more of them are counted."""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far it is: cases that were played of those there are, and what was found until now."""

    route: str
    played: int
    total: int
    unexplained: int


@dataclass(frozen=True)
class Options:
    """What to prove.

    `routes` are names of rows (empty: all), each with `requests` generated cases; with a `corpus`
    its cases are played instead. `shim` is the command that starts the shim, without ports and
    home. At most `attempts` smaller cases are tried for each difference.
    """

    routes: Sequence[str] = ()
    requests: int = 10_000
    seed: int = 0
    corpus: Sequence[Path] = ()
    stages: Sequence[Under] = STAGES
    shim: Sequence[str] = servers.SHIM
    attempts: int = 300
    progress: Callable[[Progress], None] = lambda _: None


def prove(options: Options) -> Report:
    """Play the cases on the old daemon and on the shim in each stage, and compare.

    Raises:
        UnknownRouteError: there is no such row.
        CorpusError, OSError: a corpus cannot be read.
        StartError: a server does not start.
    """
    began = time.monotonic()
    series = _series(options)
    with (
        started(options.stages, options.shim) as running,
        company(running) as players,
    ):
        proof = _Proof(options, players, total=sum(size for _, size, _ in series))
        for route, _, cases in series:
            proof.play(route, cases)
        for player in players.players:
            for case in player.settled():
                proof.part(case.route, player.server.name).lose(case)
        parts = proof.parts
        for player in players.candidates:
            for finding in shadow_findings(player.server):
                proof.part(finding.route, player.server.name).findings.append(finding)
        shadow = {route: n for p in players.candidates for route, n in shadow_counts(p.server)}
    return Report(options.seed, time.monotonic() - began, parts, shadow)


Series = tuple[str, int, Iterator[Case]]
"""A route, how many cases it has, and the cases."""


def _series(options: Options) -> list[Series]:
    rows = route_table().rows
    for name in options.routes:
        if name not in rows:
            raise UnknownRouteError(name, rows)
    names = options.routes or list(rows)
    if options.corpus:
        found = [case for path in options.corpus for case in corpus.read(path)]
        chosen = [case for case in found if not options.routes or case.route in names]
        grouped = groupby(sorted(chosen, key=lambda case: case.route), lambda case: case.route)
        lists = [(route, list(cases)) for route, cases in grouped]
        return [(route, len(cases), iter(cases)) for route, cases in lists]
    return [(name, options.requests, _made(rows[name], options)) for name in names]


def _made(row: Row, options: Options) -> Iterator[Case]:
    return (generated(row, options.seed, number) for number in range(options.requests))


class _Proof:
    """Plays, judges and shrinks."""

    def __init__(self, options: Options, players: Company, total: int) -> None:
        self._options = options
        self._players = players
        self._judge = Judge(route_table(), players.players[0].server)
        self._total = total
        self._played = 0
        self.parts: list[Part] = []

    def play(self, route: str, cases: Iterator[Case]) -> None:
        """All cases of a route: while one batch is played the next is made and the last judged."""
        spares = route.startswith("DELETE")
        last: tuple[list[Case], list[Answers]] | None = None
        batch = list(islice(cases, BATCH))
        while batch:
            finish = self._players.begin(batch, spares=spares)
            following = list(islice(cases, BATCH))
            if last is not None:
                self._judged(route, *last)
            last = batch, finish()
            self._tell(route, len(batch))
            batch = following
        if last is not None:
            self._judged(route, *last)
        for part in self.parts:
            if part.route == route:
                self._shrink(part, spares=spares)
        self._tell(route, 0)

    def part(self, route: str, stage: str) -> Part:
        """The one of this route in this stage."""
        for part in self.parts:
            if (part.route, part.stage) == (route, stage):
                return part
        self.parts.append(Part(route, stage))
        return self.parts[-1]

    def _judged(self, route: str, batch: Sequence[Case], answers: Sequence[Answers]) -> None:
        control, *candidates = answers
        for player, its in zip(self._players.candidates, candidates, strict=True):
            part = self.part(route, player.server.name)
            for case, mine, theirs in zip(batch, control, its, strict=True):
                part.note(theirs)
                verdict = self._judge.judge(case, mine, theirs, player.server)
                part.explained += verdict.explained
                for _, difference in verdict.unexplained[:1]:
                    part.find(difference, case)

    def _shrink(self, part: Part, *, spares: bool) -> None:
        names = [player.server.name for player in self._players.candidates]
        candidate = names.index(part.stage)
        server = self._players.candidates[candidate].server
        for finding in part.findings[:SHOWN]:
            wanted = signature(finding.difference)

            def shows(case: Case, wanted: tuple[str, ...] = wanted) -> bool:
                mine, its = self._players.ask(case, candidate, spares=spares)
                found = self._judge.judge(case, mine, its, server).unexplained
                return wanted in {signature(difference) for _, difference in found}

            if finding.found is not None and shows(finding.found):
                finding.case = shrunk(finding.found, shows, self._options.attempts)
            else:
                finding.alone = False
                finding.case = finding.found

    def _tell(self, route: str, played: int) -> None:
        self._played += played
        unexplained = sum(part.unexplained for part in self.parts)
        self._options.progress(Progress(route, self._played, self._total, unexplained))


__all__ = ["Finding", "Options", "Progress", "Report", "prove"]
