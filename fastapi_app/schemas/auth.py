"""Bodies of `/api/v1/auth`."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from fastapi_app.identity import (
    LONGEST_PASSWORD,
    SHORTEST_PASSWORD,
    ApiKey,
    Principal,
    Role,
    Session,
    User,
)

Name = Annotated[
    str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._@-]*$", max_length=100, examples=["ann"])
]
Password = Annotated[
    str,
    Field(
        min_length=SHORTEST_PASSWORD,
        max_length=LONGEST_PASSWORD,
        json_schema_extra={"format": "password"},
    ),
]
Moment = Annotated[float, Field(description="Unix seconds")]


class LoginForm(BaseModel):
    """RFC 6749, section 4.3.2."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"grant_type": "password", "username": "ann", "password": "a long one"}]
        }
    )

    grant_type: Literal["password"] = "password"
    username: str = Field(max_length=100)
    password: str = Field(max_length=LONGEST_PASSWORD, json_schema_extra={"format": "password"})
    scope: str = Field("", description="Not used: a session has the scopes of its user's role")


class TokenAnswer(BaseModel):
    """RFC 6749, section 5.1."""

    access_token: str
    token_type: Literal["bearer"] = "bearer"  # noqa: S105 - the name of a kind
    expires_in: int = Field(description="Seconds")
    refresh_token: str = Field(description="Good once, for POST /api/v1/auth/refresh")
    scope: str = Field(description="What the access token allows, separated by spaces")


class RefreshRequest(BaseModel):
    """How a session goes on."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"refresh_token": "mclir_…"}]}
    )

    refresh_token: str = Field(max_length=4096)


class PasswordRequest(BaseModel):
    """A new password; all other sessions end."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{"current": "the old one", "new": "a longer new one"}]},
    )

    current: str = Field(max_length=LONGEST_PASSWORD, json_schema_extra={"format": "password"})
    new: Password


class MeAnswer(BaseModel):
    """Who asks, and what that one may do."""

    name: str
    kind: Literal["owner", "user", "key"] = Field(description="What the token is of")
    role: Role | None = Field(description="Null for a key")
    scopes: list[str]
    credential: str = Field(description="The session or key that the token is of")

    @classmethod
    def of(cls, principal: Principal) -> MeAnswer:
        kinds: dict[str, Literal["owner", "user", "key"]] = {
            "token": "owner",
            "session": "user",
            "key": "key",
        }
        return cls(
            name=principal.name,
            kind=kinds[principal.credential.partition(":")[0]],
            role=principal.role,
            scopes=sorted(principal.scopes),
            credential=principal.credential,
        )


class SessionAnswer(BaseModel):
    """A login."""

    id: str
    user_id: str
    created_at: Moment
    expires_at: Moment
    last_used: Moment
    address: str
    client: str = Field(description="Its User-Agent")

    @classmethod
    def of(cls, session: Session) -> SessionAnswer:
        return cls(**{name: getattr(session, name) for name in cls.model_fields})


class SessionList(BaseModel):
    """Logins, the latest first."""

    items: list[SessionAnswer]


class KeyRequest(BaseModel):
    """A new API key."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{"name": "ci", "scopes": ["workflows:write"]}]},
    )

    name: Annotated[str, Field(min_length=1, max_length=100)]
    scopes: Annotated[list[str], Field(min_length=1, max_length=50)] = Field(
        description="None that you have not got yourself"
    )
    expires_in: Annotated[float | None, Field(gt=0, le=10 * 365 * 86_400, allow_inf_nan=False)] = (
        Field(None, description="Seconds; null: never")
    )


class KeyAnswer(BaseModel):
    """An API key without its secret."""

    id: str
    name: str
    user_id: str | None = Field(description="Whose it is; null: the machine owner's")
    scopes: list[str]
    created_at: Moment
    expires_at: Moment | None
    last_used: Moment | None = Field(description="To the minute")

    @classmethod
    def of(cls, key: ApiKey) -> KeyAnswer:
        names = set(cls.model_fields) - {"scopes"}
        return cls(**{name: getattr(key, name) for name in names}, scopes=sorted(key.scopes))


class NewKeyAnswer(BaseModel):
    """A new API key; its text is shown now and never again."""

    key: str
    details: KeyAnswer


class KeyList(BaseModel):
    """API keys, the latest first."""

    items: list[KeyAnswer]


class UserRequest(BaseModel):
    """A new user."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [{"name": "ann", "password": "a long one", "role": "operator"}]
        },
    )

    name: Name
    password: Password
    role: Role = Role.VIEWER


class UserChange(BaseModel):
    """What is to be changed of a user; what is not given stays."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"role": "admin"}, {"is_active": False}]}
    )

    role: Role | None = None
    is_active: Annotated[bool | None, Field(strict=True)] = None
    password: Password | None = None


class UserAnswer(BaseModel):
    """A user."""

    id: str
    name: str
    role: Role
    is_active: bool
    created_at: Moment
    last_login: Moment | None

    @classmethod
    def of(cls, user: User) -> UserAnswer:
        return cls(**{name: getattr(user, name) for name in cls.model_fields})


class UserList(BaseModel):
    """Every user, by name."""

    items: list[UserAnswer]
