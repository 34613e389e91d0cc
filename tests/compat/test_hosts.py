"""Hosts: refused exactly when Werkzeug refuses them."""

from __future__ import annotations

import pytest
from werkzeug.exceptions import BadHost
from werkzeug.routing import Map

from compat.hosts import is_refused

HOSTS = [
    *(
        "",
        "localhost",
        "127.0.0.1:5005",
        "[::1]:5005",
        "a..b",
        ".a",
        "a.",
        "a..",
        ".",
        "..",
        "a.b.",
    ),
    *(
        "x" * 63,
        "x" * 64,
        f"{'x' * 63}.{'x' * 63}",
        f"{'x' * 64}.a",
        f"a.{'x' * 64}",
        "a b..",
        "\xff..",
    ),
    *(
        f"{'x' * 64}:80",
        f"{'x' * 64}:8080",
        f"{'x' * 64}:0",
        f"{'x' * 64}:70000",
        f"{'x' * 64}:",
        "a..:x",
    ),
    *(f"{'x' * 64}:099999", f"{'X' * 64}", f"{'x' * 64}_", "a..b:1", "[a..b]", "x" * 5000, "a.:1"),
]


@pytest.mark.parametrize("host", HOSTS)
def test_a_host_is_refused_when_the_old_stack_refuses_it(host: str) -> None:
    environ = {
        "HTTP_HOST": host,
        "SERVER_NAME": "127.0.0.1",
        "SERVER_PORT": "5005",
        "REQUEST_METHOD": "GET",
        "SCRIPT_NAME": "",
        "PATH_INFO": "/",
        "QUERY_STRING": "",
        "wsgi.url_scheme": "http",
    }
    try:
        Map().bind_to_environ(environ)
        refused = False
    except BadHost:
        refused = True
    assert is_refused(host.encode("latin-1")) == refused
