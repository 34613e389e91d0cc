"""Logs: one pipeline, one line each, and no secrets in them."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from fastapi_app.observability import HIDDEN, redacted, without_secrets
from tests.servers import ROOT, environment

if TYPE_CHECKING:
    from pathlib import Path

SECRET = "hunter2-Hunter2"
JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhbm4ifQ.c2lnbmF0dXJl"
KEY = "mcli_ab12_0123456789abcdefghijklmn"
SAY = """
import logging, sys
from fastapi_app import observability
observability.set_up("info", sys.argv[1])
assert "structlog" not in sys.modules
observability.CALLER.set(observability.Caller("the-id", "", {}))
exec(sys.stdin.read())
"""


def said(tmp_path: Path, form: str, code: str) -> str:
    """What a process prints to standard error that has set its logs up and does this."""
    done = subprocess.run(
        [sys.executable, "-c", SAY, form],
        input=code,
        cwd=ROOT,
        env=environment(tmp_path),
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stderr


def line(tmp_path: Path, code: str) -> dict[str, Any]:
    (only,) = said(tmp_path, "json", code).splitlines()
    found: dict[str, Any] = json.loads(only)
    return found


def test_a_line_of_json_has_all_that_is_known(tmp_path: Path) -> None:
    found = line(tmp_path, 'logging.getLogger("uvicorn.error").error("%s!", "no", extra={"n": 1})')
    assert found.pop("timestamp").endswith("Z")
    assert found == {
        "event": "no!",
        "level": "error",
        "logger": "uvicorn.error",
        "request_id": "the-id",
        "n": 1,
    }


def test_a_traceback_stays_in_its_line_and_keeps_its_secrets(tmp_path: Path) -> None:
    code = f"""
try:
    raise ValueError("Authorization: Bearer {SECRET}")
except ValueError:
    logging.getLogger("x").exception("failed")
"""
    found = line(tmp_path, code)
    assert "Traceback" in found["exception"]
    assert "ValueError" in found["exception"]
    assert SECRET not in json.dumps(found)


def test_auto_is_json_where_nobody_reads(tmp_path: Path) -> None:
    assert json.loads(said(tmp_path, "auto", 'logging.warning("hi")'))["event"] == "hi"


def test_lines_for_people(tmp_path: Path) -> None:
    printed = said(tmp_path, "console", f'logging.warning("hi password={SECRET}")')
    assert "warning" in printed
    assert "hi password=[redacted]" in printed
    assert "the-id" in printed
    assert SECRET not in printed
    assert "\033" not in printed, "colours are for terminals"


def test_structlog_s_own_loggers_go_the_same_way(tmp_path: Path) -> None:
    code = f"""
logging.warning("first")
import structlog
structlog.get_logger("ours").warning("started", port=1, token="{SECRET}")
"""
    _, second = (json.loads(text) for text in said(tmp_path, "json", code).splitlines())
    assert (second["event"], second["port"], second["token"]) == ("started", 1, HIDDEN)
    assert (second["request_id"], second["logger"]) == ("the-id", "ours")


@pytest.mark.parametrize(
    "text",
    [
        f"Authorization: Bearer {SECRET}",
        f"authorization={SECRET}",
        f"{{'Authorization': 'Basic {SECRET}'}}",
        f"(b'authorization', b'Bearer {SECRET}')",
        f"(b'x-api-key', b'{SECRET}')",
        f"X-Api-Key: {SECRET}",
        f"GET /ws/workflows?token={SECRET}&since=1",
        f"?access_token={SECRET}",
        f'{{"password": "{SECRET}"}}',
        f"refresh_token='{SECRET}'",
        f"MCLI_SECRET_KEY=x client_secret={SECRET}",
        f"postgresql+asyncpg://user:{SECRET}@host/name",
        f"Cookie: session={SECRET}",
        f"bearer {SECRET}",
        f"api_key={SECRET}",
        f"apikey: {SECRET}",
    ],
)
def test_secrets_are_known_by_what_stands_before_them(text: str) -> None:
    found = without_secrets(text)
    assert SECRET not in found
    assert HIDDEN in found


@pytest.mark.parametrize(
    "secret", [JWT, KEY, JWT[:30], KEY.replace("_", "h_", 1), KEY.replace("_", "r_", 1)]
)
def test_secrets_are_known_by_their_looks(secret: str) -> None:
    assert without_secrets(f"it was {secret}, they say") == f"it was {HIDDEN}, they say"


@pytest.mark.parametrize(
    "text",
    [
        "run 0192 still runs as pid 7; watching it again",
        "http://127.0.0.1:8000/docs",
        "the tokenizer met a basic mistake at mcli.db",
        "mcli_loop is a short name",
    ],
)
def test_what_is_no_secret_stays(text: str) -> None:
    assert without_secrets(text) in {text, text.replace("basic mistake", f"basic {HIDDEN}")}


def test_names_hide_whatever_they_hold() -> None:
    given = {"env": {"API_TOKEN": SECRET, "STAGE": "x"}, "all": [{"password": 1}, "a"]}
    assert redacted(given) == {
        "env": {"API_TOKEN": HIDDEN, "STAGE": "x"},
        "all": [{"password": HIDDEN}, "a"],
    }
