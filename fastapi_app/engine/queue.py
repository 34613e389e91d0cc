"""Which waiting run starts next: slots over all, slots of each group, priorities, first come."""

from __future__ import annotations

import heapq
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator

from fastapi_app.models import DEFAULT_GROUP, Group, Run


class Queue:
    """Runs that wait for a slot, and how many hold one. Does no I/O and knows no time."""

    def __init__(self, slots: int) -> None:
        self._slots = slots
        self._groups: dict[str, Group] = {DEFAULT_GROUP: Group(DEFAULT_GROUP)}
        self._heaps: defaultdict[str, list[tuple[int, int, str]]] = defaultdict(list)
        self._tickets: dict[str, tuple[str, int]] = {}
        self._next_ticket = 0
        self._running_in: Counter[str] = Counter()
        self._waiting_in: Counter[str] = Counter()
        self.running = 0

    @property
    def waiting(self) -> int:
        """How many wait for nothing but a slot."""
        return len(self._tickets)

    def __contains__(self, run_id: str) -> bool:
        return run_id in self._tickets

    def groups(self) -> list[Group]:
        """Every group there is, by name."""
        return sorted(self._groups.values(), key=lambda group: group.name)

    def group(self, name: str) -> Group | None:
        """The group of that name."""
        return self._groups.get(name)

    def set_groups(self, groups: Iterable[Group]) -> None:
        """Add groups, or change them; what runs already goes on."""
        self._groups.update((group.name, group) for group in groups)

    def drop_group(self, name: str) -> None:
        """Forget a group that nothing belongs to."""
        self._groups.pop(name, None)

    def counts(self, name: str) -> tuple[int, int]:
        """How many runs of a group hold a slot, and how many wait for one."""
        return self._running_in[name], self._waiting_in[name]

    def try_take(self, name: str) -> bool:
        """Take a slot at once, unless there is none or somebody waits for it already."""
        if self._waiting_in[name] or not self._is_open(name):
            return False
        self.occupy(name)
        return True

    def occupy(self, name: str) -> None:
        """Count a run that runs in any case."""
        self.running += 1
        self._running_in[name] += 1

    def release(self, name: str) -> None:
        """Give a slot back."""
        self.running -= 1
        self._running_in[name] -= 1

    def push(self, run: Run) -> None:
        """Let a run wait behind those of its priority and above."""
        self._next_ticket += 1
        ticket = self._next_ticket
        self._tickets[run.id] = (run.group, ticket)
        self._waiting_in[run.group] += 1
        heapq.heappush(self._heaps[run.group], (-run.options.priority, ticket, run.id))

    def discard(self, run_id: str) -> None:
        """Let a run wait no more."""
        if (found := self._tickets.pop(run_id, None)) is not None:
            self._waiting_in[found[0]] -= 1

    def take(self) -> Iterator[str]:
        """Hand out free slots: the ids of the runs that have one now."""
        while (name := self._next_group()) is not None:
            _, _, run_id = heapq.heappop(self._heaps[name])
            self.discard(run_id)
            self.occupy(name)
            yield run_id

    def _next_group(self) -> str | None:
        heads = [
            (head, name)
            for name in list(self._heaps)
            if self._is_open(name) and (head := self._head(name)) is not None
        ]
        return min(heads)[1] if heads else None

    def _head(self, name: str) -> tuple[int, int, str] | None:
        heap = self._heaps[name]
        while heap:
            # What was discarded, or pushed anew since, is still in the heap under its old ticket.
            if self._tickets.get(heap[0][2]) == (name, heap[0][1]):
                return heap[0]
            heapq.heappop(heap)
        del self._heaps[name]
        return None

    def _is_open(self, name: str) -> bool:
        group = self._groups.get(name)
        if group is not None and group.paused:
            return False
        slots = group.slots if group is not None else None
        return self.running < self._slots and (slots is None or self._running_in[name] < slots)
