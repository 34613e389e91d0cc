"""Places and windows: pure."""

from __future__ import annotations

import pytest

from compat.stages import Brownout, Place, Stage, Window

ONCE = Brownout(begins=1000, lasts=60)
HOURLY = Brownout(begins=1000, lasts=60, every=3600)


@pytest.mark.parametrize(
    ("brownout", "now", "window"),
    [
        (ONCE, 0, Window(1000, 1060)),
        (ONCE, 1000, Window(1000, 1060)),
        (ONCE, 1059.9, Window(1000, 1060)),
        (ONCE, 1060, None),
        (HOURLY, 500, Window(1000, 1060)),
        (HOURLY, 1060, Window(4600, 4660)),
        (HOURLY, 4600, Window(4600, 4660)),
        (HOURLY, 4660, Window(8200, 8260)),
        (HOURLY, 1000 + 3600 * 1000 + 30, Window(3_601_000, 3_601_060)),
    ],
)
def test_the_window_is_the_open_one_or_the_next(
    brownout: Brownout, now: float, window: Window | None
) -> None:
    assert brownout.window(now) == window


def test_a_schedule_survives_being_written() -> None:
    assert Brownout.from_json(HOURLY.as_json()) == HOURLY


def test_a_place_says_its_share_only_where_it_has_one_of_its_own() -> None:
    assert str(Place.at(Stage.CANARY, 10)) == "canary 10%"
    assert str(Place.at(Stage.NEW)) == "new"
    shares = [Place.at(stage, 33).percent for stage in Stage]
    assert shares == [0, 0, 33, 100, 100, 0]
