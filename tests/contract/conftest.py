"""The servers under test, each with a state of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.contract.targets import OLD, STARTS, Target, run

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="session")
def old(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    """The old daemon alone: the reference."""
    yield from run(OLD, tmp_path_factory)


@pytest.fixture(scope="session", params=list(STARTS))
def target(
    request: pytest.FixtureRequest, old: Target, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Target]:
    """Each server in turn."""
    if request.param == OLD:
        yield old
    else:
        yield from run(request.param, tmp_path_factory)
