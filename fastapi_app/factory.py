"""The only place that names concrete engines and stores and wires them to services."""

from __future__ import annotations

import asyncio
import fcntl
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from fastapi_app import __version__
from fastapi_app.engine.broadcast import Hub
from fastapi_app.engine.embedded import EmbeddedEngine
from fastapi_app.engine.health import Prober
from fastapi_app.engine.launch import Scripts
from fastapi_app.engine.logs import LogFiles
from fastapi_app.engine.process import Spawner
from fastapi_app.engine.retention import Janitor, Limits
from fastapi_app.errors import StartupError
from fastapi_app.metrics import Metrics
from fastapi_app.services.accounts import AccountService
from fastapi_app.services.audit import AuditService
from fastapi_app.services.bundles import BundleService
from fastapi_app.services.command_history import HistoryService
from fastapi_app.services.command_search import SearchService
from fastapi_app.services.commands import CommandService
from fastapi_app.services.daemon import DaemonService
from fastapi_app.services.groups import GroupService
from fastapi_app.services.identity import IdentityService
from fastapi_app.services.job_tasks import JobTasks
from fastapi_app.services.lag import watch_lag
from fastapi_app.services.live import LiveService
from fastapi_app.services.metrics import MetricsService
from fastapi_app.services.planner import Planner
from fastapi_app.services.process_feed import ProcessFeed
from fastapi_app.services.processes import ProcessService
from fastapi_app.services.runs import RunService
from fastapi_app.services.scheduler import SchedulerService
from fastapi_app.services.script_rules import judge
from fastapi_app.services.similarity import Similarity
from fastapi_app.services.supervisor import Supervisor
from fastapi_app.services.sync import SyncService
from fastapi_app.services.tokens import HOME_PREFIX, Signer, new_secret
from fastapi_app.services.upkeep import Upkeep
from fastapi_app.services.workflows import WorkflowService
from fastapi_app.settings import Settings
from fastapi_app.storage.audit import AuditStore
from fastapi_app.storage.command_history import CommandHistory
from fastapi_app.storage.command_search import CommandSearch
from fastapi_app.storage.commands import CommandStore
from fastapi_app.storage.database import Database, open_database
from fastapi_app.storage.epoch import Epoch
from fastapi_app.storage.groups import GroupStore
from fastapi_app.storage.jobs import JobStore
from fastapi_app.storage.keys import KeyStore
from fastapi_app.storage.managed import ManagedStore
from fastapi_app.storage.processes import ProcessStore
from fastapi_app.storage.runs import RunStore
from fastapi_app.storage.script_folder import ScriptFolder
from fastapi_app.storage.secret_files import read_or_make
from fastapi_app.storage.slots import SlotStore
from fastapi_app.storage.state import StateStore
from fastapi_app.storage.supervision import SupervisionStore
from fastapi_app.storage.users import UserStore

TOKEN_FILE = "token"  # noqa: S105 - the name of a file
"""The machine owner's token, in the home folder."""


@dataclass(frozen=True, slots=True)
class Services:
    """Everything a handler may ask for."""

    settings: Settings
    workflows: WorkflowService
    runs: RunService
    live: LiveService
    groups: GroupService
    commands: CommandService
    histories: HistoryService
    search: SearchService
    bundles: BundleService
    sync: SyncService
    processes: ProcessService
    process_feed: ProcessFeed
    scheduler: SchedulerService
    daemon: DaemonService
    identity: IdentityService
    accounts: AccountService
    metrics: MetricsService
    audit: AuditService
    database: Database


@asynccontextmanager
async def open_services(
    settings: Settings, metrics: Metrics | None = None
) -> AsyncIterator[Services]:
    """Open the home folder and the database, start the engine, wire the services.

    What is worth counting goes into `metrics`.

    Raises:
        StartupError: the home folder or the database cannot be used.
    """
    with _home(settings):
        database = await open_database(settings.url)
        try:
            async with _wired(settings, database, metrics or Metrics()) as services:
                yield services
        finally:
            await database.aclose()


