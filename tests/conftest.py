"""What every test takes for granted."""

from __future__ import annotations

import signal

import hypothesis

from tests.postgres import postgres, postgres_url
from tests.redis_server import redis_url, shared_redis

__all__ = ["postgres", "postgres_url", "redis_url", "shared_redis"]

# How long an example takes says more about what else the machine does.
hypothesis.settings.register_profile("here", deadline=None)
hypothesis.settings.load_profile("here")

# A shell that starts a job in the background has it ignore SIGINT, and so would every child of
# ours: those that are to be sent one must have the default.
signal.signal(signal.SIGINT, signal.default_int_handler)
