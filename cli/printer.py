"""Writes what runs print: as it is for one of them, line by line with its name for several."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Self

from cli import output
from cli.progress import Bars, Sieve

if TYPE_CHECKING:
    from cli.client import Json

LONGEST = 65536  # characters of a line that are kept back for its end
STREAMS = ("stdout", "stderr")


class Printer:
    """Prints log events of the runs of `labels`: id to name, empty where none is to be shown.

    With `progress`, lines that tell of progress are shown as a bar instead. Use it as a context
    manager: leaving writes what was kept back.
    """

    def __init__(self, labels: dict[str, str], *, progress: bool = False) -> None:
        width = max(map(len, labels.values()), default=0)
        self._prefixes = {
            run_id: f"{label:<{width}} | " if label else "" for run_id, label in labels.items()
        }
        self._bars = Bars() if progress else None
        self._sieves: dict[str, Sieve] = {}
        self._kept: dict[tuple[str, str], str] = {}

    def __enter__(self) -> Self:
        if self._bars:
            self._bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        for run_id in self._prefixes:
            self.end(run_id)
        if self._bars:
            self._bars.stop()

    def log(self, run_id: str, event: Json) -> None:
        """Print the text of a log event, as far as its lines are whole."""
        text = str(event["message"])
        if event.get("stream") == "stderr":
            self._text(run_id, "stderr", text)
        elif self._bars is None:
            self._text(run_id, "stdout", text)
        else:
            self._sifted(run_id, self._sieves.setdefault(run_id, Sieve()), text)

    def end(self, run_id: str) -> None:
        """Print what was kept back: nothing more comes of this run."""
        if run_id in self._sieves:
            self._sifted(run_id, self._sieves.pop(run_id), None)
        for stream in STREAMS:
            if kept := self._kept.pop((run_id, stream), ""):
                self._write(stream, f"{self._prefixes[run_id]}{kept}\n")

    def _sifted(self, run_id: str, sieve: Sieve, text: str | None) -> None:
        for piece in sieve.rest() if text is None else sieve.feed(text):
            if isinstance(piece, str):
                self._text(run_id, "stdout", piece)
            elif self._bars:
                self._bars.show(self._prefixes[run_id], *piece)

    def _text(self, run_id: str, stream: str, text: str) -> None:
        prefix = self._prefixes[run_id]
        if not prefix and not self._drawn:
            self._write(stream, text)
            return
        *whole, rest = (self._kept.get((run_id, stream), "") + text).split("\n")
        if len(rest) > LONGEST:
            whole, rest = [*whole, rest], ""
        self._kept[run_id, stream] = rest
        if whole:
            self._write(stream, "".join(f"{prefix}{line}\n" for line in whole))

    @property
    def _drawn(self) -> bool:
        return self._bars is not None and self._bars.drawn is not None

    def _write(self, stream: str, text: str) -> None:
        to = sys.stderr if stream == "stderr" else sys.stdout
        if self._bars and self._bars.drawn and to.isatty():
            # Through the one who draws the bar, which moves down for it.
            self._bars.drawn.console.out(text, end="", highlight=False)
        else:
            output.write_text(text, err=stream == "stderr")
