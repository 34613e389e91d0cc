"""The new stack: an asynchronous workflow runner behind `/api/v1` and `/ws`."""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("mcli-dualstack")
except PackageNotFoundError:  # a source tree that was never installed
    __version__ = "0+unknown"
