"""Who is let in: the owner's token, logins, API keys; and who is not any more."""

from __future__ import annotations

import json
import stat
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import httpx
import jwt
import pytest

from fastapi_app.services.tokens import HEADER, ISSUER, Claims, Signer, new_key
from tests.fastapi_app.accounts import AUTH, PASSWORD, bearer, key, login, user
from tests.fastapi_app.routers.wire import execute, problem
from tests.fastapi_app.starting import start_app, until
from tests.servers import StartError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.servers import Server

ME = f"{AUTH}/me"
LIST = "/api/v1/workflows/list"
SECRET = "a secret that all servers of this test share"


def status(server: Server, token: str, path: str = ME) -> int:
    return httpx.get(f"{server.new}{path}", headers=bearer(token)).status_code


@pytest.fixture(scope="module")
def signer(server: Server) -> Signer:
    """What the server signs with."""
    return Signer((server.home / "secret").read_text().strip().encode())


@pytest.fixture(scope="module")
def ann(client: httpx.Client) -> dict[str, Any]:
    """The tokens of a user."""
    return login(client, user(client, "ann"))


def test_the_first_start_makes_a_token_only_its_owner_can_read(server: Server) -> None:
    for name in ("token", "secret"):
        assert stat.S_IMODE((server.home / name).stat().st_mode) == 0o600
    assert server.token.startswith("mclih_")
    assert httpx.get(f"{server.new}{ME}", headers=server.auth).json()["kind"] == "owner"
    assert server.token not in b"".join(server.printed).decode()


def test_a_token_that_others_could_read_is_closed_and_stays_the_same(home: Path) -> None:
    with start_app(home) as server:
        token = server.token
    (home / "token").chmod(0o644)
    with start_app(home) as server:
        assert server.token == token
        assert stat.S_IMODE((home / "token").stat().st_mode) == 0o600
        assert b"could be read by others" in b"".join(server.printed)


def test_a_token_that_is_no_secret_stops_the_start(home: Path) -> None:
    home.mkdir()
    (home / "token").write_text("x\n")
    with pytest.raises(StartError, match="has less than 32 characters: delete it"):
        start_app(home)


def test_without_a_token_the_answer_says_where_one_is(server: Server) -> None:
    answer = httpx.get(f"{server.new}{LIST}")
    assert "$MCLI_HOME/token" in problem(answer, 401, "unauthenticated")["detail"]
    assert answer.headers["WWW-Authenticate"] == 'Bearer realm="mcli"'


@pytest.mark.parametrize(
    "headers",
    [
        [("Authorization", "Basic YTpi")],
        [("Authorization", "Bearer")],
        [("Authorization", "Bearer x y")],
        [("Authorization", "Bearer " + "x" * 5000)],
        [("Authorization", "Bearer mcli_0123456789ab_short")],
        [("Authorization", "Bearer \xe9")],
        [("Authorization", "Bearer a"), ("Authorization", "Bearer b")],
    ],
)
def test_what_is_no_token_of_ours_is_refused(
    server: Server, headers: list[tuple[str, str]]
) -> None:
    raw = [(name.encode(), value.encode("latin-1")) for name, value in headers]
    answer = httpx.get(f"{server.new}{LIST}", headers=raw)
    problem(answer, 401, "invalid-token")
    assert 'error="invalid_token"' in answer.headers["WWW-Authenticate"]


@pytest.mark.filterwarnings("ignore::jwt.warnings.InsecureKeyLengthWarning")
def test_forged_access_tokens_are_refused(
    server: Server, signer: Signer, ann: dict[str, Any]
) -> None:
    assert status(server, ann["access_token"]) == 200
    payload = jwt.decode(ann["access_token"], options={"verify_signature": False})
    right, now = signer._jwt_key, int(time.time())

    def forged(alg: str = "HS256", secret: Any = right, header: Any = None, **fields: Any) -> str:  # noqa: ANN401
        headers = {"typ": HEADER["typ"]} | (header or {})
        return jwt.encode(payload | fields, secret, alg, headers=headers)

    assert status(server, forged()) == 200
    for token in (
        forged("none", None),
        forged("HS512"),
        forged(secret=b"another key of thirty-two bytes!!"),
        forged(header={"crit": ["exp"], "exp": now}),
        forged(header={"kid": "../../etc/passwd"}),
        forged(header={"typ": "JWT"}),
        forged(exp=now - 1),
        forged(iat=now + 3600),
        forged(nbf=now + 3600),
        forged(iss="somebody"),
        forged(sid="00000000-0000-4000-8000-000000000000"),
        forged(sub="00000000-0000-4000-8000-000000000000"),
        ann["access_token"][:-2] + "AA",
        jwt.encode({"sub": "x"}, right, "HS256", headers={"typ": HEADER["typ"]}),
    ):
        assert status(server, token) == 401, jwt.get_unverified_header(token)


