"""Runs and commands to store."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from fastapi_app.models import Command, Language, Process, Run, RunKind
from fastapi_app.services.ids import new_id


def a_run(**fields: Any) -> Run:  # noqa: ANN401 - fields of Run
    """A queued run."""
    return replace(
        Run(id=new_id(), kind=RunKind.EXECUTE, command="echo hi", created_at=1000.5), **fields
    )


def a_command(name: str, **fields: Any) -> Command:  # noqa: ANN401 - fields of Command
    """A stored shell script."""
    plain = Command(
        id=new_id(),
        name=name,
        code="echo hi",
        language=Language.SHELL,
        created_at=1000.5,
        updated_at=1000.5,
    )
    return replace(plain, **fields)


def a_process(**fields: Any) -> Process:  # noqa: ANN401 - fields of Process
    """A process that was never started."""
    return replace(Process(id=new_id(), name="p", command="sleep 1", created_at=1000.5), **fields)
