"""What a report was measured with and on: versions, machine, time."""

from __future__ import annotations

import os
import platform
import sqlite3
import subprocess
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

import psutil

from fastapi_app import __version__
from loadtests.homes import place
from loadtests.servers import ROOT

PACKAGES = ("flask", "werkzeug", "gunicorn", "fastapi", "starlette", "uvicorn", "uvloop", "a2wsgi")
GIGABYTE = 1_000_000_000


def about() -> dict[str, Any]:
    """All of it, for programs."""
    return {
        "begun": datetime.now(UTC).isoformat(timespec="seconds"),
        "versions": versions(),
        "machine": machine(),
        "load_average": os.getloadavg()[0],
        "homes": str(place()),
    }


def versions() -> dict[str, str]:
    """Ours, and those of what does the work."""
    found = {"mcli-dualstack": __version__}
    if revision := _revision():
        found["revision"] = revision
    found |= {"python": platform.python_version(), "sqlite": sqlite3.sqlite_version}
    return found | {name: metadata.version(name) for name in PACKAGES}


def machine() -> dict[str, Any]:
    """How big it is; `memory_gb` is 10^9 bytes."""
    return {
        "processors": len(os.sched_getaffinity(0)),
        "processor": _processor(),
        "memory_gb": round(psutil.virtual_memory().total / GIGABYTE, 1),
        "system": f"{_distribution()}, Linux {'.'.join(platform.release().split('.')[:2])}",
    }


def in_words(found: Mapping[str, Any]) -> tuple[str, str]:
    """The versions and the machine, as a line each."""
    size = found["machine"]
    return (
        ", ".join(f"{name} {version}" for name, version in found["versions"].items()),
        ", ".join(
            (
                f"{size['processors']} processors ({size['processor']})",
                f"{size['memory_gb']:g} GB",
                size["system"],
            )
        ),
    )


def _revision() -> str | None:
    """Name the commit; a `+` behind it when files differ from it."""
    git = ["git", "describe", "--always", "--exclude=*", "--dirty=+"]
    try:
        done = subprocess.run(git, cwd=ROOT, capture_output=True, text=True, check=False)
    except OSError:
        return None  # there is no git here
    return done.stdout.strip() or None


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        name, _, value = line.partition(":")
        if name.strip() == "model name":
            return value.strip()
    return platform.machine()


def _distribution() -> str:
    try:
        return platform.freedesktop_os_release()["PRETTY_NAME"]
    except (OSError, KeyError):
        return "Linux"
