"""Makes the HTTP call of a scheduled job, in a child of its own: `python -m fastapi_app.http_call`.

Exit codes as curl has them: 0 an answer below 400, 22 one from 400 on, 7 nobody answered, 28 too
late, 47 a redirect to somewhere else.
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any
from urllib.parse import urlsplit

import httpx

from fastapi_app.schedules import HTTP_CALL

LARGEST = 1024 * 1024
"""Bytes of an answer that are read."""
REDIRECTS = 5
FAILED, NO_ANSWER, TOO_LATE, ELSEWHERE = 22, 7, 28, 47


def main() -> int:
    """Ask, print the answer; returns the exit code."""
    asked = json.loads(os.environ.pop(HTTP_CALL))
    try:
        return _ask(asked)
    except httpx.TimeoutException:
        print(f"no answer within {asked['timeout']:g} s", file=sys.stderr)
        return TOO_LATE
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        print(f"{asked['url']}: {error}", file=sys.stderr)
        return NO_ANSWER


def _ask(asked: dict[str, Any]) -> int:
    url, method, body = asked["url"], asked.get("method", "GET"), asked.get("body")
    # No proxies and no .netrc: what is asked for is all that is asked.
    with httpx.Client(timeout=asked["timeout"], trust_env=False) as client:
        for _ in range(REDIRECTS):
            with client.stream(method, url, headers=asked.get("headers"), content=body) as response:
                if response.next_request is None:
                    return _told(response)
                if _place(str(response.next_request.url)) != _place(url):
                    print(f"a redirect to {response.next_request.url.host}", file=sys.stderr)
                    return ELSEWHERE
                url = str(response.next_request.url)
                method = response.next_request.method
                body = body if method == asked.get("method", "GET") else None
    print(f"more than {REDIRECTS} redirects", file=sys.stderr)
    return ELSEWHERE


def _place(url: str) -> tuple[str, str]:
    parts = urlsplit(url)
    return parts.scheme, parts.netloc


def _told(response: httpx.Response) -> int:
    print(f"{response.status_code} {response.reason_phrase}", file=sys.stderr, flush=True)
    left = LARGEST
    for piece in response.iter_bytes():
        sys.stdout.buffer.write(piece[:left])
        left -= len(piece)
        if left <= 0:
            print(f"\nonly {LARGEST} bytes of the answer were read", file=sys.stderr)
            break
    sys.stdout.flush()
    return 0 if response.status_code < httpx.codes.BAD_REQUEST else FAILED


if __name__ == "__main__":
    sys.exit(main())
