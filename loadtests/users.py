"""Users of the three stacks: a script that never rests, and people who think, fail and wait.

Figures are named `<stack>/<operation>`, operations alike on every stack, which is what the
comparison goes by. Hosts come from LOADTEST_LEGACY_URL, LOADTEST_SHIM_URL and LOADTEST_NEW_URL.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Mapping
from typing import Any, ClassVar
from uuid import uuid4

from locust import HttpUser, between
from locust.clients import ResponseContextManager

from loadtests.calls import NEW_API, OLD_CONTRACT, Call, Dialect
from loadtests.owner import authorization
from loadtests.seed import WORKFLOW

NAME = os.environ.get("LOADTEST_WORKFLOW", WORKFLOW)
UNKNOWN = "loadtest-no-such-command"
ANSWER_WITHIN = 30.0  # seconds


def weighted(tasks: Mapping[Callable[..., Any], int]) -> list[Any]:
    """Each task as often as it weighs, which is how Locust draws from them."""
    return [task for task, weight in tasks.items() for _ in range(weight)]


class OldDaemon:
    """The old contract against the old daemon."""

    host: str | None = os.environ.get("LOADTEST_LEGACY_URL", "http://127.0.0.1:5006")
    stack: ClassVar[str] = "legacy"
    dialect: ClassVar[Dialect] = OLD_CONTRACT


class Shim:
    """The old contract against the legacy port of the dual server."""

    host: str | None = os.environ.get("LOADTEST_SHIM_URL", "http://127.0.0.1:5005")
    stack: ClassVar[str] = "shim"
    dialect: ClassVar[Dialect] = OLD_CONTRACT

    def misrouted(self, response: ResponseContextManager) -> str | None:
        """The shim says which stack answered; the old daemon does not."""
        served_by = response.headers.get("X-Served-By")
        return None if served_by in {"legacy", "new"} else f"X-Served-By is {served_by!r}"


class NewStack:
    """/api/v1."""

    host: str | None = os.environ.get("LOADTEST_NEW_URL", "http://127.0.0.1:8000")
    stack: ClassVar[str] = "new"
    dialect: ClassVar[Dialect] = NEW_API


class Checked(HttpUser):
    """Holds each answer against what is right."""

    abstract = True
    stack: ClassVar[str]

    def on_start(self) -> None:
        """Go once through everything, so that even the shortest run has touched it all."""
        tasks: list[Any] = self.tasks
        for each in dict.fromkeys(tasks):
            each(self)

    def check(
        self, operation: str, call: Call, headers: dict[str, str] | None = None
    ) -> dict[str, Any] | None:
        """Send it; the answer when it is right. A wrong one is a failure in Locust's figures."""
        with self.client.request(
            call.method,
            call.path,
            name=f"{self.stack}/{operation}",
            json=call.body,
            timeout=ANSWER_WITHIN,
            catch_response=True,
            headers=authorization(call.path) | (headers or {}),
        ) as response:
            if not response.status_code:  # never answered; Locust holds the reason
                return None
            wrong = call.wrong(response.status_code, response.content) or self.misrouted(response)
            if wrong:
                response.failure(wrong)
                return None
            # Locust takes a status of 400 and above for a failure, unless told.
            response.success()
            answer: dict[str, Any] = response.json()
            return answer

    def misrouted(self, response: ResponseContextManager) -> str | None:  # noqa: ARG002
        """Why this cannot be the stack that was meant."""
        return None


class Stack(Checked):
    """What both kinds of users do."""

    abstract = True
    dialect: ClassVar[Dialect]

    def on_start(self) -> None:
        """Nothing has been started or printed yet."""
        self.started: set[str] = set()
        self.echoes = 0
        # A canary takes a share of the clients, and would take all users of one name or none.
        self.client.headers["X-Client-Id"] = uuid4().hex
        super().on_start()

    def on_stop(self) -> None:
        """End the workflows that a broken-off task has left behind."""
        for run_id in list(self.started):
            self.stop_workflow(run_id)

    def status(self) -> None:
        self.check("status", self.dialect.status())

    def health(self) -> None:
        self.check("health", self.dialect.health())

    def execute_true(self) -> None:
        self.check("execute true", self.dialect.execute("true", ""))

    def execute_echo(self) -> None:
        # A text of its own each time: an answer meant for someone else is a failure.
        self.echoes += 1
        text = f"{id(self)}-{self.echoes}"
        self.check("execute echo", self.dialect.execute(f"echo {text}", f"{text}\n"))

    def list_commands(self) -> None:
        self.check("list commands", self.dialect.list_commands(NAME))

    def start_workflow(self) -> str | None:
        """Start the stored command; the id of the run."""
        answer = self.check("start workflow", self.dialect.start(NAME))
        if answer is None:
            return None
        run_id: str = answer[self.dialect.run_id]
        self.started.add(run_id)
        return run_id

    def stop_workflow(self, run_id: str) -> None:
        if self.check("stop workflow", self.dialect.stop(run_id)) is not None:
            self.started.discard(run_id)


class Script(Stack):
    """A script in a loop: hardly any pause, and nothing that fails."""

    abstract = True
    weight = 4
    wait_time = between(0.02, 0.1)

    def workflow(self) -> None:
        """Start the stored command and stop it again."""
        if (run_id := self.start_workflow()) is not None:
            self.stop_workflow(run_id)

    tasks = weighted(
        {
            Stack.status: 4,
            Stack.health: 2,
            Stack.execute_true: 4,
            Stack.execute_echo: 2,
            Stack.list_commands: 1,
            workflow: 1,
        }
    )


class Mixed(Stack):
    """People: they think, mistype names, run what fails, and watch long runs until they stop them.

    A failure that was to come is a right answer.
    """

    abstract = True
    weight = 4
    wait_time = between(0.3, 2)

    def execute_failing(self) -> None:
        code = random.randint(1, 9)
        self.check("execute failing", self.dialect.execute(f"exit {code}", "", code))

    def start_unknown(self) -> None:
        self.check("start unknown", self.dialect.start_unknown(UNKNOWN))

    def long_run(self) -> None:
        """Start one, look at it now and then, and stop it."""
        run_id = self.start_workflow()
        if run_id is not None:
            for _ in range(random.randint(1, 4)):
                self.wait()
                self.status()
            self.stop_workflow(run_id)

    tasks = weighted(
        {
            Stack.status: 5,
            Stack.health: 1,
            Stack.execute_echo: 4,
            Stack.list_commands: 2,
            execute_failing: 2,
            start_unknown: 1,
            long_run: 2,
        }
    )


class LegacyScript(OldDaemon, Script):
    """An old script where it always ran."""


class ShimScript(Shim, Script):
    """The same script behind the shim."""


class NewClient(NewStack, Script):
    """A script that has moved to /api/v1."""


class MixedLegacy(OldDaemon, Mixed):
    """People who use the old daemon."""


class MixedShim(Shim, Mixed):
    """The same people behind the shim."""


class MixedNew(NewStack, Mixed):
    """People who use /api/v1."""
