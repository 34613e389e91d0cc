"""Who a client is, and which share it belongs to."""

from __future__ import annotations

import math
import time

import pytest
from starlette.types import Scope

from compat.clients import LONGEST, SHOWN, client_of, is_within, key_of

KEYS = [b"id:%d" % number for number in range(20_000)]


def scope(*headers: tuple[bytes, bytes], address: str = "127.0.0.1") -> Scope:
    return {"type": "http", "headers": list(headers), "client": (address, 4711)}


AGENT = (b"user-agent", b"curl/8")
CLIENT_ID = (b"x-client-id", b"nightly")
API_KEY = (b"x-api-key", b"s3cret")
BEARER = (b"authorization", b"Bearer s3cret")


@pytest.mark.parametrize("percent", [0, 1, 10, 50, 100])
def test_a_percentage_of_the_keys_is_within(percent: int) -> None:
    within = sum(is_within(key, percent) for key in KEYS)
    expected = len(KEYS) * percent / 100
    # Four standard deviations of a fair draw; at 0 and 100 there is no doubt at all.
    assert abs(within - expected) <= 4 * math.sqrt(expected * (1 - percent / 100))


def test_a_higher_percentage_only_adds_clients() -> None:
    before: set[bytes] = set()
    for percent in range(0, 101, 5):
        now = {key for key in KEYS[:2000] if is_within(key, percent)}
        assert before <= now
        before = now
    assert len(before) == 2000


def test_another_salt_is_another_order() -> None:
    first = {key for key in KEYS if is_within(key, 10)}
    other = {key for key in KEYS if is_within(key, 10, b"brownout")}
    assert len(first & other) < len(first) / 2


def test_the_place_of_a_key_never_changes() -> None:
    within = [number for number in range(8) if is_within(KEYS[number], 50)]
    assert within == [0, 1, 3, 4, 5]


def test_the_key_is_the_most_telling_thing_there_is() -> None:
    assert key_of(scope(AGENT, CLIENT_ID, API_KEY)) == b"key:s3cret"
    assert key_of(scope(BEARER, AGENT, CLIENT_ID)) == b"key:Bearer s3cret"
    assert key_of(scope(AGENT, CLIENT_ID)) == b"id:nightly"
    assert key_of(scope(AGENT)) == b"peer:127.0.0.1 curl/8"
    assert key_of(scope(AGENT)) != key_of(scope(AGENT, address="127.0.0.2"))
    assert key_of({"type": "http", "headers": [], "client": None}) == b"peer:- "


def test_what_is_shown_holds_no_secret() -> None:
    client = client_of(scope(API_KEY, AGENT))
    assert "s3cret" not in f"{client.label}{client.id}{client.user_agent}"
    assert client.user_agent == "curl/8"


def test_ten_megabytes_of_a_key_are_a_short_key() -> None:
    began = time.process_time()
    huge = client_of(scope((b"x-client-id", b"x" * 10_000_000), AGENT))
    assert len(huge.key) <= LONGEST
    assert len(huge.label) <= SHOWN
    other = client_of(scope((b"x-client-id", b"x" * 9_999_999 + b"y"), AGENT))
    assert other.id != huge.id
    assert time.process_time() - began < 5
