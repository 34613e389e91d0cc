"""Every command of `mclictl` has a test of its output, of its --json and of its failure."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli import invocations
from tests.cli.conftest import Mclictl, whole_selection
from tests.cli.invocations import FAILURE, JSON, PLAIN

STILL_OWED = frozenset(
    {
        ("audit", FAILURE),
        ("commands disable", JSON),
        ("commands disable", FAILURE),
        ("commands enable", PLAIN),
        ("cutover audit", FAILURE),
        ("cutover callers", JSON),
        ("cutover ready", FAILURE),
        ("cutover ready", PLAIN),
        ("cutover show", FAILURE),
        ("doctor", FAILURE),
        ("groups list", FAILURE),
        ("groups rm", JSON),
        ("groups set", JSON),
        ("keys list", FAILURE),
        ("keys rm", JSON),
        ("keys", FAILURE),
        ("logout", PLAIN),
        ("process edit", PLAIN),
        ("process kill", FAILURE),
        ("process kill", PLAIN),
        ("process restart", FAILURE),
        ("process restart", PLAIN),
        ("process run", PLAIN),
        ("process start", PLAIN),
        ("process stop", FAILURE),
        ("process stop", PLAIN),
        ("process", FAILURE),
        ("record", JSON),
        ("resume", PLAIN),
        ("rollout abort", PLAIN),
        ("rollout list", JSON),
        ("rollout list", FAILURE),
        ("rollout pause", PLAIN),
        ("rollout promote", FAILURE),
        ("rollout promote", PLAIN),
        ("rollout resume", FAILURE),
        ("rollout resume", PLAIN),
        ("schedule edit", PLAIN),
        ("schedule rm", PLAIN),
        ("schedule", JSON),
        ("self completion", FAILURE),
        ("self doctor", JSON),
        ("self doctor", FAILURE),
        ("self doctor", PLAIN),
        ("serve", PLAIN),
        ("sync resolve", JSON),
        ("sync watch", JSON),
        ("users add", JSON),
        ("users add", FAILURE),
        ("users list", JSON),
        ("users list", FAILURE),
        ("users rm", PLAIN),
        ("users set", PLAIN),
        ("users", JSON),
        ("workflow list", FAILURE),
    }
)
"""What no test looks at yet. Take away what one does; a command that is new owes nothing."""


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
    missing = sorted(invocations.owed() - invocations.LOOKED - STILL_OWED)
    lines = [f"mclictl {command}: no test looks at its {what}" for command, what in missing]
    assert not lines, "\n".join(lines)
