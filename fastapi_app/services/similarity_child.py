"""The child process that compares commands: TF-IDF over what they are called, say and do.

Run as a program. It reads JSON, a line each, and answers each question with a line:

    {"url": "…"}                                    the database; first of all
    {"id": "…", "changes": 7, "limit": 10}    →     {"items": [["…", 0.83], …]} or {"error": "…"}

Words become columns by their hash, so what one command says is counted once, and again only when it
has changed; what depends on all of them, the weight of a word, is cheap. It ends with its input, or
when nobody has asked for `IDLE` seconds.
"""

from __future__ import annotations

import asyncio
import io
import json
import select
import sys
from collections.abc import Iterable
from typing import Any

import numpy as np
from scipy import sparse
from sklearn.feature_extraction.text import HashingVectorizer, TfidfTransformer
from sqlalchemy import select as select_rows

from fastapi_app.storage.database import Database, attach
from fastapi_app.storage.tables import commands

IDLE = 600
"""Seconds."""
COLUMNS = 2**18
WORD = r"[^\W_]{2,}"
LEAST = 0.05
"""Likeness below which two commands have nothing to do with each other."""
LONGEST = 100_000
"""Characters of a command's text that are compared."""


class Corpus:
    """The commands as vectors."""

    def __init__(self) -> None:
        self._count = HashingVectorizer(
            n_features=COLUMNS,
            alternate_sign=False,
            norm=None,
            token_pattern=WORD,
            dtype=np.float32,
        )
        self._ids: list[str] = []
        self._texts: dict[str, int] = {}
        self._counts: Any = None
        self._weighed: Any = None

    def update(self, texts: Iterable[tuple[str, str]]) -> None:
        """Take what is new or has changed, drop what is gone, and weigh all anew."""
        digests = dict[str, int]()
        changed: list[tuple[str, str]] = []
        for command_id, text in texts:
            digests[command_id] = hash(text)
            if self._texts.get(command_id) != digests[command_id]:
                changed.append((command_id, text))
        fresh = {command_id for command_id, _ in changed}
        stay = [n for n, i in enumerate(self._ids) if i in digests and i not in fresh]
        parts = [self._counts[stay]] if stay else []
        if changed:
            parts.append(self._count.transform(text for _, text in changed))
        self._ids = [*(self._ids[n] for n in stay), *(command_id for command_id, _ in changed)]
        self._texts = digests
        self._counts = sparse.vstack(parts, format="csr") if parts else None
        self._weighed = (
            TfidfTransformer(sublinear_tf=True).fit_transform(self._counts) if parts else None
        )

    def near(self, command_id: str, limit: int) -> list[tuple[str, float]]:
        """The most alike, best first; none for a command that is not there."""
        if command_id not in self._texts:
            return []
        row = self._ids.index(command_id)
        scores = self._weighed @ self._weighed[row].toarray().ravel()
        scores[row] = 0
        best = np.argsort(-scores, kind="stable")[:limit]
        return [(self._ids[n], round(float(scores[n]), 4)) for n in best if scores[n] >= LEAST]


async def read(database: Database) -> list[tuple[str, str]]:
    """Every command's id and text."""
    statement = select_rows(
        commands.c.id, commands.c.name, commands.c.description, commands.c.tags, commands.c.code
    )
    async with database.read() as connection:
        rows = await connection.execute(statement)
        return [(row[0], "\n".join(row[1:])[:LONGEST]) for row in rows]


def answers(runner: asyncio.Runner, database: Database, questions: io.RawIOBase) -> None:
    """Answer until there are no more questions."""
    corpus, known = Corpus(), None
    while select.select([questions], [], [], IDLE)[0] and (line := questions.readline()):
        question = json.loads(line)
        try:
            if known != question["changes"]:
                corpus.update(runner.run(read(database)))
                known = question["changes"]
            answer: dict[str, object] = {"items": corpus.near(question["id"], question["limit"])}
        except Exception as error:
            answer = {"error": f"{type(error).__name__}: {error}"[:500]}
        print(json.dumps(answer), flush=True)


def main() -> None:
    """Read where the database is, and serve."""
    # Unbuffered: what a buffer holds back would not wake the wait for the next question.
    with open(sys.stdin.fileno(), "rb", buffering=0, closefd=False) as questions:
        if first := questions.readline():
            serve(json.loads(first)["url"], questions)


def serve(url: str, questions: io.RawIOBase) -> None:
    """Answer about the commands of one database."""
    database = attach(url)
    with asyncio.Runner() as runner:
        try:
            answers(runner, database, questions)
        finally:
            runner.run(database.aclose())


if __name__ == "__main__":
    main()
