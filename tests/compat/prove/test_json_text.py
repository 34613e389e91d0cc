"""JSON texts that no library writes."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compat.prove.json_text import COMPACT, PLAIN, Pairs, Raw, Style, parsed, written

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda below: st.lists(below, max_size=4) | st.dictionaries(st.text(), below, max_size=4),
    max_leaves=12,
)
STYLES = [
    *(PLAIN, COMPACT, Style(escaped=False), Style(before="\ufeff"), Style(" ,\n", "\t: ")),
    *(Style(encoding=name) for name in ("utf-16", "utf-16-le", "utf-32", "utf-32-be")),
]


@given(VALUES, st.sampled_from(STYLES))
def test_every_style_means_the_same(value: object, style: Style) -> None:
    assert json.loads(written(value, style)) == value


@given(VALUES, st.sampled_from(STYLES))
def test_what_was_parsed_is_written_as_it_was(value: object, style: Style) -> None:
    body = written(value, style)
    assert json.loads(written(parsed(body))) == value


def test_keys_come_twice_and_numbers_as_they_are() -> None:
    value = Pairs([("a", Raw("1e400")), ("a", Raw("1" + "0" * 5000)), ("b", [Raw("NaN"), -0.0])])
    body = written(value, COMPACT)
    assert body == b'{"a":1e400,"a":1%s,"b":[NaN,-0.0]}' % (b"0" * 5000)
    assert written(parsed(body), COMPACT) == body
    assert math.isinf(json.loads(b'{"a":1e400}')["a"])


@pytest.mark.parametrize("escaped", [True, False])
def test_a_lone_surrogate_can_be_written(escaped: bool) -> None:
    body = written("a\ud800", Style(escaped=escaped))
    assert body == (b'"a\\ud800"' if escaped else b'"a\xed\xa0\x80"')
    assert parsed(body) == "a\ud800"


@pytest.mark.parametrize("body", [b"", b"{", b"\xff", b"nul"])
def test_what_is_no_json_is_refused(body: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        parsed(body)
