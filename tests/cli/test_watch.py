"""`--watch` shows again what a list shows, until Ctrl-C."""

from __future__ import annotations

import json
import signal
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.cli.conftest import Mclictl


@pytest.mark.parametrize(
    "args",
    [
        ["runs", "--limit", "1"],
        ["groups", "list"],
        ["status"],
        ["schedule", "list"],
        ["commands", "list"],
    ],
    ids=lambda args: args[0],
)
def test_it_is_shown_until_ctrl_c(mclictl: Mclictl, args: list[str]) -> None:
    mclictl.finished("true")
    with mclictl.spawn(*args, "--watch", "--json") as process:
        assert process.stdout is not None
        first, second = (json.loads(process.stdout.readline()) for _ in range(2))
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 130
    assert type(first) is type(second)


def test_a_server_that_is_gone_ends_it(mclictl: Mclictl) -> None:
    done = mclictl("runs", "--watch", "--url", "http://127.0.0.1:1", exits=3)
    assert "mclictl serve" in done.stderr
