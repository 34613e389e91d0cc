"""The comparison of three, as a table: folder, store, and what they last had in common."""

from __future__ import annotations

import itertools

import pytest

from fastapi_app.services.sync_plan import Comparison, State, alike, compare, plan
from fastapi_app.sync_models import Difference, Kind, Side, Step

A, M, D = Kind.ADDED, Kind.MODIFIED, Kind.DELETED
FOLDER, STORE = Side.FOLDER, Side.STORE
EVERY = list(itertools.product(["", "1", "2"], repeat=3))

TABLE = [
    # folder, store, last in common: what the folder did, what the store did; None: nothing to do
    ("1", "1", "1", None),
    ("1", "1", "2", None),
    ("1", "1", "", None),
    ("", "", "1", None),
    ("1", "", "", (A, None)),
    ("", "1", "", (None, A)),
    ("2", "1", "1", (M, None)),
    ("1", "2", "1", (None, M)),
    ("", "1", "1", (D, None)),
    ("1", "", "1", (None, D)),
    ("1", "2", "", (A, A)),
    ("2", "3", "1", (M, M)),
    ("2", "", "1", (M, D)),
    ("", "2", "1", (D, M)),
]


def state(text: str) -> State:
    return State("ops", "shell", text)


def side(text: str) -> dict[str, State]:
    return {"x": state(text)} if text else {}


def compared(folder: str, store: str, base: str) -> Comparison:
    return compare(side(folder), side(store), side(base))


@pytest.mark.parametrize(("folder", "store", "base", "expected"), TABLE)
def test_each_case_of_three(
    folder: str, store: str, base: str, expected: tuple[Kind | None, Kind | None] | None
) -> None:
    found = compared(folder, store, base)
    differences = () if expected is None else (Difference("x", *expected),)
    assert found.differences == differences
    assert found.agreed == (("x",) if folder == store != base else ())
    assert found.unchanged == (folder == store != "")


@pytest.mark.parametrize(("folder", "store", "base", "expected"), TABLE)
@pytest.mark.parametrize("source", Side)
def test_only_what_one_side_did_alone_is_done_on_the_other(
    folder: str,
    store: str,
    base: str,
    expected: tuple[Kind | None, Kind | None] | None,
    source: Side,
) -> None:
    here, there = expected or (None, None)
    mine, other = (here, there) if source is FOLDER else (there, here)
    made = plan(compared(folder, store, base), source)
    pruned = plan(compared(folder, store, base), source, prune=True)
    conflict = mine is not None and other is not None
    assert bool(made.conflicts) == conflict
    assert made.conflicts == pruned.conflicts
    if conflict or mine is None:
        assert (made.steps, made.kept, pruned.steps) == ([], [], [])
    elif mine is D:
        assert (made.steps, made.kept) == ([], [Step("x", D)])
        assert (pruned.steps, pruned.kept) == ([Step("x", D)], [])
    else:
        assert (made.steps, made.kept) == ([Step("x", mine)], [])


@pytest.mark.parametrize(("folder", "store", "base"), EVERY)
@pytest.mark.parametrize("source", Side)
def test_what_is_taken_makes_both_sides_alike(
    folder: str, store: str, base: str, source: Side
) -> None:
    given, changed = (folder, store) if source is FOLDER else (store, folder)
    made = plan(compared(folder, store, base), source, take=["x"])
    if given == changed:
        assert made.steps == []
        return
    expected = D if not given else M if changed else A
    assert (made.steps, made.kept, made.conflicts) == ([Step("x", expected)], [], [])


def test_given_names_nothing_else_is_done() -> None:
    found = compare({"a": state("1"), "b": state("1")}, {}, {})
    assert plan(found, FOLDER, names=["b"]).steps == [Step("b", A)]
    assert plan(found, STORE).steps == []


def test_what_is_held_back_is_not_looked_at() -> None:
    found = compare(side("1"), side("2"), {}, held={"x"})
    assert found == Comparison()


def test_a_script_that_moves_is_modified() -> None:
    moved = State("dev", "shell", "1")
    assert compare({"x": moved}, side("1"), side("1")).differences == (Difference("x", M, None),)


def test_names_that_a_file_system_takes_for_one_are_told() -> None:
    composed, decomposed = "caf\u00e9", "cafe\u0301"
    names = ["Deploy", "deploy", "DEPLOY", composed, decomposed, "other"]
    assert sorted(alike(names)) == [
        ("DEPLOY", "Deploy", "deploy"),
        tuple(sorted((composed, decomposed))),
    ]
