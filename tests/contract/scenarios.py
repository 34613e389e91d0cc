"""All scenarios, in the order in which they are played on every server."""

from __future__ import annotations

from tests.contract import (
    rows_bodies,
    rows_commands,
    rows_execute,
    rows_fields,
    rows_processes,
    rows_service,
    rows_workflows,
)

# The first ones count and list things, which calls for a state nobody has touched.
ALL = [
    *rows_service.FRESH,
    *rows_commands.FRESH,
    *rows_processes.FRESH,
    *rows_service.SCENARIOS,
    *rows_execute.SCENARIOS,
    *rows_fields.SCENARIOS,
    *rows_workflows.SCENARIOS,
    *rows_processes.SCENARIOS,
    *rows_bodies.SCENARIOS,
]