@asynccontextmanager
async def _wired(
    settings: Settings, database: Database, metrics: Metrics
) -> AsyncIterator[Services]:
    runs, commands, groups = RunStore(database), CommandStore(database), GroupStore(database)
    state = StateStore(database)
    audit = AuditService(AuditStore(database), retention=settings.audit_retention)
    logs = LogFiles(settings.logs_dir, settings.max_log_bytes)
    scripts = Scripts(settings.work_dir)
    spawner = Spawner(settings.logs_dir / "spawner.log", on_spawned=metrics.spawns.note)
    engine = EmbeddedEngine(
        runs=runs,
        spawner=spawner,
        logs=logs,
        scripts=scripts,
        max_running=settings.max_concurrent_commands,
        max_queued=settings.max_queued_runs,
        grace=settings.stop_grace,
    )
    daemon = DaemonService(
        state, audit, version=__version__, home=str(settings.home), database=database.url
    )
    hub = Hub(
        runs.transitions_after,
        runs.last_seq,
        database.peek.version if database.peek is not None else None,
    )
    database.on_commit = hub.wake
    await audit.record("server.start", detail=__version__)
    await daemon.start()
    await engine.start(await groups.all())
    users, keys, signer = UserStore(database), KeyStore(database), _signer(settings)
    identity = IdentityService(
        home_token=_home_token(settings),
        signer=signer,
        users=users,
        keys=keys,
        epoch=Epoch(database),
    )
    supervisor, processes = _processes(engine, spawner, runs, logs, audit, database)
    process_feed = ProcessFeed(hub=hub, runs=runs, processes=processes)
    supervisor.on_change = process_feed.note
    await supervisor.start()
    stored, similarity = CommandService(commands, audit), Similarity(settings.url)
    index = settings.home / "scripts.index"
    sync = SyncService(ScriptFolder(settings.workflows_dir, index, judge), commands, audit)
    workflows = WorkflowService(
        engine=engine,
        runs=runs,
        commands=commands,
        state=state,
        scripts=scripts,
        default_timeout=settings.command_timeout,
    )
    found = RunService(engine=engine, runs=runs, logs=logs)
    tasks = JobTasks(workflows=workflows, runs=found, commands=stored)
    jobs, slots = JobStore(database), SlotStore(database)
    planner = Planner(
        jobs=jobs,
        slots=slots,
        tasks=tasks,
        room=lambda: engine.room,
        version=database.version,
    )
    metrics.register(planner.metrics)
    planning = asyncio.create_task(planner.run())
    upkeep = asyncio.create_task(Upkeep(_janitor(settings), runs, audit).run())
    lag = asyncio.create_task(watch_lag(metrics.loop_lag))
    try:
        yield Services(
            settings=settings,
            workflows=workflows,
            runs=found,
            live=LiveService(hub=hub, runs=runs, logs=logs, over=engine.over),
            groups=GroupService(engine=engine, groups=groups, runs=runs),
            commands=stored,
            histories=HistoryService(stored, CommandHistory(database)),
            search=SearchService(
                commands=stored,
                store=commands,
                search=CommandSearch(database),
                similarity=similarity,
            ),
            bundles=BundleService(commands, audit),
            sync=sync,
            processes=processes,
            process_feed=process_feed,
            scheduler=SchedulerService(
                jobs=jobs, slots=slots, tasks=tasks, planner=planner, audit=audit
            ),
            daemon=daemon,
            identity=identity,
            accounts=AccountService(
                users=users,
                keys=keys,
                signer=signer,
                audit=audit,
                access_lifetime=settings.access_lifetime,
                session_lifetime=settings.session_lifetime,
            ),
            metrics=MetricsService(
                metrics, daemon=daemon, engine=engine, processes=processes, supervisor=supervisor
            ),
            audit=audit,
            database=database,
        )
    finally:
        background = (planning, upkeep, lag)
        for task in background:
            task.cancel()
        await asyncio.gather(*background, return_exceptions=True)
        await identity.aclose()
        await similarity.aclose()
        await sync.aclose()
        await hub.aclose()
        await supervisor.aclose()
        await engine.aclose()
        await audit.record("server.stop")


def _processes(
    engine: EmbeddedEngine,
    spawner: Spawner,
    runs: RunStore,
    logs: LogFiles,
    audit: AuditService,
    database: Database,
) -> tuple[Supervisor, ProcessService]:
    managed, supervision = ManagedStore(database), SupervisionStore(database)
    supervisor = Supervisor(
        engine=engine,
        managed=managed,
        supervision=supervision,
        prober=Prober(spawner),
        database=database,
    )
    service = ProcessService(
        engine=engine,
        supervisor=supervisor,
        processes=ProcessStore(database),
        managed=managed,
        supervision=supervision,
        runs=runs,
        logs=logs,
        audit=audit,
    )
    return supervisor, service


def _home_token(settings: Settings) -> str:
    return read_or_make(
        settings.home / TOKEN_FILE, lambda: f"{HOME_PREFIX}_{new_secret()}", at_least=32
    )


def _signer(settings: Settings) -> Signer:
    if settings.secret_key is not None:
        return Signer(settings.secret_key.get_secret_value().encode())
    return Signer(read_or_make(settings.home / "secret", new_secret, at_least=32).encode())


def _janitor(settings: Settings) -> Janitor:
    return Janitor(
        settings.logs_dir,
        Limits(
            compress_after=settings.log_compress_after or None,
            max_age=settings.log_retention or None,
            max_runs=settings.log_retention_runs or None,
            max_bytes=settings.log_retention_bytes or None,
        ),
    )


@contextmanager
def _home(settings: Settings) -> Iterator[None]:
    """The home folder with its sub-folders, held by this server alone."""
    try:
        for folder in (settings.home, settings.logs_dir, settings.work_dir):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = os.open(settings.home / "server.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise StartupError(
            f"The home folder {settings.home} cannot be used: {error.strerror}."
            " Choose another with --home or MCLI_HOME."
        ) from error
    try:
        _hold(lock, settings.home)
        yield
    finally:
        os.close(lock)


def _hold(lock: int, home: Path) -> None:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        holder = os.pread(lock, 32, 0).decode("ascii", "replace").strip()
        raise StartupError(
            f"Another server (pid {holder or 'unknown'}) uses the home folder {home} already."
            " Stop it first, or choose another folder with --home."
        ) from error
    os.ftruncate(lock, 0)
    os.pwrite(lock, str(os.getpid()).encode(), 0)
