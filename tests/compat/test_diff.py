"""Differences: each kind is found where it is, and nothing else."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compat.diff import (
    CUT,
    MOST,
    Answer,
    Difference,
    Shape,
    Volatile,
    differences,
    values_differ,
)
from compat.legacy_json import dumps

JSON = ((b"content-type", b"application/json"),)
ID = "00000000-0000-4000-8000-000000000001"
OTHER_ID = "fd0fd1c6-94e7-4bd2-8e5a-5f0c8d1d7a66"
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda below: st.lists(below, max_size=4) | st.dictionaries(st.text(), below, max_size=4),
    max_leaves=12,
)


def answer(body: bytes, status: int = 200, headers: Sequence[tuple[bytes, bytes]] = JSON) -> Answer:
    return Answer(status, headers, body)


def found(control: bytes, candidate: bytes, *volatile: Volatile) -> list[tuple[str, str]]:
    """Pointers and kinds."""
    return [(d.pointer, d.kind) for d in differences(answer(control), answer(candidate), volatile)]


def test_equal_answers_do_not_differ() -> None:
    assert differences(answer(b'{"a":1}\n'), answer(b'{"a":1}\n')) == []


def test_a_status_is_compared() -> None:
    assert differences(answer(b"", 200), answer(b"", 404)) == [
        Difference("status", "status", "200", "404")
    ]


@pytest.mark.parametrize(
    ("control", "candidate", "expected"),
    [
        (b'{"a":1,"b":2}', b'{"a":1}', ("/b", "missing")),
        (b'{"a":1}', b'{"a":1,"b":2}', ("/b", "extra")),
        (b"[1,2]", b"[1]", ("/1", "missing")),
        (b"[1]", b"[1,2]", ("/1", "extra")),
        (b'{"a":{"b":[1,2]}}', b'{"a":{"b":[1,3]}}', ("/a/b/1", "value")),
        (b'{"a":1}', b'{"a":true}', ("/a", "type")),
        (b'{"a":1}', b'{"a":1.0}', ("/a", "type")),
        (b'{"a":null}', b'{"a":""}', ("/a", "type")),
        (b'{"a":NaN}', b'{"a":1.5}', ("/a", "value")),
        (b'{"a/b":{"~":1}}', b'{"a/b":{"~":2}}', ("/a~1b/~0", "value")),
        (b'{"a":1,"b":2}', b'{"b":2,"a":1}', ("", "order")),
        (b'[{"a":1,"b":2}]', b'[{"b":2,"a":1}]', ("/0", "order")),
        (b'{"a":1,"a":2}', b'{"a":3,"a":2}', ("/a", "value")),
        (b'{"a":1,"a":2}', b'{"a":1}', ("/a#2", "missing")),
        (b'{"a":1}\n', b'{"a":1}', ("", "bytes")),
        (b'{"a":1}', b'{"a": 1}', ("", "bytes")),
        (b'{"a":"\\u00fc"}', b'{"a":"\xc3\xbc"}', ("", "bytes")),
        (b'{"\\u00fc":1}', b'{"\xc3\xbc":1}', ("", "bytes")),
        (b"[1.0]", b"[1.00]", ("", "bytes")),
        (b"[0.0]", b"[-0.0]", ("", "bytes")),
        (b'{"a":', b'{"a"', ("", "bytes")),
        (b'{"a":1}', b"", ("", "bytes")),
        (b'{"a":"\xff"}', b'{"a":"\xfe"}', ("", "bytes")),
        (b"[1]", b"\xff\xfe[\x001\x00]\x00", ("", "bytes")),
        (b"[1%s]" % (b"0" * 5000), b"[2%s]" % (b"0" * 5000), ("", "bytes")),
        (b"[" * 100_000 + b"]" * 100_000, b"[" * 99_999 + b"]" * 99_999, ("", "bytes")),
        (b'{"a":' * 900 + b"1" + b"}" * 900, b'{"a":' * 900 + b"2" + b"}" * 900, None),
    ],
)
def test_a_difference_is_found_where_it_is(
    control: bytes, candidate: bytes, expected: tuple[str, str] | None
) -> None:
    differing = found(control, candidate)
    if expected is None:  # how deep Python goes is its own affair, but it must come back
        assert len(differing) == 1
    else:
        assert differing == [expected]


def test_equal_values_written_in_the_same_odd_way_are_the_same() -> None:
    moving = Volatile("/t", Shape.NUMBER)
    assert found(b'{"z": "\xc3\xbc", "t": 1}', b'{"z": "\xc3\xbc", "t": 25}', moving) == []
    assert found(b'{"z": NaN, "t": 1}', b'{"z": NaN, "t": 25}', moving) == []
    assert found(b'{"z": 1, "t": 1}', b'{"z":  1, "t": 25}', moving) == [("", "bytes")]


@pytest.mark.parametrize(
    ("shape", "control", "candidate", "same"),
    [
        (Shape.ID, ID, OTHER_ID, True),
        (Shape.ID, ID, "abc", False),
        (Shape.ID, ID, OTHER_ID.upper(), False),
        (Shape.ID, ID, None, False),
        (Shape.ID, None, ID, False),
        (Shape.ID, "alpha", "beta", False),
        (
            Shape.MOMENT,
            "2026-01-01T00:00:00.250000+00:00",
            "2026-11-22T02:10:39.123456+00:00",
            True,
        ),
        (Shape.MOMENT, "2026-01-01T00:00:00.250000+00:00", "2026-01-01T00:00:00+00:00", False),
        (Shape.MOMENT, "2026-01-01T00:00:00.250000+00:00", 1767225600, False),
        (Shape.NUMBER, 0, 17.5, True),
        (Shape.NUMBER, 3, 10**400, True),
        (Shape.NUMBER, 3, -1, False),
        (Shape.NUMBER, 3, True, False),
        (Shape.NUMBER, 3, "3", False),
        (Shape.NUMBER, 3, float("nan"), False),
        (Shape.NUMBER, 3, float("inf"), False),
        (Shape.NUMBER, None, None, True),
    ],
)
def test_only_the_shape_of_a_volatile_field_counts(
    shape: Shape, control: object, candidate: object, same: bool
) -> None:
    sides = dumps({"a": 1, "v": control}), dumps({"a": 1, "v": candidate})
    differing = found(*sides, Volatile("/v", shape))
    assert [pointer for pointer, _ in differing] == ([] if same else ["/v"])


def test_a_star_stands_for_any_index_or_key() -> None:
    volatile = (Volatile("/list/*/id", Shape.ID), Volatile("/map/*", Shape.NUMBER))
    control = {"list": [{"id": ID, "n": 1}, {"id": ID, "n": 2}], "map": {"a": 1, "b": 2}}
    candidate = {"list": [{"id": OTHER_ID, "n": 1}, {"id": ID, "n": 2}], "map": {"a": 7, "b": 9}}
    assert found(dumps(control), dumps(candidate), *volatile) == []
    candidate = {"list": [{"id": ID, "n": 1}, {"id": ID, "n": 3}], "map": {"a": 7, "b": 9, "c": 1}}
    assert found(dumps(control), dumps(candidate), *volatile) == [
        ("/list/1/n", "value"),
        ("/map/c", "extra"),
    ]


def test_a_volatile_field_hides_nothing_around_it() -> None:
    moving = Volatile("/t", Shape.NUMBER)
    assert found(b'{"a":1,"t":1}\n', b'{"a":1,"t":2}', moving) == [("", "bytes")]
    assert found(b'{"a":1,"t":1}', b'{"t":2,"a":1}', moving) == [("", "order")]
    assert found(b'{"a":1,"t":1}', b'{"a":2,"t":2}', moving) == [("/a", "value")]


def test_chosen_headers_are_compared_and_allow_is_a_set() -> None:
    html = (b"Content-Type", b"text/html")
    control = Answer(405, [html, (b"Allow", b"GET, HEAD"), (b"X-More", b"1")], b"")
    candidate = Answer(405, [html, (b"allow", b"HEAD,GET"), (b"X-More", b"2")], b"")
    assert differences(control, candidate) == []
    assert differences(control, candidate, headers=[b"x-more"]) == [
        Difference("header:x-more", "header", "1", "2")
    ]
    bare = Answer(405, [html], b"")
    assert differences(control, bare) == [Difference("header:allow", "header", "GET, HEAD", "")]


def test_a_header_sent_twice_is_not_one_sent_once() -> None:
    once, twice = [(b"retry-after", b"1")], [(b"retry-after", b"1"), (b"retry-after", b"1")]
    assert [d.pointer for d in differences(Answer(503, once, b""), Answer(503, twice, b""))] == [
        "header:retry-after"
    ]


def test_bodies_of_other_types_are_compared_as_bytes() -> None:
    html = ((b"content-type", b"text/html; charset=utf-8"),)
    differing = differences(answer(b'{"a":1}', 200, html), answer(b'{"a":2}', 200, html))
    assert [(d.pointer, d.kind) for d in differing] == [("", "bytes")]


def test_a_changed_content_type_does_not_hide_the_fields() -> None:
    text = ((b"content-type", b"text/plain"),)
    differing = differences(answer(b'{"a":1}'), answer(b'{"a":2}', 200, text))
    assert [d.pointer for d in differing] == ["header:content-type", "/a"]


def test_long_values_are_cut_around_what_differs() -> None:
    long = b"x" * 1_000_000
    [by_value] = differences(answer(b'{"a":"%s1"}' % long), answer(b'{"a":"%s2"}' % long))
    assert by_value.pointer == "/a"
    assert len(by_value.control) == CUT
    [by_bytes] = differences(answer(long + b"1"), answer(long + b"2"))
    assert by_bytes.control.endswith("x1")
    assert by_bytes.candidate.endswith("x2")
    assert len(by_bytes.control) <= CUT


def test_differences_of_one_answer_are_bounded() -> None:
    control, candidate = dumps(list(range(1000))), dumps(list(range(1, 1001)))
    assert len(found(control, candidate)) == MOST


def test_groups_count_the_same_place_of_each_item_together() -> None:
    pointers = ["/commands/0/id", "/commands/17/id", "/a1/2", "/3", "status"]
    groups = [Difference(pointer, "value", "", "").group for pointer in pointers]
    assert groups == ["/commands/*/id", "/commands/*/id", "/a1/*", "/*", "status"]


def test_values_that_are_no_answers_can_be_compared() -> None:
    [difference] = values_differ({"argv": ["a", "b"]}, {"argv": ["a", "c"]}, "plan:")
    assert difference == Difference("plan:/argv/1", "value", '"b"', '"c"')
    assert values_differ({"argv": ["a"]}, {"argv": ["a"]}) == []


@given(VALUES, VALUES)
def test_canonical_bodies_differ_exactly_when_their_bytes_do(control: Any, candidate: Any) -> None:  # noqa: ANN401
    sides = dumps(control), dumps(candidate)
    assert bool(found(sides[0], sides[1])) == (sides[0] != sides[1])


@given(st.binary(), st.binary())
def test_any_bytes_are_compared_without_raising(control: bytes, candidate: bytes) -> None:
    assert bool(found(control, candidate)) == (control != candidate)


@given(VALUES, st.integers(0, 2), st.integers(0, 2))
def test_how_json_is_written_is_part_of_it(value: Any, one: int, other: int) -> None:  # noqa: ANN401
    styles: list[dict[str, Any]] = [{}, {"indent": 1}, {"ensure_ascii": False}]
    sides = [json.dumps(value, **styles[n]).encode("utf-8", "surrogatepass") for n in (one, other)]
    assert bool(found(sides[0], sides[1])) == (sides[0] != sides[1])
