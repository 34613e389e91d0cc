"""The courses of the load: at moments of their own choosing, and once through."""

from __future__ import annotations

import json
import subprocess
import sys

from loadtests.servers import ROOT

# In a process of its own: Locust puts gevent in the place of sockets and threads.
TICKS = """
import json, sys, time
from argparse import Namespace
from locust.env import Environment
from loadtests.locustfile import LegacyScript, ShimScript
from loadtests.shapes import SHAPES

def tick(shape, moment):
    shape.start_time = time.perf_counter() - moment
    return shape.tick()

def ticks(name, users, length, moments):
    shape = SHAPES[name]()
    options = Namespace(num_users=users, run_time=length)
    environment = Environment(user_classes=[LegacyScript, ShimScript], parsed_options=options)
    shape.runner = environment.create_local_runner()
    return [tick(shape, moment) for moment in moments]

print(json.dumps([ticks(*each) for each in json.loads(sys.argv[1])]))
"""
COURSES: list[tuple[str, int, int | None, list[float], list[int | None]]] = [
    ("step", 100, 1000, [0, 150, 250, 450, 950, 1001], [20, 20, 40, 60, 100, None]),
    ("spike", 100, 1000, [0, 390, 410, 590, 610, 990, 1001], [10, 10, 100, 100, 10, 10, None]),
    ("soak", 100, 1000, [0, 30, 50, 70, 90, 990, 1001], [20, 40, 60, 80, 100, 100, None]),
    # Each class keeps a user, and without -t the shape has a length of its own.
    ("spike", 5, None, [10, 90, 170, 181], [2, 5, 2, None]),
]


def test_courses() -> None:
    argv = [sys.executable, "-c", TICKS, json.dumps([course[:4] for course in COURSES])]
    done = subprocess.run(argv, cwd=ROOT, check=True, capture_output=True, timeout=60)
    found = [[tick and tick[0] for tick in ticks] for ticks in json.loads(done.stdout)]
    assert found == [course[4] for course in COURSES]


def test_a_shape_is_run_to_its_end(limit: str) -> None:
    argv = [sys.executable, "-m", "locust", "-f", "loadtests/locustfile.py", "--headless"]
    argv += ["--shape", "step", "-u", "5", "-t", "2s", "--host", limit, "ShimScript"]
    done = subprocess.run(argv, cwd=ROOT, check=False, capture_output=True, text=True, timeout=60)
    assert "Ramping to 1 users" in done.stderr
    assert "Shape test completed" in done.stderr


def test_without_a_shape_there_is_none(limit: str) -> None:
    argv = [sys.executable, "-m", "locust", "-f", "loadtests/locustfile.py", "--headless"]
    argv += ["-u", "2", "-r", "2", "-t", "1s", "--host", limit, "ShimScript"]
    done = subprocess.run(argv, cwd=ROOT, check=False, capture_output=True, text=True, timeout=60)
    assert "Ramping to 2 users" in done.stderr
    assert "Shape" not in done.stderr
