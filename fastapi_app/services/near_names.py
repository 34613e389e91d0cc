"""Names that are spelled nearly like the one asked for."""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterable, Sequence
from typing import Any

NEAR = 0.65
"""From 0 to 1: share of letters that are right. `depoly` is 0.83 of `deploy`, `dply` 0.67."""
PART = 0.9
"""What a word of a name is worth against the whole name."""
CANDIDATES = 200
_WORD = re.compile(r"[^\W_]+")


class NearNames:
    """Compares a query with names, and with the words in them, as a whole.

    Swapped neighbours count as one mistake (optimal string alignment, Boytsov 2011), as they are
    the commonest there is.
    """

    def __init__(self, names: Sequence[str]) -> None:
        self._names = names
        self._whole = [name.lower() for name in names]
        having: dict[str, list[int]] = {}
        for number, name in enumerate(self._whole):
            for word in set(_WORD.findall(name)):
                having.setdefault(word, []).append(number)
        self._words = list(having)
        self._having = list(having.values())

    def near(self, query: str) -> list[tuple[str, float]]:
        """The nearest names with scores from 0 to 1, best first."""
        asked = query.strip().lower()
        scores: dict[int, float] = {n: score for _, score, n in _nearest(asked, self._whole)}
        for _, score, word in _nearest(asked, self._words):
            for number in self._having[word]:
                scores[number] = max(scores.get(number, 0.0), score * PART)
        best = sorted(scores.items(), key=lambda item: (-item[1], self._names[item[0]]))
        return [(self._names[number], score) for number, score in best[:CANDIDATES]]


def _nearest(query: str, choices: Sequence[str]) -> Iterable[Any]:
    library = importlib.import_module("rapidfuzz")
    found: Iterable[Any] = library.process.extract(
        query,
        choices,
        scorer=library.distance.OSA.normalized_similarity,
        score_cutoff=NEAR,
        limit=CANDIDATES,
    )
    return found
