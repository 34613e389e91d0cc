"""`make bench`: old and new side by side, in turn, on fresh servers; figures and ratios."""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from loadtests.contestants import BASELINE, CONTESTANTS, ROWS, Contestant, Row, hammer_argv
from loadtests.report import Line, Sample, document, markdown, summarize
from loadtests.servers import ROOT, Server

OUTPUT = ROOT / "build" / "bench"
PATIENCE = 30.0  # seconds beyond its duration that the load generator may take


@dataclass(frozen=True)
class Effort:
    """How often and how long each row is measured. Times are seconds."""

    repetitions: int
    seconds: float
    warmup: float


FULL = Effort(repetitions=7, seconds=4.0, warmup=1.0)
QUICK = Effort(repetitions=3, seconds=1.0, warmup=0.3)


class BenchError(RuntimeError):
    """The load generator did not come up with figures."""


class Series:
    """A contestant through the rows of one repetition, on as few servers as that allows."""

    def __init__(self, contestant: Contestant) -> None:
        self._contestant = contestant
        self._stack = ExitStack()
        self._server: Server | None = None

    def __enter__(self) -> Series:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def measure(self, row: Row, effort: Effort) -> Sample:
        """Load one row; what it writes to is thrown away."""
        if self._server is None:
            prefix = f"bench-{self._contestant.key}-"
            home = tempfile.TemporaryDirectory(prefix=prefix, ignore_cleanup_errors=True)
            self._stack.enter_context(home)
            started = self._contestant.launch.start(Path(home.name))
            self._server = self._stack.enter_context(started)
        url = self._server.urls[self._contestant.listens_as]
        sample = _hammer(hammer_argv(row, self._contestant, url), effort)
        if row.writes:
            self._stack.close()
            self._server = None
        return sample


def rounds(
    effort: Effort, rows: Sequence[Row], contestants: Sequence[Contestant]
) -> Iterator[tuple[Row, Contestant, Sample]]:
    """Measure everything, contestants in turn; each repetition begins with another one."""
    for repetition in range(effort.repetitions):
        start = repetition % len(contestants)
        for contestant in [*contestants[start:], *contestants[:start]]:
            with Series(contestant) as series:
                for row in rows:
                    yield row, contestant, series.measure(row, effort)


def bench(effort: Effort, rows: Sequence[Row], contestants: Sequence[Contestant]) -> list[Line]:
    """Run it all and sum it up, telling on standard error how far it is."""
    samples: defaultdict[tuple[str, str], list[Sample]] = defaultdict(list)
    total = effort.repetitions * len(rows) * len(contestants)
    for done, (row, contestant, sample) in enumerate(rounds(effort, rows, contestants), 1):
        samples[row.key, contestant.key].append(sample)
        rate = sample["throughput"]
        _say(f"[{done}/{total}] {row.title}  {contestant.title}: {rate:.0f}/s")
    # Repetitions begin with different contestants; the report has them in the declared order.
    ordered = {(r.key, c.key): samples[r.key, c.key] for r in rows for c in contestants}
    return summarize(ordered)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, write and print the report; 1 when any answer was wrong or missing."""
    options = _parser().parse_args(arguments)
    effort = QUICK if options.quick else FULL
    if options.repetitions:
        effort = Effort(options.repetitions, effort.seconds, effort.warmup)
    about = _about(effort)
    rows = [row for key, row in ROWS.items() if key in (options.row or ROWS)]
    wanted = {BASELINE, *(options.contestant or CONTESTANTS)}
    lines = bench(effort, rows, [c for c in CONTESTANTS.values() if c.key in wanted])
    text = markdown(about, lines)
    options.output.mkdir(parents=True, exist_ok=True)
    content = json.dumps(document(about, lines), indent=2)
    (options.output / "report.json").write_text(content + "\n", encoding="utf-8")
    (options.output / "report.md").write_text(text, encoding="utf-8")
    print(text)
    _say(f"written to {options.output}/report.md and report.json")
    return 1 if any(line.errors for line in lines) else 0


def _hammer(argv: Sequence[str], effort: Effort) -> Sample:
    times = ["-d", f"{effort.seconds:g}", "--warmup", f"{effort.warmup:g}"]
    try:
        done = subprocess.run(
            [sys.executable, "-m", *argv, *times],
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


def _about(effort: Effort) -> Mapping[str, Any]:
    return {
        "begun": datetime.now(UTC).isoformat(timespec="seconds"),
        "repetitions": effort.repetitions,
        "seconds": effort.seconds,
        "warmup": effort.warmup,
        "python": platform.python_version(),
        "processors": os.cpu_count(),
        "load_average": os.getloadavg()[0],
    }


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="loadtests.bench", description=__doc__)
    add = parser.add_argument
    add("--quick", action="store_true", help="a short run, under two minutes")
    add("--repetitions", type=int, help="how often each row is measured")
    add("--row", action="append", choices=ROWS, help="only this one; may be repeated")
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
