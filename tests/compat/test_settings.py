"""Every setting has its line in the documentation, with its default."""

from __future__ import annotations

import re

from compat.settings import DualSettings
from tests.servers import ROOT

LINE = re.compile(
    r"^\| `MCLI_(?P<name>\w+)` \| (?P<default>[^|]*) \| (?P<text>[^|]+) \|$", re.MULTILINE
)
FOLDER_OF_ALL_STATE = "`~/.mcli-dualstack`"


def test_the_documentation_lists_every_setting() -> None:
    text = (ROOT / "docs/settings.md").read_text(encoding="utf-8")
    documented = {m["name"].lower(): (m["default"], m["text"]) for m in LINE.finditer(text)}
    assert documented.keys() == DualSettings.model_fields.keys()
    for name, field in DualSettings.model_fields.items():
        default, description = documented[name]
        assert description == field.description
        if name == "home":
            assert default == FOLDER_OF_ALL_STATE
        else:
            assert default == ("" if field.default in {None, ()} else f"`{field.default}`"), name
