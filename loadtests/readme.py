"""The table in README.md, generated from a report that is kept in docs/benchmark.json.

`python -m loadtests.readme build/bench/report.json` takes another report; without one it writes the
table anew from what is kept.
"""

from __future__ import annotations

import argparse
import json
import sys
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from loadtests.about import in_words
from loadtests.figures import Spread
from loadtests.markdown import HEADLINES_HEAD, aligned, headline_cells
from loadtests.report import Headline
from loadtests.servers import ROOT

README = ROOT / "README.md"
KEPT = ROOT / "docs" / "benchmark.json"
BEGIN = "<!-- benchmark: made by `python -m loadtests.readme`, not by hand -->"
END = "<!-- end of benchmark -->"
PARTS = ("about", "headlines", "slower")


class ReadmeError(RuntimeError):
    """There is no place for the table, or nothing to fill it with."""


def block(found: Mapping[str, Any]) -> str:
    """The table and what it was measured with and on, between its two comments."""
    about = found["about"]
    headlines = [
        Headline(**(each | {"ratio": Spread(**each["ratio"])})) for each in found["headlines"]
    ]
    versions, machine = in_words(about)
    kind = "a short run" if about["quick"] else "a full run"
    said = (
        f"Measured {about['begun'][:10]} in {kind} of {about['repetitions']} repetitions, load "
        f"average {about['load_average']:.1f} at the start, on {machine}, with {versions}. Old is "
        "the old daemon, new the port it had, every route in stage `new`. `x old` is how many "
        "times as good the new one is; spread is lowest to highest."
    )
    parts = [BEGIN, _wrapped(said), aligned([HEADLINES_HEAD, *map(headline_cells, headlines)])]
    if found["slower"]:
        parts.append(_wrapped(f"Where the new stack is slower: {'; '.join(found['slower'])}."))
    return "\n\n".join([*parts, END])


def _wrapped(text: str) -> str:
    return textwrap.fill(text, 110, break_long_words=False, break_on_hyphens=False)


def in_place(text: str, made: str) -> str:
    """The README with that block instead of the one it has.

    Raises:
        ReadmeError: it has none.
    """
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ReadmeError(f"there is no {BEGIN} ... {END}")
    return before + made + after


def publish(found: Mapping[str, Any]) -> None:
    """Keep what the table needs of a report, and write the table."""
    kept = {part: found[part] for part in PARTS}
    KEPT.write_text(json.dumps(kept, indent=2) + "\n", encoding="utf-8")
    text = README.read_text(encoding="utf-8")
    README.write_text(in_place(text, block(kept)), encoding="utf-8")


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the table."""
    parser = argparse.ArgumentParser(prog="loadtests.readme", description=__doc__)
    parser.add_argument("report", type=Path, nargs="?", default=KEPT)
    options = parser.parse_args(arguments)
    try:
        publish(json.loads(options.report.read_text(encoding="utf-8")))
    except (OSError, ValueError, KeyError, TypeError, ReadmeError) as error:
        parser.error(f"{options.report}: {error!r}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
