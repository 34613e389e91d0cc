"""What `mclictl doctor` looks at: one function for each problem, all of what this machine shows."""

from __future__ import annotations

import contextlib
import email.utils
import importlib
import importlib.metadata
import os
import resource
import shutil
import socket
import sqlite3
import stat
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import httpx

from cli.client import Client, ClientError, NotReachable
from cli.serve import settings_class

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from fastapi_app.settings import Settings

    Check = Callable[["Patient"], "Finding"]

OK, PROBLEM, UNKNOWN = "ok", "problem", "unknown"
NEEDED = (3, 11)
LEAST_FREE = 200 * 1024 * 1024
"""Bytes of a disk from which runs and the database are in danger."""
LEAST_FILES = 1024
MOST_SKEW = 30.0
"""Seconds: tokens hold for minutes, schedules are to the second."""
WITHIN = 2.0
"""Seconds for whatever should answer at once."""


@dataclass(frozen=True)
class Finding:
    """How one thing stands; of a problem, what to do."""

    check: str
    state: str
    found: str
    todo: str = ""


@dataclass
class Patient:
    """What is looked at; each part is asked for once."""

    client: Client
    settings: Settings | None = None
    broken: str = ""
    """Why there are no settings."""
    answer: httpx.Response | None = None
    """Of the server, to who asks how it is."""

    @classmethod
    def of(cls, client: Client) -> Patient:
        patient = cls(client)
        settings = settings_class()
        errors = importlib.import_module("fastapi_app.errors")
        try:
            patient.settings = settings.load()
        except errors.SettingsError as error:
            patient.broken = str(error)
        with contextlib.suppress(httpx.HTTPError, click.ClickException):
            patient.answer = httpx.get(
                f"{client.key}/api/v1/daemon/status",
                headers=client.bearer.headers(),
                timeout=WITHIN,
                trust_env=False,
            )
        return patient


def _configured(name: str) -> Callable[[Callable[[Settings], Finding]], Check]:
    """A check of what the settings say; without them nothing can be said of it."""

    def of(check: Callable[[Settings], Finding]) -> Check:
        def checked(patient: Patient) -> Finding:
            if patient.settings is None:
                return Finding(name, UNKNOWN, "the configuration cannot be read")
            return check(patient.settings)

        return checked

    return of


def configuration(patient: Patient) -> Finding:
    """`config.toml` and the environment can be read."""
    if patient.settings is None:
        return Finding(
            "configuration",
            PROBLEM,
            patient.broken,
            "correct it: docs/settings.md lists every setting; mclictl self where shows the file",
        )
    return Finding("configuration", OK, "every setting is understood")


def python(_patient: Patient) -> Finding:
    """Python is new enough, and what is installed is this version."""
    fastapi_app = importlib.import_module("fastapi_app")
    try:
        installed = importlib.metadata.version("mcli-dualstack")
    except importlib.metadata.PackageNotFoundError:
        installed = "none"
    told = f"Python {sys.version.split()[0]}, mcli-dualstack {installed}"
    if sys.version_info < NEEDED:
        return Finding("installation", PROBLEM, told, "install Python 3.11 or newer")
    if installed != fastapi_app.__version__:
        return Finding(
            "installation",
            PROBLEM,
            f"{told}, but the code is {fastapi_app.__version__}",
            "run make install, or pip install the same version again",
        )
    return Finding("installation", OK, told)


def on_path(_patient: Patient) -> Finding:
    """The shell finds `mclictl`."""
    found = shutil.which("mclictl")
    if found is None:
        return Finding(
            "command",
            PROBLEM,
            "no mclictl on the PATH",
            f'add it: export PATH="{Path(sys.executable).parent}:$PATH"',
        )
    return Finding("command", OK, found)


@_configured("home folder")
def home(settings: Settings) -> Finding:
    """The home folder can be written to."""
    path = settings.home
    nearest = _nearest(path)
    if not nearest.is_dir():
        todo = "choose another with MCLI_HOME, or move the file away"
        return Finding("home folder", PROBLEM, f"{nearest} is no folder", todo)
    if not os.access(nearest, os.W_OK | os.X_OK):
        return Finding(
            "home folder",
            PROBLEM,
            f"{nearest} cannot be written to",
            f"chown it to you, or choose another with MCLI_HOME (now {path})",
        )
    return Finding("home folder", OK, str(path))


