"""Stored commands as files: a script each, and one file with what is no code."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import click

from fastapi_app import languages

if TYPE_CHECKING:
    from cli.client import Json

MANIFEST = "mcli-commands.json"
LONGEST_NAME = 200
"""Bytes of a file's name without its suffix; file systems take 255."""


@dataclass
class Read:
    """The scripts of a folder, and why others were left out."""

    items: list[Json] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)


def read_script(path: Path, given: Json) -> Json:
    """The script in a file as an item of an import; `given` fields win.

    Raises:
        click.ClickException: it is no text, empty, or in a language nobody knows.
    """
    content = path.read_bytes()
    language = given.get("language") or languages.of_file(path.name, content[:1000])
    if language is None:
        raise click.ClickException(f"What language is {path} in? Give --language.")
    return {"name": path.stem, "code": _text(path, content), "language": language} | given


def read_folder(path: Path, given: Json) -> Read:
    """The scripts that lie in a folder, as its manifest describes them, if there is one.

    Folders in it, hidden files, links and what is in no known language are left out.

    Raises:
        click.ClickException: a script is no text, the manifest is not right, or two scripts would
            have one name.
    """
    known, read = _manifest(path), Read()
    names: dict[str, str] = {}
    for file in sorted(path.iterdir()):
        if file.name == MANIFEST or (file.name.startswith(".") and file.name not in known):
            continue
        if why := _unfit(file, known, given):
            read.skipped.append(f"{file.name}: {why}")
            continue
        if file.name in known:
            item = {**known[file.name], **given, "code": _text(file, file.read_bytes())}
        else:
            item = read_script(file, given)
        other = names.setdefault(str(item.get("name")), file.name)
        if other != file.name:
            raise click.ClickException(
                f"{other} and {file.name} would both be named '{item['name']}': rename one of them."
            )
        read.items.append(item)
    gone = known.keys() - {file.name for file in path.iterdir()}
    read.skipped += [f"{n}: {MANIFEST} describes it, but it is not there" for n in sorted(gone)]
    return read


def _unfit(file: Path, known: Json, given: Json) -> str | None:
    if file.is_symlink():
        return "a link; its target may be anything"
    if not file.is_file():
        return "no file; scripts in folders below are not looked for"
    if file.name in known or given.get("language"):
        return None
    with file.open("rb") as opened:
        head = opened.read(1000)
    return None if languages.of_file(file.name, head) else "in no known language"


def _text(path: Path, content: bytes) -> str:
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as failure:
        raise click.ClickException(f"{path} is not UTF-8 text: {failure}.") from failure
    if not text:
        raise click.ClickException(f"{path} is empty.")
    return text


def _manifest(folder: Path) -> dict[str, Json]:
    """What is no code of each file, by its name."""
    path = folder / MANIFEST
    if not path.exists():
        return {}
    try:
        found = json.loads(path.read_bytes())
        files: dict[str, Json] = found["files"]
        right = all(isinstance(about, dict) and "name" in about for about in files.values())
    except (ValueError, LookupError, TypeError, AttributeError) as failure:
        raise click.ClickException(f"{path} is no manifest of an export: {failure!r}.") from failure
    if not right:
        raise click.ClickException(
            f"{path}: every file must be described by an object with a name."
        )
    return files


@dataclass(frozen=True)
class Folder:
    """Where exported commands are written."""

    path: Path

    def write(self, items: list[Json], *, force: bool) -> list[str]:
        """Write a file for each command, and the manifest; returns their names.

        Raises:
            click.ClickException: files that say something else are there, and not `force`.
        """
        contents: dict[str, bytes] = {}
        described: dict[str, Json] = {}
        taken: set[str] = set()
        for item in items:
            name = _file_name(item, taken)
            contents[name] = item["code"].encode("utf-8", "surrogatepass")
            described[name] = {key: value for key, value in item.items() if key != "code"}
        manifest = {"format": "mcli-commands", "version": 1, "files": described}
        contents[MANIFEST] = json.dumps(manifest, indent=2, ensure_ascii=False).encode() + b"\n"
        self.path.mkdir(parents=True, exist_ok=True)
        other = [name for name, content in contents.items() if self._differs(name, content)]
        if other and not force:
            raise click.ClickException(
                f"Nothing was written: {', '.join(other[:5])}{' …' if len(other) > 5 else ''} in"
                f" {self.path} would be overwritten. Add --force, or choose another folder."
            )
        for name in [*(n for n in contents if n != MANIFEST), MANIFEST]:
            self._put(name, contents[name])
        return list(contents)

    def _differs(self, name: str, content: bytes) -> bool:
        path = self.path / name
        return (path.exists() or path.is_symlink()) and (
            not path.is_file() or path.is_symlink() or path.read_bytes() != content
        )

    def _put(self, name: str, content: bytes) -> None:
        """Whole or not at all, whatever happens meanwhile."""
        handle, draft = tempfile.mkstemp(prefix=".mcli-", dir=self.path)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(content)
            Path(draft).chmod(0o755 if content.startswith(b"#!") else 0o644)
            Path(draft).replace(self.path / name)
        except BaseException:
            Path(draft).unlink(missing_ok=True)
            raise


def _file_name(item: Json, taken: set[str]) -> str:
    """One that no other has, whatever the file system makes of capitals."""
    stem, ending = str(item["name"]), languages.suffix(item["language"])
    if len(stem.encode()) > LONGEST_NAME:
        digest = hashlib.sha256(stem.encode()).hexdigest()[:8]
        stem = stem.encode()[: LONGEST_NAME - 9].decode("utf-8", "ignore") + "-" + digest
    name, number = stem + ending, 1
    while name.casefold() in taken or name == MANIFEST:
        number += 1
        name = f"{stem}-{number}{ending}"
    taken.add(name.casefold())
    return name
