"""Prints the OpenAPI document: `python -m fastapi_app.openapi`."""

from __future__ import annotations

import json
import sys

from fastapi_app.app import create_app
from fastapi_app.settings import Settings

if __name__ == "__main__":
    json.dump(create_app(Settings()).openapi(), sys.stdout, indent=2, sort_keys=True)
    sys.stdout.write("\n")
