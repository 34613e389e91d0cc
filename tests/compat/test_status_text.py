"""`GET /status` is written by hand, and must be what JSON would write."""

from __future__ import annotations

import json
from random import Random

import pytest

from compat.adapters import StatusText
from fastapi_app.models import Snapshot

NOW = Snapshot(True, 0, 0, (), 0, 0, 0, 0)


@pytest.mark.parametrize(
    "uptime", [0.0, 0.0004, 0.1204, 1.5, 10.0, 12.25, 59.9996, 1e6, 31536000.1]
)
def test_the_uptime_is_written_as_json_writes_it(uptime: float) -> None:
    body = StatusText({"port": 5005}).reply(NOW, uptime).body
    assert isinstance(body, bytes)
    assert body.endswith(b',"uptime_seconds":%b}\n' % json.dumps(round(uptime, 3)).encode())


def test_any_uptime_is() -> None:
    text, seeded = StatusText({}), Random(1)
    for _ in range(2000):
        uptime = seeded.random() * 10 ** seeded.randrange(8)
        body = text.reply(NOW, uptime).body
        assert isinstance(body, bytes)
        assert json.loads(body)["uptime_seconds"] == round(uptime, 3)
