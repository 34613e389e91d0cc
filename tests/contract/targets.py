"""The servers that speak the contract, and how each is started."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.contract.seeds import plant
from tests.contract.steps import Scenario
from tests.contract.wire import Answer, play
from tests.servers import Server, start_dual, start_legacy

OLD = "old daemon"
STARTS: dict[str, tuple[Callable[[Path], Server], str, str | None]] = {
    OLD: (start_legacy, "legacy", None),
    "mount": (lambda home: start_dual(home, MCLI_DEFAULT_STAGE="legacy"), "legacy", "legacy"),
    "new stack": (start_dual, "legacy", "new"),
    "new port": (start_dual, "new", "new"),
}


@dataclass
class Target:
    """A server under test at one of its URLs.

    `port` is what `/status` tells: the one of the legacy listener, whichever was asked.
    `served_by` is what it says in X-Served-By.
    """

    name: str
    url: str
    port: int
    home: Path
    served_by: str | None
    played: dict[str, list[Answer]] = field(default_factory=dict)

    def play(self, scenario: Scenario) -> list[Answer]:
        """Play a scenario, once in the life of this server."""
        if scenario.name not in self.played:
            values = {"home": str(self.home)}
            try:
                self.played[scenario.name] = play(self.url, scenario.steps, values)
            finally:
                play(self.url, scenario.cleanup, values)
        return self.played[scenario.name]


def run(name: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    """Start a server by its name, and stop it."""
    start, url, served_by = STARTS[name]
    home = tmp_path_factory.mktemp("home")
    with start(home) as server:
        plant(home)
        port = urlsplit(server.legacy).port or 80
        yield Target(name, getattr(server, url), port, home, served_by)
        assert server.stop() == 0
