"""Which commands are like one: asked of a child process, so that the server stays small and free.

What compares them, scikit-learn, takes a second to load and some hundred megabytes; the matrix of
many commands takes seconds to make. The child is started by the first question and ends by itself
when nobody asks any more. See `similarity_child`.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from fastapi_app.errors import SimilarityUnavailableError

CHILD = "fastapi_app.services.similarity_child"
END_WITHIN = 2.0
"""Seconds the child has to end before it is killed."""


class Similarity:
    """Asks the child, one question after the other. `url` is that of the database."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._child: subprocess.Popen[bytes] | None = None
        self._closing = False
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="similarity")

    async def near(self, command_id: str, changes: int, limit: int) -> list[tuple[str, float]]:
        """Ids of the commands most like one, with their likeness from 0 to 1, best first.

        `changes` is the number of the last change of any command: the child reads them again when
        it is another.

        Raises:
            SimilarityUnavailableError: the child cannot be started, or does not answer.
        """
        question = {"id": command_id, "changes": changes, "limit": limit}
        loop = asyncio.get_running_loop()
        answer = await loop.run_in_executor(self._thread, self._ask, question)
        if "error" in answer:
            raise SimilarityUnavailableError(answer["error"])
        return [(str(key), float(score)) for key, score in answer["items"]]

    async def aclose(self) -> None:
        """End the child."""
        self._closing = True
        if self._child is not None:
            await asyncio.to_thread(_end, self._child)
        self._thread.shutdown()

    def _ask(self, question: dict[str, object]) -> dict[str, Any]:
        # The child may just have ended by itself: one more is started.
        for _ in range(2):
            with contextlib.suppress(BrokenPipeError):
                if answer := _exchange(self._running(), question):
                    return answer
            if self._child is not None:
                _end(self._child)
        return {"error": "its process ended at once; the server's log says why"}

    def _running(self) -> subprocess.Popen[bytes]:
        if self._closing:
            raise SimilarityUnavailableError("the server is about to end")
        if self._child is not None:
            if self._child.poll() is None:
                return self._child
            _end(self._child)
        self._child = subprocess.Popen(
            [sys.executable, "-P", "-m", CHILD],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            # Not in the server's group: Ctrl-C at a terminal is the server's to handle.
            start_new_session=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        )
        # By a pipe, because there may be a password in it.
        _send(self._child, {"url": self._url})
        return self._child


def _exchange(child: subprocess.Popen[bytes], question: dict[str, object]) -> dict[str, Any]:
    """The answer; empty when the child has ended."""
    _send(child, question)
    line = child.stdout.readline() if child.stdout is not None else b""
    answer: dict[str, Any] = json.loads(line) if line.endswith(b"\n") else {}
    return answer


def _send(child: subprocess.Popen[bytes], message: dict[str, object]) -> None:
    if child.stdin is not None:
        child.stdin.write(json.dumps(message).encode() + b"\n")
        child.stdin.flush()


def _end(child: subprocess.Popen[bytes]) -> None:
    """The end of its input is the end of the child, unless it is busy."""
    with contextlib.suppress(OSError):
        if child.stdin is not None:
            child.stdin.close()
    try:
        child.wait(END_WITHIN)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()
    if child.stdout is not None:
        child.stdout.close()
