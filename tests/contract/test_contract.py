"""Every scenario on every server: the literal answers, the same bytes, the right headers."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import unquote

import pytest
from werkzeug.exceptions import HTTPException
from werkzeug.routing import MapAdapter, RequestRedirect

from legacy_flask.app import create_app
from tests.contract.scenarios import ALL
from tests.contract.wire import Answer, mask

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.contract.steps import Scenario, Step
    from tests.contract.targets import Target

DEPRECATION = "@1767225600"
SUNSET = "Fri, 01 Jan 2027 00:00:00 GMT"
ADDED = ("Deprecation", "Sunset", "Link", "X-Served-By")


@pytest.fixture(scope="module")
def routes(tmp_path_factory: pytest.TempPathFactory) -> MapAdapter:
    """The URL map of the old daemon."""
    return _routes(tmp_path_factory.mktemp("routes"))


@pytest.mark.parametrize("scenario", ALL, ids=lambda scenario: scenario.name)
def test_scenario(target: Target, old: Target, routes: MapAdapter, scenario: Scenario) -> None:
    """Play it and compare."""
    reference = old.play(scenario)
    answers = target.play(scenario)
    for step, answer, expected in zip(scenario.steps, answers, reference, strict=True):
        check(step, answer, target.port)
        assert answer.comparable(target.port) == expected.comparable(old.port), step
        check_headers(answer, target.served_by, is_contract=rule_of(routes, step) is not None)


def test_every_route_has_a_step(routes: MapAdapter) -> None:
    """No row of the contract is forgotten."""
    wanted = {
        (method, rule.rule)
        for rule in routes.map.iter_rules()
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
    }
    assert wanted == {rule_of(routes, step) for step in _steps()} - {None}


def test_names_are_unique() -> None:
    """A scenario is played once under its name."""
    names = [scenario.name for scenario in ALL]
    assert len(names) == len(set(names))


def check(step: Step, answer: Answer, port: int) -> None:
    """Hold an answer against the literal expectation of its step."""
    assert answer.status == step.status, (step, answer.body[:500])
    assert answer.headers["Content-Type"] == step.content_type, step
    if step.expect is not None:
        assert mask(answer.body, port) == step.expect, step
    if step.allow is not None:
        assert answer.allow == step.allow, step
    assert answer.seconds < step.within, step


def check_headers(answer: Answer, served_by: str | None, *, is_contract: bool) -> None:
    """Hold the added headers against the contract; the old daemon adds none."""
    if served_by is None:
        assert not [name for name in ADDED if name in answer.headers]
    elif is_contract:
        assert answer.headers["X-Served-By"] == served_by
        assert answer.headers["Deprecation"] == DEPRECATION
        assert answer.headers["Sunset"] == SUNSET
        links = ", ".join(answer.headers.get_all("Link", []))
        assert 'rel="successor-version"' in links
        assert 'rel="deprecation"' in links


def rule_of(routes: MapAdapter, step: Step) -> tuple[str, str] | None:
    """Return the method and rule that a step reaches; None when it reaches no contract row."""
    if step.method in {"HEAD", "OPTIONS"}:
        return None
    try:
        rule, _ = routes.match(
            unquote(step.path.partition("?")[0]), method=step.method, return_rule=True
        )
    except (HTTPException, RequestRedirect):
        return None
    return step.method, rule.rule


def _routes(home: Path) -> MapAdapter:
    return create_app(home).url_map.bind("localhost")


def _steps() -> Iterator[Step]:
    for scenario in ALL:
        yield from scenario.steps
