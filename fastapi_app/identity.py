"""Who calls, and what they may do: roles, scopes and principals."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

SCOPES: Mapping[str, str] = {
    "workflows:read": "See runs, and what they print",
    "workflows:write": "Start, stop, retry and delete runs",
    "groups:read": "See groups of runs",
    "groups:write": "Change and pause groups of runs",
    "commands:read": "See stored commands",
    "commands:write": "Change stored commands",
    "sync:read": "See how the folder of scripts and the stored commands differ",
    "sync:write": "Make the folder of scripts as the stored commands are, and the other way",
    "scheduler:read": "See scheduled jobs, and what became of them",
    "scheduler:write": "Change, run and pause scheduled jobs",
    "daemon:read": "See the state of the service",
    "cutover:read": "See which stack answers the old routes, and how well",
    "cutover:write": "Move old routes from stack to stack",
    "metrics:read": "Scrape the metrics",
    "audit:read": "Read who did what",
    "users:read": "See users, and the sessions and keys of all of them",
    "users:write": "Change users, and revoke sessions and keys of all of them",
}
"""Each thing a principal may be allowed to do."""


PRINCIPAL = "principal"
"""Where `scope["state"]` has the principal; nothing is there on public paths."""
SHORTEST_PASSWORD, LONGEST_PASSWORD = 10, 1024
"""Characters."""


class Role(StrEnum):
    """What a user may do, as a whole."""

    VIEWER = "viewer"
    OPERATOR = "operator"
    ADMIN = "admin"


_PRIVATE = frozenset({"audit:read", "users:read"})
_VIEWER = frozenset(scope for scope in SCOPES if scope.endswith(":read")) - _PRIVATE
_OPERATOR = _VIEWER | {
    *("workflows:write", "groups:write", "commands:write", "sync:write"),
    "scheduler:write",
}
ROLES: Mapping[Role, frozenset[str]] = {
    Role.VIEWER: _VIEWER,
    Role.OPERATOR: _OPERATOR,
    Role.ADMIN: frozenset(SCOPES),
}
"""The scopes of each role."""


@dataclass(frozen=True, slots=True)
class Principal:
    """Whoever a request comes from.

    `key` is stable and unique among all principals. `credential` is what the request carried:
    `token:home`, `session:ID` or `key:ID`; when that is revoked nothing goes on with it. `exempt`
    is the owner of the machine, who is not limited. Times are Unix seconds.
    """

    key: str
    name: str
    scopes: frozenset[str]
    credential: str
    role: Role | None = None
    user_id: str | None = None
    exempt: bool = False
    expires_at: float | None = None

    def may(self, scope: str) -> bool:
        """Whether this is allowed."""
        return scope in self.scopes


OWNER = Principal(
    key="token:home",
    name="owner",
    scopes=ROLES[Role.ADMIN],
    credential="token:home",
    role=Role.ADMIN,
    exempt=True,
)
"""Who can read the token in the home folder."""


def unknown_scopes(scopes: Iterable[str]) -> list[str]:
    """Those that do not exist."""
    return sorted(set(scopes) - SCOPES.keys())


@dataclass(frozen=True, slots=True)
class User:
    """Somebody with a password. Times are Unix seconds."""

    id: str
    name: str
    role: Role
    is_active: bool
    created_at: float
    last_login: float | None = None


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A secret of a program. `user_id` is whose it is; without one it is the machine owner's."""

    id: str
    name: str
    user_id: str | None
    scopes: frozenset[str]
    created_at: float
    expires_at: float | None = None
    last_used: float | None = None
    revoked_at: float | None = None


@dataclass(frozen=True, slots=True)
class Session:
    """A login, kept alive by refresh tokens that follow one another."""

    id: str
    user_id: str
    created_at: float
    expires_at: float
    last_used: float
    address: str
    client: str
    revoked_at: float | None = None
    reason: str | None = None
