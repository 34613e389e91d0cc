"""Jobs that call somebody over HTTP, and somebody who is told of failures: by a real server."""

from __future__ import annotations

import asyncio
import base64
import hmac
import json
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest

from fastapi_app.schedules import SlotState, TaskKind, Webhook
from fastapi_app.services import webhooks

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.fastapi_app.services.planning import Bed

SECRET = "a secret of sixteen"


class Hook:
    """A web server that notes what it is told, and answers with the next status."""

    def __init__(self, statuses: list[int]) -> None:
        self.statuses = statuses
        self.heard: list[tuple[str, dict[str, str], str]] = []
        self.url = ""

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        first, *lines = head.strip().split("\r\n")
        headers = {k.lower(): v for k, _, v in (line.partition(": ") for line in lines)}
        body = await reader.readexactly(int(headers.get("content-length", 0)))
        self.heard.append((first, headers, body.decode()))
        status = self.statuses.pop(0) if self.statuses else 200
        extra = "location: http://127.0.0.2:1/\r\n" if status == 302 else ""
        writer.write(f"HTTP/1.1 {status} X\r\n{extra}content-length: 2\r\n\r\nok".encode())
        await writer.drain()
        writer.close()

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Hook]:
        server = await asyncio.start_server(self._answer, "127.0.0.1", 0)
        async with server:
            port = server.sockets[0].getsockname()[1]
            self.url = f"http://127.0.0.1:{port}/hook"
            yield self


async def test_a_failure_is_told_until_somebody_has_taken_it(bed: Bed) -> None:
    async with Hook([500, 302, 200]).open() as hook:
        job = await bed.job("exit 3", every="1d", webhook=Webhook(hook.url, SECRET))
        await bed.after(86_400)
        await bed.over(job)
        assert len(hook.heard) == 1
        await bed.after(4)
        assert len(hook.heard) == 1  # too soon
        await bed.after(2)
        await bed.after(31)
        assert len(hook.heard) == 3
        await bed.after(10_000)
        assert len(hook.heard) == 3
    assert bed.counted("mcli_scheduler_notifications") == {"failed": 2, "delivered": 1}
    (slot,) = await bed.found(job)
    assert (slot.state, slot.reason) == (SlotState.FAILED, "failed")
    first, headers, body = hook.heard[-1]
    assert first == "POST /hook HTTP/1.1"
    told = json.loads(body)
    assert told["type"] == "job.failed"
    assert told["data"]["job"] == {"id": job.id, "name": "job"}
    assert told["data"]["run"] == slot.id == headers["webhook-id"]
    text = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.{body}"
    expected = base64.b64encode(hmac.digest(SECRET.encode(), text.encode(), "sha256")).decode()
    assert headers["webhook-signature"] == f"v1,{expected}"


def test_a_message_is_signed_as_the_specification_has_it() -> None:
    # What the reference library makes of its own example.
    headers = webhooks.signed(
        "msg_p5jXN8AQM9LWM0D4loKWxJek",
        '{"test": 2432232314}',
        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        1614265330.9,
    )
    assert headers["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
    assert headers["webhook-timestamp"] == "1614265330"


async def test_a_hook_that_nobody_answers_is_given_up(bed: Bed) -> None:
    async with Hook([]).open() as hook:
        gone = hook.url
    job = await bed.job("exit 3", every="90d", webhook=Webhook(gone))
    await bed.after(90 * 86_400)
    await bed.over(job)
    for _ in range(8):
        await bed.after(2000)
    assert await bed.slots.untold(bed.clock.now + 10**6, 10) == []
    told = bed.counted("mcli_scheduler_notifications")
    assert told == {"failed": len(webhooks.BACK_OFF), "given_up": 1}


@pytest.mark.parametrize(
    ("statuses", "task", "returncode", "printed"),
    [
        ([200], {}, 0, "ok"),
        ([404], {}, 22, "ok"),
        ([302], {}, 47, ""),
        ([200], {"method": "POST", "body": "hi", "headers": {"X-Key": SECRET}}, 0, "ok"),
    ],
)
async def test_an_http_call(
    bed: Bed, statuses: list[int], task: dict[str, Any], returncode: int, printed: str
) -> None:
    async with Hook(statuses).open() as hook:
        job = await bed.job(kind=TaskKind.HTTP, task={"url": hook.url, **task}, every="1d")
        await bed.after(86_400)
        await bed.over(job)
    (slot,) = await bed.found(job)
    run = await bed.bench.runs.get(slot.id)
    assert run is not None
    assert (run.returncode, bed.bench.printed(run)) == (returncode, printed)
    assert slot.state is (SlotState.COMPLETED if returncode == 0 else SlotState.FAILED)
    first, headers, body = hook.heard[0]
    assert first.startswith(task.get("method", "GET"))
    assert body == task.get("body", "")
    assert headers.get("x-key") == task.get("headers", {}).get("X-Key")


async def test_an_http_call_that_nobody_answers(bed: Bed) -> None:
    async with Hook([]).open() as hook:
        gone = hook.url
    job = await bed.job(kind=TaskKind.HTTP, task={"url": gone}, every="1d")
    await bed.after(86_400)
    await bed.over(job)
    (slot,) = await bed.found(job)
    run = await bed.bench.runs.get(slot.id)
    assert run is not None
    assert run.returncode == 7
