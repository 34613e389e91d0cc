"""Locust users: the same tasks against the old daemon, the shim and the new API.

Hosts come from LOADTEST_LEGACY_URL, LOADTEST_SHIM_URL and LOADTEST_NEW_URL. `--host` sets one host
for every class chosen, so choose one: `locust -f loadtests/locustfile.py --host URL ShimScript`.
The stored command LOADTEST_WORKFLOW (`loadtest-sleeper`) must exist; `make loadtest` sees to all.
"""

from __future__ import annotations

import os
from typing import Any, ClassVar

from locust import HttpUser, between, events, task
from locust.clients import ResponseContextManager
from locust.env import Environment

from loadtests.calls import NEW_API, OLD_CONTRACT, Call, Dialect
from loadtests.seed import WORKFLOW

NAME = os.environ.get("LOADTEST_WORKFLOW", WORKFLOW)
ANSWER_WITHIN = 30.0  # seconds
FINISH_WITHIN = 10.0


@events.init.add_listener
def let_tasks_finish(environment: Environment, **_: object) -> None:
    """Without this a user could be cut off between starting a workflow and knowing its id."""
    if not environment.stop_timeout:
        environment.stop_timeout = FINISH_WITHIN


class Stack(HttpUser):
    """The task mix. Figures are named `<stack>/<operation>`, operations alike on every stack."""

    abstract = True
    wait_time = between(0.02, 0.1)
    stack: ClassVar[str]
    dialect: ClassVar[Dialect]

    def on_start(self) -> None:
        """Go once through everything, so that even the shortest run has touched it all."""
        self.started: set[str] = set()
        self.echoes = 0
        for operation in (
            self.status,
            self.health,
            self.execute_true,
            self.execute_echo,
            self.list_commands,
            self.workflow,
        ):
            operation()

    def on_stop(self) -> None:
        """End the workflows that a broken-off task has left behind."""
        for run_id in list(self.started):
            self.stop_workflow(run_id)

    @task(4)
    def status(self) -> None:
        self.check("status", self.dialect.status())

    @task(2)
    def health(self) -> None:
        self.check("health", self.dialect.health())

    @task(4)
    def execute_true(self) -> None:
        self.check("execute true", self.dialect.execute("true", ""))

    @task(2)
    def execute_echo(self) -> None:
        # A text of its own each time: an answer meant for someone else is a failure.
        self.echoes += 1
        text = f"{id(self)}-{self.echoes}"
        self.check("execute echo", self.dialect.execute(f"echo {text}", f"{text}\n"))

    @task(1)
    def list_commands(self) -> None:
        self.check("list commands", self.dialect.list_commands(NAME))

    @task(1)
    def workflow(self) -> None:
        """Start the stored command and stop it again."""
        answer = self.check("start workflow", self.dialect.start(NAME))
        if answer is not None:
            run_id = answer[self.dialect.run_id]
            self.started.add(run_id)
            self.stop_workflow(run_id)

    def stop_workflow(self, run_id: str) -> None:
        if self.check("stop workflow", self.dialect.stop(run_id)) is not None:
            self.started.discard(run_id)

    def check(self, operation: str, call: Call) -> dict[str, Any] | None:
        """Send it; the answer when it is right. A wrong one is a failure in Locust's figures."""
        with self.client.request(
            call.method,
            call.path,
            name=f"{self.stack}/{operation}",
            json=call.body,
            timeout=ANSWER_WITHIN,
            catch_response=True,
        ) as response:
            if not response.status_code:  # never answered; Locust holds the reason
                return None
            wrong = call.wrong(response.status_code, response.content) or self.misrouted(response)
            if wrong:
                response.failure(wrong)
                return None
            answer: dict[str, Any] = response.json()
            return answer

    def misrouted(self, response: ResponseContextManager) -> str | None:  # noqa: ARG002
        """Why this cannot be the stack that was meant."""
        return None


class LegacyScript(Stack):
    """The old contract against the old daemon."""

    host = os.environ.get("LOADTEST_LEGACY_URL", "http://127.0.0.1:5006")
    stack = "legacy"
    dialect = OLD_CONTRACT


class ShimScript(Stack):
    """The same script against the legacy port of the dual server."""

    host = os.environ.get("LOADTEST_SHIM_URL", "http://127.0.0.1:5005")
    stack = "shim"
    dialect = OLD_CONTRACT

    def misrouted(self, response: ResponseContextManager) -> str | None:
        """The shim says which stack answered; the old daemon does not."""
        served_by = response.headers.get("X-Served-By")
        return None if served_by in {"legacy", "new"} else f"X-Served-By is {served_by!r}"


class NewClient(Stack):
    """A client that has moved to /api/v1."""

    host = os.environ.get("LOADTEST_NEW_URL", "http://127.0.0.1:8000")
    stack = "new"
    dialect = NEW_API
