"""How far a run says it is: lines `::progress N message` on its standard output."""

from __future__ import annotations

import re
from dataclasses import dataclass

from fastapi_app.engine.logs import LogFiles
from fastapi_app.engine.masking import NOTHING, Mask
from fastapi_app.models import Stream

MARK = "::progress"
LONGEST_LINE = 1024
"""Characters of such a line that are looked at; the rest of its message is left out."""
WINDOW = 64 * 1024
"""Bytes at the end of a log in which progress is looked for."""
_LINE = re.compile(
    rf"^{MARK}[ \t]+(?P<percent>[+-]?[0-9]+(?:\.[0-9]*)?)%?(?:[ \t]+(?P<message>[^\n]*))?\r?$",
    re.MULTILINE,
)
_OTHER = "\0"
"""Stands for the beginning of a line that is no progress, however it goes on."""


@dataclass(frozen=True, slots=True)
class Progress:
    """How much is done, of 100, and what is being done."""

    percent: float
    message: str = ""


class Scanner:
    """Finds progress in text that comes in pieces; keeps no more than the beginning of a line.

    With `inside` the text starts somewhere in a line.
    """

    def __init__(self, *, inside: bool = False) -> None:
        self._line = _OTHER if inside else ""

    def feed(self, text: str) -> list[Progress]:
        """The progress that lines ending in `text` tell of, in their order."""
        lines, newline, rest = text.rpartition("\n")
        if not newline:
            self._begin(self._line + text)
            return []
        lines = self._line + lines
        self._begin(rest)
        if MARK not in lines:
            return []
        return [_progress(line) for line in _LINE.finditer(lines)]

    def _begin(self, line: str) -> None:
        is_progress = MARK.startswith(line[: len(MARK)]) or line.startswith(MARK)
        self._line = line[:LONGEST_LINE] if is_progress else _OTHER


class ProgressTail:
    """The progress of one run, looked up again and again."""

    def __init__(self, logs: LogFiles, run_id: str, mask: Mask = NOTHING) -> None:
        self._logs = logs
        self._run_id = run_id
        self._mask = mask
        self._offset = 0
        self._scanner = Scanner()

    def poll(self) -> Progress | None:
        """The latest progress told since the last call, if any, as far as the last bytes say."""
        size = self._logs.size(self._run_id, Stream.STDOUT)
        if size - self._offset > WINDOW:
            self._offset, self._scanner = size - WINDOW, Scanner(inside=True)
        found: Progress | None = None
        if size > self._offset:
            for piece in self._logs.pieces(
                self._run_id, Stream.STDOUT, self._offset, mask=self._mask
            ):
                self._offset = piece.offset
                found = next(reversed(self._scanner.feed(piece.text)), found)
        return found


def latest(logs: LogFiles, run_id: str, mask: Mask = NOTHING) -> Progress | None:
    """The progress a run told last, if that is within the last bytes it printed."""
    return ProgressTail(logs, run_id, mask).poll()


def _progress(line: re.Match[str]) -> Progress:
    percent = min(100.0, max(0.0, float(line["percent"])))
    return Progress(percent, (line["message"] or "").strip()[:LONGEST_LINE])
