"""What is only seen while something runs: counts, lists, and stops that take their time."""

from __future__ import annotations

import os
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from tests.contract.rows_execute import GONE, shell
from tests.contract.rows_processes import act, create, remove, shown
from tests.contract.rows_workflows import idle, start, stop
from tests.contract.steps import VOLATILE, Step, get, line, post, ran
from tests.contract.targets import STARTS, Target, run
from tests.contract.wire import mask, play, send, until

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

GRACE_SECONDS = 5.0
STUBBORN = "trap '' TERM; touch $home/deaf; sleep 69"
WAIT_FOR = "until [ -e $home/{} ]; do sleep 0.01; done"

STUBBORN_WORKFLOW = [
    start("stubborn", "id", args=["$home/deaf-workflow"]),
    shell(WAIT_FOR.format("deaf-workflow"), ran()),
    stop("stubborn", "stopped", "id"),
]
STUBBORN_PROCESS = [
    create(STUBBORN, "trap"),
    act("start", "started"),
    shell(WAIT_FOR.format("deaf"), ran()),
    act("stop", "stopped"),
    shown(STUBBORN, "stopped", name="trap", exit_code=-9),
    remove(),
]
# The leader ends at once; the child of it that is deaf must be gone too.
STUBBORN_CHILD = [
    create("sh -c \"trap '' TERM; echo \\$\\$ > $home/pid; sleep 70\" & wait", "sh"),
    act("start", "started"),
    shell("until [ -s $home/pid ]; do sleep 0.01; done", ran()),
    act("stop", "stopped"),
    shell(f"P=$(cat $home/pid); {GONE}", ran("gone\n")),
    remove(),
]


@pytest.fixture(scope="module")
def targets(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Target]]:
    """All servers at once, so that the seconds of grace pass only once."""
    runs = [run(name, tmp_path_factory) for name in STARTS]
    try:
        yield [next(server) for server in runs]
    finally:
        for server in runs:
            next(server, None)


def test_what_ignores_sigterm_is_killed(targets: list[Target]) -> None:
    """SIGKILL follows after five seconds, for whoever is left of the group."""
    with ThreadPoolExecutor(len(targets) * 3) as pool:
        played = [
            pool.submit(stubborn, target, steps)
            for target in targets
            for steps in (STUBBORN_WORKFLOW, STUBBORN_PROCESS, STUBBORN_CHILD)
        ]
    for one in played:
        one.result()


def stubborn(target: Target, steps: Sequence[Step]) -> None:
    """Play the steps: exactly one of them takes the time of grace."""
    answers = play(target.url, steps, {"home": str(target.home)})
    for step, answer in zip(steps, answers, strict=True):
        assert answer.status == step.status, step
        expect = (step.expect or b"").replace(b"$home", str(target.home).encode())
        assert mask(answer.body, target.port) == expect, step
    assert GRACE_SECONDS <= max(answer.seconds for answer in answers) < GRACE_SECONDS + 3


def test_a_running_command_is_counted(target: Target) -> None:
    """`active_commands` rises while a command runs, and falls again."""
    gate = target.home / "gate"
    os.mkfifo(gate)
    held = post("/execute", {"command": "cat $home/gate"}, ran("go\n"))
    values = {"home": str(target.home)}
    answers: list[bytes] = []
    caller = threading.Thread(
        target=lambda: answers.append(send(target.url, held, values).body), daemon=True
    )
    caller.start()
    for path in ("/health", "/status"):
        until(target.url, get(path, until={"active_commands": 1}), values)
    gate.write_text("go\n")
    caller.join(10)
    assert mask(answers[0], target.port) == line(ran("go\n"))
    for path in ("/health", "/status"):
        until(target.url, get(path, until={"active_commands": 0}), values)


def test_active_workflows_are_listed(target: Target, old: Target) -> None:
    """Oldest first, each with its pid; the same bytes as the old daemon's."""
    assert _with_two_workflows(target) == _with_two_workflows(old)


def _with_two_workflows(target: Target) -> bytes:
    values = {"home": str(target.home)}
    play(target.url, [idle(), start("sleeper", "a"), start("slow", "b")], values)
    answer = send(target.url, get("/status"), values)
    play(
        target.url, [stop("slow", "stopped", "b"), stop("sleeper", "stopped", "a"), idle()], values
    )
    body = mask(answer.body, target.port)
    _, _, workflows = body.partition(b'"active_workflows":')
    workflows, _, _ = workflows.partition(b',"command_history_count"')
    assert workflows + b"\n" == line(
        [
            {"id": VOLATILE, "name": name, "status": "running", "pid": VOLATILE}
            for name in ("sleeper", "slow")
        ]
    )
    return workflows
