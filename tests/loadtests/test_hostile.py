"""What the measurement of slow clients says, and that the slow clients are slow."""

from __future__ import annotations

import socket
import threading
from collections import Counter
from dataclasses import replace

import pytest

from loadtests.hammer import Figures
from loadtests.hostile import MIB, Outcome
from loadtests.slow import SlowClients

FIGURES = Figures(
    requests=100,
    seconds=1.0,
    throughput=100.0,
    p50_ms=1.0,
    p95_ms=2.0,
    p99_ms=4.0,
    max_ms=5.0,
    errors=0,
    error_kinds={},
    connects=4,
    client_cpu=0.1,
)


def outcome(p99: float, errors: int = 0, **ended: int) -> Outcome:
    during = replace(FIGURES, p99_ms=p99, errors=errors)
    ends = Counter({how.removeprefix("by_"): number for how, number in ended.items()})
    return Outcome(FIGURES, during, ends, 3 * MIB)


def test_the_figures_are_told_as_a_ratio_of_the_same_run() -> None:
    told = "\n".join(outcome(6.0, by_408=2, cut=1).lines())
    assert "p99 during / before: 1.50 (at most 2)" in told
    assert "slow clients ended: 2 408, 1 cut" in told
    assert "grew by 3.0 MiB" in told


@pytest.mark.parametrize(
    ("found", "met"),
    [
        (outcome(8.0, by_408=2, cut=1), True),
        (outcome(8.1, by_408=3), False),
        (outcome(4.0, errors=1, by_408=3), False),
        (outcome(4.0, by_200=1, by_408=2), False),
        (outcome(4.0, **{"not ended": 3}), False),
    ],
)
def test_what_is_not_met_is_a_failure(found: Outcome, *, met: bool) -> None:
    assert found.met is met


def test_slow_clients_send_halves_and_tell_how_they_ended() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        halves: list[bytes] = []

        def end() -> None:
            for answer in (b"HTTP/1.1 408 Request Timeout\r\n\r\n", b"", b""):
                connection, _ = listener.accept()
                with connection:
                    halves.append(connection.recv(65536))
                    connection.sendall(answer)

        ending = threading.Thread(target=end)
        ending.start()
        port = listener.getsockname()[1]
        with SlowClients([f"http://127.0.0.1:{port}"], 3) as slow:
            assert slow.wait(30) == {"408": 1, "cut": 2}
        ending.join()
    assert halves[0].endswith(b"X-Slow:")
    assert all(half.endswith(b"\r\n\r\n{") for half in halves[1:])
