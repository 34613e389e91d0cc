"""`workflows.lock.json`: what folder and store had in common when they were last synchronised."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from fastapi_app.errors import LockTooNewError

LOCK = "workflows.lock.json"
BROKEN = f"{LOCK}.broken"
"""Where one is kept that cannot be read."""
VERSION = 1
_HASH = re.compile(r"[0-9a-f]{64}")


class Locked(NamedTuple):
    """A script as it was: its path in the folder, its language and the SHA-256 of its bytes."""

    file: str
    language: str
    sha256: str


@dataclass(frozen=True, slots=True)
class Lock:
    """The scripts by their names. `problems` say what of the file could not be read."""

    scripts: Mapping[str, Locked] = field(default_factory=dict)
    problems: tuple[str, ...] = ()


def read_lock(content: bytes | None) -> Lock:
    """Read the file; what is wrong in it is told and left out, and nothing is without one.

    Raises:
        LockTooNewError: a later version has written it.
    """
    if content is None:
        return Lock()
    try:
        values = json.loads(content)
    except (ValueError, RecursionError) as error:
        return Lock(problems=(f"it is not JSON: {error}",))
    if not isinstance(values, dict) or not isinstance(values.get("scripts"), dict):
        return Lock(problems=("it has no table 'scripts'",))
    version = values.get("version")
    if type(version) is int and version > VERSION:
        raise LockTooNewError(LOCK)
    scripts, problems = {}, []
    for name, entry in values["scripts"].items():
        if (locked := _entry(entry)) is None:
            problems.append(f"the entry of {name!r} is not right")
        else:
            scripts[name] = locked
    return Lock(scripts, tuple(problems))


def write_lock(scripts: Mapping[str, Locked]) -> bytes:
    """The file: sorted, a line for each script and no times, so that git merges it line by line."""
    lines = ",\n".join(
        f"    {_text(name)}: {_text(scripts[name]._asdict())}" for name in sorted(scripts)
    )
    inner = f"\n{lines}\n  " if lines else ""
    return f'{{\n  "version": {VERSION},\n  "scripts": {{{inner}}}\n}}\n'.encode()


def _entry(entry: object) -> Locked | None:
    match entry:
        case {"file": str(file), "language": str(language), "sha256": str(sha256)}:
            parts = file.split("/")
            if _HASH.fullmatch(sha256) and all(part and part[0] != "." for part in parts):
                return Locked(file, language, sha256)
    return None


def _text(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)
