"""Puts the comparison into Locust: a tab in its web UI, files beside its own."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path

from locust.env import Environment
from locust.html import process_html_filename
from locust.runners import WorkerRunner

from loadtests.compare import tab
from loadtests.compare.reports import as_csv, as_html
from loadtests.compare.watch import Watch


def install(environment: Environment) -> None:
    """Call it once, when Locust fires `init`."""
    watch = Watch(environment)
    options = environment.parsed_options
    if environment.web_ui is not None:
        tab.add(environment.web_ui, watch, (options and options.web_base_path) or "")
    if options is not None and not isinstance(environment.runner, WorkerRunner):
        # Not at `quitting`: users end, and workers report, after that.
        environment.events.quit.add_listener(lambda **_: _write(watch, options))


def _write(watch: Watch, options: Namespace) -> None:
    """Beside Locust's own files, and named after them."""
    if options.csv_prefix:
        _put(Path(f"{options.csv_prefix}_comparison.csv"), as_csv(watch.comparison()))
    if options.html_file:
        process_html_filename(options)
        own = Path(options.html_file)
        _put(own.with_name(f"{own.stem}_comparison.html"), as_html(watch.comparison()))


def _put(path: Path, content: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content, encoding="utf-8")
