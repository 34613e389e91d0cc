"""`mclictl commands search`, `similar` and `tags`."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import uuid4

import pytest

from cli.client import ROUTES
from fastapi_app.schemas.commands import RESERVED

if TYPE_CHECKING:
    from tests.cli.conftest import Mclictl


@pytest.fixture
def name(mclictl: Mclictl) -> str:
    """A command of this test's own."""
    made = f"rollout{uuid4().hex[:8]}"
    code = "rsync --archive public/ web:/srv/www && systemctl reload nginx"
    mclictl("commands", "add", made, "--code", code, "--tag", f"t{made}", "--description", "Moves")
    return made


def test_commands_are_found_by_what_they_say(mclictl: Mclictl, name: str) -> None:
    header, line = mclictl("commands", "search", "nginx", f"t{name}").stdout.splitlines()
    assert header.split() == ["NAME", "LANGUAGE", "TAGS", "DESCRIPTION"]
    assert line.split() == [name, "shell", f"t{name}", "Moves"]
    (found,) = mclictl.json("commands", "search", name[:12], "--tag", f"t{name}")
    assert (found["command"]["name"], found["by"]) == (name, "text")
    none = mclictl("commands", "search", "nginx", "--tag", "nobody")
    assert (none.stdout, none.stderr) == ("", "nothing found\n")
    assert mclictl.json("commands", "search", '"%_*', "--tag", "nobody") == []


def test_names_spelled_nearly_right_are_suggested(mclictl: Mclictl, name: str) -> None:
    typo = name.replace("rollout", "rolluot")
    done = mclictl("commands", "search", typo)
    assert done.stdout.splitlines()[1].split()[0] == name
    assert done.stderr == "Nothing has these words; did you mean one of these?\n"
    assert mclictl.json("commands", "search", typo, "--fuzzy")[0]["by"] == "name"


def test_a_wrong_search_is_told(mclictl: Mclictl) -> None:
    assert "Missing argument" in mclictl("commands", "search", exits=2).stderr
    assert "pattern" in mclictl("commands", "search", " ", exits=1).stderr


def test_similar_commands_are_listed(mclictl: Mclictl, name: str) -> None:
    twin = f"twin-{name}"
    mclictl("commands", "add", twin, "--code", "rsync --archive public/ web:/srv/www", "--tag", "x")
    header, *lines = mclictl("commands", "similar", name).stdout.splitlines()
    assert header.split()[:2] == ["LIKENESS", "NAME"]
    assert twin in [line.split()[1] for line in lines]
    (found,) = mclictl.json("commands", "similar", twin, "--limit", "1")
    assert 0 < found["score"] <= 1
    assert "no command" in mclictl("commands", "similar", "nobody", exits=1).stderr


def test_tags_are_listed(mclictl: Mclictl, name: str) -> None:
    shown = mclictl("commands", "tags").stdout.splitlines()
    assert shown[0].split() == ["TAG", "COMMANDS"]
    assert [f"t{name}", "1"] in [line.split() for line in shown]
    assert {"tag": f"t{name}", "commands": 1} in mclictl.json("commands", "tags")
    assert (
        "No server answers"
        in mclictl("commands", "tags", exits=3, MCLI_URL="http://127.0.0.1:1").stderr
    )


def test_what_is_no_name_is_the_same_on_both_sides() -> None:
    assert ROUTES == RESERVED
