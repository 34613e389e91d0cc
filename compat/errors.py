"""What an operator may meet: unknown routes, conflicts, plans that cannot work."""

from __future__ import annotations

from collections.abc import Iterable

from compat.stages import Place
from fastapi_app.errors import AppError


class UnknownRouteError(AppError):
    """The table has no such route; the message names those it has."""

    status, code, title = 404, "route-not-found", "No such route"

    def __init__(self, route: str, known: Iterable[str]) -> None:
        super().__init__(f"There is no route {route!r}; the routes are: {', '.join(known)}.")


class MovedMeanwhileError(AppError):
    """Somebody else has moved the route since it was looked at."""

    status, code, title = 409, "route-moved", "The route was moved meanwhile"

    def __init__(self, route: str, now: Place, by: str = "") -> None:
        super().__init__(
            f"{route} was moved to {now} by {by or 'somebody'} meanwhile (revision {now.revision});"
            " look at it again, then decide."
        )


class RolloutActiveError(AppError):
    """A rollout moves the route, and nobody else may."""

    status, code, title = 409, "rollout-active", "A rollout moves the route"

    def __init__(self, route: str, rollout: str | None) -> None:
        super().__init__(
            f"{route} is moved by the rollout {rollout}; abort that first"
            f" (`mclictl rollout abort {rollout}`)."
        )


class RolloutNotFoundError(AppError):
    status, code, title = 404, "rollout-not-found", "No such rollout"

    def __init__(self, rollout: str) -> None:
        super().__init__(
            f"There is no rollout {rollout!r}; GET /api/v1/cutover/rollouts lists them."
        )


class RolloutStateError(AppError):
    """The rollout is not where it can be told that."""

    status, code, title = 409, "rollout-state", "The rollout cannot do that now"


class InvalidPlanError(AppError):
    """A rollout plan that cannot work; the message says which line and why."""

    status, code, title = 422, "invalid-plan", "The plan cannot be used"
