"""How late the event loop is: what every request waits for besides its own work."""

from __future__ import annotations

import asyncio
import time

from fastapi_app.metrics import Histogram

EVERY = 0.5
"""Seconds between two looks."""


async def watch_lag(lag: Histogram, every: float = EVERY) -> None:
    """Note how much longer than asked for each sleep was, until cancelled."""
    while True:
        begun = time.perf_counter()
        await asyncio.sleep(every)
        lag.note(max(0.0, time.perf_counter() - begun - every))
