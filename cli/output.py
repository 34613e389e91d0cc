"""What the user sees: tables that fit the terminal, JSON for scripts, times for humans."""

from __future__ import annotations

import contextlib
import json
import math
import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from cli.client import Json

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

STYLES = {
    "completed": "green",
    "running": "cyan",
    "queued": "yellow",
    "cancelled": "magenta",
    "failed": "red",
    "timed_out": "red",
    "lost": "red",
}
MINUTE, HOUR, DAY = 60, 3600, 86400
UNITS = ("kB", "MB", "GB", "TB")


def terminal() -> bool:
    """Whether a person is looking: only then are there colours, widths and relative times."""
    return sys.stdout.isatty()


def print_json(value: object) -> None:
    """Print one JSON document: indented for a person, on one line for a program."""
    click.echo(json.dumps(value, indent=2 if terminal() else None))


def print_json_line(value: object) -> None:
    """Print one JSON document on a line of its own, for a stream of them."""
    click.echo(json.dumps(value))


def print_json_list(values: Iterable[object]) -> None:
    """Print a JSON list whose items are still on their way, without holding them all."""
    before = "["
    for value in values:
        click.echo(before + json.dumps(value), nl=False)
        before = ",\n"
    click.echo("[]" if before == "[" else "]")


def write_text(text: str, *, err: bool = False) -> None:
    """Write text exactly as it is, whatever the locale's encoding."""
    click.echo(text.encode("utf-8", "replace"), nl=False, err=err)


def write_log(event: Json, *, split: bool) -> None:
    """Write a log event's text; with `split`, stderr goes to stderr."""
    write_text(str(event["message"]), err=split and event.get("stream") == "stderr")


@dataclass(frozen=True)
class Column:
    """A column: its title, the field it shows, or how to make a cell of the row."""

    title: str
    value: str | Callable[[Json], object]
    shrinks: bool = False
    right: bool = False

    def cell(self, row: Json) -> Text:
        """Make the cell of one row."""
        value = row.get(self.value) if isinstance(self.value, str) else self.value(row)
        return value if isinstance(value, Text) else plain(value)


def plain(value: object) -> Text:
    """Make any value one line of text: a command's line feeds and escapes must not act here."""
    if value is None or value == "":
        return Text("-")
    if isinstance(value, bool):
        return Text("yes" if value else "no")
    if isinstance(value, list | dict):
        value = json.dumps(value, ensure_ascii=False)
    return Text("".join(c if c.isprintable() else repr(c)[1:-1] for c in str(value)))


def status_text(row: Json) -> Text:
    """Show a run's status in its colour; where there is no run, nothing."""
    if row.get("status") is None:
        return plain(None)
    status = str(row["status"])
    return Text(status, style=STYLES.get(status, ""))


def table(rows: Sequence[Json], columns: Sequence[Column], *, empty: str) -> None:
    """Print rows as a table; when there are none, say so, but not where a script reads."""
    if not rows:
        click.echo(empty, err=True)
        return
    cells = [[column.cell(row) for column in columns] for row in rows]
    if terminal():
        _fitted(cells, columns)
    else:
        _unfitted(cells, columns)


def _fitted(cells: Iterable[list[Text]], columns: Sequence[Column]) -> None:
    grid = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for column in columns:
        grid.add_column(
            column.title,
            justify="right" if column.right else "left",
            # rich narrows the columns that may wrap first; their texts are cut all the same.
            no_wrap=not column.shrinks,
            overflow="ellipsis",
        )
    for row in cells:
        for text in row:
            text.no_wrap = True
        grid.add_row(*row)
    Console(highlight=False).print(grid)


def _unfitted(cells: Sequence[list[Text]], columns: Sequence[Column]) -> None:
    lines = [[column.title for column in columns], *([text.plain for text in row] for row in cells)]
    widths = [max(map(cell_len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        padded = []
        for text, width, column in zip(line, widths, columns, strict=True):
            space = " " * (width - cell_len(text))
            padded.append(space + text if column.right else text + space)
        click.echo("  ".join(padded).rstrip())


@contextlib.contextmanager
def progress(total: int, what: str) -> Iterator[Callable[[int], None]]:
    """Show on a terminal how much of a long work is done; the caller tells of each step."""
    if not sys.stderr.isatty():
        yield lambda _step: None
        return
    with click.progressbar(length=total, label=what, file=sys.stderr) as bar:
        yield bar.update


def details(fields: Json) -> None:
    """Print one thing, a field on each line."""
    width = max(map(len, fields), default=0)
    grid = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    grid.add_column(style="bold", no_wrap=True)
    grid.add_column(overflow="fold")
    for name, value in fields.items():
        text = value if isinstance(value, Text) else plain(value)
        if terminal():
            grid.add_row(name, text)
        else:
            click.echo(f"{name:<{width}}  {text.plain}".rstrip())
    if terminal():
        Console(highlight=False).print(grid)


def print_text(text: Text) -> None:
    """Print a line with styles, which only a terminal shows; it is not wrapped elsewhere."""
    if terminal():
        Console(highlight=False).print(text)
    else:
        click.echo(text.plain.rstrip())


def moment(value: str | None) -> str:
    """Show when something was: `3 min ago` to a person, the server's own timestamp elsewhere."""
    if not value or not terminal():
        return value or ""
    return ago(datetime.fromisoformat(value), datetime.now(UTC))


def ago(then: datetime, now: datetime) -> str:
    """Say how long ago `then` was; the date, in local time, once that is more than a week."""
    seconds = (now - then).total_seconds()
    # The server's clock may be a little ahead.
    if seconds < 1:
        return "now"
    if seconds < MINUTE:
        return f"{int(seconds)} s ago"
    if seconds < HOUR:
        return f"{seconds // MINUTE:.0f} min ago"
    if seconds < DAY:
        return f"{seconds // HOUR:.0f} h ago"
    if seconds < 7 * DAY:
        return f"{seconds // DAY:.0f} d ago"
    return then.astimezone().strftime("%Y-%m-%d %H:%M")


def duration(seconds: float | None) -> str:
    """Say how long something took: `12 ms`, `3.4 s`, `2 min 5 s`, `1 h 2 min`, `3 d 4 h`."""
    if seconds is None:
        return ""
    if seconds < 0.9995:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < HOUR:
        return f"{whole // MINUTE} min {whole % MINUTE} s"
    if whole < DAY:
        return f"{whole // HOUR} h {whole % HOUR // MINUTE} min"
    return f"{whole // DAY} d {whole % DAY // HOUR} h"


def size(count: int | None) -> str:
    """Say how many bytes: `17 B`, `1.5 kB`, `3.0 MB`."""
    if count is None:
        return ""
    if count < 1000:
        return f"{count} B"
    power = min(int(math.log10(count) // 3), len(UNITS))
    # 999,960 would read as 1000.0 kB.
    power += count / 1000**power >= 999.95 and power < len(UNITS)
    return f"{count / 1000**power:.1f} {UNITS[power - 1]}"
