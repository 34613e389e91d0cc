"""What a start of a stored command comes to: its defaults filled in, its parameters checked."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace

from fastapi_app.errors import FieldProblem, InvalidParametersError
from fastapi_app.models import NO_DEFAULTS, Command, RunRequest
from fastapi_app.schemas.fields import MAX_TOTAL
from fastapi_app.services.parameters import arguments, declared_by, environment, resolved


async def prepared(
    command: Command, args: Sequence[str], request: RunRequest
) -> tuple[Sequence[str], RunRequest]:
    """Arguments and request of a run of `command`, as they are to be run.

    Parameters stand before the other arguments, as `--name value`, and in the environment. What
    the request says wins over both them and the command's defaults.

    Raises:
        InvalidParametersError: with all that is wrong with the values.
    """
    if request.bare:
        return args, request
    schema = declared_by(command)
    if schema is None:
        if request.params:
            raise InvalidParametersError([FieldProblem("/params", "the command declares none")])
        if command.defaults is NO_DEFAULTS:
            return args, request
        return args, _with_defaults(command, request, {})
    # In a thread: the first time loads what checks them, and a schema may ask for much.
    values = await asyncio.to_thread(resolved, schema, request.params)
    args = [*arguments(values), *args]
    if (size := sum(len(text.encode()) + 1 for text in args)) > MAX_TOTAL:
        problem = f"make {size} bytes of arguments, at most {MAX_TOTAL} together"
        raise InvalidParametersError([FieldProblem("/params", problem)])
    return args, _with_defaults(command, request, environment(values))


def _with_defaults(command: Command, request: RunRequest, values: dict[str, str]) -> RunRequest:
    defaults = command.defaults
    return replace(
        request,
        env={**defaults.env, **values, **request.env},
        cwd=defaults.cwd if request.cwd is None else request.cwd,
        timeout=defaults.timeout if request.timeout is None else request.timeout,
        group=defaults.group if request.group is None else request.group,
        params={},
    )
