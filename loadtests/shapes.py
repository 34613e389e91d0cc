"""Courses that a load can take: step, spike and soak.

`-u` is the peak and `-t` the whole length, so one shape serves a test of seconds and one of hours.
The number of users changes at once; `-r` is not asked.
"""

from __future__ import annotations

import logging
from typing import ClassVar

from locust import LoadTestShape
from locust.argument_parser import LocustArgumentParser
from locust.env import Environment

logger = logging.getLogger(__name__)


class Course(LoadTestShape):
    """`stages` are (share of the length at which it ends, share of the peak).

    `lasts` is the length in seconds without `-t`.
    """

    abstract = True
    use_common_options = True
    stages: ClassVar[tuple[tuple[float, float], ...]]
    lasts: ClassVar[float]

    def tick(self) -> tuple[int, float] | None:
        """Users now and how many of them may come in a second; None at the end."""
        assert self.runner is not None
        environment = self.runner.environment
        options = environment.parsed_options
        # Fewer users than classes would leave a stack without load.
        least = len(environment.user_classes)
        peak = max(least, (options and options.num_users) or 10)
        length: float = (options and options.run_time) or self.lasts
        passed = self.get_run_time() / length
        for until, share in self.stages:
            if passed < until:
                return max(least, round(peak * share)), peak
        return None


class Step(Course):
    """Five equal steps up, to see where it begins to hurt."""

    lasts = 300.0
    stages = tuple((step / 5, step / 5) for step in range(1, 6))


class Spike(Course):
    """A tenth, then everybody at once, then a tenth again, to see whether it recovers."""

    lasts = 180.0
    stages = ((0.4, 0.1), (0.6, 1.0), (1.0, 0.1))


class Soak(Course):
    """Up in five steps, then long at the peak, to see what grows."""

    lasts = 3600.0
    stages = (*((step / 50, step / 5) for step in range(1, 5)), (1.0, 1.0))


SHAPES: dict[str, type[Course]] = {"step": Step, "spike": Spike, "soak": Soak}


def add_option(parser: LocustArgumentParser) -> None:
    """`--shape`, and not the first shape that Locust finds, so that there is none unless asked."""
    parser.add_argument(
        "--shape",
        choices=sorted(SHAPES),
        env_var="LOADTEST_SHAPE",
        include_in_web_ui=False,
        help="course of the load: -u is its peak, -t its length",
    )


def choose(environment: Environment) -> None:
    """Take the shape that was asked for, or offer them all where the web UI asks."""
    options = environment.parsed_options
    if environment.runner is None or options is None:
        return
    environment.available_shape_classes = {kind.__name__: kind() for kind in SHAPES.values()}
    if options.shape and not options.worker:
        environment.shape_class = SHAPES[options.shape]()
        environment.shape_class.runner = environment.runner
        if options.class_picker and not options.autostart:
            logger.warning("The web UI asks for the shape: choose %s there", options.shape)