@_configured("disk")
def disk(settings: Settings) -> Finding:
    """There is room for runs and the database."""
    path = settings.home
    nearest = _nearest(path)
    free = shutil.disk_usage(nearest).free
    told = f"{free // 1024**2} MiB free at {nearest}"
    if free < LEAST_FREE:
        return Finding("disk", PROBLEM, told, "make room: mclictl clean --older-than 7d, then rm")
    return Finding("disk", OK, told)


@_configured("token")
def token(settings: Settings) -> Finding:
    """The owner's token is there, and nobody else's to read."""
    path = settings.home / "token"
    try:
        mode = path.stat().st_mode
        path.read_text(encoding="ascii")
    except FileNotFoundError:
        return Finding(
            "token", PROBLEM, f"there is no {path}", "start the server once: mclictl serve"
        )
    except (OSError, ValueError) as failure:
        return Finding("token", PROBLEM, f"{path}: {failure}", f"chown it to you: {path}")
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        return Finding(
            "token",
            PROBLEM,
            f"{path} can be read by others ({stat.filemode(mode)})",
            f"chmod 600 {path}; delete it and start the server again if others may have read it",
        )
    return Finding("token", OK, str(path))


def server(patient: Patient) -> Finding:
    """A server answers, and it is one of ours."""
    answer, url = patient.answer, patient.client.url
    if answer is None:
        if _listens(url.host, url.port or (443 if url.scheme == "https" else 80)):
            return Finding(
                "server",
                PROBLEM,
                f"what listens at {url} does not speak HTTP in {WITHIN:g} s",
                "stop that program, or choose another port: mclictl serve --port 9000",
            )
        return Finding(
            "server",
            PROBLEM,
            f"nothing listens at {url}",
            "start it: mclictl serve; or name another with --url or MCLI_URL",
        )
    if answer.status_code == httpx.codes.UNAUTHORIZED and "x-request-id" in answer.headers:
        return Finding(
            "server",
            PROBLEM,
            f"{url} does not know the token that mclictl sends",
            "it has another home folder: set MCLI_HOME or MCLI_TOKEN, or mclictl login",
        )
    if not _ours(answer):
        return Finding(
            "server",
            PROBLEM,
            f"{url} is another program's ({answer.status_code})",
            "give its port to one of the two: mclictl serve --port 9000, and --url",
        )
    return Finding("server", OK, f"{url}, version {answer.json()['version']}")


def versions(patient: Patient) -> Finding:
    """Client and server are the same version, on clocks that agree."""
    answer = patient.answer
    if answer is None or not _ours(answer):
        return Finding("versions and clocks", UNKNOWN, "no server answers")
    ours = importlib.import_module("fastapi_app").__version__
    theirs = answer.json()["version"]
    if theirs != ours:
        return Finding(
            "versions and clocks",
            PROBLEM,
            f"the server is {theirs}, mclictl {ours}",
            "restart the server, or install the same version here",
        )
    date = email.utils.parsedate_to_datetime(answer.headers["date"]).timestamp()
    skew = time.time() - date
    if abs(skew) > MOST_SKEW:
        return Finding(
            "versions and clocks",
            PROBLEM,
            f"the clocks differ by {abs(skew):.0f} s",
            "set them: timedatectl set-ntp true",
        )
    return Finding("versions and clocks", OK, ours)


@_configured("database")
def database(settings: Settings) -> Finding:
    """The database can be opened, is whole enough, not locked and not too new."""
    path = settings.home / "mcli.db"
    if settings.database_url is not None:
        return Finding("database", UNKNOWN, "another than the one in the home folder: /readyz")
    if not path.exists():
        return Finding("database", OK, f"{path} is made at the first start")
    head = importlib.import_module("fastapi_app.storage.schema").HEAD
    try:
        with sqlite3.connect(path, timeout=WITHIN, isolation_level=None) as connection:
            connection.execute("BEGIN IMMEDIATE")
            connection.execute("ROLLBACK")
            row = connection.execute("SELECT version_num FROM alembic_version").fetchone()
    except sqlite3.Error as failure:
        todo = "restore a backup (docs/operations.md)"
        if "locked" in str(failure):
            todo = f"find who holds it: fuser {path}"
        elif "readonly" in str(failure) or "unable" in str(failure):
            todo = f"chown it to you: {path}"
        return Finding("database", PROBLEM, f"{path}: {failure}", todo)
    finally:
        if "connection" in locals():
            connection.close()
    if row is not None and row[0] > head:
        return Finding(
            "database",
            PROBLEM,
            f"{path} is of a newer version (revision {row[0]}, known is {head})",
            "install the newer mcli-dualstack again, or restore a backup",
        )
    return Finding("database", OK, f"{path}, revision {row[0] if row else 'none'}")


