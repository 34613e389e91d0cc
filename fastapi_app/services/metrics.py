"""What Prometheus is told: the numbers of this server, and of the database it may share."""

from __future__ import annotations

import importlib
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from fastapi_app.engine.embedded import EmbeddedEngine
from fastapi_app.errors import StorageUnavailableError
from fastapi_app.metrics import Collector, Family, Kind, Metrics, counter, gauge
from fastapi_app.models import RunStatus, Snapshot
from fastapi_app.services.daemon import DaemonService
from fastapi_app.services.processes import ProcessService
from fastapi_app.services.supervisor import Supervisor
from fastapi_app.supervision import ProcessState

if TYPE_CHECKING:
    from fastapi_app.exposition import Exposition


class MetricsService:
    """Collects and renders. What the database tells is asked for once per scrape."""

    def __init__(
        self,
        metrics: Metrics,
        *,
        daemon: DaemonService,
        engine: EmbeddedEngine,
        processes: ProcessService,
        supervisor: Supervisor,
    ) -> None:
        self._metrics = metrics
        self._daemon = daemon
        self._engine = engine
        self._processes = processes
        self._supervisor = supervisor
        self._snapshot: Snapshot | None = None
        self._states: Counter[ProcessState] = Counter()
        self._exposition: Exposition | None = None
        metrics.register(self._of_the_engine)
        metrics.register(self._of_the_database)

    def register(self, collector: Collector) -> None:
        """Have a collector asked at each scrape; see `Metrics.register`."""
        self._metrics.register(collector)

    async def render(self, accept: str) -> tuple[bytes, str]:
        """All there is, in the form of Prometheus that suits `accept`, and its content type."""
        try:
            self._snapshot = await self._daemon.snapshot()
            self._states = Counter(p.state for p in await self._processes.all())
        except StorageUnavailableError:
            self._snapshot = None
        if self._exposition is None:  # not imported before anybody asks: decision 0005
            module = importlib.import_module("fastapi_app.exposition")
            made: Exposition = module.Exposition(self._metrics.collect)
            self._exposition = made
        return self._exposition.render(accept)

    def _of_the_engine(self) -> Iterable[Family]:
        queue = self._engine.queue
        return (
            gauge("mcli_runs_running", "Runs that hold a slot of this server", queue.running),
            gauge("mcli_queue_length", "Runs that wait for a slot of this server", queue.waiting),
            gauge("mcli_uptime_seconds", "Since the server started", self._daemon.uptime_seconds),
            counter(
                "mcli_process_restarts",
                "Restarts of managed processes by this server",
                self._supervisor.restarts,
            ),
        )

    def _of_the_database(self) -> Iterator[Family]:
        yield gauge(
            "mcli_database_up",
            "Whether the database answered this scrape",
            0 if self._snapshot is None else 1,
        )
        if self._snapshot is None:
            return
        yield Family(
            Kind.GAUGE,
            "mcli_database_runs",
            "Runs in the database, the same on each server that shares it:"
            " take max without (instance), never sum",
            ("status",),
            [((str(s),), self._snapshot.statuses.get(s, 0)) for s in RunStatus],
        )
        yield Family(
            Kind.GAUGE,
            "mcli_database_processes",
            "Managed processes in the database: as mcli_database_runs",
            ("state",),
            [((str(state),), self._states[state]) for state in ProcessState],
        )
