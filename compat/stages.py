"""The stages a route passes on its way from the old stack to the new one."""

from __future__ import annotations

from enum import StrEnum


class Stage(StrEnum):
    """Which stack answers."""

    LEGACY = "legacy"
    NEW = "new"
