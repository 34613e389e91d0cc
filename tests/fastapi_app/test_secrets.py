"""The values of secrets are shown nowhere: every answer, every form of a log, every event."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING
from urllib.parse import quote
from uuid import uuid4

import httpx
from websockets.sync.client import connect

from tests.fastapi_app.routers.wire import NDJSON, RUNS, created, finished, start
from tests.fastapi_app.starting import start_app
from tests.servers import ROOT, environment

if TYPE_CHECKING:
    from pathlib import Path

    from tests.servers import Server

SECRET = "pa$$ w0rd/" + uuid4().hex
IN_BASE64 = base64.b64encode(SECRET.encode()).decode()
FORMS = [SECRET, quote(SECRET), quote(SECRET, safe=""), json.dumps(SECRET)[1:-1]]
# Whole, in two pieces, in base64, in the middle of more base64, as progress.
PRINT = (
    'echo "<$TOKEN>"; echo "<$TOKEN>" >&2; a=${TOKEN%?????}; printf %s "$a"; sleep 0.1;'
    ' echo "${TOKEN#"$a"}"; printf %s "$TOKEN" | base64; printf "xx%sy" "$TOKEN" | base64 -w0;'
    ' echo; echo "::progress 40 now $TOKEN"'
)
ASKED = {"secrets": {"TOKEN": SECRET}, "env": {"URL": f"http://me:{SECRET}@host"}}
ACCEPTS = ["text/plain", NDJSON, "text/event-stream"]


def leaks(text: str) -> list[str]:
    """The forms of the secret that can be read in a text."""
    found = [form for form in [*FORMS, IN_BASE64[:-4]] if form in text]
    compact = text.replace("\\n", "").replace("\n", "")
    return found + [form for form in (IN_BASE64[4:-8],) if form in compact]


def heard(server: Server, path: str) -> str:
    """All that a WebSocket says until it closes."""
    url = server.new.replace("http", "ws", 1) + f"/ws/workflows{path}"
    with connect(url, additional_headers=server.auth, proxy=None, open_timeout=15) as socket:
        return "\n".join(map(str, socket))


def everything(client: httpx.Client, server: Server, run_id: str) -> dict[str, str]:
    """All that can be read of one run that is over."""
    told = {}
    for path in ("", "/status", "/history", "/steps"):
        told[path] = client.get(f"{RUNS}/{run_id}{path}").text
    for accept in ACCEPTS:
        for follow in ("false", "true"):
            for path in ("/logs", "/events"):
                url = f"{RUNS}/{run_id}{path}?follow={follow}"
                answer = client.get(url, headers={"Accept": accept})
                assert answer.status_code == 200
                told[f"{accept} {url}"] = answer.text
    for offset in (1, 5, 20):
        told[f"from {offset}"] = client.get(f"{RUNS}/{run_id}/logs?offset={offset}").text
    for path in ("", "/logs"):
        told[f"socket {path}"] = heard(server, f"/{run_id}{path}")
    told["stop"] = client.post(f"{RUNS}/{run_id}/stop").text
    return told


def test_nobody_can_read_a_secret(home: Path) -> None:
    with (
        start_app(home, log_level="debug") as server,
        server.client(timeout=30) as client,
    ):
        document = created(
            client,
            "doc",
            f"steps: {{a: {{run: {json.dumps(PRINT)}}}, b: {{run: 'exit 3', needs: [a]}}}}",
            language="yaml",
        )
        stored = created(client, "stored", f"{PRINT}\necho $1\nexit 2")
        told: dict[str, str] = {}
        ids = [start(client, f"{PRINT}; echo '{SECRET}'; exit 1", **ASKED)]
        with ThreadPoolExecutor() as pool:
            live = [pool.submit(heard, server, f"/{ids[0]}{path}") for path in ("", "/logs")]
            told["live"] = "".join(done.result() for done in live)
        ids.append(start(client, PRINT + "; exit 1", retries={"times": 1, "delay": 0.01}, **ASKED))
        for name in (document, stored):
            body = {"name": name, "args": [SECRET], **ASKED}
            ids.append(client.post(f"{RUNS}/start", json=body).json()["job_id"])
        gone = home / f"gone-{SECRET.replace('/', '')}"
        gone.mkdir()
        ids.append(start(client, "true", cwd=str(gone), **ASKED))
        terms: list[dict[str, object]] = [{"stream": True}, {}, {"timeout": 0.05}]
        for term in terms:
            asked = {"command": f"{PRINT}; sleep 0.1", **term, **ASKED}
            answer = client.post(f"{RUNS}/execute", json=asked)
            told[f"execute {term}"] = answer.text
        finished(client, ids[0])
        ids.append(client.post(f"{RUNS}/{ids[0]}/retry").json()["job_id"])
        ids.append(start(client, PRINT, after=[ids[0]], on="success", **ASKED))
        for run_id in list(ids):
            finished(client, run_id)
            steps = client.get(f"{RUNS}/{run_id}/steps").json()["items"]
            ids += [step["id"] for step in steps]
        assert len(ids) == 9
        for run_id in ids:
            for where, text in everything(client, server, run_id).items():
                told[f"{run_id} {where}"] = text
        told["list"] = client.get(f"{RUNS}/list?limit=1000").text
        told["steps"] = client.get(f"{RUNS}/list?kind=step&limit=1000").text
        told["events"] = client.get(f"{RUNS}/events?follow=false").text
        wrong = {"command": "true", "secrets": {"TOKEN": SECRET, "A=B": SECRET}, "cwd": 5}
        told["wrong"] = client.post(f"{RUNS}/execute", json=wrong).text
        for arguments in (["logs", ids[0]], ["runs"], ["follow", ids[0]], ["run", "true"]):
            said = subprocess.run(
                [sys.executable, "-m", "cli", "--url", server.new, *arguments],
                cwd=ROOT,
                env=environment(home),
                capture_output=True,
                text=True,
                check=False,
            )
            told[f"mclictl {arguments}"] = said.stdout + said.stderr
        assert server.stop() == 0
        told["server"] = b"".join(server.printed).decode()
        told["helpers"] = (home / "logs" / "spawner.log").read_text()
    assert {where: found for where, text in told.items() if (found := leaks(text))} == {}
    for where in ("live", "execute {}", f"{ids[0]} text/plain {RUNS}/{ids[0]}/logs?follow=false"):
        assert "<***>" in told[where], where
    assert "<***>" in told[f"mclictl {['logs', ids[0]]}"]
    assert "now ***" in told[f"{ids[0]} "]
