"""`--progress`: lines `::progress N message` become a bar, or lines of their own."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TaskProgressColumn, TextColumn

from cli import output

if TYPE_CHECKING:
    from collections.abc import Iterator

MARK = "::progress"
LONGEST = 4096  # characters; a longer line is output, whatever it begins with
LINE = re.compile(rf"{MARK}[ \t]+([+-]?[0-9]+(?:\.[0-9]*)?)%?(?:[ \t]+([^\n]*))?\r?\n?")


class Sieve:
    """Parts one run's standard output from the progress in it; the pieces may end anywhere."""

    def __init__(self) -> None:
        self._held = ""
        self._inside = False  # a line that is known to be output

    def feed(self, text: str) -> Iterator[str | tuple[float, str]]:
        """Yield output as it can be told, and (percent, message) of progress, in their order."""
        plain: list[str] = []
        for line in _lines(self._held + text):
            self._held = ""
            if not self._inside and _may_be_progress(line):
                if not line.endswith("\n"):
                    self._held = line
                    break
                if found := LINE.fullmatch(line):
                    if plain:
                        yield "".join(plain)
                        plain = []
                    percent = min(100.0, max(0.0, float(found[1])))
                    yield percent, (found[2] or "").strip()
                    continue
            plain.append(line)
            self._inside = not line.endswith("\n")
        if plain:
            yield "".join(plain)

    def rest(self) -> Iterator[str | tuple[float, str]]:
        """Yield what was held back, now that nothing follows."""
        if self._held:
            yield from self.feed("\n") if LINE.fullmatch(self._held) else [self._held]
        self._held = ""


class Bars:
    """A bar for each run on a terminal, below what the runs print; lines to stderr elsewhere."""

    def __init__(self) -> None:
        self._tasks: dict[str, TaskID] = {}
        self.drawn: Progress | None = None
        if output.terminal():
            self.drawn = Progress(
                TextColumn("{task.fields[label]}", markup=False),
                BarColumn(),
                TaskProgressColumn(),
                TextColumn("{task.description}", markup=False),
                console=Console(highlight=False, soft_wrap=True),
                redirect_stdout=False,
                redirect_stderr=False,
            )

    def start(self) -> None:
        """Take the last lines of the terminal."""
        if self.drawn is not None:
            self.drawn.start()

    def stop(self) -> None:
        """Leave the bars as they are."""
        if self.drawn is not None:
            self.drawn.stop()

    def show(self, label: str, percent: float, message: str) -> None:
        """Show how far a run has come."""
        shown = output.plain(message).plain if message else ""
        if self.drawn is None:
            output.write_text(f"{label}{percent:g} % {shown}".rstrip() + "\n", err=True)
            return
        if label not in self._tasks:
            self._tasks[label] = self.drawn.add_task("", total=100, label=label)
        self.drawn.update(self._tasks[label], completed=percent, description=shown)


def _lines(text: str) -> list[str]:
    """Split behind line feeds, and only there."""
    *whole, last = text.split("\n")
    return [f"{line}\n" for line in whole] + ([last] if last else [])


def _may_be_progress(line: str) -> bool:
    if len(line) > LONGEST:
        return False
    return line.startswith(MARK) or MARK.startswith(line)
