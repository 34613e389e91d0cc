"""Histograms, tallies and totals: over time, over processes, over restarts."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from compat.cutover import Cutover
from compat.measures import Histogram, Measures, Tally, Totals
from compat.settings import DualSettings
from compat.stages import Stack, Stage
from fastapi_app.factory import Services, open_services

ROUTE = "GET /status"
LEGACY, SHADOW = (ROUTE, Stack.LEGACY), (ROUTE, Stack.SHADOW)


@asynccontextmanager
async def opened(home: Path) -> AsyncIterator[Services]:
    async with open_services(DualSettings(home=home)) as services:
        await Cutover(services, [ROUTE], Measures(services, "-"), Stage.NEW).load()
        yield services


@pytest.mark.parametrize("share", [0.5, 0.95, 0.99, 1.0])
def test_a_quantile_is_right_within_three_percent(share: float) -> None:
    seeded = random.Random(1)
    times = sorted(seeded.lognormvariate(-6, 2) for _ in range(5000))
    histogram = Histogram()
    for seconds in times:
        histogram.note(seconds)
    exact = times[int(len(times) * share) - 1]
    assert histogram.quantile(share) == pytest.approx(exact, rel=0.032, abs=1e-6)


def test_nothing_has_no_quantile_and_everything_has_a_bucket() -> None:
    histogram = Histogram()
    assert histogram.quantile(0.5) is None
    for seconds in (0.0, 1e-9, 63e-6, 64e-6, 65e-6, 1.0, 86_400.0):
        histogram.note(seconds)
    assert histogram.quantile(1.0) == pytest.approx(86_400, rel=0.032)
    assert histogram.quantile(0.01) == pytest.approx(0, abs=1e-6)


def test_what_happened_in_between_is_the_difference() -> None:
    tally = Tally()
    tally.note(0.001, failed=False)
    before = Totals.from_json(Totals({LEGACY: tally}).as_json())
    for _ in range(3):
        tally.note(0.5, failed=True)
    since = Totals({LEGACY: tally}).minus(before)[LEGACY]
    assert (since.counts["requests"], since.counts["errors"], since.error_rate) == (3, 3, 1.0)
    assert since.times.quantile(0.01) == pytest.approx(0.5, rel=0.032)


def test_parity_is_the_share_that_was_the_same() -> None:
    assert Tally().parity is None
    assert Tally({"compared": 200, "mismatched": 1}).parity == pytest.approx(0.995)


async def test_processes_add_up_and_a_restart_goes_on(tmp_path: Path) -> None:
    async with opened(tmp_path) as services:
        one, other = Measures(services, "one"), Measures(services, "other")
        one.tally(*LEGACY).note(0.01, failed=False)
        other.tally(*LEGACY).note(0.01, failed=True)
        other.tally(*SHADOW).counts["compared"] += 1
        await other.flush()
        totals = await one.totals()
        assert totals[LEGACY].counts == {"requests": 2, "errors": 1}
        assert totals[SHADOW].counts["compared"] == 1
        again = Measures(services, "other")
        await again.load()
        again.tally(*LEGACY).note(0.01, failed=False)
        await again.flush()
        await again.flush()
        assert (await one.totals())[LEGACY].counts["requests"] == 3
