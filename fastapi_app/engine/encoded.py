"""What many readers get alike is encoded once for all of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Self, TypeVar

T = TypeVar("T")


class Encoded:
    """Something immutable that remembers its encoded forms, each by the function that made it."""

    def encoded(self, encode: Callable[[Self], T]) -> T:
        """What `encode` makes of this, made at the first call."""
        forms: dict[Any, T] = self.__dict__.setdefault("_forms", {})
        if encode not in forms:
            forms[encode] = encode(self)
        return forms[encode]
