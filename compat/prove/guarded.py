"""What the guard of the new server refuses, worked out anew from the bytes that are sent.

The old daemon answers all of it. So that both servers stay in step, and what lies behind the guard
is compared all the same, such a request is sent once more without what it was refused for.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from compat.diff import Answer, Difference
from compat.guard import REFUSALS, Rule, Rules, body_of, tells
from compat.hosts import is_refused
from compat.prove.cases import Headers, Request
from fastapi_app.http1 import origin_form, with_host

HOST = "prove"
"""The name under which the servers are asked; the guard is told to know it."""
SETTINGS = {"MCLI_LEGACY_ALLOWED_HOSTS": HOST}
_RULES = Rules(hosts=[HOST])
_HERE = ("127.0.0.1", 1)
_PATHS = (b"/", b"*")


@dataclass(frozen=True, slots=True)
class Refused(Answer):
    """The answer to a mended request, the original of which was refused by that rule.

    Without `mended` it is the refusal itself: the old daemon refuses such a request, too.
    """

    rule: Rule
    mended: bool


def broken(request: Request) -> Rule | None:
    """The rule that it breaks."""
    return _RULES.broken(_HERE, _HERE, _seen(request))


def mended(request: Request) -> Request | None:
    """The same as an old script sends it; `None` when nobody would answer that."""
    authority, target = _target(request)
    hosts = [value for name, value in _seen(request) if name == b"host"]
    if len(hosts) == 1 and is_refused(hosts[0]):
        return None
    kept = [pair for pair in request.headers if not _matters(pair[0].lower())]
    return replace(
        request,
        target=target if authority else request.target,
        headers=((b"Host", HOST.encode()), *kept),
    )


def is_refusal(request: Request, answer: Answer, rule: Rule) -> bool:
    """Whether it is what the guard answers to a request that breaks this rule, to the last byte."""
    body = body_of(rule)
    length = [str(len(body)).encode()]
    return (
        answer.status == REFUSALS[rule].status
        and answer.body == (b"" if request.method.upper() == b"HEAD" else body)
        and answer.header(b"content-length") == length
        and answer.header(b"content-type") == [b"application/json"]
        and not answer.header(b"x-served-by")
    )


def difference(request: Request, control: Answer, candidate: Answer) -> Difference | None:
    """What is wrong with a guard that refuses what it should not, or not what it should."""
    rule = broken(request)
    told = candidate.rule if isinstance(candidate, Refused) else None
    if told != rule:
        return Difference("guard", "refusal", str(rule or "none"), str(told or "none"))
    if isinstance(candidate, Refused) and not candidate.mended and control.status != 400:
        return Difference("guard", "refusal", str(control.status), "400")
    return None


def _matters(name: bytes) -> bool:
    return name == b"host" or tells(name)


def _seen(request: Request) -> Headers:
    """The headers as the application sees them, but for those that frame the body."""
    headers = tuple((name.lower(), value.strip(b" \t")) for name, value in request.headers)
    authority, _ = _target(request)
    return tuple(with_host(headers, authority)) if authority else headers


def _target(request: Request) -> tuple[bytes, bytes]:
    """The host that the target names, if it is a whole URL, and the target without it."""
    if request.target[:1] in _PATHS:
        return b"", request.target
    authority, rest = origin_form(request.target + b" " + request.version)
    return authority, rest.rpartition(b" ")[0]
