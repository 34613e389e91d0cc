"""`make bench`: old and new side by side, in turn, on fresh servers; figures and ratios."""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import traceback
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from loadtests import scenarios, seed
from loadtests.contestants import (
    BASELINE,
    CONTESTANTS,
    ROWS,
    Contestant,
    Program,
    Row,
    absent,
    load_argv,
)
from loadtests.homes import new_home, place
from loadtests.report import (
    Chapter,
    Line,
    Sample,
    document,
    figures_table,
    markdown,
    summarize,
)
from loadtests.scenarios import SCENARIOS, Scale, Scenario
from loadtests.servers import ROOT, Server

OUTPUT = ROOT / "build" / "bench"
PATIENCE = 30.0  # seconds beyond its duration that the load generator may take


@dataclass(frozen=True)
class Effort:
    """How often and how long each row is measured. Times are seconds."""

    repetitions: int
    seconds: float
    warmup: float
    scale: Scale


FULL = Effort(repetitions=5, seconds=4.0, warmup=1.0, scale=scenarios.FULL)
QUICK = Effort(repetitions=2, seconds=0.7, warmup=0.2, scale=scenarios.QUICK)


class BenchError(RuntimeError):
    """The load generator did not come up with figures."""


class Series:
    """A contestant through the rows of one repetition, on as few servers as that allows."""

    def __init__(self, contestant: Contestant | Program) -> None:
        self._contestant = contestant
        self._stack = ExitStack()
        self._home = Path()
        self._server: Server | None = None

    def __enter__(self) -> Series:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def measure(self, row: Row, effort: Effort) -> Sample:
        """Load one row; what it writes to is thrown away."""
        if isinstance(self._contestant, Program):
            with tempfile.TemporaryDirectory(prefix="bench-") as folder:
                binary = self._contestant.build(Path(folder))
                return _figures([str(binary), "-c", str(row.connections)], effort)
        url = self._serve(self._contestant).urls[self._contestant.listens_as]
        if row.stored is not None:
            seed.plant(self._home, *row.stored)
        sample = _figures(load_argv(row, self._contestant, url), effort)
        if row.writes:
            self._stack.close()
            self._server = None
        return sample

    def _serve(self, contestant: Contestant) -> Server:
        if self._server is None:
            self._home = new_home(contestant.key)
            self._server = self._stack.enter_context(contestant.launch.start(self._home))
        return self._server


def rounds(
    effort: Effort, rows: Sequence[Row], contestants: Sequence[Contestant | Program]
) -> Iterator[tuple[Row, Contestant | Program, Sample]]:
    """Measure everything, contestants in turn; each repetition begins with another one."""
    for repetition in range(effort.repetitions):
        start = repetition % len(contestants)
        for contestant in [*contestants[start:], *contestants[:start]]:
            with Series(contestant) as series:
                for row in rows:
                    if row.key in contestant.rows:
                        yield row, contestant, series.measure(row, effort)


def bench(
    effort: Effort, rows: Sequence[Row], contestants: Sequence[Contestant | Program]
) -> list[Line]:
    """Run it all and sum it up, telling on standard error how far it is."""
    samples: defaultdict[tuple[str, str], list[Sample]] = defaultdict(list)
    total = effort.repetitions * sum(row.key in c.rows for row in rows for c in contestants)
    for done, (row, contestant, sample) in enumerate(rounds(effort, rows, contestants), 1):
        samples[row.key, contestant.key].append(sample)
        rate = sample["throughput"]
        _say(f"[{done}/{total}] {row.title}  {contestant.title}: {rate:.0f}/s")
    # Repetitions begin with different contestants; the report has them in the declared order.
    keys = [(row.key, c.key) for row in rows for c in contestants]
    return summarize({key: samples[key] for key in keys if key in samples})


def play(scenario: Scenario, scale: Scale) -> Chapter:
    """Go through one scenario; one that fails is a chapter of its own."""
    _say(scenario.title)
    explained = scenario.explain(scale)
    try:
        figures = scenario.run(scale)
    except Exception:  # whatever it was, the other scenarios are worth as much as before
        trace = traceback.format_exc()
        _say(trace)
        failure = f"Failed:\n\n```\n{trace}```"
        return Chapter(scenario.key, scenario.title, explained, [], failure)
    _say(figures_table(figures))
    return Chapter(scenario.key, scenario.title, explained, figures)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, write and print the report; 1 when any answer was wrong or missing.

    A target that is missed is no error: the machine may be the one to blame.
    """
    options = _parser().parse_args(arguments)
    effort = QUICK if options.quick else FULL
    if options.repetitions:
        effort = replace(effort, repetitions=options.repetitions)
    everything = not (options.row or options.scenario)
    rows = [row for key, row in ROWS.items() if everything or key in options.row]
    played = [scene for key, scene in SCENARIOS.items() if everything or key in options.scenario]
    wanted = {BASELINE, *(options.contestant or CONTESTANTS)}
    asked = [c for c in CONTESTANTS.values() if c.key in wanted]
    contestants = [c for c in asked if absent(c) is None]
    about = _about(effort, [reason for c in asked if (reason := absent(c))], quick=options.quick)
    lines = bench(effort, rows, contestants)
    chapters = [play(scenario, effort.scale) for scenario in played]
    text = markdown(about, lines, chapters)
    options.output.mkdir(parents=True, exist_ok=True)
    content = json.dumps(document(about, lines, chapters), indent=2)
    (options.output / "report.json").write_text(content + "\n", encoding="utf-8")
    (options.output / "report.md").write_text(text, encoding="utf-8")
    print(text)
    _say(f"written to {options.output}/report.md and report.json")
    wrong = any(line.errors for line in lines) or any(chapter.wrong for chapter in chapters)
    return 1 if wrong else 0


def _figures(argv: Sequence[str], effort: Effort) -> Sample:
    times = ["-d", f"{effort.seconds:g}", "--warmup", f"{effort.warmup:g}"]
    try:
        done = subprocess.run(
            [*argv, *times],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=effort.seconds + effort.warmup + 2 * PATIENCE,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise BenchError("the load generator does not end") from None
    if not done.stdout:
        raise BenchError(f"the load generator failed:\n{done.stderr}")
    sample: dict[str, Any] = json.loads(done.stdout)
    return sample


def _about(effort: Effort, missing: Sequence[str], *, quick: bool) -> Mapping[str, Any]:
    return {
        "quick": quick,
        "absent": missing,
        "begun": datetime.now(UTC).isoformat(timespec="seconds"),
        "repetitions": effort.repetitions,
        "seconds": effort.seconds,
        "warmup": effort.warmup,
        "python": platform.python_version(),
        "processors": os.cpu_count(),
        "load_average": os.getloadavg()[0],
        "homes": str(place()),
    }


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="loadtests.bench", description=__doc__)
    add = parser.add_argument
    add("--quick", action="store_true", help="a short run, under three minutes")
    add("--repetitions", type=int, help="how often each row is measured")
    only = "only this one (and each --row and --scenario given); may be repeated"
    add("--row", action="append", default=[], choices=ROWS, help=only)
    add("--scenario", action="append", default=[], choices=SCENARIOS, help=only)
    add(
        "--contestant",
        action="append",
        choices=CONTESTANTS,
        help="only this one and the old daemon; may be repeated",
    )
    add("--output", type=Path, default=OUTPUT, help="folder of the report")
    return parser


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
