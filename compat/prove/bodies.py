"""Bodies of requests: JSON objects from a row's fields, and what else may come in their place."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from compat.fields import Field, Kind
from compat.prove import values
from compat.prove.json_text import COMPACT, PLAIN, Pairs, Raw, Style, written

STYLES = (
    *(COMPACT, Style(escaped=False), Style(" , ", "\t:\r\n"), Style(before=" \n", after="\r\n\t ")),
    *(Style(before="\ufeff"), Style(encoding="utf-16"), Style(encoding="utf-16-le")),
    *(Style(encoding="utf-16-be"), Style(encoding="utf-32"), Style(encoding="utf-32-be")),
    *(Style(escaped=False, encoding="utf-16"), Style(before="\ufeff", encoding="utf-16-le")),
)
NO_OBJECTS = (
    *(b"[]", b"null", b"1", b'"x"', b"true", b"NaN", b"-Infinity", b'[{"command":"true"}]', b'""'),
    *(b" 0 ", b"1e400", b"[[]]", b"-0"),
)
BROKEN = (
    *(b"", b" ", b"{", b"}", b"{}}", b"{'a':1}", b'{"a":1,}', b"nul", b'{"a":"\xff"}', b'{"a":01}'),
    *(b'{"a":"\n"}', b'{"a":"\\ud8"}', b"\x00", b"{}\x00", b'{"a":+1}', b'{"a":.5}', b'{"a":1.}'),
    *(
        b"{,}",
        b'{"a"}',
        b'{"a":}',
        b"{1:2}",
        b"\xef\xbb\xbf",
        b"\xff\xfe",
        b"\xfe\xff\x00{",
        b"{\x00",
    ),
    *(b'{"a":"\\x"}', b'{"a":"\\u12g4"}', b"command=true", b"<xml/>", b"{}\n{}", b"// x\n{}"),
    *(b'{"a":infinity}', b'{"a":"unfinished', b"[" * 100_000, b'{"a":' * 2000 + b"1" + b"}" * 2000),
    *(b'{"a":%s}' % (b"9" * 4301), b'{"a":1' + b"0" * 5000 + b"}", b"\xed\xa0\x80", b"\x80{}"),
)
TIME_OUT = (
    Pairs([("command", "echo begun; sleep 3"), ("timeout", Raw("0.05"))]),
    Pairs([("command", "trap '' TERM; sleep 3 & wait"), ("timeout", Raw("5e-2"))]),
)


def body(random: Random, route: str, fields: Sequence[Field]) -> bytes:
    """A body for a row with these fields; for one without, something nobody reads."""
    number = random.random()
    if not fields:
        return b"" if number < 0.7 else random.choice((*NO_OBJECTS, *BROKEN, b"{}", b"x" * 3000))
    if number < 0.05:
        return random.choice(BROKEN)
    if number < 0.07:
        return random.choice(NO_OBJECTS)
    if number < 0.074 and fields[-1].kind is Kind.SECONDS:
        return written(random.choice(TIME_OUT))
    return _object(random, route, fields)


def _object(random: Random, route: str, fields: Sequence[Field]) -> bytes:
    members = Pairs((f.name, _value(random, route, f)) for f in _chosen(random, fields))
    if random.random() < 0.15 and members:
        place = random.randrange(len(members))
        kind = next(f.kind for f in fields if f.name == members[place][0])
        big = random.random() < 0.02
        bad = values.huge(random, kind) if big else values.hostile(random)
        members[place] = (members[place][0], bad)
    if random.random() < 0.06:
        members.append((values.text(random), values.hostile(random)))
    if random.random() < 0.04 and members:  # the last of equal keys wins
        name = random.choice(members)[0]
        members.insert(random.randrange(len(members)), (name, values.hostile(random)))
    if random.random() < 0.2:
        random.shuffle(members)
    return written(members, random.choice(STYLES) if random.random() < 0.2 else PLAIN)


def _chosen(random: Random, fields: Sequence[Field]) -> list[Field]:
    """Which fields are there: mostly the first or another that makes sense, and some more."""
    names = [field for field in fields if field.kind in {Kind.COMMAND, Kind.NAME}]
    leading = fields[0] if random.random() < 0.6 else random.choice(names)
    rest = [field for field in fields if field is not leading and random.random() < 0.2]
    return [*([leading] if random.random() < 0.96 else []), *rest]


def _value(random: Random, route: str, field: Field) -> object:
    if field.kind is Kind.COMMAND and random.random() < 0.004:
        return random.choice(values.SLOW)
    if random.random() < 0.12:
        return values.hostile(random)
    return values.valid(random, route, field.name, field.kind)
