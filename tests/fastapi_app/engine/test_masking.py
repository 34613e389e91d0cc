"""Secrets in what runs print: found however they are written, wherever the log was cut."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING
from urllib.parse import quote

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from fastapi_app.engine.masking import NOTHING, Mask, mask_of
from fastapi_app.engine.tail import View
from fastapi_app.models import Run, RunKind, RunOptions

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

SECRET = "s3cr3t/+päss"
KEY = "-----BEGIN KEY-----\nMIIEpAIBAAKCAQEA\nq83vEjRWeJA=\n-----END KEY-----\n"


class Bytes:
    """A log in memory."""

    def __init__(self, data: bytes) -> None:
        self.data = data

    def size(self) -> int:
        return len(self.data)

    def read(self, offset: int, length: int) -> bytes:
        return self.data[offset : offset + length]

    def close(self) -> None:
        pass


def shown(data: bytes, mask: Mask, cuts: Sequence[int] = (), limit: int | None = None) -> str:
    """What a follower sees of a log that grows to each of these sizes in turn."""
    view, log, offset, text = View(limit, mask), Bytes(b""), 0, ""
    for size in [*sorted(cuts), len(data)]:
        log.data = data[:size]
        while extract := view.extract(log, offset, final=False):
            assert extract.offset > offset
            text, offset = text + extract.text, extract.offset
    while extract := view.extract(log, offset, final=True):
        text, offset = text + extract.text, extract.offset
    assert offset == min(len(data), limit or len(data))
    return text


def wrapped(text: str, column: int, end: str = "\n") -> str:
    return end.join(text[at : at + column] for at in range(0, len(text), column))


@pytest.mark.parametrize(
    "text",
    [
        SECRET,
        SECRET * 3,
        quote(SECRET, safe=""),
        quote(SECRET, safe="").lower(),
        json.dumps({"password": SECRET}),
        json.dumps(SECRET, ensure_ascii=False),
    ],
)
def test_every_way_to_write_it_is_hidden(text: str) -> None:
    hidden = Mask([SECRET]).text(f"<{text}>")
    assert "***" in hidden
    assert not any(part in hidden for part in ("s3cr3t", "ss>", "p\\u00e4", "%C3", "%c3"))


@pytest.mark.parametrize("before", ["", "u", "us", "use", "user:"])
@pytest.mark.parametrize("encode", [base64.b64encode, base64.urlsafe_b64encode])
@pytest.mark.parametrize("column", [1, 4, 7, 76])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_base64_is_hidden_wherever_the_secret_lies_in_it(
    before: str, encode: Callable[[bytes], bytes], column: int, end: str
) -> None:
    whole = encode(f"{before}{SECRET}@host".encode()).decode()
    hidden = Mask([SECRET]).text(wrapped(whole, column, end))
    left = hidden.replace(end, "").partition("***")
    assert left[1] == "***"
    # No more is left than what the neighbours have part in.
    assert len(left[0]) <= -(-len(before.encode()) * 4 // 3)
    assert len(left[2]) <= -(-len(b"@host") * 4 // 3) + 4


def test_each_line_of_a_key_is_hidden() -> None:
    mask = Mask([KEY])
    assert mask.text(KEY) == "***"
    assert mask.text("a MIIEpAIBAAKCAQEA\nb\nq83vEjRWeJA= c") == "a ***\nb\n*** c"
    assert Mask(["long enough\nshort\n"]).text("a short one") == "a short one"


def test_what_overlaps_and_what_touches_is_hidden_as_one() -> None:
    mask = Mask(["abcabc", "cdef"])
    assert mask.text("xabcabcabcx") == "x***x"
    assert mask.text("abcabcdef") == "***"
    assert mask.text("abcabccdefg") == "***g"


def test_nothing_is_hidden_where_nothing_is_secret() -> None:
    assert not NOTHING
    assert NOTHING.text("s3cr3t") == "s3cr3t"
    run = Run(id="r", kind=RunKind.EXECUTE, command="", created_at=0, env={"A": "s3cr3t"})
    assert mask_of(run) is NOTHING
    mask = mask_of(run.but(options=RunOptions(secrets=("A", "GONE"))))
    assert mask.text("s3cr3t") == "***"


def test_text_that_no_encoding_can_carry_is_no_failure() -> None:
    assert Mask(["s3cr3t"]).text("\udcff s3cr3t \ud800") == "\udcff *** \ud800"


def test_a_prompt_is_shown_at_once() -> None:
    mask = Mask(["hunter2!"])
    for data, text in {
        b"Password: ": "Password: ",
        b"Oh": "O",
        b"Oh, no!\n": "Oh, no!\n",
        b"hunter2": None,
        b"shunted": "shunted",
    }.items():
        extract = View(mask=mask).extract(Bytes(data), 0, final=False)
        assert (extract and extract.text) == text
    extract = View().extract(Bytes(b"Oh"), 0, final=False)
    assert extract
    assert extract.text == "Oh"


def test_what_was_held_back_is_shown_at_the_end() -> None:
    mask = Mask(["hunter2!"])
    assert shown(b"oh: hunter2", mask, [5, 7]) == "oh: hunter2"
    assert shown(b"oh: hunter2!", mask, [5, 7]) == "oh: ***"


def test_a_secret_that_the_limit_cuts_is_hidden() -> None:
    mask = Mask(["hunter2!"])
    assert shown(b"oh: hunter2!", mask, [9], limit=8) == "oh: ***"
    assert View(8, mask).whole(Bytes(b"oh: hunter2!"), 0) == b"oh: ***"
    assert shown(b"oh: hunt", mask, [9], limit=8) == "oh: hunt"


def test_a_reader_who_comes_in_the_middle_of_a_secret_sees_nothing_of_it() -> None:
    data, mask = b"oh: hunter2! no", Mask(["hunter2!"])
    for offset in range(len(data)):
        extract = View(mask=mask).extract(Bytes(data), offset, final=True)
        assert extract is not None
        assert (
            extract.text
            == ("oh: ***"[offset:] if offset <= 4 else "") + data[max(offset, 12) :].decode()
        )
        assert View(mask=mask).whole(Bytes(data), offset).decode() == extract.text


ALPHABET = "abü\n%="
SECRETS = st.lists(st.text(ALPHABET, min_size=4, max_size=6), min_size=1, max_size=3)


@st.composite
def logs(draw: st.DrawFn) -> tuple[list[str], bytes]:
    """Secrets, and a log with many of their beginnings, and forms of them."""
    secrets = draw(SECRETS)
    whole = st.sampled_from(secrets)
    forms = st.one_of(
        st.text(ALPHABET, max_size=5),
        whole,
        whole.map(lambda secret: secret[:3]),
        st.builds(
            lambda before, secret, column: wrapped(
                base64.b64encode((before + secret).encode()).decode(), column
            ),
            st.text("xyz", max_size=3),
            whole,
            st.integers(1, 9),
        ),
    )
    return secrets, "".join(draw(st.lists(forms, max_size=8))).encode()


@given(logs(), st.lists(st.integers(0, 80), max_size=8), st.integers(0, 80))
@example((["aaaa"], b"aaaaaaa"), [1, 2, 3, 4, 5, 6], 2)
def test_how_a_log_is_cut_changes_nothing(
    given_: tuple[list[str], bytes], cuts: list[int], resumed: int
) -> None:
    secrets, data = given_
    mask = Mask(secrets)
    whole = mask.hide(data).decode()
    assert shown(data, mask, [cut for cut in cuts if cut <= len(data)]) == whole
    for secret in secrets:
        assert secret.encode() not in mask.hide(data).replace(b"***", b"\0")
    # Who comes again sees the rest, and nothing that is hidden to others.
    assume(resumed < len(data))
    assert whole.endswith(View(mask=mask).whole(Bytes(data), resumed).decode("utf-8", "ignore"))
