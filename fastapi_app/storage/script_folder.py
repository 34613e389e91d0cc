"""Scripts in a folder of the user's: looked at, read and written, never through a symbolic link."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import os
import secrets
import stat
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from fastapi_app.errors import FolderBusyError, FolderError
from fastapi_app.storage.script_index import Index, Seen, load_index, save_index

LARGEST = 1024 * 1024
"""Bytes of a script."""
HEAD = 256
"""Bytes that tell whether a file without a known suffix is a script."""
SETTLED = 2_000_000_000
"""Nanoseconds after which a file that changes has another time, on every file system."""
DEEPEST = 32
"""Folders in folders."""
IGNORED = frozenset({"__pycache__", "node_modules"})
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


class ScriptChangedError(Exception):
    """A file is not what it was when it was looked at; nothing was done to it."""

    def __init__(self, path: str, detail: str) -> None:
        super().__init__(f"{path}: {detail}")
        self.detail = detail


class Verdict(NamedTuple):
    """What a file is. Without a language it is no script; with a problem it is left alone."""

    language: str | None
    problem: str = ""
    warning: str = ""


class Trouble(NamedTuple):
    """Why something in the folder is left alone; a path that ends with a slash is a folder."""

    path: str
    detail: str


@dataclass
class Look:
    """What was found: scripts by their paths, and what could not be looked at."""

    scripts: dict[str, Seen] = field(default_factory=dict)
    troubles: list[Trouble] = field(default_factory=list)


class ScriptFolder:
    """The folder `root`. What is known of its files is kept in the file `index`, elsewhere.

    `judge` tells of a path and what the file begins with, or `None` when it is too large, what it
    is; it is asked with the head alone first.
    """

    def __init__(
        self, root: Path, index: Path, judge: Callable[[str, bytes, bool], Verdict]
    ) -> None:
        self.root = root
        self._index = index
        self._judge = judge

    def make(self) -> None:
        """Have the folder be there.

        Raises:
            FolderError: it cannot be made.
        """
        with self._told():
            self.root.mkdir(parents=True, exist_ok=True)

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """No other server writes to the folder or stores what is in it.

        Raises:
            FolderBusyError: another one does.
            FolderError: the folder cannot be opened.
        """
        with self._told():
            descriptor = os.open(self.root, _FOLDER)
        try:
            with self._told():
                try:
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    raise FolderBusyError(str(self.root)) from None
            yield
        finally:
            os.close(descriptor)

    def look(self, *, thorough: bool = False) -> Look:
        """Every script, read when it is not known already; `thorough` reads them all.

        Raises:
            FolderError: the folder is there, but cannot be read.
        """
        look = Look()
        known: Index = {} if thorough else load_index(self._index, self.root)
        with self._told():
            try:
                descriptor = os.open(self.root, _FOLDER)
            except FileNotFoundError:
                return look
        started = time.time_ns()
        found: Index = {}
        try:
            self._walk(descriptor, "", known, found, look)
        finally:
            os.close(descriptor)
        settled = {
            path: seen
            for path, seen in found.items()
            if max(seen.mtime_ns, seen.ctime_ns) < started - SETTLED
        }
        if settled != known:
            save_index(self._index, self.root, settled)
        look.troubles += [
            Trouble(path, seen.problem) for path, seen in found.items() if seen.problem
        ]
        look.scripts = {
            path: seen for path, seen in found.items() if seen.language and not seen.problem
        }
        look.troubles.sort()
        return look

    def read(self, path: str) -> bytes | None:
        """What a file has in it; `None` when there is none."""
        try:
            with self._parent(path) as (folder, name):
                return _content(folder, name)
        except FileNotFoundError:
            return None

    def write(self, path: str, content: bytes, old: tuple[str, str] | None = None) -> None:
        """Write a script at once or not at all.

        `old` is the path and the hash of the one it takes the place of, whose mode it keeps.

        Raises:
            ScriptChangedError: the old one is not what it was, or something else is there.
            OSError: it cannot be written.
        """
        with self._parent(path, make=True) as (folder, name):
            mode = None
            if old is not None:
                mode = self._require(*old)
            executable = content.startswith(b"#!")
            with _written(folder, content, 0o777 if executable else 0o666, mode) as new:
                if old is not None and old[0] == path:
                    os.rename(new, name, src_dir_fd=folder, dst_dir_fd=folder)
                    return
                try:
                    os.link(new, name, src_dir_fd=folder, dst_dir_fd=folder)
                except FileExistsError:
                    raise ScriptChangedError(path, "another file is there") from None
        if old is not None:
            self.remove(*old)

    def remove(self, path: str, sha256: str) -> None:
        """Delete a script that is still this one, and the folders that are empty then.

        Raises:
            ScriptChangedError: it is not what it was.
            OSError: it cannot be deleted.
        """
        self._require(path, sha256)
        with self._parent(path) as (folder, name):
            os.unlink(name, dir_fd=folder)
        above = path.rpartition("/")[0]
        while above:
            with contextlib.suppress(OSError), self._parent(above) as (folder, name):
                os.rmdir(name, dir_fd=folder)
            above = above.rpartition("/")[0]

    def replace(self, name: str, content: bytes) -> None:
        """Write a file of the folder itself, whatever was there."""
        with (
            self._parent(name) as (folder, _),
            _written(folder, content, 0o666, _mode(folder, name)) as new,
        ):
            os.rename(new, name, src_dir_fd=folder, dst_dir_fd=folder)

    def _require(self, path: str, sha256: str) -> int:
        """The mode of the file, which must be this one."""
        try:
            with self._parent(path) as (folder, name):
                content, mode = _content(folder, name), _mode(folder, name)
        except FileNotFoundError:
            raise ScriptChangedError(path, "it was deleted meanwhile") from None
        if hashlib.sha256(content).hexdigest() != sha256 or mode is None:
            raise ScriptChangedError(path, "it was changed meanwhile")
        return mode

    @contextlib.contextmanager
    def _parent(self, path: str, *, make: bool = False) -> Iterator[tuple[int, str]]:
        """The open folder that a path lies in, and its name there."""
        *above, name = path.split("/")
        descriptor = os.open(self.root, _FOLDER)
        try:
            for part in above:
                if make:
                    with contextlib.suppress(FileExistsError):
                        os.mkdir(part, dir_fd=descriptor)
                below = os.open(part, _FOLDER | os.O_NOFOLLOW, dir_fd=descriptor)
                os.close(descriptor)
                descriptor = below
            yield descriptor, name
        finally:
            os.close(descriptor)

    def _walk(self, folder: int, prefix: str, known: Index, found: Index, look: Look) -> None:
        try:
            with os.scandir(folder) as listed:
                entries = [e for e in listed if e.name[0] != "." and e.name not in IGNORED]
        except OSError as error:
            look.troubles.append(Trouble(prefix, _said(error)))
            return
        for entry in entries:
            path = prefix + entry.name
            try:
                if entry.is_file(follow_symlinks=False):
                    now = entry.stat(follow_symlinks=False)
                    seen = known.get(path)
                    if seen is None or not seen.same(now):
                        seen = self._examined(folder, entry.name, path)
                    found[path] = seen
                elif entry.is_symlink():
                    look.troubles.append(Trouble(path, "it is a symbolic link; none is followed"))
                elif entry.is_dir(follow_symlinks=False):
                    self._below(folder, entry.name, path, known, found, look)
                else:
                    look.troubles.append(Trouble(path, "it is no regular file"))
            except OSError as error:
                look.troubles.append(Trouble(path, _said(error)))

    def _below(
        self, folder: int, name: str, path: str, known: Index, found: Index, look: Look
    ) -> None:
        if path.count("/") >= DEEPEST:
            look.troubles.append(Trouble(f"{path}/", f"it is more than {DEEPEST} folders deep"))
            return
        try:
            below = os.open(name, _FOLDER | os.O_NOFOLLOW, dir_fd=folder)
        except OSError as error:
            look.troubles.append(Trouble(f"{path}/", _said(error)))
            return
        try:
            self._walk(below, f"{path}/", known, found, look)
        finally:
            os.close(below)

    def _examined(self, folder: int, name: str, path: str) -> Seen:
        descriptor = os.open(name, _READ, dir_fd=folder)
        with os.fdopen(descriptor, "rb", buffering=0) as file:
            before = os.fstat(descriptor)
            content = file.read(HEAD)
            verdict = self._judge(path, content, False)
            if verdict.language is None:
                return Seen.of(before)
            if before.st_size > LARGEST:
                problem = f"it has {before.st_size} bytes, a script at most {LARGEST}"
                return Seen.of(before, verdict.language, problem=problem)
            content += file.read(LARGEST + 1)
            language, problem, warning = self._judge(path, content, True)
            after = os.fstat(descriptor)
        if len(content) != after.st_size or after.st_mtime_ns != before.st_mtime_ns:
            problem = "it was written to while it was read; sync again"
        return Seen.of(after, language, hashlib.sha256(content).hexdigest(), problem, warning)

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        """What is wrong with the folder as a whole is one failure."""
        try:
            yield
        except FileNotFoundError:
            raise
        except OSError as error:
            raise FolderError(str(self.root), _said(error)) from error


def _content(folder: int, name: str) -> bytes:
    with os.fdopen(os.open(name, _READ, dir_fd=folder), "rb", buffering=0) as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise OSError(errno.EINVAL, "it is no regular file", name)
        return file.readall()


def _mode(folder: int, name: str) -> int | None:
    try:
        return stat.S_IMODE(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode)
    except FileNotFoundError:
        return None


@contextlib.contextmanager
def _written(folder: int, content: bytes, fresh: int, mode: int | None) -> Iterator[str]:
    """A new file beside the place, safe on the disk; renamed or linked by the caller, else gone.

    It gets this mode, or as much of `fresh` as the umask leaves.
    """
    new = f".mcli-{secrets.token_hex(8)}.tmp"
    descriptor = os.open(new, _NEW, fresh, dir_fd=folder)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            if mode is not None:
                os.fchmod(descriptor, mode)
            os.fsync(descriptor)
        yield new
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(new, dir_fd=folder)
    os.fsync(folder)


def _said(error: OSError) -> str:
    return error.strerror or str(error)
