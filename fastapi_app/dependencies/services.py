"""The services, by the name of what they do. All are coroutines: others would cost a thread."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends
from starlette.requests import HTTPConnection

from fastapi_app.draining import Draining, Ends, draining_of, ends_of
from fastapi_app.factory import Services
from fastapi_app.services.accounts import AccountService
from fastapi_app.services.audit import AuditService
from fastapi_app.services.bundles import BundleService
from fastapi_app.services.command_history import HistoryService
from fastapi_app.services.command_search import SearchService
from fastapi_app.services.commands import CommandService
from fastapi_app.services.daemon import DaemonService
from fastapi_app.services.groups import GroupService
from fastapi_app.services.metrics import MetricsService
from fastapi_app.services.runs import RunService
from fastapi_app.services.scheduler import SchedulerService
from fastapi_app.services.sync import SyncService
from fastapi_app.services.workflows import WorkflowService


async def services(connection: HTTPConnection) -> Services:
    """What the lifespan opened."""
    found: Services = connection.app.state.services
    return found


AllServices = Annotated[Services, Depends(services)]


async def _draining(connection: HTTPConnection) -> Draining:
    return draining_of(connection.scope["state"])


async def _workflows(found: AllServices) -> WorkflowService:
    return found.workflows


async def _runs(found: AllServices) -> RunService:
    return found.runs


async def _groups(found: AllServices) -> GroupService:
    return found.groups


async def _commands(found: AllServices) -> CommandService:
    return found.commands


async def _sync(found: AllServices) -> SyncService:
    return found.sync


async def _bundles(found: AllServices) -> BundleService:
    return found.bundles


async def _histories(found: AllServices) -> HistoryService:
    return found.histories


async def _search(found: AllServices) -> SearchService:
    return found.search


async def _daemon(found: AllServices) -> DaemonService:
    return found.daemon


async def _accounts(found: AllServices) -> AccountService:
    return found.accounts


async def _audit(found: AllServices) -> AuditService:
    return found.audit


async def _scheduler(found: AllServices) -> SchedulerService:
    return found.scheduler


async def _metrics(found: AllServices) -> MetricsService:
    return found.metrics


Drain = Annotated[Draining, Depends(_draining)]
Streaming = Annotated[Ends, Depends(ends_of)]
Workflows = Annotated[WorkflowService, Depends(_workflows)]
Runs = Annotated[RunService, Depends(_runs)]
Groups = Annotated[GroupService, Depends(_groups)]
Commands = Annotated[CommandService, Depends(_commands)]
Bundles = Annotated[BundleService, Depends(_bundles)]
Histories = Annotated[HistoryService, Depends(_histories)]
Search = Annotated[SearchService, Depends(_search)]
Sync = Annotated[SyncService, Depends(_sync)]
Accounts = Annotated[AccountService, Depends(_accounts)]
Daemon = Annotated[DaemonService, Depends(_daemon)]
Audit = Annotated[AuditService, Depends(_audit)]
Scheduler = Annotated[SchedulerService, Depends(_scheduler)]
Metrics = Annotated[MetricsService, Depends(_metrics)]
