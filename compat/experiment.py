"""Shadowing: the old stack answers, the new one is tried behind its back, and both are compared.

The words are those of GitHub's Scientist: the control's answer is always the one returned, the
candidate's is only recorded. A candidate runs when the answer has gone out, in bounded slots; what
finds no room is dropped and counted, and whatever it raises, or how long it takes, no client sees.

A read is executed on both stacks. When they differ, the control is asked again (A/A): a field that
differs from itself is nobody's fault. How often fields do is learned besides, from a few calls.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from starlette.types import ASGIApp, Scope

from compat.call import Recorded
from compat.contract import MATCH, RECORDED
from compat.diff import Answer, Difference, differences, values_differ
from compat.exchange import Answering, Kept, nobody, replaying
from compat.measures import Measures, Tally
from compat.mismatches import Mismatches, redacted
from compat.stages import Stack
from compat.table import Row

log = logging.getLogger(__name__)

BEAT = 0.05
"""Seconds between two turns of the shadow: most answers go out without meeting one."""
TURN = 0.004
"""Seconds such a turn may take."""
LEARNING = 100
"""Comparisons in which noise is looked for often."""
AGAIN_AT_FIRST, AGAIN_LATER = 10, 50
"""One in so many reads is compared with itself, to learn what differs by nature."""
TOLERANCE = 3
"""A field may differ so many times as often from the candidate as from itself."""
EFFECT = "effect:"


@dataclass(frozen=True, slots=True)
class Trial:
    """A call that the old stack has answered, to be tried on the new one.

    `marks` are what the old stack noted of what it did.
    """

    row: Row
    scope: Scope
    body: bytes
    control: Answer
    marks: Mapping[str, str]


class Experiment:
    """Tries calls on `candidate` and compares, at most `slots` at once and `queue` waiting.

    `timeout` is seconds until a candidate counts as hung.
    """

    def __init__(
        self,
        *,
        control: ASGIApp,
        candidate: ASGIApp,
        measures: Measures,
        mismatches: Mismatches,
        slots: int,
        queue: int,
        timeout: float,
    ) -> None:
        self._control = control
        self._candidate = candidate
        self._measures = measures
        self._mismatches = mismatches
        self._slots = asyncio.Semaphore(slots)
        self._most = queue
        self._timeout = timeout
        self._waiting: deque[Trial] = deque()
        self._offered = asyncio.Event()
        self._running: set[asyncio.Task[None]] = set()

    def offer(self, trial: Trial) -> None:
        """Try it later, if there is room."""
        if len(self._waiting) >= self._most:
            self.tally(trial.row).counts["dropped"] += 1
            return
        self._waiting.append(trial)
        self._offered.set()

    def skip(self, row: Row) -> None:
        """Count a call that cannot be compared: too large."""
        self.tally(row).counts["skipped"] += 1

    def tally(self, row: Row) -> Tally:
        return self._measures.tally(row.name, Stack.SHADOW)

    @property
    def pending(self) -> int:
        """How many calls are still to be compared."""
        return len(self._waiting) + len(self._running)

    async def run(self) -> None:
        """Go on until cancelled; what runs then is cancelled too."""
        loop = asyncio.get_running_loop()
        try:
            while True:
                await self._offered.wait()
                await asyncio.sleep(BEAT)
                ends = loop.time() + TURN
                while self._waiting and loop.time() < ends:
                    await self._slots.acquire()
                    trial = asyncio.create_task(self._try(self._waiting.popleft()))
                    self._running.add(trial)
                    trial.add_done_callback(self._done)
                    await asyncio.wait({trial}, timeout=max(0.001, ends - loop.time()))
                if not self._waiting:
                    self._offered.clear()
        finally:
            for trial in self._running:
                trial.cancel()
            await asyncio.gather(*self._running, return_exceptions=True)

    def _done(self, trial: asyncio.Task[None]) -> None:
        self._slots.release()
        self._running.discard(trial)
        if not trial.cancelled() and (error := trial.exception()) is not None:
            log.error("a shadowed call could not be compared", exc_info=error)

    async def _try(self, trial: Trial) -> None:
        tally = self.tally(trial.row)
        recorded = Recorded(trial.control, trial.marks) if trial.row.rehearsal else None
        begun = time.perf_counter()
        candidate: Answer | None = None
        found: Sequence[Difference]
        try:
            try:
                candidate = await self._ask(self._candidate, trial, recorded)
            finally:
                seconds = time.perf_counter() - begun
        except TimeoutError:
            found = [_failure("timeout", f"no answer within {self._timeout:g} s")]
        except Exception as error:  # a candidate's error is only recorded
            found = [_failure("exception", f"{type(error).__name__}: {error}")]
        else:
            if candidate is None or (recorded is not None and recorded.lost):
                tally.counts["skipped"] += 1
                return
            found = await self._compare(trial, candidate, recorded, tally)
        failed = candidate is None or candidate.status >= 500
        tally.note(seconds, failed=failed)
        tally.counts["compared"] += 1
        if found:
            tally.counts["mismatched"] += 1
            self._mismatches.note(trial.row.name, found, _sample(trial, candidate))

    async def _compare(
        self, trial: Trial, candidate: Answer, recorded: Recorded | None, tally: Tally
    ) -> Sequence[Difference]:
        """What the candidate is to blame for."""
        found = differences(trial.control, candidate, trial.row.volatile)
        if recorded is not None:
            # What has had its effect cannot be asked again.
            return [*found, *_effect(recorded)]
        compared = tally.counts["compared"]
        if not found and compared % (AGAIN_AT_FIRST if compared < LEARNING else AGAIN_LATER):
            return []
        again = await self._ask(self._control, trial)
        if again is None:
            return found
        itself = _groups(differences(trial.control, again, trial.row.volatile))
        tally.counts["self_runs"] += 1
        tally.counts.update(f"self:{pointer}" for pointer in itself)
        tally.counts.update(f"raw:{pointer}" for pointer in _groups(found))
        if not found:
            return []
        # Both once more, close together: what passes by is gone, a fault is still there.
        second = await self._ask(self._candidate, trial)
        if second is None:
            return found
        still = _groups(differences(again, second, trial.row.volatile))
        return [
            one
            for one in found
            if one.group in still and one.group not in itself and not _is_noise(one.group, tally)
        ]

    async def _ask(
        self, app: ASGIApp, trial: Trial, recorded: Recorded | None = None
    ) -> Answer | None:
        scope = {**trial.scope, MATCH: trial.scope[MATCH]}
        if recorded is not None:
            scope[RECORDED] = recorded
        kept = Kept()
        answering = Answering(nobody, [], kept)
        async with asyncio.timeout(self._timeout):
            await app(scope, replaying(trial.body), answering)
        answer = answering.answer
        # The server cuts it off; some applications do not write it in the first place.
        return replace(answer, body=b"") if answer and scope["method"] == "HEAD" else answer


def _is_noise(pointer: str, tally: Tally) -> bool:
    """Whether the field differs from itself about as often as from the candidate."""
    counts = tally.counts
    itself, runs = counts[f"self:{pointer}"], counts["self_runs"]
    raw, compared = counts[f"raw:{pointer}"], max(1, counts["compared"])
    return itself > 0 and raw / compared <= TOLERANCE * itself / runs


def _groups(found: Sequence[Difference]) -> set[str]:
    return {difference.group for difference in found}


def _effect(recorded: Recorded) -> list[Difference]:
    """Where what the old stack did is not what the new one would have done."""
    if recorded.planned is None:
        return []
    found = values_differ(recorded.did, recorded.planned)
    return [replace(one, pointer=EFFECT + one.pointer) for one in found]


def _failure(kind: str, why: str) -> Difference:
    return Difference("", kind, "", why[:200])


def _sample(trial: Trial, candidate: Answer | None) -> dict[str, Any]:
    """Both sides, as an operator may see them."""
    scope = trial.scope
    query = scope["query_string"].decode("latin-1")
    return {
        "request": {
            "method": scope["method"],
            "target": scope["path"][:500] + (f"?{query[:500]}" if query else ""),
            "body": redacted(trial.body),
        },
        "control": _shown(trial.control),
        "candidate": None if candidate is None else _shown(candidate),
    }


def _shown(answer: Answer) -> dict[str, Any]:
    return {"status": answer.status, "body": redacted(answer.body)}
