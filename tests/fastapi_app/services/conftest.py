"""A planner for each test that wants one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.fastapi_app.services.planning import Bed, planning

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


@pytest.fixture
async def bed(home: Path) -> AsyncIterator[Bed]:
    async with planning(home) as found:
        yield found
