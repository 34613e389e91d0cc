"""Gates: what counts, from when on, and against what."""

from __future__ import annotations

import pytest

from compat.gates import Baseline, Evidence, Verdict, control_of, judge
from compat.measures import Tally
from compat.plan import Gate
from compat.stages import Stack, Stage

GATE = Gate(parity=0.99, errors=0.05, latency=2.0, samples=100)
PASSED, FAILED, INCONCLUSIVE = Verdict.PASSED, Verdict.FAILED, Verdict.INCONCLUSIVE


def tally(requests: int, errors: int = 0, seconds: float = 0.01, **counts: int) -> Tally:
    made = Tally(counts)
    for number in range(requests):
        made.note(seconds, failed=number < errors)
    return made


def evidence(
    legacy: Tally | None = None, new: Tally | None = None, shadow: Tally | None = None
) -> Evidence:
    given = {Stack.LEGACY: legacy, Stack.NEW: new, Stack.SHADOW: shadow}
    return Evidence({stack: found for stack, found in given.items() if found is not None})


NOTHING = evidence()


def verdicts(
    stage: Stage,
    whole: Evidence,
    lately: Evidence = NOTHING,
    baseline: Baseline | None = None,
    *,
    rehearsed: bool = False,
) -> dict[str, Verdict]:
    found = judge(GATE, stage, whole, lately, baseline, rehearsed=rehearsed)
    return {finding.name: finding.verdict for finding in found}


def test_what_is_the_same_passes() -> None:
    shadow = tally(100, compared=100)
    found = verdicts(Stage.SHADOW, evidence(legacy=tally(100), shadow=shadow))
    assert found == {"parity": PASSED, "errors": PASSED, "latency": PASSED}


@pytest.mark.parametrize("count", [0, 1, 99])
def test_too_few_are_inconclusive(count: int) -> None:
    whole = evidence(legacy=tally(count), shadow=tally(count, compared=count))
    assert set(verdicts(Stage.SHADOW, whole).values()) == {INCONCLUSIVE}


def test_a_tenth_of_the_samples_is_enough_to_fail() -> None:
    few = evidence(legacy=tally(9), shadow=tally(9, compared=9, mismatched=9))
    assert verdicts(Stage.SHADOW, few)["parity"] is INCONCLUSIVE
    enough = evidence(legacy=tally(10), shadow=tally(10, compared=10, mismatched=9))
    assert verdicts(Stage.SHADOW, enough)["parity"] is FAILED


def test_trouble_that_has_just_begun_does_not_hide_behind_a_long_good_time() -> None:
    whole = evidence(legacy=tally(5000), new=tally(5000, errors=20))
    assert verdicts(Stage.CANARY, whole)["errors"] is PASSED
    lately = evidence(legacy=tally(20), new=tally(20, errors=20))
    assert verdicts(Stage.CANARY, whole, lately)["errors"] is FAILED


def test_errors_count_above_those_of_the_control() -> None:
    bad_control = evidence(legacy=tally(100, errors=50), new=tally(100, errors=54))
    assert verdicts(Stage.CANARY, bad_control)["errors"] is PASSED
    worse = evidence(legacy=tally(100, errors=50), new=tally(100, errors=56))
    assert verdicts(Stage.CANARY, worse)["errors"] is FAILED


def test_latency_is_a_ratio_to_the_control() -> None:
    slow = evidence(legacy=tally(100, seconds=0.01), new=tally(100, seconds=0.03))
    assert verdicts(Stage.CANARY, slow)["latency"] is FAILED
    fine = evidence(legacy=tally(100, seconds=0.01), new=tally(100, seconds=0.015))
    assert verdicts(Stage.CANARY, fine)["latency"] is PASSED


def test_where_the_old_stack_answers_no_more_its_last_figures_count() -> None:
    whole = evidence(new=tally(100, seconds=0.03))
    assert "parity" not in verdicts(Stage.NEW, whole)
    assert verdicts(Stage.NEW, whole)["latency"] is INCONCLUSIVE
    slower = Baseline(error_rate=0.0, p95=0.02)
    assert verdicts(Stage.NEW, whole, baseline=slower)["latency"] is PASSED
    faster = Baseline(error_rate=0.0, p95=0.01)
    assert verdicts(Stage.NEW, whole, baseline=faster)["latency"] is FAILED
    assert control_of(whole) is None


def test_a_rehearsal_has_no_times_to_compare() -> None:
    whole = evidence(legacy=tally(100), shadow=tally(100, seconds=9, compared=100))
    assert "latency" not in verdicts(Stage.SHADOW, whole, rehearsed=True)
    assert verdicts(Stage.SHADOW, whole)["latency"] is FAILED
