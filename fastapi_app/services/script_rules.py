"""What a script in the folder has to be like, what it is called in the store, and the other way."""

from __future__ import annotations

import re
from typing import Any

from fastapi_app import languages
from fastapi_app.models import Language
from fastapi_app.schemas.commands import RESERVED
from fastapi_app.storage.script_folder import Verdict
from fastapi_app.storage.script_lock import LOCK

LONGEST_NAME = LONGEST_GROUP = LONGEST_TAG = 200
"""Characters, as in `schemas/commands`."""
LONGEST_DESCRIPTION, MOST_TAGS = 10_000, 100
LONGEST_FILE = 255
"""Bytes of a name that file systems take."""
HEADER_LINES = 100
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_HEADER = re.compile(r"\s*(?:#|//|--)\s*@(description|tags):")
_SHEBANG_CR = "its shebang ends with a carriage return, which Linux takes for a part of the name"


def place_of(path: str) -> tuple[str, str]:
    """The name and the group that a path in the folder stands for: folders are groups."""
    group, _, file = path.rpartition("/")
    stem, dot, _ = file.rpartition(".")
    return (stem if dot and languages.of_file(file, b"") else file), group


def judge(path: str, content: bytes, whole: bool) -> Verdict:
    """What a file is; by its head alone only which language it is in."""
    file = path.rpartition("/")[2]
    language = None if path == LOCK else languages.of_file(file, content)
    if language is None or not whole:
        return Verdict(language)
    problem = _wrong_place(path) or _wrong_content(language, content)
    cr = content.startswith(b"#!") and content.partition(b"\n")[0].endswith(b"\r")
    return Verdict(language, problem, _SHEBANG_CR if cr else "")


def file_of(name: str, group: str, language: Language) -> tuple[str, str]:
    """The path a command's script has in the folder, and why it cannot have one, if so."""
    path = f"{group}/{name}" if group else name
    path += languages.suffix(language)
    return path, _wrong_place(path)


def described(language: str, code: str) -> dict[str, Any]:
    """What the comment at the top says: `# @description: …` and `# @tags: one, two`.

    Raises:
        ValueError: says what is wrong with them.
    """
    found: dict[str, Any] = {}
    if language == Language.NOTEBOOK or "@" not in code:
        return found
    for line in code.split("\n", HEADER_LINES)[:HEADER_LINES]:
        if match := _HEADER.match(line):
            found.setdefault(match[1], line[match.end() :].strip())
    if len(found.get("description", "")) > LONGEST_DESCRIPTION:
        raise ValueError(f"its description is longer than {LONGEST_DESCRIPTION} characters")
    if "tags" in found:
        tags = [tag.strip() for tag in found["tags"].split(",")]
        found["tags"] = tuple(dict.fromkeys(tag for tag in tags if tag))
        if len(found["tags"]) > MOST_TAGS:
            raise ValueError(f"it has more than {MOST_TAGS} tags")
        if any(len(tag) > LONGEST_TAG for tag in found["tags"]):
            raise ValueError(f"a tag of it is longer than {LONGEST_TAG} characters")
    return found


def _wrong_place(path: str) -> str:
    try:
        path.encode()
    except UnicodeEncodeError:
        return "its name is not UTF-8"
    name, group = place_of(path)
    parts = path.split("/")
    wrong = {
        f"no command may be called {name!r}: a route has this name": name in RESERVED,
        "neither a name nor a group may begin with a dot, or be empty": any(
            not part or part[0] == "." for part in parts
        ),
        f"a name has at most {LONGEST_NAME} characters": len(name) > LONGEST_NAME,
        f"a group has at most {LONGEST_GROUP} characters": len(group) > LONGEST_GROUP,
        "a name must not have control characters in it": bool(_CONTROL.search(path)),
        f"a file name has at most {LONGEST_FILE} bytes": any(
            len(part.encode()) > LONGEST_FILE for part in parts
        ),
    }
    return next((said for said, so in wrong.items() if so), "")


def _wrong_content(language: str, content: bytes) -> str:
    if not content:
        return "it is empty"
    if b"\0" in content:
        return "it has a NUL in it"
    try:
        text = content.decode()
    except UnicodeDecodeError as error:
        return f"it is not UTF-8: byte {error.start}"
    return languages.trouble_with_notebook(text) if language == Language.NOTEBOOK else ""
