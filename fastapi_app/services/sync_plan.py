"""What has to be done so that folder and store agree: a comparison of three, and nothing else."""

from __future__ import annotations

import unicodedata
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from fastapi_app.sync_models import Difference, Kind, Side, Step


class State(NamedTuple):
    """A script on one side, as far as both sides can have it alike."""

    group: str
    language: str
    sha256: str


@dataclass(frozen=True, slots=True)
class Comparison:
    """`differences` by name. `agreed` are alike on both sides (or gone), but not in the lock."""

    differences: tuple[Difference, ...] = ()
    agreed: tuple[str, ...] = ()
    unchanged: int = 0


@dataclass
class Plan:
    """What to do; `kept` is deleted only when that is asked for, `conflicts` nobody decides."""

    steps: list[Step] = field(default_factory=list)
    kept: list[Step] = field(default_factory=list)
    conflicts: list[Difference] = field(default_factory=list)


def compare(
    folder: Mapping[str, State],
    store: Mapping[str, State],
    base: Mapping[str, State],
    held: Collection[str] = (),
) -> Comparison:
    """Hold both sides against each other, and against what they last had in common.

    What is `held` back is not looked at.
    """
    differences: list[Difference] = []
    agreed: list[str] = []
    unchanged = 0
    for name in sorted({*folder, *store, *base}):
        if name in held:
            continue
        here, there, before = folder.get(name), store.get(name), base.get(name)
        if here != there:
            differences.append(Difference(name, _done(before, here), _done(before, there)))
            continue
        if here != before:
            agreed.append(name)
        unchanged += here is not None
    return Comparison(tuple(differences), tuple(agreed), unchanged)


def plan(
    found: Comparison,
    source: Side,
    *,
    prune: bool = False,
    names: Collection[str] = (),
    take: Collection[str] = (),
) -> Plan:
    """What to do to the other side to make it as `source` is.

    Only what `source` has done is done over there, and deletions only with `prune`. What is named
    in `take` becomes as it is in `source`, whatever was done where. Given `names`, nothing else is.
    """
    made = Plan()
    for each in found.differences:
        if names and each.name not in names:
            continue
        mine, other = (
            (each.folder, each.store) if source is Side.FOLDER else (each.store, each.folder)
        )
        if each.name in take:
            made.steps.append(Step(each.name, _over(mine, other)))
        elif each.conflict:
            made.conflicts.append(each)
        elif mine is Kind.DELETED and not prune:
            made.kept.append(Step(each.name, mine))
        elif mine is not None:
            made.steps.append(Step(each.name, mine))
    return made


def alike(names: Iterable[str]) -> list[tuple[str, ...]]:
    """Names that a file system could take for one: they differ in case or composition alone."""
    same: defaultdict[str, set[str]] = defaultdict(set)
    for name in names:
        folded = name if name.isascii() else unicodedata.normalize("NFC", name)
        same[folded.casefold()].add(name)
    return [tuple(sorted(found)) for found in same.values() if len(found) > 1]


def _done(before: State | None, now: State | None) -> Kind | None:
    """What has been done to get from one to the other."""
    if before == now:
        return None
    if before is None:
        return Kind.ADDED
    return Kind.DELETED if now is None else Kind.MODIFIED


def _over(mine: Kind | None, other: Kind | None) -> Kind:
    """What it is for the other side to become as mine is."""
    if mine is Kind.DELETED:
        return Kind.DELETED
    # The other side has nothing when it deleted it, or when only mine ever had it.
    if other is Kind.DELETED or (mine is Kind.ADDED and other is None):
        return Kind.ADDED
    # Only the other side has ever had it: mine has none to give.
    return Kind.DELETED if mine is None and other is Kind.ADDED else Kind.MODIFIED
