"""Plays cases on servers: the same ones in the same order, on all of them at once."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager

from compat.diff import Answer
from compat.prove import guarded
from compat.prove.cases import Case, Request
from compat.prove.seeds import Garden
from compat.prove.servers import Server
from compat.prove.shadow import drain, is_shadow
from compat.prove.wire import Client

SETTLED_WITHIN = 10.0
"""Seconds until what still runs is ended."""
IMPATIENT = 0.3
"""The same for a case that has lost steps, which may have been those that end what it starts."""
STUCK_AFTER = 10.0
"""Seconds a run may live on once all its processes have been killed: then it is stuck."""
LOOK = 0.002
"""Seconds between two looks at whether a run is over."""
Answers = list[list[Answer]]
"""For each case, for each step."""


class Player:
    """One server, asked over one connection."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self._client = Client(server.address)
        self._garden = Garden(server.home)
        self._patience = SETTLED_WITHIN
        self._last: Case | None = None
        self.killed = 0
        """Groups that had to be ended because a case has left them."""
        self._stuck: list[Case] = []

    def close(self) -> None:
        self._client.close()
        self._garden.close()

    def play(
        self, cases: Sequence[Case], *, spares: bool, patience: float = SETTLED_WITHIN
    ) -> Answers:
        """Begin with what is planted, and play the cases in turn."""
        self._patience = min(self._patience, patience)
        self.settled()
        self._patience = patience
        self._garden.plant(spares=spares)
        answers = [self._play(case) for case in cases]
        if is_shadow(self.server):
            drain(self.server)
        return answers

    def settled(self) -> list[Case]:
        """Wait for what the last case has left; returns the cases with runs that are stuck.

        Such a run is not over though nothing of it runs: its server has lost it.
        """
        if self._last is not None:
            self._settle(self._last)
        return self._stuck

    def _play(self, case: Case) -> list[Answer]:
        self._last = case
        answers = []
        for step in case.steps:
            answers.append(self._ask(step))
            if step.settle:
                self._settle(case)
        return answers

    def _ask(self, step: Request) -> Answer:
        """The answer; where the guard refuses a step, as it should, that to the step mended."""
        answer = self._client.ask(step)
        rule = guarded.broken(step) if self.server.is_guarded else None
        if rule is None or not guarded.is_refusal(step, answer, rule):
            return answer
        mended = guarded.mended(step)
        found = answer if mended is None else self._client.ask(mended)
        return guarded.Refused(found.status, found.headers, found.body, rule, mended is not None)

    def _settle(self, case: Case) -> None:
        """Wait until nothing runs; what will not end is killed, and given up if that does not help.

        `case` is the latest one played: runs that are stuck are put down to it.
        """
        if self._over_within(self._patience):
            return
        for pid in self._garden.live_pids():
            self.killed += 1
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(pid, signal.SIGKILL)
        if not self._over_within(IMPATIENT if self._stuck else STUCK_AFTER):
            self._stuck.append(case)
            self._garden.give_up(self._garden.live())

    def _over_within(self, seconds: float) -> bool:
        deadline = time.monotonic() + seconds
        while self._garden.live():
            if time.monotonic() > deadline:
                return False
            time.sleep(LOOK)
        return True


class Company:
    """The control and its candidates, each played by a thread of its own."""

    def __init__(self, servers: Sequence[Server]) -> None:
        self.players = [Player(server) for server in servers]
        self._threads = ThreadPoolExecutor(len(servers), thread_name_prefix="prove")

    @property
    def candidates(self) -> list[Player]:
        return self.players[1:]

    def begin(self, cases: Sequence[Case], *, spares: bool) -> Callable[[], list[Answers]]:
        """Begin to play on all servers; call what is returned for their answers."""
        playing = [self._threads.submit(p.play, cases, spares=spares) for p in self.players]
        return lambda: [_result(answers) for answers in playing]

    def ask(self, case: Case, candidate: int, *, spares: bool) -> tuple[list[Answer], list[Answer]]:
        """What the control and one candidate answer to a case played alone."""
        pair = (self.players[0], self.candidates[candidate])
        playing = [
            self._threads.submit(p.play, [case], spares=spares, patience=IMPATIENT) for p in pair
        ]
        control, its = (_result(answers)[0] for answers in playing)
        return control, its

    def close(self) -> None:
        self._threads.shutdown()
        for player in self.players:
            player.close()


@contextmanager
def company(servers: Sequence[Server]) -> Iterator[Company]:
    """Players for these servers, the control first."""
    found = Company(servers)
    try:
        yield found
    finally:
        found.close()


def _result(answers: Future[Answers]) -> Answers:
    return answers.result()
