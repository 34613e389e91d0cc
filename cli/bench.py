"""`mclictl bench compare`: a gate for pipelines, over two reports of `make bench`."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import click
from rich.text import Text

from cli import output
from cli.client import Json
from cli.output import Column
from cli.verb import Noun, Target

FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@dataclass(frozen=True)
class Change:
    """One figure in both reports; `change` is new over old, none where the old one is 0."""

    key: str
    old: float
    new: float
    change: float | None
    below: bool


def _change_text(row: Json) -> Text:
    text = "-" if row["change"] is None else f"{row['change']:.2f}"
    return Text(text, style="red" if row["below"] else "")


COLUMNS = [
    Column("ROW", "key", shrinks=True),
    Column("OLD", lambda row: f"{row['old']:.2f}", right=True),
    Column("NEW", lambda row: f"{row['new']:.2f}", right=True),
    Column("NEW/OLD", _change_text, right=True),
    Column("", lambda row: Text("BELOW" if row["below"] else "", style="red")),
]


@click.group(
    cls=Noun,
    examples=["mclictl bench compare before.json build/bench/report.json --fail-below 0.9"],
)
def bench() -> None:
    """Reports of the benchmark (`make bench`): compare."""


@bench.command(
    examples=[
        "mclictl bench compare before.json build/bench/report.json",
        "mclictl bench compare before.json after.json --fail-below 0.9 --json",
        "mclictl bench compare before.json after.json --throughput  # on the same machine",
    ]
)
@click.argument("old", type=FILE)
@click.argument("new", type=FILE)
@click.option(
    "--fail-below",
    type=click.FloatRange(min=0, min_open=True),
    metavar="SHARE",
    help="Exit with 1 when anything is less than this share of what it was.",
)
@click.option(
    "--throughput",
    is_flag=True,
    help="Compare answers a second, which are the machine's, and not ratios to the old daemon.",
)
@click.pass_obj
def compare(
    target: Target, old: Path, new: Path, fail_below: float | None, throughput: bool
) -> None:
    """Compare the ratios of report NEW with those of report OLD; needs no server, and asks none.

    A ratio is how many times as good as the old daemon a stack of ours is in one row. A baseline
    (loadtests/baseline.json) holds ratios as well.
    """
    before, after = _read(old), _read(new)
    take = _rates if throughput else _ratios
    was, now = take(before, old), take(after, new)
    changes = [_change(key, was[key], now[key], fail_below) for key in was if key in now]
    if not changes:
        raise click.ClickException(f"{old} and {new} have nothing in common.")
    found: Json = {
        "compared": "throughput" if throughput else "ratios",
        "fail_below": fail_below,
        "rows": [asdict(change) for change in changes],
        "only_old": [key for key in was if key not in now],
        "only_new": [key for key in now if key not in was],
        "passed": not any(change.below for change in changes),
    }
    if target.json:
        output.print_json(found)
    else:
        _print(found, old, new)
    for warning in _warnings(before, after, throughput=throughput):
        click.echo(f"Warning: {warning}", err=True)
    raise click.exceptions.Exit(0 if found["passed"] else 1)


def _print(found: Json, old: Path, new: Path) -> None:
    output.table(found["rows"], COLUMNS, empty="")
    for file, keys in ((old, found["only_old"]), (new, found["only_new"])):
        if keys:
            click.echo(f"only in {file}: {'; '.join(output.plain(key).plain for key in keys)}")
    below = [row["key"] for row in found["rows"] if row["below"]]
    if below:
        click.echo(f"{len(below)} of {len(found['rows'])} below {found['fail_below']:g}")


def _change(key: str, old: float, new: float, fail_below: float | None) -> Change:
    # Rounded: 2.4 / 3 is a little less than 0.8.
    change = round(new / old, 6) if old else None
    below = change is not None and fail_below is not None and change < fail_below
    return Change(key, old, new, change, below)


def _warnings(before: Json, after: Json, *, throughput: bool) -> list[str]:
    """What makes a comparison weak."""
    was, now = (_mapping(each.get("about")) for each in (before, after))
    found = []
    if was.get("quick") != now.get("quick"):
        found.append("only one of them is a short run.")
    if throughput and was.get("machine") != now.get("machine"):
        found.append("they are from different machines, which rates do not survive.")
    return found


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _read(file: Path) -> Json:
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as failure:
        raise click.ClickException(f"{file} is not JSON: {failure}.") from failure
    if not isinstance(found, dict):
        raise _NoReportError(file)
    return found


class _NoReportError(click.ClickException):
    def __init__(self, file: Path, what: str = "") -> None:
        super().__init__(f"{file} is no report of `make bench`{what}.")


def _ratios(report: Json, file: Path) -> dict[str, float]:
    """Medians of the ratios."""
    try:
        return {key: _number(spread["median"]) for key, spread in report["ratios"].items()}
    except (KeyError, TypeError, AttributeError, ValueError) as failure:
        raise _NoReportError(file, ": it has no ratios") from failure


def _rates(report: Json, file: Path) -> dict[str, float]:
    """Medians of the answers a second."""
    try:
        return {
            f"{row['row']}/{row['contestant']}": _number(row["throughput"]["median"])
            for row in report["rows"]
        }
    except (KeyError, TypeError, ValueError) as failure:
        raise _NoReportError(file, ": it has no rates") from failure


def _number(value: object) -> float:
    # NaN is below nothing, and would pass every gate.
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError(f"{value!r} is no figure")
    if value < 0:
        raise ValueError(f"{value!r} is negative")
    return value
