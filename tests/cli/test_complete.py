"""Every command of `mclictl` has a test of its output, of its --json and of its failure."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli import invocations
from tests.cli.conftest import Mclictl, whole_selection
from tests.cli.invocations import FAILURE, JSON, PLAIN


@pytest.mark.parametrize(
    ("args", "command"),
    [
        (["runs", "--limit", "2"], "runs"),
        (["--url", "http://x", "--json", "groups", "set", "groups"], "groups set"),
        (["groups", "--json"], "groups"),
        (["keys", "--url", "http://x", "list"], "keys list"),
        (["run", "runs"], "run"),
        (["nonsense"], ""),
    ],
)
def test_a_call_counts_for_the_command_it_calls(args: list[str], command: str) -> None:
    assert invocations.command_of(args) == command


def test_only_what_a_test_looks_at_counts(mclictl: Mclictl) -> None:
    # No command is called like this, so that nobody else looks at it.
    invocations.LOOKED.discard(("", FAILURE))
    refused = mclictl("nonsense", exits=2)
    assert ("", FAILURE) not in invocations.LOOKED
    assert refused.stderr
    assert ("", FAILURE) in invocations.LOOKED
    assert not {("", PLAIN), ("", JSON)} & invocations.LOOKED


def test_every_command_is_tested(request: pytest.FixtureRequest) -> None:
    """Runs last: whatever the tests of this folder called has been called by then."""
    if not whole_selection(request.session):
        pytest.skip(f"needs all the tests of {Path(__file__).parent.name}")
    missing = sorted(invocations.owed() - invocations.LOOKED)
    lines = [f"mclictl {command}: no test looks at its {what}" for command, what in missing]
    assert not lines, "\n".join(lines)
