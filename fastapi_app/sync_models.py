"""What a synchronisation of scripts talks about. Frozen, but for what is being collected."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum


class Kind(StrEnum):
    """What became of a script, in git's letters."""

    ADDED = "A"
    MODIFIED = "M"
    DELETED = "D"


class Side(StrEnum):
    """Where scripts are."""

    FOLDER = "folder"
    STORE = "store"


@dataclass(frozen=True, slots=True)
class Difference:
    """A script that both sides have not alike: what each did since they last were.

    With both it is a conflict.
    """

    name: str
    folder: Kind | None
    store: Kind | None

    @property
    def conflict(self) -> bool:
        return self.folder is not None and self.store is not None


@dataclass(frozen=True, slots=True)
class Step:
    """One thing to do to the side that is written to."""

    name: str
    kind: Kind


@dataclass(frozen=True, slots=True, order=True)
class Note:
    """Something to be told of a file, or of a command that has none."""

    about: str
    detail: str


@dataclass(frozen=True, slots=True)
class Order:
    """What to synchronise: all, or only `names`. `take` are decided for the side that gives."""

    names: Sequence[str] = ()
    take: Sequence[str] = ()
    prune: bool = False
    dry_run: bool = False


EVERYTHING = Order()


@dataclass(frozen=True, slots=True)
class Progress:
    """How many of the scripts are done."""

    done: int
    total: int


@dataclass
class Outcome:
    """What was done, and what was not; `kept` are deletions that nobody asked for."""

    folder: str
    dry_run: bool = False
    unchanged: int = 0
    done: list[Step] = field(default_factory=list)
    kept: list[Step] = field(default_factory=list)
    conflicts: list[Difference] = field(default_factory=list)
    problems: list[Note] = field(default_factory=list)
    warnings: list[Note] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Status:
    """What differs; nothing is done."""

    folder: str
    unchanged: int
    differences: Sequence[Difference]
    problems: Sequence[Note]
    warnings: Sequence[Note]


@dataclass(frozen=True, slots=True)
class Checked:
    """How one entry of the lock stands to both sides: `same`, `differs` or `missing`."""

    name: str
    file: str
    folder: str
    store: str


@dataclass(frozen=True, slots=True)
class Verification:
    """Entries of the lock that are not right, scripts on both sides it lacks, and `problems`."""

    folder: str
    checked: int
    wrong: Sequence[Checked]
    unlocked: Sequence[str]
    problems: Sequence[Note]


@dataclass(frozen=True, slots=True)
class BothSides:
    """A script as both sides have it, `None` where they have none, and the unified diff."""

    name: str
    path: str
    folder: str | None
    store: str | None
    diff: str
