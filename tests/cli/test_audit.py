"""`mclictl audit`."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import uuid4

from tests.cli.conftest import visible

if TYPE_CHECKING:
    from tests.cli.conftest import Mclictl


def test_what_was_done_is_listed_newest_first(mclictl: Mclictl) -> None:
    name = f"audited-{uuid4().hex[:8]}"
    mclictl("commands", "add", name, "--language", "shell", "-", stdin="echo hi")
    mclictl("commands", "rm", name, "--yes")
    header, deleted, made = mclictl("audit", "--subject", name).stdout.splitlines()
    assert header.split() == ["WHEN", "WHO", "FROM", "ACTION", "ON", "OUTCOME", "DETAIL"]
    assert "command.delete" in deleted
    assert "command.create" in made
    (only,) = mclictl.json("audit", "--action", "command.delete", "--subject", name)
    assert (only["subject"], only["outcome"], only["address"]) == (name, "done", "127.0.0.1")


def test_there_may_be_more_or_nothing(mclictl: Mclictl) -> None:
    assert "server.start" in mclictl("audit", "--action", "server.start", "--limit", "1").stdout
    assert mclictl("audit", "--principal", "user:nobody").stderr == "no entries\n"
    for _ in range(2):
        name = f"audited-{uuid4().hex[:8]}"
        mclictl("commands", "add", name, "--language", "shell", "-", stdin="echo hi")
    assert "there are more" in mclictl("audit", "--limit", "1").stderr


def test_the_table_fits_the_terminal(mclictl: Mclictl) -> None:
    assert max(map(len, visible(mclictl.on_terminal("audit", columns=60)))) <= 60


def test_a_wrong_outcome_is_told(mclictl: Mclictl) -> None:
    assert "perhaps" in mclictl("audit", "--outcome", "perhaps", exits=2).stderr
