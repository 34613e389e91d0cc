"""The page in Locust's web UI: at `/compare/`, and as a tab between its own.

Locust's tabs of others can only hold tables; a script of ours puts the page below that tab.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from flask import Blueprint, Response, request, send_from_directory
from locust.web import WebUI

from loadtests.compare.reports import PAGE, as_csv, as_html
from loadtests.compare.tally import SHARED
from loadtests.compare.watch import Watch

KEY = "compare"
TITLE = "Compare"
SCRIPT = b'<script defer src="./compare/page/tab.js"></script>'


def add(web_ui: WebUI, watch: Watch, base_path: str = "") -> None:
    """Serve the page, and hang the tab into Locust's own page."""
    assert web_ui.app is not None
    web_ui.app.register_blueprint(_pages(web_ui, watch), url_prefix=f"{base_path}/compare")
    web_ui.app.after_request(_with_tab)
    web_ui.template_args["extended_tabs"] = [{"title": TITLE, "key": KEY}]
    web_ui.template_args["extended_csv_files"] = [
        {"href": "./compare/comparison.csv", "title": "Download comparison CSV"},
        {"href": "./compare/comparison.html", "title": "Download comparison report"},
    ]


def _pages(web_ui: WebUI, watch: Watch) -> Blueprint:
    pages = Blueprint(KEY, __name__, static_folder=str(PAGE), static_url_path="/page")

    def route(path: str) -> Callable[[Callable[[], Any]], None]:
        def register(view: Callable[[], Any]) -> None:
            pages.add_url_rule(path, view.__name__, web_ui.auth_required_if_enabled(view))

        return register

    @route("/")
    def page() -> Response:
        return send_from_directory(PAGE, "compare.html")

    @route("/data")
    def data() -> Response:
        # Not by jsonify, which would put the stacks into the order of the alphabet.
        content = json.dumps(watch.comparison(request.args.get("operation", SHARED)))
        headers = {"Cache-Control": "no-store"}
        return Response(content, mimetype="application/json", headers=headers)

    @route("/comparison.csv")
    def comparison_csv() -> Response:
        return _download(as_csv(watch.comparison()), "comparison.csv", "text/csv")

    @route("/comparison.html")
    def comparison_html() -> Response:
        return _download(as_html(watch.comparison()), "comparison.html", "text/html")

    return pages


def _download(content: str, name: str, kind: str) -> Response:
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    return Response(content, mimetype=kind, headers=headers)


def _with_tab(response: Response) -> Response:
    """Have Locust's page load our script."""
    if request.endpoint == "locust.index" and response.status_code == 200:
        response.set_data(response.get_data().replace(b"</body>", SCRIPT + b"</body>"))
    return response
