"""Watches a running test, and says how the stacks compare now."""

from __future__ import annotations

import logging
import os
import time
from datetime import UTC, datetime
from typing import Any

import gevent
from locust.env import Environment
from locust.runners import STATE_RUNNING, STATE_SPAWNING, WorkerRunner

from loadtests.compare.history import History
from loadtests.compare.shares import FIELD, Shares
from loadtests.compare.stages import Stages
from loadtests.compare.tally import SHARED, compared, shared, tallies
from loadtests.users import NewStack

logger = logging.getLogger(__name__)

EACH = 1.0  # seconds between two points
STAGES_EACH = 2.0


class Watch:
    """One for each process of Locust; on a worker it only counts for the master."""

    def __init__(self, environment: Environment) -> None:
        url = os.environ.get("LOADTEST_NEW_URL") or environment.host or NewStack.host
        self.environment = environment
        self.history = History()
        self.shares = Shares()
        self.stages = Stages(str(url).rstrip("/"))
        events = environment.events
        events.request.add_listener(self._on_request)
        if isinstance(environment.runner, WorkerRunner):
            events.report_to_master.add_listener(self._on_report)
            return
        events.worker_report.add_listener(self._on_worker_report)
        events.test_start.add_listener(self._forget)
        events.reset_stats.add_listener(self._forget)
        gevent.spawn(self._take_points)
        gevent.spawn(self._ask_for_stages)

    @property
    def seconds(self) -> float:
        """From the start of the test, or the last reset, to the last answer."""
        stats = self.environment.stats
        begun: float = stats.start_time
        return max(0.0, (stats.last_request_timestamp or 0.0) - begun)

    def comparison(self, operation: str = SHARED) -> dict[str, Any]:
        """All that the page and the reports show; the charts are of this operation."""
        runner = self.environment.runner
        found = tallies(self.environment.stats.entries.values())
        by_route = self.shares.by_route()
        return {
            "at": datetime.now(UTC).isoformat(timespec="seconds"),
            "state": runner.state if runner else "",
            "users": runner.user_count if runner else 0,
            "seconds": round(self.seconds, 1),
            "shared": shared(found),
            "operations": compared(found, self.seconds),
            "operation": operation,
            "history": self.history.series(operation),
            "stages": {
                "url": self.stages.url,
                "problem": self.stages.problem,
                "routes": [
                    row | {"answered": by_route.get(row["route"], {})} for row in self.stages.routes
                ],
            },
            "answered": self.shares.by_operation(),
        }

    def _on_request(self, request_type: str, name: str, response: Any = None, **_: Any) -> None:  # noqa: ANN401
        self.shares.count(request_type, name, response)

    def _on_report(self, data: dict[str, Any], **_: object) -> None:
        data[FIELD] = self.shares.report()

    def _on_worker_report(self, data: dict[str, Any], **_: object) -> None:
        self.shares.merge(data.get(FIELD, ()))

    def _forget(self, **_: object) -> None:
        self.history.clear()
        self.shares.counts.clear()

    def _take_points(self) -> None:
        while True:
            gevent.sleep(EACH)
            runner = self.environment.runner
            if runner and runner.state in (STATE_SPAWNING, STATE_RUNNING):
                found = tallies(self.environment.stats.entries.values())
                passed = time.time() - self.environment.stats.start_time
                self.history.add(passed, runner.user_count, found)

    def _ask_for_stages(self) -> None:
        while True:
            before = self.stages.problem
            self.stages.ask()
            if self.stages.problem and self.stages.problem != before:
                logger.warning("No stages: %s", self.stages.problem)
            gevent.sleep(STAGES_EACH)
