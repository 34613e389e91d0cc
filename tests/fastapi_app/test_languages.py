"""What language a file is in."""

from __future__ import annotations

import pytest

from fastapi_app import languages
from fastapi_app.models import Language


@pytest.mark.parametrize(
    ("name", "head", "language"),
    [
        ("x.sh", b"", "shell"),
        ("x.PY", b"#!/bin/sh", "python"),
        ("a/b.c/x.mjs", b"", "node"),
        ("x", b"#!/usr/bin/env -S A=1 python3.11 -u\r\nprint()", "python"),
        ("x.txt", b"#!/usr/bin/lua5.4", "lua"),
        (".bashrc", b"alias x=y", None),
        ("x.rb", b"puts 1", None),
        ("x", b"#!/usr/bin/ruby\n", None),
        ("x", b"#!\n", None),
        ("x", b"#!\xff\xfe\n", None),
        ("", b"", None),
    ],
)
def test_it_is_told_by_suffix_or_shebang(name: str, head: bytes, language: str | None) -> None:
    assert languages.of_file(name, head) == language


def test_every_language_has_a_suffix_that_leads_back() -> None:
    assert set(languages.SUFFIXES) == {str(language) for language in Language}
    for language in languages.SUFFIXES:
        assert languages.of_file(f"x{languages.suffix(language)}", b"") == language
    assert languages.suffix("cobol") == ".txt"
