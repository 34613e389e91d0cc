"""The server's HTTP and WebSocket API as calls: plain JSON comes back, failures are exceptions."""

from __future__ import annotations

import contextlib
import json
import uuid
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import quote

import click
import httpx

from cli.credentials import LOOPBACK, Bearer

if TYPE_CHECKING:
    from collections.abc import Iterator

Json = dict[str, Any]

CONNECT_TIMEOUT = 5.0  # seconds
# A stop answers when the run is over, which takes the server's grace period.
ANSWER_TIMEOUT = 30.0  # seconds
PAGE = 100  # items asked for at once
RUNS = "/api/v1/workflows"
COMMANDS = "/api/v1/commands"
ROUTES = frozenset({".", "..", "create", "export", "import", "list", "search", "tags"})
"""What is no name of a stored command: these are routes of the server."""


class ClientError(click.ClickException):
    """The server said no; `code` and `status` are its own words, when it gave any."""

    def __init__(self, message: str, code: str = "", status: int = 0) -> None:
        super().__init__(message)
        self.code = code
        self.status = status

    @property
    def passing(self) -> bool:
        """Whether the server is only leaving, or away: it may be asked again."""
        return self.status == 503


class NotReachable(ClientError):  # noqa: N818 - reads as the sentence the user gets
    """No server at the address, or the connection to it broke."""

    exit_code = 3
    passing = True


class UnknownRun(ClientError):  # noqa: N818 - the same
    """No run has this id."""

    def __init__(self, run_id: str) -> None:
        super().__init__(
            f"No run has the id '{run_id}'; `mclictl runs --all` lists them.", status=404
        )


def is_run_id(text: str) -> bool:
    """Whether this can be the id of a run: a UUID in its 36-character form."""
    try:
        return str(uuid.UUID(text)) == text.lower()
    except ValueError:
        return False


def run_path(run_id: str) -> str:
    """Path of one run; what cannot be an id must not become another path, such as `/list`."""
    if not is_run_id(run_id):
        raise UnknownRun(run_id)
    return f"{RUNS}/{run_id}"


def command_path(name: str) -> str:
    """Path of one stored command; what is a route must not become one."""
    if name in ROUTES:
        raise ClientError(
            f"No stored command can be named '{name}' any more; one that was so before is found by "
            "its id, which `mclictl commands list --all --json` shows.",
            status=404,
        )
    return f"{COMMANDS}/{quote(name, safe='')}"


