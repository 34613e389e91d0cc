"""Renders log records with structlog: one pipeline for every logger, ours and the libraries'."""

from __future__ import annotations

import logging

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from fastapi_app.observability import redacted, request_id

_UNSAID = ("color_message", "taskName")
"""What libraries add to records and nobody wants to read twice."""


def formatter(*, as_json: bool, coloured: bool) -> logging.Formatter:
    """Renders a record as one line of JSON, or as a line for people."""
    renderer: Processor = structlog.processors.JSONRenderer(ensure_ascii=False, default=repr)
    if not as_json:
        renderer = structlog.dev.ConsoleRenderer(
            colors=coloured, exception_formatter=structlog.dev.plain_traceback
        )
    known: list[Processor] = [
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _add_request_id,
        structlog.processors.format_exc_info,
    ]
    structlog.configure(
        processors=[*known, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
    )
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[structlog.stdlib.ExtraAdder(), *known],
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            _hide_secrets,
            renderer,
        ],
    )


def _add_request_id(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    if (found := request_id()) is not None:
        event.setdefault("request_id", found)
    return event


def _hide_secrets(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    return {name: redacted(value, name) for name, value in event.items() if name not in _UNSAID}
