"""`/api/v1/auth`: logins, API keys and users."""

from __future__ import annotations

import time
from typing import Annotated

from fastapi import Form, Path, Query, Request

from fastapi_app.dependencies.services import Accounts
from fastapi_app.routing import Router
from fastapi_app.schemas.auth import (
    KeyAnswer,
    KeyList,
    KeyRequest,
    LoginForm,
    MeAnswer,
    NewKeyAnswer,
    PasswordRequest,
    RefreshRequest,
    SessionAnswer,
    SessionList,
    TokenAnswer,
    UserAnswer,
    UserChange,
    UserList,
    UserRequest,
)
from fastapi_app.schemas.problems import documented
from fastapi_app.security import Caller, requires
from fastapi_app.services.accounts import Tokens

router = Router(prefix="/api/v1/auth", tags=["auth"])

Everybody = Annotated[bool, Query(alias="all", description="Everybody's, by `users:read`")]
UserName = Annotated[str, Path(max_length=100)]
Id = Annotated[str, Path(max_length=36)]


@router.post("/login", response_model=TokenAnswer, responses=documented(400, 401, 413, 422, 503))
async def login(
    request: Request,
    accounts: Accounts,
    form: Annotated[LoginForm, Form()],
) -> TokenAnswer:
    """Begin a session by a name and a password (RFC 6749, section 4.3)."""
    address = request.client.host if request.client else ""
    client = request.headers.get("user-agent", "")
    tokens = await accounts.login(form.username, form.password, address=address, client=client)
    return _tokens(tokens)


@router.post("/refresh", response_model=TokenAnswer, responses=documented(400, 401, 413, 422, 503))
async def refresh(body: RefreshRequest, accounts: Accounts) -> TokenAnswer:
    """Go on with a session; a refresh token that comes a second time ends it."""
    return _tokens(await accounts.refresh(body.refresh_token))


@router.post(
    "/logout",
    status_code=204,
    dependencies=[requires()],
    responses=documented(409, 503),
)
async def logout(caller: Caller, accounts: Accounts) -> None:
    """End the session."""
    await accounts.logout(caller)


@router.get("/me", response_model=MeAnswer, dependencies=[requires()], responses=documented(503))
async def me(caller: Caller) -> MeAnswer:
    """Who you are here, and what you may do."""
    return MeAnswer.of(caller)


@router.post(
    "/password",
    status_code=204,
    dependencies=[requires()],
    responses=documented(400, 409, 413, 422, 503),
)
async def change_password(body: PasswordRequest, caller: Caller, accounts: Accounts) -> None:
    """Change your password; your other sessions end."""
    await accounts.change_password(caller, body.current, body.new)


@router.get(
    "/sessions",
    response_model=SessionList,
    dependencies=[requires()],
    responses=documented(403, 422, 503),
)
async def list_sessions(
    caller: Caller, accounts: Accounts, everybody: Everybody = False
) -> SessionList:
    """Your sessions, or everybody's."""
    found = await accounts.sessions(caller, everybody=everybody)
    return SessionList(items=[SessionAnswer.of(session) for session in found])


@router.delete(
    "/sessions/{session_id}",
    status_code=204,
    dependencies=[requires()],
    responses=documented(404, 422, 503),
)
async def end_session(session_id: Id, caller: Caller, accounts: Accounts) -> None:
    """End one of your sessions, or anybody's by `users:write`."""
    await accounts.end_session(caller, session_id)


@router.get(
    "/keys",
    response_model=KeyList,
    dependencies=[requires()],
    responses=documented(403, 422, 503),
)
async def list_keys(caller: Caller, accounts: Accounts, everybody: Everybody = False) -> KeyList:
    """Your API keys, or everybody's."""
    found = await accounts.keys(caller, everybody=everybody)
    return KeyList(items=[KeyAnswer.of(key) for key in found])


@router.post(
    "/keys",
    status_code=201,
    response_model=NewKeyAnswer,
    dependencies=[requires()],
    responses=documented(400, 403, 413, 422, 503),
)
async def add_key(body: KeyRequest, caller: Caller, accounts: Accounts) -> NewKeyAnswer:
    """Make an API key; it is shown this once."""
    expires_at = None if body.expires_in is None else time.time() + body.expires_in
    key, text = await accounts.add_key(caller, body.name, body.scopes, expires_at)
    return NewKeyAnswer(key=text, details=KeyAnswer.of(key))


@router.delete(
    "/keys/{key_id}",
    status_code=204,
    dependencies=[requires()],
    responses=documented(403, 404, 422, 503),
)
async def revoke_key(key_id: Id, caller: Caller, accounts: Accounts) -> None:
    """Revoke one of your API keys, or anybody's by `users:write`."""
    await accounts.revoke_key(caller, key_id)


@router.get(
    "/users",
    response_model=UserList,
    dependencies=[requires("users:read")],
    responses=documented(503),
)
async def list_users(accounts: Accounts) -> UserList:
    """Every user, by name."""
    return UserList(items=[UserAnswer.of(user) for user in await accounts.users()])


@router.post(
    "/users",
    status_code=201,
    response_model=UserAnswer,
    dependencies=[requires("users:write")],
    responses=documented(400, 409, 413, 422, 503),
)
async def add_user(body: UserRequest, accounts: Accounts) -> UserAnswer:
    """Make a user."""
    return UserAnswer.of(await accounts.add_user(body.name, body.password, body.role))


@router.patch(
    "/users/{name}",
    response_model=UserAnswer,
    dependencies=[requires("users:write")],
    responses=documented(400, 404, 413, 422, 503),
)
async def change_user(name: UserName, body: UserChange, accounts: Accounts) -> UserAnswer:
    """Change a user; a new password, or being active no more, ends all sessions."""
    changed = await accounts.change_user(
        name, role=body.role, is_active=body.is_active, password=body.password
    )
    return UserAnswer.of(changed)


@router.delete(
    "/users/{name}",
    status_code=204,
    dependencies=[requires("users:write")],
    responses=documented(404, 422, 503),
)
async def delete_user(name: UserName, accounts: Accounts) -> None:
    """Forget a user, with all sessions and keys."""
    await accounts.delete_user(name)


def _tokens(tokens: Tokens) -> TokenAnswer:
    return TokenAnswer(
        access_token=tokens.access,
        expires_in=tokens.expires_in,
        refresh_token=tokens.refresh,
        scope=" ".join(sorted(tokens.scopes)),
    )
