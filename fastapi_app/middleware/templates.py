"""Which route a request is for, told before it is routed, at a bounded cost."""

from __future__ import annotations

import re
from collections.abc import Sequence

from fastapi.routing import iter_route_contexts
from starlette.routing import BaseRoute, Mount

UNKNOWN = "?"
LONGEST = 1024
"""Bytes of a path that is looked at."""
_PARAMETER = re.compile(r"\{\w+(:path)?[^}]*\}")


class Templates:
    """The paths of an application's routes; every path that is none of them is `UNKNOWN`."""

    def __init__(self, routes: Sequence[BaseRoute]) -> None:
        self._exact: set[str] = set()
        self._templates: list[str] = []
        patterns = []
        for context in iter_route_contexts(routes):
            template = context.path
            if template is None:
                continue
            if isinstance(context.route, Mount):
                template += "/{rest:path}"
            if "{" not in template:
                self._exact.add(template)
            elif template not in self._templates:
                self._templates.append(template)
                patterns.append(f"({_pattern(template)})")
        # One search for all: the group that matched tells which it was.
        self._any = re.compile("|".join(patterns) or "(?!)")

    def of(self, path: str) -> str:
        """The template of the route for `path`, whatever the method."""
        if path in self._exact:
            return path
        found = self._any.fullmatch(path) if len(path) <= LONGEST else None
        return UNKNOWN if found is None else self._templates[(found.lastindex or 1) - 1]


def _pattern(template: str) -> str:
    pattern, end = "", 0
    for parameter in _PARAMETER.finditer(template):
        pattern += re.escape(template[end : parameter.start()])
        pattern += ".*" if parameter[1] else "[^/]+"
        end = parameter.end()
    return pattern + re.escape(template[end:])
