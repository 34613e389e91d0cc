"""Keeps what schemathesis makes up from running as a command, and streams from never ending."""

from __future__ import annotations

from typing import Any

import schemathesis

HARMLESS = "true"
RUN = ("command", "code")
TRUE = frozenset({"true", "1", "1.0", "on", "t", "y", "yes"})


@schemathesis.hook
def before_call(_context: Any, case: Any, _kwargs: Any) -> None:  # noqa: ANN401 - of no public type
    """Change values only into others that are as valid."""
    if isinstance(case.body, dict):
        _make_harmless(case.body)
        if isinstance(case.body.get("health"), dict):
            _make_harmless(case.body["health"])
        backoff = case.body.get("backoff")
        if isinstance(backoff, dict) and backoff.get("give_up_after", 1) is None:
            backoff["give_up_after"] = 1
    names = {parameter.name for parameter in case.operation.query}
    query = case.query or {}
    if "follow" in names and str(query.get("follow", True)).lower() in TRUE:
        case.query = {**query, "follow": "false"}


def _make_harmless(values: dict[str, Any]) -> None:
    for name in RUN:
        text = values.get(name)
        if isinstance(text, str) and text.strip("\0") and "\0" not in text:
            values[name] = HARMLESS
