"""Tells failures of jobs to whoever wants to know, signed as Standard Webhooks have it."""

from __future__ import annotations

import base64
import hmac
import importlib
import json
import logging
import time
from collections.abc import Mapping
from typing import Any

from fastapi_app.schedules import Job, Slot, Webhook, signing_key
from fastapi_app.services.timetable import as_utc

log = logging.getLogger(__name__)

BACK_OFF = (5.0, 30.0, 120.0, 600.0, 1800.0)
"""Seconds before the second try, and those after it."""
WITHIN = 10.0
"""Seconds for one try."""


def failure(job: Job, slot: Slot) -> dict[str, Any]:
    """What is told."""
    return {
        "type": "job.failed",
        "timestamp": as_utc(time.time()),
        "data": {
            "job": {"id": job.id, "name": job.name},
            "slot": as_utc(slot.at),
            "run": slot.id,
            "reason": slot.reason,
        },
    }


def signed(message_id: str, body: str, secret: str | None, now: float) -> dict[str, str]:
    """The headers of a message (standardwebhooks.com, specification 1.0.0)."""
    headers = {
        "content-type": "application/json",
        "webhook-id": message_id,
        "webhook-timestamp": str(int(now)),
    }
    if secret is not None:
        text = f"{message_id}.{int(now)}.{body}"
        digest = hmac.digest(signing_key(secret), text.encode(), "sha256")
        headers["webhook-signature"] = f"v1,{base64.b64encode(digest).decode()}"
    return headers


async def tell(webhook: Webhook, message_id: str, message: Mapping[str, Any]) -> bool:
    """Try once; whether it was taken (an answer of 2xx). A redirect is not followed."""
    httpx = importlib.import_module("httpx")  # a fifth of a second: only where there is a webhook
    body = json.dumps(message)
    headers = signed(message_id, body, webhook.secret, time.time())
    try:
        async with httpx.AsyncClient(timeout=WITHIN, trust_env=False) as client:
            answer = await client.post(webhook.url, content=body, headers=headers)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        log.warning("a webhook was not told: %s", error or type(error).__name__)
        return False
    if not answer.is_success:
        log.warning("a webhook answered %s", answer.status_code)
    return bool(answer.is_success)
