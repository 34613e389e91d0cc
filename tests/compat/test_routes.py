"""The strangler table knows every old route, and nothing but."""

from __future__ import annotations

from pathlib import Path

import pytest
from flask import Flask

from compat.routes import ROWS, route_table
from fastapi_app.app import create_app
from fastapi_app.settings import Settings
from legacy_flask.app import create_app as create_legacy_app
from legacy_flask.routes.service import ENDPOINTS

AUTOMATIC = {"HEAD", "OPTIONS"}


@pytest.fixture
def legacy(tmp_path: Path) -> Flask:
    return create_legacy_app(tmp_path)


def test_every_old_url_has_a_row(legacy: Flask) -> None:
    rules = {
        f"{method} {rule.rule}"
        for rule in legacy.url_map.iter_rules()
        for method in (rule.methods or set()) - AUTOMATIC
    }
    assert {row.name for row in ROWS} == rules == set(ENDPOINTS)


def test_every_successor_exists(tmp_path: Path) -> None:
    paths = create_app(Settings(home=tmp_path)).openapi()["paths"]
    known = {path.replace("{run_id}", "{id}") for path in paths}
    assert {row.successor.partition("?")[0] for row in ROWS} <= known


def test_no_row_ends_before_it_is_deprecated() -> None:
    assert all(row.sunset >= row.deprecated for row in ROWS)


@pytest.mark.parametrize(
    ("method", "path", "name", "parameters"),
    [
        ("GET", "/", "GET /", {}),
        ("HEAD", "/status", "GET /status", {}),
        ("GET", "/commands/a b", "GET /commands/<id>", {"id": "a b"}),
        ("POST", "/processes/run", "POST /processes/run", {}),
        ("GET", "/processes/x/logs", "GET /processes/<id>/logs", {"id": "x"}),
        ("DELETE", "/processes/x", "DELETE /processes/<id>", {"id": "x"}),
        ("GET", "/processes/a\nb", "GET /processes/<id>", {"id": "a\nb"}),
    ],
)
def test_a_call_finds_its_row(
    method: str, path: str, name: str, parameters: dict[str, str]
) -> None:
    found = route_table().match(method, path)
    assert found is not None
    assert (found[0].name, found[1]) == (name, parameters)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/execute"),
        ("OPTIONS", "/status"),
        ("GET", "/status/"),
        ("GET", "//status"),
        ("GET", "/commands/"),
        ("GET", "/commands/a/b"),
        ("POST", "/processes/x"),
        ("GET", "/STATUS"),
        ("GET", "/nothing"),
    ],
)
def test_what_is_no_route_is_left_to_the_old_stack(method: str, path: str) -> None:
    assert route_table().match(method, path) is None


def test_the_table_matches_as_the_old_stack_does(legacy: Flask) -> None:
    """The same paths, tried on both: a row is found exactly where Flask routes to a view."""
    table = route_table()
    adapter = legacy.url_map.bind("localhost")
    paths = ["/", "/processes", "/processes/run", "/processes/x", "/processes/run/start"]
    paths += ["/processes/run/logs", "/commands/run", "/commands", "/execute", "/x", "/workflow"]
    for path in paths:
        for method in ("GET", "POST", "DELETE", "PUT"):
            routed = adapter.test(path, method)
            assert (table.match(method, path) is not None) == routed, (method, path)
