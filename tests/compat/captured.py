"""The heads that the usual clients send, captured from them: to be sent as they are.

Each was captured with a plain socket from the version it names, but for both PowerShells, whose
heads are written down from their documentation. So the matrix is whole on a machine that has none
of them. Names are spelled, and stand in the order, as the client sends them. What begins with `+`
goes with a body only; `{host}`, `{type}` and `{length}` are filled in.
"""

from __future__ import annotations

from collections.abc import Mapping

HEADS = """\
= curl 7.88.1
Host: {host}
User-Agent: curl/7.88.1
Accept: */*
+Content-Type: {type}
+Content-Length: {length}
= wget 1.21.3
Host: {host}
User-Agent: Wget/1.21.3
Accept: */*
Accept-Encoding: identity
Connection: Keep-Alive
+Content-Type: {type}
+Content-Length: {length}
= requests 2.34.2
Host: {host}
User-Agent: python-requests/2.34.2
Accept-Encoding: gzip, deflate, br
Accept: */*
Connection: keep-alive
+Content-Length: {length}
+Content-Type: {type}
= httpx 0.28.1
Host: {host}
Accept: */*
Accept-Encoding: gzip, deflate, br
Connection: keep-alive
User-Agent: python-httpx/0.28.1
+Content-Length: {length}
+Content-Type: {type}
= urllib of Python 3.11
Accept-Encoding: identity
+Content-Length: {length}
Host: {host}
User-Agent: Python-urllib/3.11
+Content-Type: {type}
Connection: close
= aiohttp 3.14.5
Host: {host}
Accept: */*
Accept-Encoding: gzip, deflate
User-Agent: Python/3.11 aiohttp/3.14.5
+Content-Length: {length}
+Content-Type: {type}
= fetch of Node 20.20.2
host: {host}
connection: keep-alive
+Content-Type: {type}
accept: */*
accept-language: *
sec-fetch-mode: cors
user-agent: node
accept-encoding: gzip, deflate
+content-length: {length}
= PowerShell 7.4
Host: {host}
User-Agent: Mozilla/5.0 (Windows NT 10.0; Microsoft Windows 10.0.22631; en-US) PowerShell/7.4.6
Accept-Encoding: gzip, deflate, br
+Content-Type: {type}
+Content-Length: {length}
= Windows PowerShell 5.1
User-Agent: Mozilla/5.0 (Windows NT; Windows NT 10.0; en-US) WindowsPowerShell/5.1.22621.4391
+Content-Type: {type}
Host: {host}
+Content-Length: {length}
+Expect: 100-continue
Connection: Keep-Alive
"""


def _by_client() -> Mapping[str, list[str]]:
    found: dict[str, list[str]] = {}
    for line in HEADS.splitlines():
        if line.startswith("= "):
            lines = found.setdefault(line[2:], [])
        else:
            lines.append(line)
    return found


CAPTURED = _by_client()


def request(client: str, method: str, path: str, body: bytes | None, host: str) -> bytes:
    """The bytes that the client sends for this call."""
    lines = [f"{method} {path} HTTP/1.1"]
    for line in CAPTURED[client]:
        if body is not None or not line.startswith("+"):
            filled = line.removeprefix("+")
            lines.append(filled.format(host=host, type="application/json", length=len(body or b"")))
    return "\r\n".join([*lines, "", ""]).encode() + (body or b"")
