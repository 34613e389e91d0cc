"""The page that clients of old routes are sent to."""

from __future__ import annotations

import html

from fastapi.responses import HTMLResponse

from compat.routes import ROWS, Row
from compat.schemas import when
from fastapi_app.routing import Router

router = Router(include_in_schema=False)

MIGRATION = "/migration"


@router.get(MIGRATION)
async def migration() -> HTMLResponse:
    """What the `Link` header of every old route points to."""
    return HTMLResponse(_PAGE.format(rows="".join(_table_row(row) for row in ROWS)))


def _table_row(row: Row) -> str:
    cells = (row.name, row.successor, when(row.deprecated)[:10], when(row.sunset)[:10])
    return "<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in cells) + "</tr>"


_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Moving to /api/v1</title>
<style>
body {{ font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto }}
table {{ border-collapse: collapse }} td, th {{ border: 1px solid #ccc; padding: .3rem .6rem }}
th {{ text-align: left }}
</style></head><body>
<h1>Moving to /api/v1</h1>
<p>The routes on the left still answer as they always have, until the day on the right.
What replaces each is documented, with examples, at <a href="/docs">/docs</a>.</p>
<table><thead>
<tr><th>Old route</th><th>Successor</th><th>Deprecated</th><th>Sunset</th></tr></thead>
<tbody>{rows}</tbody></table></body></html>
"""