def legacy_socket(patient: Patient) -> Finding:
    """The unix socket of old scripts is no left-over."""
    path = getattr(patient.settings, "socket_path", None)
    if path is None:
        return Finding("unix socket", OK, "there is none")
    try:
        kind = path.lstat().st_mode
    except OSError:
        return Finding("unix socket", OK, f"{path} is made when the server starts")
    if not stat.S_ISSOCK(kind):
        todo = f"move it away: mv {path} {path}.old"
        return Finding("unix socket", PROBLEM, f"{path} is no socket", todo)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(WITHIN)
        try:
            probe.connect(str(path))
        except OSError as failure:
            return Finding(
                "unix socket",
                PROBLEM,
                f"nobody listens on {path} ({failure})",
                "start the server, which replaces it: mclictl serve",
            )
    return Finding("unix socket", OK, str(path))


def files(_patient: Patient) -> Finding:
    """Enough files may be open."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < LEAST_FILES:
        return Finding(
            "open files",
            PROBLEM,
            f"only {soft} may be open",
            f"raise it before the server starts: ulimit -n {max(LEAST_FILES, hard)}",
        )
    return Finding("open files", OK, f"{soft} may be open")


def redis(patient: Patient) -> Finding:
    """Redis answers, where one is set."""
    if patient.settings is None or patient.settings.redis_url is None:
        return Finding("redis", OK, "none is set")
    module: Any = importlib.import_module("redis")
    client = module.Redis.from_url(
        patient.settings.redis_url, socket_connect_timeout=WITHIN, socket_timeout=WITHIN
    )
    try:
        client.ping()
    except module.RedisError as failure:
        return Finding(
            "redis",
            PROBLEM,
            f"it does not answer: {type(failure).__name__}",
            "start it, or take MCLI_REDIS_URL away; until then each server limits by itself",
        )
    finally:
        client.close()
    return Finding("redis", OK, "it answers")


def interpreters(patient: Patient) -> Finding:
    """What stored commands are written in can be run here."""
    if patient.answer is None or not _ours(patient.answer):
        return Finding("interpreters", UNKNOWN, "no server answers")
    first: dict[str, str] = {}
    try:
        commands, _ = patient.client.collect("/api/v1/commands/list")
    except (ClientError, NotReachable) as failure:
        return Finding("interpreters", UNKNOWN, failure.message)
    for command in commands:
        first.setdefault(command["language"], command["name"])
    engine = importlib.import_module("fastapi_app.engine.interpreters")
    troubles = {
        name: engine.trouble_with(engine.Language(language)) for language, name in first.items()
    }
    if told := "; ".join(f"{why} (for {name})" for name, why in troubles.items() if why):
        return Finding(
            "interpreters", PROBLEM, told, "install what is missing on the server's PATH"
        )
    return Finding("interpreters", OK, "all that stored commands need")


def _nearest(path: Path) -> Path:
    """The path, or the first above it that there is."""
    return next(each for each in (path, *path.parents) if each.exists())


def _ours(answer: httpx.Response) -> bool:
    try:
        found = answer.json()
    except ValueError:
        return False
    return answer.is_success and isinstance(found, dict) and "version" in found


def _listens(host: str, port: int) -> bool:
    try:
        with socket.create_connection((host, port), timeout=WITHIN):
            return True
    except OSError:
        return False


CHECKS: tuple[Check, ...] = (
    *(python, on_path, configuration, home, disk, token, server, versions, database),
    *(legacy_socket, files, redis, interpreters),
)


def findings(client: Client) -> Iterator[Finding]:
    """One after the other, as they come."""
    patient = Patient.of(client)
    for check in CHECKS:
        yield check(patient)
