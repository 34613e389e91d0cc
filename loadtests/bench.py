"""`make bench`: old and new side by side, in turn, on fresh servers; figures and ratios."""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import traceback
from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from loadtests import readme, seed, staging
from loadtests.about import about
from loadtests.baseline import STORED, Baseline, BaselineError, load, save
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
from loadtests.homes import new_home
from loadtests.markdown import figures_table, headlines_table, markdown
from loadtests.page import page
from loadtests.report import Chapter, Line, Report, Sample, document, summarize
from loadtests.scenarios import SCENARIOS
from loadtests.servers import ROOT, Server, StartError
from loadtests.staging import Scale, Scenario

OUTPUT = ROOT / "build" / "bench"
PATIENCE = 30.0  # seconds beyond its duration that the load generator may take


MOST_FILES = 8192
"""Open files of each process, where the system allows it: 1,000 users need more than 1,024."""


@dataclass(frozen=True)
class Effort:
    """How often and how long each row is measured. Times are seconds.

    With `fresh`, a server that a row has written to is not measured again. `without` are
    contestants that would take too long.
    """

    repetitions: int
    seconds: float
    warmup: float
    scale: Scale
    fresh: bool = True
    without: Collection[str] = ()


FULL = Effort(repetitions=5, seconds=4.0, warmup=1.0, scale=staging.FULL)
QUICK = Effort(
    repetitions=2,
    seconds=0.3,
    warmup=0.1,
    scale=staging.QUICK,
    fresh=False,
    without=("shadow", "resident"),
)


class BenchError(RuntimeError):
    """The load generator did not come up with figures."""


class Series:
    """A contestant through the rows of one repetition, on as few servers as that allows."""

    def __init__(self, contestant: Contestant | Program) -> None:
        self.contestant = contestant
        self._stack = ExitStack()
        self._home = Path()
        self._server: Server | None = None

    def __enter__(self) -> Series:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def measure(self, row: Row, effort: Effort) -> Sample:
        """Load one row; what it writes to is thrown away."""
        if isinstance(self.contestant, Program):
            with tempfile.TemporaryDirectory(prefix="bench-") as folder:
                binary = self.contestant.build(Path(folder))
                return _figures([str(binary), "-c", str(row.connections)], row, effort)
        url = self._serve(self.contestant).urls[self.contestant.listens_as]
        if row.needs is not None:
            seed.NEEDS[row.needs](self._home)
        sample = _figures(load_argv(row, self.contestant, url), row, effort)
        if row.writes and effort.fresh:
            self.leave()
        return sample

    def leave(self) -> None:
        """End the server; the next row has another one."""
        self._stack.close()
        self._server = None

    def _serve(self, contestant: Contestant) -> Server:
        if self._server is None:
            self._home = new_home(contestant.key)
            self._server = self._stack.enter_context(contestant.launch.start(self._home))
        return self._server


def rounds(
    effort: Effort, rows: Sequence[Row], contestants: Sequence[Contestant | Program]
) -> Iterator[tuple[Row, Contestant | Program, Sample | str]]:
    """Measure everything, contestants in turn; each repetition begins with another one.

    Text instead of a sample says why there is none.
    """
    for repetition in range(effort.repetitions):
        start = repetition % len(contestants)
        for contestant in [*contestants[start:], *contestants[:start]]:
            with Series(contestant) as series:
                for row in rows:
                    if row.key in contestant.rows:
                        try:
                            sample: Sample | str = series.measure(row, effort)
                        except (BenchError, StartError, subprocess.CalledProcessError) as error:
                            series.leave()
                            sample = f"{row.title}, {contestant.title}: {error}"
                        yield row, contestant, sample


def bench(
    effort: Effort, rows: Sequence[Row], contestants: Sequence[Contestant | Program]
) -> tuple[list[Line], list[str]]:
    """Run it all and sum it up, telling on standard error how far it is; also what failed."""
    samples: defaultdict[tuple[str, str], list[Sample]] = defaultdict(list)
    failures: dict[tuple[str, str], str] = {}
    total = effort.repetitions * sum(row.key in c.rows for row in rows for c in contestants)
    for done, (row, contestant, sample) in enumerate(rounds(effort, rows, contestants), 1):
        if isinstance(sample, str):
            failures[row.key, contestant.key] = sample
            _say(f"[{done}/{total}] {sample}")
            continue
        samples[row.key, contestant.key].append(sample)
        rate = sample["throughput"]
        _say(f"[{done}/{total}] {row.title}  {contestant.title}: {rate:.0f}/s")
    # Repetitions begin with different contestants; the report has them in the declared order.
    keys = [(row.key, c.key) for row in rows for c in contestants]
    # Without one of its repetitions a contestant has no neighbours in time.
    whole = {key: samples[key] for key in keys if key in samples and key not in failures}
    return summarize(whole), [*failures.values()]


