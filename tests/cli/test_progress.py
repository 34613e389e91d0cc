"""`--progress`: what is told apart, and how it is shown."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cli.progress import LONGEST, Sieve
from tests.cli.conftest import visible

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.conftest import Mclictl

Found = list[str | tuple[float, str]]


def sift(*pieces: str) -> Found:
    sieve = Sieve()
    return [found for piece in pieces for found in sieve.feed(piece)] + list(sieve.rest())


def joined(found: Found) -> Found:
    """The same with texts that follow each other as one."""
    merged: Found = []
    for piece in found:
        if isinstance(piece, str) and merged and isinstance(merged[-1], str):
            merged[-1] += piece
        else:
            merged.append(piece)
    return merged


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("::progress 40\n", [(40, "")]),
        ("::progress 40 half done\n", [(40, "half done")]),
        ("::progress\t40.5%  \tx\r\n", [(40.5, "x")]),
        ("::progress 140\n::progress -3\n", [(100, ""), (0, "")]),
        ("a\n::progress 1\nb", ["a\n", (1, ""), "b"]),
        ("::progress 7", [(7, "")]),
        ("a ::progress 1\n", ["a ::progress 1\n"]),
        (" ::progress 1\n", [" ::progress 1\n"]),
        ("::progress\n", ["::progress\n"]),
        ("::progress x\n", ["::progress x\n"]),
        ("::progressive 1\n", ["::progressive 1\n"]),
        ("::pro", ["::pro"]),
        ("", []),
    ],
)
def test_progress_is_told_from_output(text: str, found: Found) -> None:
    assert joined(sift(text)) == found


LINES = st.lists(
    st.sampled_from(["::progress 5", "::progress 6 six", "::prog", "x", "", "::progress ?", "\n"])
)


@given(LINES.map("\n".join), st.data())
def test_it_does_not_matter_where_the_pieces_end(text: str, data: st.DataObject) -> None:
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=8)))
    pieces = [text[a:b] for a, b in zip([0, *cuts], [*cuts, len(text)], strict=True)]
    assert joined(sift(*pieces)) == joined(sift(text))


def test_output_is_passed_on_at_once() -> None:
    sieve = Sieve()
    assert list(sieve.feed("no newline")) == ["no newline"]
    assert list(sieve.feed("::progress 1")) == ["::progress 1"]
    assert list(sieve.feed("\n:")) == ["\n"]
    assert list(sieve.feed("x")) == [":x"]
    assert "".join(map(str, sieve.feed("\n::progress " + "x" * LONGEST))).endswith("x")


SCRIPT = "echo one; echo '::progress 40 half'; echo two; echo '::progress 100'; echo err >&2"


def test_elsewhere_progress_is_lines_beside_the_output(mclictl: Mclictl) -> None:
    done = mclictl("run", "--progress", SCRIPT)
    assert done.stdout == "one\ntwo\n"
    assert sorted(done.stderr.splitlines()) == ["100 %", "40 % half", "err"]
    assert "::progress 40 half\n" in mclictl("run", SCRIPT).stdout


def test_on_a_terminal_it_is_a_bar_below_the_output(mclictl: Mclictl) -> None:
    shown = mclictl.on_terminal("run", "--progress", SCRIPT + "; printf rest", NO_COLOR="1")
    assert "::progress" not in shown
    assert "100%" in shown
    lines = [line.strip() for line in visible(shown.replace("\r", "\n"))]
    for line in ("one", "two", "err", "rest"):
        assert any(shown_line.endswith(line) for shown_line in lines), (line, shown)


def test_a_followed_run_shows_its_progress(mclictl: Mclictl) -> None:
    done = mclictl("follow", "--progress", mclictl.background(SCRIPT))
    assert done.stdout == "one\ntwo\n"
    assert "40 % half" in done.stderr


def test_it_is_shown_while_the_run_goes_on(mclictl: Mclictl, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    run_id = mclictl.background(f"echo '::progress 40 half'; cat '{gate}'")
    with mclictl.spawn("follow", "--progress", run_id) as process:
        assert process.stderr is not None
        assert process.stderr.readline() == "40 % half\n"
        assert mclictl.json("show", run_id)["progress"] == {"percent": 40, "message": "half"}
        assert "progress" in mclictl("show", run_id).stdout
        gate.write_text("")
        assert process.wait(30) == 0


@pytest.mark.parametrize(
    "args",
    [
        ["run", "--progress", "--json", "true"],
        ["run", "--progress", "--background", "true"],
        ["workflow", "start", "--progress", "x"],
        ["retry", "--progress", "x"],
        ["follow", "--progress", "--json", "x"],
    ],
)
def test_there_must_be_output_to_show_it_in(mclictl: Mclictl, args: list[str]) -> None:
    assert "--progress" in mclictl(*args, exits=2).stderr
