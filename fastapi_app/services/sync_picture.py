"""Folder, store and lock at one moment, put so that they can be held against each other."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

from fastapi_app.models import Language
from fastapi_app.services.script_rules import file_of, place_of
from fastapi_app.services.sync_plan import Comparison, State, alike, compare
from fastapi_app.storage.commands import Digest
from fastapi_app.storage.script_folder import Look
from fastapi_app.storage.script_lock import LOCK, Lock, Locked
from fastapi_app.sync_models import Note

LOCK_HINT = "what is alike on both sides is put into it anew by the next push or pull"


@dataclass(frozen=True)
class Picture:
    """Both sides and what they had in common, by names. `paths` are those of the folder.

    What is `held` is left alone on both sides, because of one of the `problems`.
    """

    folder: dict[str, State]
    store: dict[str, State]
    base: dict[str, State]
    paths: dict[str, str]
    lock: Lock
    held: set[str] = field(default_factory=set)
    problems: list[Note] = field(default_factory=list)
    warnings: list[Note] = field(default_factory=list)

    @cached_property
    def compared(self) -> Comparison:
        """What both sides have not alike."""
        return compare(self.folder, self.store, self.base, self.held)

    def locked(self, name: str) -> Locked:
        """What the lock is to say of a script of the folder."""
        state = self.folder[name]
        return Locked(self.paths[name], state.language, state.sha256)


def picture(look: Look, stored: Sequence[Digest], lock: Lock) -> Picture:
    """Put together what was found."""
    by_name: defaultdict[str, list[str]] = defaultdict(list)
    for path in look.scripts:
        by_name[place_of(path)[0]].append(path)
    found = Picture(
        folder={},
        store={d.name: State(d.group, d.language, d.sha256) for d in stored},
        base={
            name: State(entry.file.rpartition("/")[0], entry.language, entry.sha256)
            for name, entry in lock.scripts.items()
        },
        paths={},
        lock=lock,
    )
    for name, paths in by_name.items():
        paths.sort()
        seen = look.scripts[paths[0]]
        found.folder[name] = State(place_of(paths[0])[1], seen.language or "", seen.sha256)
        found.paths[name] = paths[0]
        if seen.warning:
            found.warnings.append(Note(paths[0], seen.warning))
        if len(paths) > 1:
            _hold(found, name, f"{', '.join(paths)}: a name can be there once")
    found.problems.extend(Note(LOCK, f"{problem}; {LOCK_HINT}") for problem in lock.problems)
    _hold_troubles(found, look)
    _hold_unplaced(found)
    for names in alike({*found.folder, *found.store}):
        for name in names:
            found.held.add(name)
        found.problems.append(Note(names[0], f"{', '.join(names)} differ in case alone"))
    found.problems.sort()
    found.warnings.sort()
    found.compared  # noqa: B018 - made here, in a thread
    return found


def _hold(found: Picture, name: str, detail: str) -> None:
    found.held.add(name)
    found.problems.append(Note(found.paths.get(name, name), detail))


def _hold_troubles(found: Picture, look: Look) -> None:
    """What cannot be looked at has not been deleted: nobody knows."""
    for path, detail in look.troubles:
        found.problems.append(Note(_shown(path) or ".", detail))
        found.held.add(place_of(path)[0])
        folder = f"{path.rstrip('/')}/" if path else ""
        found.held.update(
            name
            for name, entry in found.lock.scripts.items()
            if entry.file == path or entry.file.startswith(folder)
        )


def _hold_unplaced(found: Picture) -> None:
    """Commands that no file can stand for."""
    for name, state in found.store.items():
        if found.folder.get(name) == state or name in found.held:
            continue
        _, problem = file_of(name, state.group, Language(state.language))
        if problem:
            _hold(found, name, problem)


def _shown(path: str) -> str:
    """A path that can be printed, whatever bytes are in its name."""
    return path.encode("utf-8", "backslashreplace").decode()
