"""From a checked document of steps to the runs it is made of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from fastapi_app.errors import InvalidRunError
from fastapi_app.models import Run, RunKind, RunOptions, RunRequest
from fastapi_app.services.documents import Document, Step
from fastapi_app.services.ids import new_id


def expanded(
    run: Run, document: Document, args: Sequence[str], request: RunRequest
) -> tuple[Run, list[Run]]:
    """The run of the whole document and those of its steps, each to follow those it needs.

    Variables of the request win over those of a step, and these over the document's.

    Raises:
        InvalidRunError: the request asks for what only steps can have.
    """
    options = run.options
    if options.retry.times or options.stdin:
        raise InvalidRunError(
            "A document of steps has no retries and no standard input of its own; give `retries`"
            " to its steps."
        )
    parent = run.but(options=replace(options, after=(), steps=len(document.steps)))
    ids = {step.name: new_id() for step in document.steps}
    steps = [_step_run(parent, document, step, ids, args, request) for step in document.steps]
    return parent, steps


def _step_run(
    parent: Run,
    document: Document,
    step: Step,
    ids: dict[str, str],
    args: Sequence[str],
    request: RunRequest,
) -> Run:
    asked = request.options
    after = tuple(ids[name] for name in step.needs) or asked.after
    return Run(
        id=ids[step.name],
        kind=RunKind.STEP,
        name=step.name,
        command=step.run,
        created_at=parent.created_at,
        args=tuple(args),
        env={**document.env, **step.env, **request.env, **request.secrets},
        cwd=request.cwd,
        timeout=step.timeout,
        group=step.group or parent.group,
        parent_id=parent.id,
        options=RunOptions(
            priority=step.priority or asked.priority,
            after=after,
            when=step.when if step.needs else asked.when,
            retry=step.retry,
            limits=step.limits if step.limits != RunOptions().limits else asked.limits,
            secrets=tuple(request.secrets),
        ),
    )
