"""Plans: what they say, and why some cannot work."""

from __future__ import annotations

import pytest

from compat.errors import InvalidPlanError
from compat.plan import Gate, parse
from compat.stages import Stage

KNOWN = ["GET /status", "GET /health", "POST /execute"]
GOOD = """
name = "first"
routes = ["GET /status", "GET /health"]
interval = "500ms"
failures = 2
[gate]
parity = 0.999
errors = 0.01
[[steps]]
stage = "shadow"
hold = "30m"
[[steps]]
stage = "canary"
percent = 10
hold = "1.5h"
manual = true
[steps.gate]
latency = 2
samples = 7
[[steps]]
stage = "canary"
percent = 50
[[steps]]
stage = "new"
hold = 60
"""


def test_a_plan_is_read() -> None:
    plan = parse(GOOD, KNOWN)
    assert (plan.name, plan.interval, plan.failures) == ("first", 0.5, 2)
    assert plan.routes == ("GET /status", "GET /health")
    assert [(step.stage, step.percent, step.hold) for step in plan.steps] == [
        (Stage.SHADOW, None, 1800),
        (Stage.CANARY, 10, 5400),
        (Stage.CANARY, 50, 0),
        (Stage.NEW, None, 60),
    ]
    assert [step.manual for step in plan.steps] == [False, True, False, False]
    assert plan.steps[0].gate == Gate(parity=0.999, errors=0.01)
    assert plan.steps[1].gate == Gate(parity=0.999, errors=0.01, latency=2.0, samples=7)


def test_a_plan_without_a_name_is_called_after_its_route() -> None:
    plan = parse('routes = "GET /status"\ngate.errors = 0\n[[steps]]\nstage = "new"', KNOWN)
    assert (plan.name, plan.interval) == ("GET /status", 10)


STEP = '[[steps]]\nstage = "new"\n'
HEAD = 'routes = ["GET /status"]\n'
GATE = "[gate]\nerrors = 0.1\n"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("= x", "not TOML"),
        ("#" * 70_000, "65536 characters"),
        (STEP, "routes must be a list"),
        ("routes = []\n" + STEP, "routes must be a list"),
        ('routes = ["GET /statu"]\n' + STEP, "Did you mean 'GET /status'"),
        ('routes = ["nothing like it"]\n' + STEP, "There are: GET /health, GET /status"),
        ('routes = ["GET /status", "GET /status"]\n' + STEP, "twice"),
        (HEAD, "no steps"),
        (HEAD + "steps = 1", "no steps"),
        (HEAD + "steps = [1]", r"steps\[0\] must be a table"),
        (HEAD + STEP, "no gate"),
        (HEAD + "gates = 1\n" + STEP, "knows no key gates. Did you mean 'gate'"),
        (HEAD + GATE + STEP + 'holds = "1m"', r"no key steps\[0\].holds. Did you mean 'hold'"),
        (HEAD + "gate = 1\n" + STEP, "gate must be a table"),
        (HEAD + "[gate]\nparty = 1\n" + STEP, "Did you mean 'parity'"),
        (HEAD + "[gate]\nparity = 1.1\n" + STEP, "gate.parity must be a number from 0 to 1"),
        (HEAD + "[gate]\nparity = true\n" + STEP, "gate.parity must be a number"),
        (HEAD + "[gate]\nsamples = 0\n" + STEP, "gate.samples must be a whole number"),
        (HEAD + "[gate]\nsamples = 1.5\n" + STEP, "gate.samples must be a whole number"),
        (HEAD + GATE + '[[steps]]\nstage = "gone"', r"steps\[0\].stage is 'gone'"),
        (HEAD + GATE + '[[steps]]\nstage = "canary"', "percent belongs to a canary"),
        (HEAD + GATE + STEP + "percent = 5", "percent belongs to a canary"),
        (HEAD + GATE + '[[steps]]\nstage = "canary"\npercent = 101', "from 1 to 99"),
        (HEAD + GATE + STEP + "manual = 1", "manual must be true or false"),
        (HEAD + GATE + STEP + 'hold = "soon"', "hold must be a time"),
        (HEAD + GATE + STEP + "hold = -1", "hold must be a time"),
        (HEAD + 'interval = "0s"\n' + GATE + STEP, "interval must be a time"),
        (HEAD + "failures = 0\n" + GATE + STEP, "failures must be a whole number"),
        (HEAD + "name = 1\n" + GATE + STEP, "name must be a text"),
        (HEAD + GATE + STEP + '[[steps]]\nstage = "shadow"', "does not go further"),
        (HEAD + GATE + STEP + STEP, "does not go further"),
    ],
)
def test_a_plan_that_cannot_work_says_why(text: str, words: str) -> None:
    with pytest.raises(InvalidPlanError, match=words):
        parse(text, KNOWN)