def play(scenario: Scenario, scale: Scale) -> Chapter:
    """Go through one scenario; one that fails is a chapter of its own."""
    _say(scenario.title)
    explained = scenario.explain(scale)
    try:
        figures = scenario.run(scale)
    except Exception:  # whatever it was, the other scenarios are worth as much as before
        trace = traceback.format_exc()
        _say(trace)
        return Chapter(scenario.key, scenario.title, explained, [], trace)
    _say(figures_table(figures))
    return Chapter(scenario.key, scenario.title, explained, figures)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, write and print the report; 1 when any answer was wrong or missing.

    A target that is missed, or a ratio that fell behind the baseline, is no error: the machine may
    be the one to blame.
    """
    line = parser()
    options = line.parse_args(arguments)
    try:
        baseline = load(options.baseline) if options.baseline.exists() else None
    except BaselineError as error:
        line.error(str(error))
    _raise_limit()
    report = replace(measure(options), baseline=baseline)
    text = markdown(report)
    found = document(report)
    options.output.mkdir(parents=True, exist_ok=True)
    content = json.dumps(found, indent=2) + "\n"
    for name, written in (("json", content), ("md", text), ("html", page(report))):
        (options.output / f"report.{name}").write_text(written, encoding="utf-8")
    print(text)
    ending = [headlines_table(report)] if report.headlines else []
    ending += [f"slower: {line}" for line in report.slower]
    ending += [f"not measured: {line}" for line in report.failures]
    ending += [f"REGRESSED: {report.named(each.key)}" for each in report.regressions]
    ending += [f"written to {options.output}/report.html, report.md and report.json"]
    _say("\n".join(ending))
    if options.save_baseline:
        save(options.baseline, Baseline(report.ratios, report.about))
    if options.readme:
        readme.publish(found)
    return 1 if report.wrong else 0


def measure(options: argparse.Namespace) -> Report:
    """Go through the rows and scenarios that were asked for, or all of them."""
    effort = QUICK if options.quick else FULL
    if options.repetitions:
        effort = replace(effort, repetitions=options.repetitions)
    everything = not (options.row or options.scenario)
    rows = [row for key, row in ROWS.items() if everything or key in options.row]
    played = [scene for key, scene in SCENARIOS.items() if everything or key in options.scenario]
    wanted = {BASELINE, *(options.contestant or CONTESTANTS.keys() - effort.without)}
    asked = [c for c in CONTESTANTS.values() if c.key in wanted]
    missing = [reason for c in asked if (reason := absent(c))]
    if everything and options.quick:
        left_out = [CONTESTANTS[key].title for key in effort.without]
        left_out += [scene.title for scene in played if not scene.brief]
        missing.append("Not in a short run: " + "; ".join(left_out))
        played = [scene for scene in played if scene.brief]
    said = about() | {
        "quick": options.quick,
        "absent": missing,
        "fresh": effort.fresh,
        "repetitions": effort.repetitions,
        "seconds": effort.seconds,
        "warmup": effort.warmup,
    }
    lines, failures = bench(effort, rows, [c for c in asked if absent(c) is None])
    chapters = [play(scenario, effort.scale) for scenario in played]
    return Report(said, lines, chapters, failures)


def _raise_limit() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MOST_FILES if hard == resource.RLIM_INFINITY else min(hard, MOST_FILES)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))


def _figures(argv: Sequence[str], row: Row, effort: Effort) -> Sample:
    times = ["-d", f"{effort.seconds:g}", "--warmup", f"{effort.warmup:g}"]
    if row.count is not None:
        times = []
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


def parser() -> argparse.ArgumentParser:
    """Build the reader of the command line."""
    made = argparse.ArgumentParser(prog="loadtests.bench", description=__doc__)
    add = made.add_argument
    add("--quick", action="store_true", help="a short run, under two minutes")
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
    add("--baseline", type=Path, default=STORED, help="ratios to hold these against")
    add("--save-baseline", action="store_true", help="let these be the baseline from now on")
    add("--readme", action="store_true", help="write the table of README.md anew")
    add("--output", type=Path, default=OUTPUT, help="folder of the report")
    return made


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
