"""Runs both stacks in one process: the old contract on its port, the new API on another."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from compat.app import open_app
from compat.settings import DualSettings
from fastapi_app.serve import Plan, banner, bind, run, url_of


def serve(overrides: Mapping[str, Any]) -> int:
    """Serve until told to end; returns the exit code. `overrides` are settings from the command."""

    def plan() -> Plan:
        settings = DualSettings.load(**overrides)
        new = bind(settings.host, settings.port, "MCLI_PORT")
        old = bind(settings.legacy_host, settings.legacy_port, "MCLI_LEGACY_PORT")
        return Plan(
            application=open_app(
                settings, legacy_port=old.getsockname()[1], documentation_base=url_of(new)
            ),
            settings=settings,
            listeners=[new, old],
            banner=banner(
                settings, new, [f"  legacy API  {url_of(old)}   the old contract, unchanged"]
            ),
        )

    return run(plan)
