"""Heads of requests: methods, paths, queries, headers, content types."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from random import Random
from urllib.parse import quote

from compat.fields import Field, Kind
from compat.prove import values
from compat.prove.seeds import COMMAND_IDS, PROCESS_IDS, SPARE_IDS
from compat.table import Row

Header = tuple[bytes, bytes]
METHODS = (
    *(b"HEAD", b"OPTIONS", b"GET", b"POST", b"PUT", b"PATCH", b"DELETE", b"TRACE", b"PROPFIND"),
    *(
        b"HEAD",
        b"OPTIONS",
        b"HEAD",
        b"OPTIONS",
        b"PUT",
        b"get",
        b"Post",
        b"head",
        b"options",
        b"BREW",
        b"X-ODD",
        b"CONNECT",
    ),
)
IDS: Mapping[str, Sequence[str]] = {
    "/commands": tuple(COMMAND_IDS.values()),
    "/processes": tuple(PROCESS_IDS.values()),
    "DELETE": (*PROCESS_IDS.values(), *SPARE_IDS),
    # A sleeper is for cases that end it.
    "/start": tuple(id_ for name, id_ in PROCESS_IDS.items() if name != "sleeper"),
}
ODD_IDS = (
    *(b"x", b"%00", b"a%00b", b"%ff", b"\xff", b"\xc3\xa9", b"%C3%A9", b"%20", b"a%20b", b"a%0ab"),
    *(b"a%2Fb", b"a;b", b"..", b"%2e%2e", b".", b"%", b"%zz", b"%ed%a0%80", b"*", b"a+b", b"~"),
    *(b"run", b"start", b"logs", b"a:b", b"a@b", b"$", b"'", b'"', b"\\", b"|", b"^", b"`", b"{}"),
    *(b"x" * 2000, b"%41" * 50, b"a%0d%0ab", b"[", b"]", b"%E2%80%A8", b"a,b", b"&", b"=", b"!"),
    *(b"<b>", b"a\x01b", b"a\x7fb", b"%c3", b"%F0%9F%98%80", values.UNKNOWN_ID.encode()),
)
JSON_TYPES = (
    *(b"application/json; charset=utf-8", b"APPLICATION/JSON", b"application/vnd.api+json"),
    *(b"application/json;charset=latin-1", b"application/json\t", b"  application/json  ;x"),
    *(b"application/+json", b"application/x+json+json; q=1", b'application/json; charset="'),
    *(b"application/json; \xff\xfe", b"Application/Problem+JSON"),
)
OTHER_TYPES = (
    *(b"text/plain", b"application/x-www-form-urlencoded", b"multipart/form-data; boundary=x"),
    *(
        b"",
        b"json",
        b"application/jsonx",
        b"text/json",
        b"text/x+json",
        b"*/*",
        b";",
        b"/",
        b"\xff",
    ),
    *(
        b"application/json, text/plain",
        b"application/json\xa0",
        b"application/json\x85;a",
        b"+json",
    ),
    *(b"application /json", b'"application/json"', b"application/json/", b"application/"),
    *(b"+json", b"\xff"),
)
HOSTS = (b"", b"127.0.0.1", b"localhost:5005", b"[::1]:5005", b"a b", b"\xff", b"x" * 300, b"a:b:c")
ODD_HEADERS: Sequence[Header] = (
    *((b"X_Odd", b"1"), (b"Content_Type", b"application/json"), (b"Content_Length", b"5")),
    *((b"X-Empty", b""), (b"X-Obs", b"\xff\xfe\x80 \xe9"), (b"X-Tabs", b"\t a \t b \t")),
    *((b"Cookie", b"a=b; c=\xff"), (b"Authorization", b"Basic \xff"), (b"X-Api-Key", b"k\xe9y")),
    *((b"X-Forwarded-Host", b"evil"), (b"X-Forwarded-Proto", b"https"), (b"Forwarded", b"host=e")),
    *((b"Accept", b"text/html"), (b"Accept", b"application/json"), (b"Accept-Encoding", b"gzip")),
    *((b"Range", b"bytes=0-1"), (b"If-None-Match", b"*"), (b"If-Modified-Since", b"now")),
    *((b"X-HTTP-Method-Override", b"GET"), (b"X-Mcli-Stack", b"new"), (b"X-Mcli-Stack", b"legacy")),
    *((b"Connection", b"close"), (b"Connection", b"keep-alive"), (b"Keep-Alive", b"timeout=5")),
    *((b"Origin", b"null"), (b"Access-Control-Request-Method", b"PUT"), (b"TE", b"trailers")),
    *((b"Content-Encoding", b"gzip"), (b"Accept-Charset", b"utf-7"), (b"Via", b"1.0 x")),
    *((b"user-agent", b"\xe9" * 200), (b"USER-AGENT", b""), (b"x-client-id", b"")),
    *((b"Upgrade-Insecure-Requests", b"1"), (b"Proxy-Authorization", b"x"), (b"Date", b"never")),
    *(
        (b"Script-Name", b"/x"),
        (b"X-Original-URL", b"/"),
        (b"Wsgi.Input", b"x"),
        (b"!#$%&'*+-.^`|~", b""),
    ),
)
LONG_BYTES = (4000, 8190, 16000, 60000)
QUERY_BITS = (
    *("a", "=", "&", ";", "+", "%", "%20", "%zz", "%ff", "%00", "\u00e9", "#", "/", "?", "[]", "'"),
    *("all=true", "lines=1", "force=true", "ALL=true", "all", "=true", "a=b=c", "%61ll=true"),
)


def method(random: Random, row: Row) -> bytes:
    """Mostly the right one."""
    return row.method.encode() if random.random() < 0.88 else random.choice(METHODS)


def target(random: Random, row: Row) -> bytes:
    """A path and a query; `valid` ones most of the time."""
    path = row.path.encode()
    if "<" in row.path:
        path = path.replace(b"<id>", _id(random, row))
    if random.random() < 0.06:
        path = odd_path(random, path)
    return path + query(random, row.query)


def query(random: Random, fields: Sequence[Field]) -> bytes:
    """A query that says something to the row, or nothing, or something to nobody."""
    number = random.random()
    if fields and number < 0.75:
        pairs = [_pair(random, field) for field in random.choices(fields, k=_few(random))]
        return b"?" + "&".join(pairs).encode("utf-8", "surrogatepass")
    if number < 0.93:
        return b""
    bits = "".join(random.choices(QUERY_BITS, k=random.randrange(0, 6)))
    raw = bits.encode() if random.random() < 0.5 else quote(bits, safe="=&%+;").encode()
    return b"?" + (raw if random.random() < 0.95 else raw + b"x" * random.choice(LONG_BYTES))


def odd_path(random: Random, path: bytes) -> bytes:
    """The same path in a way that nobody writes it."""
    letter = random.randrange(1, len(path) + 1)
    slash = path.rfind(b"/")
    return random.choice(
        (
            path + b"/",
            b"/" + path,
            b"//" + path,
            path[: slash + 1] + b"/" + path[slash + 1 :],
            path + b";x",
            path + b"%00",
            path + b"%20",
            path + b"%2F",
            path + b"\xff",
            path + b"#fragment",
            path.upper(),
            path[:letter] + quoted(path[letter : letter + 1]) + path[letter + 1 :],
            path[: slash or 1] + b"%2f" + path[slash + 1 :],
            b"/." + path,
            b"/x/.." + path,
            path + b"/..",
            path + b"/.",
            b"http://prove" + path,
            b"https://u:p@prove:1" + path,
            path + b"/" + b"x" * random.choice(LONG_BYTES),
            path + b"/more",
            path[:-1] or b"*",
            b"//prove" + path,
            b"/\\" + path[1:],
        )
    )


def quoted(letters: bytes) -> bytes:
    """Letters that need not be percent-encoded, but are."""
    return b"".join(b"%%%02x" % letter for letter in letters)


def content_type(random: Random) -> list[Header]:
    """What says that the body is JSON, or that it is not."""
    number = random.random()
    if number < 0.8:
        return [(b"Content-Type", b"application/json")]
    if number < 0.89:
        return [(b"Content-Type", random.choice(JSON_TYPES))]
    if number < 0.96:
        return [(b"Content-Type", random.choice(OTHER_TYPES))]
    if number < 0.98:
        return []
    pool = (b"application/json", *JSON_TYPES, *OTHER_TYPES)
    return [(b"Content-Type", kind) for kind in random.choices(pool, k=2)]


def headers(random: Random, client: int) -> list[Header]:
    """`Host`, who calls, and sometimes what nobody expects."""
    found: list[Header] = [(b"Host", b"prove"), (b"X-Client-Id", b"c%d" % client)]
    number = random.random()
    if number < 0.75:
        return found
    if number < 0.78:
        found[0] = (b"Host", random.choice(HOSTS))
    elif number < 0.79:
        found.pop(0)
    elif number < 0.8:
        found += [(b"X-Many-%d" % n, b"v" * n) for n in range(random.choice((20, 60, 90)))]
    elif number < 0.81:
        found.append((b"X-Long", b"v" * random.choice(LONG_BYTES)))
    found += random.choices(ODD_HEADERS, k=_few(random))
    if random.random() < 0.3:
        random.shuffle(found)
    if random.random() < 0.1:
        found = [(name.lower(), value) for name, value in found]
    return found


def _id(random: Random, row: Row) -> bytes:
    if random.random() > 0.85:
        return random.choice(ODD_IDS)
    if row.method == "DELETE":
        pool = IDS["DELETE"]
    elif row.path.endswith("/start"):
        pool = IDS["/start"]
    else:
        pool = IDS[row.path[: row.path.index("/<")]]
    return random.choice(pool).encode()


def _pair(random: Random, field: Field) -> str:
    if field.kind is Kind.COUNT:
        text = random.choice(values.COUNTS if random.random() < 0.7 else values.ODD_COUNTS)
    else:
        text = random.choice(values.TRUTHS)
    name = field.name if random.random() < 0.95 else field.name.upper()
    return f"{name}={quote(text)}" if random.random() < 0.7 else f"{name}={text}".replace(" ", "+")


def _few(random: Random) -> int:
    return 1 if random.random() < 0.8 else random.randrange(2, 4)