class Client:
    """One connection pool to one server; use it as a context manager."""

    def __init__(self, url: str, within: float = ANSWER_TIMEOUT) -> None:
        """`within` is seconds for an answer; only who is patient waits longer."""
        self.url = _checked(url)
        self._within = within
        self.key = str(self.url).rstrip("/")
        """The address, as logins are kept by."""
        self.bearer = Bearer(self.url)
        self._http = httpx.Client(
            base_url=self.url,
            auth=self.bearer,
            timeout=httpx.Timeout(within, connect=min(within, CONNECT_TIMEOUT)),
            # A proxy of the environment cannot reach this machine's own loopback.
            trust_env=self.url.host not in LOOPBACK,
            # Loading the certificates takes longer than a call, and plain HTTP has no use for them.
            verify=self.url.scheme == "https",
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def get(self, path: str, **query: object) -> Json:
        """GET one object; a query value of None is not sent, a tuple is sent repeatedly."""
        return self._object(self._call("GET", path, query=query))

    def rows(self, path: str, **query: object) -> list[Json]:
        """GET a list of objects; a query value of None is not sent."""
        found = self._call("GET", path, query=query)
        if not isinstance(found, list):
            raise self._not_ours()
        return [self._object(row) for row in found]

    def send(
        self,
        method: str,
        path: str,
        body: Json | None = None,
        *,
        patient: bool = False,
        **query: object,
    ) -> Json:
        """POST, PUT or DELETE; {} for an empty answer. `patient` waits as long as it takes."""
        return self._object(self._call(method, path, body=body, query=query, patient=patient))

    def form(self, path: str, **fields: str) -> Json:
        """POST a form, as whoever can fill it in: without a token."""
        with self._failures():
            answer = self._http.post(path, data=fields, auth=httpx.Auth())
        if not answer.is_success:
            raise _refusal(answer)
        return self.decode(answer.content)

    def collect(
        self, path: str, limit: int | None = None, **query: object
    ) -> tuple[list[Json], bool]:
        """Gather up to `limit` items of a paged list, and whether there are more."""
        items: list[Json] = []
        cursor: str | None = None
        while limit is None or len(items) < limit:
            size = PAGE if limit is None else min(PAGE, limit - len(items))
            page = self.get(path, limit=size, cursor=cursor, **query)
            if not isinstance(page.get("items"), list):
                raise self._not_ours()
            items += page["items"]
            cursor = page.get("next_cursor")
            if not cursor:
                break
        return items, bool(cursor)

    def events(
        self, method: str, path: str, body: Json | None = None, **query: object
    ) -> Iterator[Json]:
        """Yield the events of an NDJSON answer as they come; leaving closes the connection."""
        request = self._http.build_request(
            method,
            path,
            json=body,
            params=_given(query),
            headers={"accept": "application/x-ndjson"},
            timeout=httpx.Timeout(None, connect=CONNECT_TIMEOUT),
        )
        with self._failures(), contextlib.closing(self._http.send(request, stream=True)) as answer:
            if not answer.is_success:
                answer.read()
                raise _refusal(answer)
            for line in _lines(answer):
                yield self.decode(line)

    def _call(
        self,
        method: str,
        path: str,
        *,
        body: Json | None = None,
        query: dict[str, object] | None = None,
        patient: bool = False,
    ) -> object:
        timeout = httpx.Timeout(None, connect=CONNECT_TIMEOUT) if patient else self._http.timeout
        with self._failures():
            answer = self._http.request(
                method, path, json=body, params=_given(query or {}), timeout=timeout
            )
        if not answer.is_success:
            raise _refusal(answer)
        return self._decoded(answer.content) if answer.content else {}

    @contextlib.contextmanager
    def _failures(self) -> Iterator[None]:
        """Say in one line what is wrong with the connection, and what to do."""
        try:
            yield
        except (httpx.ConnectError, httpx.ConnectTimeout) as failure:
            raise self.not_reachable(failure) from failure
        except httpx.TimeoutException as failure:
            raise NotReachable(
                f"The server at {self.url} did not answer within {self._within:.0f} s."
            ) from failure
        except httpx.HTTPError as failure:
            raise NotReachable(
                f"The connection to {self.url} broke before the answer was complete: {failure}."
            ) from failure

    def not_reachable(self, failure: BaseException) -> NotReachable:
        """Nobody is at home: what to do about it."""
        return NotReachable(
            f"No server answers at {self.url} ({failure or type(failure).__name__}). Start one "
            "with `mclictl serve`, or name another with --url or MCLI_URL."
        )

    def decode(self, content: bytes | str) -> Json:
        """Read one JSON object the server sent."""
        return self._object(self._decoded(content))

    def _decoded(self, content: bytes | str) -> object:
        try:
            return json.loads(content)
        except ValueError as failure:
            raise self._not_ours() from failure

    def _object(self, value: object) -> Json:
        if not isinstance(value, dict):
            raise self._not_ours()
        return value

    def _not_ours(self) -> ClientError:
        return ClientError(
            f"The server at {self.url} does not speak this API; is it the address of the new one?"
        )


def _checked(url: str) -> httpx.URL:
    try:
        parsed = httpx.URL(url)
    except httpx.InvalidURL as failure:
        raise click.UsageError(f"'{url}' is not an address: {failure}.") from failure
    if parsed.scheme not in ("http", "https") or not parsed.host:
        raise click.UsageError(f"'{url}' is not an address such as http://127.0.0.1:8000.")
    return parsed


def _given(query: dict[str, object]) -> dict[str, Any]:
    return {name: value for name, value in query.items() if value is not None}


def _refusal(answer: httpx.Response) -> ClientError:
    """Read an RFC 9457 problem; anything else is quoted by its status line alone."""
    try:
        problem = answer.json()
    except ValueError:
        problem = None
    if not isinstance(problem, dict):
        problem = {}
    message = problem.get("detail") or problem.get("title")
    if not isinstance(message, str):
        message = f"The server answered {answer.status_code} {answer.reason_phrase}".strip()
    # The detail may name some of the errors already.
    errors = [error for error in problem.get("errors") or [] if isinstance(error, dict)]
    unsaid = [error for error in errors if str(error.get("detail")) not in message]
    parts = [message, *(f"  {error.get('pointer')}: {error.get('detail')}" for error in unsaid)]
    return ClientError("\n".join(parts), str(problem.get("code", "")), answer.status_code)


def _lines(answer: httpx.Response) -> Iterator[bytes]:
    """Split at line feeds only: httpx's own iter_lines also splits at U+2028 inside a string."""
    rest = b""
    for chunk in answer.iter_bytes():
        *whole, rest = (rest + chunk).split(b"\n")
        yield from (line for line in whole if line.strip())
    if rest.strip():
        yield rest
