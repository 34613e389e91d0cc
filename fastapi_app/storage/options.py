"""The options of a run as JSON and back; most runs have none, and cost nothing here."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from fastapi_app.models import DEFAULT_OPTIONS, Limits, Retry, RunOptions, When


def options_to_json(options: RunOptions) -> str | None:
    """What differs from the defaults; `None` when nothing does."""
    if options is DEFAULT_OPTIONS or options == DEFAULT_OPTIONS:
        return None
    default = asdict(DEFAULT_OPTIONS)
    return json.dumps({k: v for k, v in asdict(options).items() if v != default[k]})


def options_from_json(text: str | None) -> RunOptions:
    """The options that were stored so."""
    if text is None:
        return DEFAULT_OPTIONS
    values: dict[str, Any] = json.loads(text)
    for name, read in _READ.items():
        if name in values:
            values[name] = read(values[name])
    return RunOptions(**values)


_READ: dict[str, Callable[[Any], object]] = {
    "after": tuple,
    "secrets": tuple,
    "when": When,
    "retry": lambda value: Retry(**value),
    "limits": lambda value: Limits(**value),
}
