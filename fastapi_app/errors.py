"""One exception class per failure: each builds its own message and carries its status and code."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, NamedTuple

MAX_TOLD = 20
"""Problems that one sentence names."""


class FieldProblem(NamedTuple):
    """What is wrong with one field: its JSON pointer (RFC 6901), and a sentence."""

    pointer: str
    detail: str


class AppError(Exception):
    """Base of every failure a client may cause or meet; rendered as RFC 9457 problem details."""

    status: ClassVar[int] = 500
    code: ClassVar[str] = "internal"
    title: ClassVar[str] = "Internal error"

    def __init__(
        self,
        detail: str,
        *,
        retry_after: int | None = None,
        fields: Sequence[FieldProblem] = (),
    ) -> None:
        super().__init__(detail)
        self.detail = detail
        self.retry_after = retry_after
        self.fields = fields


class RunNotFoundError(AppError):
    status, code, title = 404, "run-not-found", "No such run"

    def __init__(self, run_id: str) -> None:
        super().__init__(f"There is no run {run_id!r}; GET /api/v1/workflows/list shows them.")


class LogRemovedError(AppError):
    status, code, title = 410, "log-removed", "The log was removed"

    def __init__(self, run_id: str) -> None:
        super().__init__(f"What the run {run_id!r} printed is not kept any more.")


class CommandNotFoundError(AppError):
    status, code, title = 404, "command-not-found", "No such command"

    def __init__(self, name: str) -> None:
        super().__init__(
            f"There is no command {name!r}; GET /api/v1/commands/list?all=true shows them."
        )


class CommandExistsError(AppError):
    status, code, title = 409, "command-exists", "The name is taken"

    def __init__(self, name: str) -> None:
        super().__init__(
            f"A command {name!r} exists already; change it with PUT /api/v1/commands/<name>,"
            " or choose another name."
        )


class CommandInactiveError(AppError):
    status, code, title = 409, "command-inactive", "The command is not active"

    def __init__(self, name: str) -> None:
        super().__init__(f"The command {name!r} is not active; set is_active to run it.")


class JobNotFoundError(AppError):
    status, code, title = 404, "job-not-found", "No such job"

    def __init__(self, job: str) -> None:
        super().__init__(f"There is no job {job!r}; GET /api/v1/scheduler/jobs shows them.")


class JobExistsError(AppError):
    status, code, title = 409, "job-exists", "The name is taken"

    def __init__(self, name: str, other: str) -> None:
        told = "exists already" if name == other else f"differs only in case from {other!r}"
        super().__init__(
            f"A job {name!r} {told}; change that one with PATCH, or choose another name."
        )


class InvalidJobError(AppError):
    """A schedule, a task or a policy that cannot be; says which part, and why."""

    status, code, title = 422, "invalid-job", "The job cannot be scheduled so"

    def __init__(self, problems: Sequence[FieldProblem]) -> None:
        super().__init__(_told(problems), fields=problems)


class VersionNotFoundError(AppError):
    status, code, title = 404, "version-not-found", "No such version"

    def __init__(self, name: str, version: int) -> None:
        super().__init__(
            f"The command {name!r} has no version {version};"
            " GET /api/v1/commands/<name>/versions shows them."
        )


class DiffTooLargeError(AppError):
    status, code, title = 422, "diff-too-large", "The versions are too long to be compared"

    def __init__(self, lines: int, limit: int) -> None:
        super().__init__(
            f"They have {lines} lines together, and at most {limit} are compared; fetch both with"
            " GET /api/v1/commands/<name>/versions/<n>, and compare them yourself."
        )


class InvalidParametersError(AppError):
    """Declared parameters, or the values given for them, that are not right."""

    status, code, title = 422, "invalid-parameters", "The parameters are not right"

    def __init__(self, problems: Sequence[FieldProblem]) -> None:
        super().__init__(_told(problems), fields=problems)


class InvalidNotebookError(AppError):
    status, code, title = 422, "invalid-notebook", "The code is no notebook"

    def __init__(self, why: str) -> None:
        super().__init__(f"The code cannot be run: {why}.", fields=[FieldProblem("/code", why)])


class InvalidImportError(AppError):
    """What is to be imported cannot be stored; nothing was."""

    status, code, title = 422, "invalid-import", "This cannot be imported"

    def __init__(self, problems: Sequence[FieldProblem]) -> None:
        super().__init__(f"Nothing was imported: {_told(problems)}", fields=problems)


class ImportConflictError(AppError):
    """Commands of these names say something else; nothing was imported."""

    status, code, title = 409, "import-conflict", "There are other commands of these names"

    def __init__(self, problems: Sequence[FieldProblem]) -> None:
        super().__init__(
            f"Nothing was imported: {_told(problems)}; use update=true to overwrite, what was there"
            " stays in the history",
            fields=problems,
        )


class SimilarityUnavailableError(AppError):
    status, code, title = 503, "similarity-unavailable", "Commands cannot be compared now"

    def __init__(self, cause: str) -> None:
        super().__init__(f"What compares commands does not work: {cause}", retry_after=5)


class ProcessNotFoundError(AppError):
    status, code, title = 404, "process-not-found", "No such process"

    def __init__(self, process_id: str) -> None:
        super().__init__(
            f"There is no process {process_id!r}; GET /api/v1/daemon/processes shows them."
        )


class ProcessExistsError(AppError):
    status, code, title = 409, "process-exists", "The name is taken"

    def __init__(self, name: str) -> None:
        super().__init__(
            f"A process {name!r} exists already (names that differ only in case count as the same);"
            " change that one with PATCH /api/v1/daemon/processes/<name>, or choose another name."
        )


class ProcessAmbiguousError(AppError):
    status, code, title = 409, "process-ambiguous", "The name is not enough"

    def __init__(self, name: str, ids: Sequence[str]) -> None:
        super().__init__(f"Several processes have the name {name!r}; use an id: {', '.join(ids)}.")


class ProcessRunningError(AppError):
    status, code, title = 409, "process-running", "The process is running"

    def __init__(self, process_id: str) -> None:
        super().__init__(f"The process {process_id!r} is running; stop it first, or use force.")


class GroupNotFoundError(AppError):
    status, code, title = 404, "group-not-found", "No such group"

    def __init__(self, name: str) -> None:
        super().__init__(
            f"There is no group {name!r}; GET /api/v1/groups shows them, and"
            " PUT /api/v1/groups/<name> makes one."
        )


class GroupInUseError(AppError):
    status, code, title = 409, "group-in-use", "The group is in use"


class RunActiveError(AppError):
    status, code, title = 409, "run-active", "The run is not over"

    def __init__(self, run_id: str) -> None:
        super().__init__(f"The run {run_id!r} is not over; stop it first, or wait for its end.")


class NoInputError(AppError):
    """The run takes no input: it is over, or was started without standard input."""

    status, code, title = 409, "no-input", "The run takes no input"


class InputFullError(AppError):
    status, code, title = 503, "input-full", "The run does not read its input"

    def __init__(self, written: int, size: int) -> None:
        super().__init__(f"{written} of {size} bytes went in; go on behind these.", retry_after=1)


class DaemonStoppedError(AppError):
    status, code, title = 503, "daemon-stopped", "The daemon is stopped"

    def __init__(self) -> None:
        super().__init__(
            "The daemon is stopped and starts nothing;"
            " POST /api/v1/daemon/start lets it work again."
        )


class QueueFullError(AppError):
    status, code, title = 503, "queue-full", "Too many runs are waiting"

    def __init__(self, depth: int) -> None:
        super().__init__(
            f"{depth} runs are waiting already; try again when some have ended.", retry_after=1
        )


class InvalidRunError(AppError):
    """The request is well-formed but describes something that cannot be run."""

    status, code, title = 422, "invalid-run", "This cannot be run"


class InvalidCursorError(AppError):
    status, code, title = 422, "invalid-cursor", "The cursor is not one of ours"

    def __init__(self) -> None:
        super().__init__("Use the next_cursor of an earlier answer, or leave the cursor out.")


class StorageUnavailableError(AppError):
    status, code, title = 503, "storage-unavailable", "The database does not answer"

    def __init__(self, cause: str) -> None:
        super().__init__(f"Nothing was changed: {cause}", retry_after=5)


class SpawnFailedError(AppError):
    """The operating system refused to start the child; `returncode` is what a shell would say."""

    status, code, title = 500, "spawn-failed", "The command could not be started"

    def __init__(self, detail: str, returncode: int) -> None:
        super().__init__(detail)
        self.returncode = returncode


class BodyTooLargeError(AppError):
    status, code, title = 413, "body-too-large", "The body is too large"

    def __init__(self, limit: int) -> None:
        super().__init__(f"A body may have at most {limit} bytes.")


class UnauthenticatedError(AppError):
    """Nobody knows who asks. `problem` is the error code of RFC 6750, section 3.1."""

    status, code, title = 401, "unauthenticated", "Who are you?"
    problem: ClassVar[str | None] = None

    def __init__(self, detail: str = "") -> None:
        super().__init__(
            detail
            or "This needs a token: send Authorization: Bearer <token>. On the server's machine"
            " the token is in $MCLI_HOME/token, and mclictl reads it by itself; elsewhere use"
            " `mclictl login`, or an API key of `mclictl keys add` in MCLI_TOKEN."
        )


class InvalidTokenError(UnauthenticatedError):
    """The token is none of ours, or not any more."""

    code, title = "invalid-token", "The token is not valid"
    problem = "invalid_token"

    def __init__(self, why: str) -> None:
        super().__init__(f"{why}; log in again with `mclictl login`, or ask for a new API key.")


class WrongPasswordError(AppError):
    status, code, title = 401, "wrong-password", "Wrong name or password"

    def __init__(self) -> None:
        super().__init__("There is no active user of this name with this password.")


class ForbiddenError(AppError):
    status, code, title = 403, "forbidden", "Not allowed"

    def __init__(self, scope: str) -> None:
        super().__init__(
            f"This needs the scope {scope!r}, which your token has not; ask an admin for it."
        )
        self.scope = scope


class NoSessionError(AppError):
    status, code, title = 409, "no-session", "This is not a login"

    def __init__(self) -> None:
        super().__init__("Only a user who has logged in with a password can do this.")


class UserNotFoundError(AppError):
    status, code, title = 404, "user-not-found", "No such user"

    def __init__(self, name: str) -> None:
        super().__init__(f"There is no user {name!r}; GET /api/v1/auth/users shows them.")


class UserExistsError(AppError):
    status, code, title = 409, "user-exists", "The name is taken"

    def __init__(self, name: str) -> None:
        super().__init__(f"A user {name!r} exists already; PATCH /api/v1/auth/users/<name>.")


class KeyNotFoundError(AppError):
    status, code, title = 404, "key-not-found", "No such key"

    def __init__(self, key_id: str) -> None:
        super().__init__(f"There is no API key {key_id!r}; GET /api/v1/auth/keys shows yours.")


class SessionNotFoundError(AppError):
    status, code, title = 404, "session-not-found", "No such session"

    def __init__(self, session_id: str) -> None:
        super().__init__(
            f"There is no session {session_id!r}; GET /api/v1/auth/sessions shows yours."
        )


class InvalidAccountError(AppError):
    """A password, a role, a scope or an expiry that cannot be."""

    status, code, title = 422, "invalid-account", "This cannot be"


class ForbiddenHostError(AppError):
    """The request names a host that is not ours: a page may have pointed its own name here."""

    status, code, title = 403, "forbidden-host", "The host is not known"

    def __init__(self) -> None:
        super().__init__(
            "A request must have one Host header, with a loopback address, localhost or a name that"
            " MCLI_ALLOWED_HOSTS lists."
        )


class ForbiddenOriginError(AppError):
    """A page of somebody else has sent the request."""

    status, code, title = 403, "forbidden-origin", "Pages of other origins may not ask"

    def __init__(self) -> None:
        super().__init__(
            "The request comes from a page of another origin; MCLI_ALLOWED_ORIGINS lists those that"
            " may ask."
        )


class DrainingError(AppError):
    status, code, title = 503, "draining", "The server is about to end"

    def __init__(self) -> None:
        super().__init__(
            "The server answers what it has begun and takes no new work; ask another one."
        )


class BodyEncodedError(AppError):
    status, code, title = 415, "body-encoded", "The body is compressed"

    def __init__(self, encoding: str) -> None:
        super().__init__(
            f"Send the body as it is, without Content-Encoding: {encoding}; none is unpacked here."
        )


class HeadTooLargeError(AppError):
    status, code, title = 431, "head-too-large", "The head of the request is too large"

    def __init__(self, headers: int, size: int) -> None:
        super().__init__(f"A request may have {headers} headers, in a head of {size} bytes.")


class TargetTooLongError(AppError):
    status, code, title = 414, "target-too-long", "The URL is too long"

    def __init__(self, limit: int) -> None:
        super().__init__(f"A path with its query may have at most {limit} bytes.")


class TooSlowRequestError(AppError):
    status, code, title = 408, "too-slow", "The request came too slowly"

    def __init__(self, part: str, seconds: float) -> None:
        super().__init__(f"The {part} of the request did not come within {seconds:g} seconds.")


class TooManyConnectionsError(AppError):
    status, code, title = 503, "too-many-connections", "Too many connections"

    def __init__(self, limit: int) -> None:
        super().__init__(
            f"{limit} connections are open already; try again when some have ended.", retry_after=1
        )


class RateLimitedError(AppError):
    status, code, title = 429, "rate-limited", "Too many requests"

    def __init__(self, allowed: str, seconds: int) -> None:
        super().__init__(
            f"Only {allowed} are answered here; try again in {seconds} s.", retry_after=seconds
        )


class FolderError(AppError):
    """The folder of scripts as a whole: no permission, no room, no folder."""

    status, code, title = 503, "folder-unusable", "The folder of scripts cannot be used"

    def __init__(self, folder: str, cause: str) -> None:
        super().__init__(
            f"{folder}: {cause}. Mend it, or name another folder in MCLI_WORKFLOWS_DIR; what was"
            " done before stays, and nothing is lost."
        )


class FolderBusyError(AppError):
    status, code, title = 409, "folder-busy", "Another server uses the folder of scripts"

    def __init__(self, folder: str) -> None:
        super().__init__(f"Another server synchronises {folder} just now; try again.")


class LockTooNewError(AppError):
    status, code, title = 409, "lock-too-new", "The lock is of a later version"

    def __init__(self, name: str) -> None:
        super().__init__(
            f"{name} was written by a later version of mcli-dualstack, and is left as it is:"
            " install that version, or move the file away."
        )


class ScriptNotFoundError(AppError):
    status, code, title = 404, "script-not-found", "No such script"

    def __init__(self, name: str) -> None:
        super().__init__(
            f"Neither the folder nor the store has a script {name!r};"
            " GET /api/v1/sync/status shows what differs."
        )


class InvalidSyncError(AppError):
    status, code, title = 422, "invalid-sync", "This cannot be synchronised"

    def __init__(self, names: Sequence[str]) -> None:
        told = ", ".join(repr(name) for name in names[:10])
        super().__init__(
            f"Neither the folder nor the store has {told}{' and more' if names[10:] else ''}."
        )


class StartupError(Exception):
    """The server cannot start. The message is one line for the operator, with what to do."""


class SettingsError(StartupError):
    """A setting is wrong; the message names each setting."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("; ".join(problems))


def _told(problems: Sequence[FieldProblem]) -> str:
    told = [f"{pointer}: {detail}" for pointer, detail in problems[:MAX_TOLD]]
    if len(problems) > MAX_TOLD:
        told.append(f"and {len(problems) - MAX_TOLD} more")
    return "; ".join(told)