def test_a_refresh_token_is_good_once_and_its_reuse_ends_the_session(
    server: Server, client: httpx.Client, ann: dict[str, Any]
) -> None:
    def refresh(token: str) -> httpx.Response:
        return httpx.post(f"{server.new}{AUTH}/refresh", json={"refresh_token": token})

    first = login(client, "ann")
    second = refresh(first["refresh_token"])
    assert second.status_code == 200
    tokens = second.json()
    assert tokens["refresh_token"] != first["refresh_token"]
    assert status(server, tokens["access_token"]) == 200
    problem(refresh(first["refresh_token"]), 401, "invalid-token")
    problem(refresh(tokens["refresh_token"]), 401, "invalid-token")
    assert status(server, tokens["access_token"]) == 401
    assert status(server, ann["access_token"]) == 200  # another session
    problem(refresh("mclir_x"), 401, "invalid-token")


def test_of_two_refreshes_at_once_one_wins_and_the_session_ends(
    server: Server, client: httpx.Client, ann: dict[str, Any]
) -> None:
    assert ann
    body = {"refresh_token": login(client, "ann")["refresh_token"]}
    with ThreadPoolExecutor(4) as threads:
        asked = [
            threads.submit(httpx.post, f"{server.new}{AUTH}/refresh", json=body) for _ in range(4)
        ]
        answers = [each.result() for each in asked]
    assert sorted(answer.status_code for answer in answers) == [200, 401, 401, 401]


def test_name_and_password_are_told_apart_by_nobody(
    client: httpx.Client, ann: dict[str, Any]
) -> None:
    assert ann
    said = set()
    for name, password in (("ann", "wrong password"), ("nobody", PASSWORD), ("ann", "x" * 1024)):
        answer = client.post(f"{AUTH}/login", data={"username": name, "password": password})
        said.add(problem(answer, 401, "wrong-password")["detail"])
    assert len(said) == 1


def test_who_is_made_inactive_is_out_at_once(server: Server, client: httpx.Client) -> None:
    tokens = login(client, user(client, "ben"))
    mine = {"name": "bens", "scopes": ["workflows:read"]}
    made = httpx.post(
        f"{server.new}{AUTH}/keys", json=mine, headers=bearer(tokens["access_token"])
    ).json()["key"]
    assert status(server, made, LIST) == 200
    assert client.patch(f"{AUTH}/users/ben", json={"is_active": False}).status_code == 200
    assert (status(server, made, LIST), status(server, tokens["access_token"])) == (401, 401)
    answer = client.post(f"{AUTH}/login", data={"username": "ben", "password": PASSWORD})
    problem(answer, 401, "wrong-password")
    assert client.patch(f"{AUTH}/users/ben", json={"is_active": True}).status_code == 200
    assert status(server, made, LIST) == 200


def test_a_role_counts_from_the_next_request(server: Server, client: httpx.Client) -> None:
    token = login(client, user(client, "cleo", "admin"))["access_token"]
    assert status(server, token, f"{AUTH}/users") == 200
    client.patch(f"{AUTH}/users/cleo", json={"role": "viewer"})
    answer = httpx.get(f"{server.new}{AUTH}/users", headers=bearer(token))
    assert "'users:read'" in problem(answer, 403, "forbidden")["detail"]
    assert 'scope="users:read"' in answer.headers["WWW-Authenticate"]
    problem(
        client.post(f"{AUTH}/users", json={"name": "cleo", "password": PASSWORD}),
        409,
        "user-exists",
    )
    assert client.delete(f"{AUTH}/users/cleo").status_code == 204
    assert status(server, token) == 401
    problem(client.delete(f"{AUTH}/users/cleo"), 404, "user-not-found")


def test_a_new_password_ends_the_other_sessions(server: Server, client: httpx.Client) -> None:
    user(client, "dora")
    here, there = login(client, "dora"), login(client, "dora")
    mine = bearer(here["access_token"])
    url = f"{server.new}{AUTH}"
    wrong = httpx.post(f"{url}/password", json={"current": "x", "new": PASSWORD}, headers=mine)
    problem(wrong, 401, "wrong-password")
    short = httpx.post(f"{url}/password", json={"current": PASSWORD, "new": "x"}, headers=mine)
    problem(short, 422, "invalid")
    body = {"current": PASSWORD, "new": "another long one"}
    assert httpx.post(f"{url}/password", json=body, headers=mine).status_code == 204
    assert status(server, here["access_token"]) == 200
    assert status(server, there["access_token"]) == 401
    problem(client.post(f"{AUTH}/password", json=body), 409, "no-session")


def test_sessions_are_listed_and_ended_by_their_owner(server: Server, client: httpx.Client) -> None:
    user(client, "emil")
    here, there = login(client, "emil"), login(client, "emil")
    url, mine = f"{server.new}{AUTH}", bearer(here["access_token"])
    listed = httpx.get(f"{url}/sessions", headers=mine).json()["items"]
    assert len(listed) == 2
    me = httpx.get(f"{url}/me", headers=bearer(there["access_token"])).json()
    other = me["credential"].removeprefix("session:")
    assert httpx.delete(f"{url}/sessions/{other}", headers=mine).status_code == 204
    assert status(server, there["access_token"]) == 401
    problem(httpx.delete(f"{url}/sessions/{other}", headers=mine), 404, "session-not-found")
    problem(httpx.get(f"{url}/sessions?all=true", headers=mine), 403, "forbidden")
    assert len(client.get(f"{AUTH}/sessions?all=true").json()["items"]) > 1
    assert client.get(f"{AUTH}/sessions").json()["items"] == []
    assert httpx.post(f"{url}/logout", headers=mine).status_code == 204
    assert status(server, here["access_token"]) == 401
    problem(client.post(f"{AUTH}/logout"), 409, "no-session")


