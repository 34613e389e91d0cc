"""Where each old route stands, as the dual server says."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import requests

from loadtests.owner import authorization

PATH = "/api/v1/cutover/routes"
WITHIN = 2.0  # seconds


@dataclass
class Stages:
    """The last answer of the server at `url`, and what was wrong with the latest, if anything."""

    url: str
    routes: list[dict[str, Any]] = field(default_factory=list)
    problem: str | None = None

    def ask(self) -> None:
        """Take a new answer; without one, the routes stay as they were last seen."""
        try:
            headers = authorization(PATH)
            answer = requests.get(f"{self.url}{PATH}", headers=headers, timeout=WITHIN)
        except requests.RequestException as error:
            self.problem = f"{self.url} does not answer ({type(error).__name__})"
            return
        try:
            self.routes = [
                {name: row[name] for name in ("route", "stage", "percent")} for row in answer.json()
            ]
        except (ValueError, TypeError, KeyError):
            self.routes = []
            self.problem = f"{self.url} has no cut-over ({answer.status_code})"
            return
        self.problem = None
