"""Cursors: what we made comes back, anything else is refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastapi_app.errors import InvalidCursorError
from fastapi_app.services import cursors

MOMENTS = st.floats(allow_nan=False, allow_infinity=False)
NAMES = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))


@given(MOMENTS, NAMES)
def test_a_position_comes_back(moment: float, run_id: str) -> None:
    assert cursors.decode_run(cursors.encode(moment, run_id)) == (moment, run_id)
    assert cursors.decode_name(cursors.encode(run_id)) == run_id


@given(st.text(max_size=60))
def test_anything_else_is_refused(cursor: str) -> None:
    for decode in (cursors.decode_run, cursors.decode_name):
        with pytest.raises(InvalidCursorError):
            decode(cursor)


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(), st.lists, max_leaves=4))
def test_other_json_is_refused(value: object) -> None:
    with pytest.raises(InvalidCursorError):
        cursors.decode_run(cursors.encode(value))