def test_a_key_does_what_its_scopes_allow_until_it_is_revoked(
    server: Server, client: httpx.Client
) -> None:
    key_id, text = key(client, "workflows:read")
    assert status(server, text, LIST) == 200
    assert status(server, text, "/api/v1/commands/list") == 403
    listed = {each["id"]: each for each in client.get(f"{AUTH}/keys").json()["items"]}
    assert listed[key_id]["last_used"] is not None
    assert text not in json.dumps(listed)
    with ThreadPoolExecutor(1) as thread:
        assert client.delete(f"{AUTH}/keys/{key_id}").status_code == 204
        assert thread.submit(status, server, text, LIST).result() == 401
    problem(client.delete(f"{AUTH}/keys/{key_id}"), 404, "key-not-found")
    mistyped = text[:-1] + ("0" if text[-1] != "0" else "1")
    answer = httpx.get(f"{server.new}{LIST}", headers=bearer(mistyped))
    assert "checksum" in problem(answer, 401, "invalid-token")["detail"]
    assert status(server, new_key()[1], LIST) == 401


def test_a_key_can_neither_make_keys_nor_see_them(server: Server, client: httpx.Client) -> None:
    _, text = key(client, "workflows:read", "users:read")
    with httpx.Client(base_url=server.new, headers=bearer(text)) as thief:
        body = {"name": "x", "scopes": ["workflows:read"]}
        problem(thief.post(f"{AUTH}/keys", json=body), 403, "forbidden")
        problem(thief.get(f"{AUTH}/keys"), 403, "forbidden")


def test_nobody_gives_away_more_than_they_have(server: Server, ann: dict[str, Any]) -> None:
    with httpx.Client(base_url=server.new, headers=bearer(ann["access_token"])) as hers:
        body: dict[str, Any] = {"name": "x", "scopes": ["users:write"]}
        problem(hers.post(f"{AUTH}/keys", json=body), 403, "forbidden")
        body["scopes"] = ["nonsense:read"]
        problem(hers.post(f"{AUTH}/keys", json=body), 422, "invalid-account")
        body |= {"scopes": ["workflows:read"], "expires_in": 0}
        problem(hers.post(f"{AUTH}/keys", json=body), 422, "invalid")


def test_a_key_expires(server: Server, client: httpx.Client) -> None:
    _, text = key(client, "workflows:read", expires_in=3.0)
    assert status(server, text, LIST) == 200
    until(lambda: status(server, text, LIST) == 401)


@pytest.fixture
def pair(tmp_path: Path, postgres_url: str) -> Iterator[tuple[Server, Server]]:
    """Two servers on one database."""
    shared = {"database_url": postgres_url, "secret_key": SECRET}
    with start_app(tmp_path / "a", **shared) as a, start_app(tmp_path / "b", **shared) as b:
        yield a, b


@pytest.mark.postgres
def test_what_is_revoked_at_one_server_is_refused_by_the_other_at_once(
    pair: tuple[Server, Server],
) -> None:
    one, two = pair
    with one.client() as client:
        user(client, "ann")
        session = login(client, "ann")
        key_id, text = key(client, "workflows:read")
        assert (status(two, text, LIST), status(two, session["access_token"])) == (200, 200)
        client.delete(f"{AUTH}/keys/{key_id}")
        assert status(two, text, LIST) == 401
        tokens = httpx.post(
            f"{two.new}{AUTH}/refresh", json={"refresh_token": session["refresh_token"]}
        ).json()
        body = {"refresh_token": session["refresh_token"]}
        assert httpx.post(f"{one.new}{AUTH}/refresh", json=body).status_code == 401
        assert status(two, tokens["access_token"]) == 401
        assert status(two, one.token) == 401  # each machine has its own


def test_a_short_secret_is_refused_and_not_shown(home: Path) -> None:
    with pytest.raises(StartError, match="MCLI_SECRET_KEY") as refused:
        start_app(home, secret_key="too short a secret")  # noqa: S106
    assert "too short a secret" not in str(refused.value)
    with pytest.raises(ValueError, match="32 bytes"):
        Signer(b"short")


def test_tokens_name_their_issuer(signer: Signer) -> None:
    token = signer.access(Claims("u", "s", time.time() + 60), time.time())
    assert jwt.decode(token, options={"verify_signature": False})["iss"] == ISSUER


def test_no_command_finds_a_secret_of_the_server_in_its_environment(home: Path) -> None:
    with start_app(home, secret_key=SECRET) as server, server.client() as client:
        printed = execute(client, "env")["output"]
        assert "MCLI_HOME" in printed
        assert SECRET not in printed
