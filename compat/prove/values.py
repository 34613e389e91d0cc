"""Values for fields: such as clients send, such as nobody should, and such as nobody ever did."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from random import Random
from typing import Any

from compat.fields import Kind
from compat.prove.json_text import Raw
from compat.prove.seeds import COMMAND_IDS, PAST_IDS, planted_id

LONGEST = 131071
"""Bytes that the kernel takes in one argument."""
UNKNOWN_ID = planted_id(999)
COMMANDS = (
    "true",
    "echo hi",
    "exit 3",
    "echo out; echo err >&2; exit 1",
    "printf 'a\\377b'",
    "printf '\\303\\251\\n\\0end'",
    "echo \u00e9\u4f60\U0001f600",
    "kill -9 $$",
    "kill -TERM $$; sleep 1",
    "cat",
    "nosuchprogram 1 2",
    "echo 'unfinished",
    "(",
    "  \t\n ",
    "# nothing",
    'echo \\u0041 "$HOME" | wc -l',
    "echo $((6*7)) && false",
    "seq 3; exec >&2; seq 2",
    ":\nexit 256",
    "exit -1",
    "echo \u2028\u0085\x7f\x1b[0m",
    "test -t 0; echo $?",
    "umask 022; echo $-",
    "set -e; false; echo never",
)
SLOW = (
    "head -c 1200000 /dev/zero | tr '\\0' x",
    "yes \u00e9\u00e9 | head -c 1048579",
    "yes | head -c 70001 >&2",
    "printf %1048577s x",
)
"""Much output, which takes a while."""
PROGRAMS = ("true", "echo", "printf", "sh", "cat", "/bin/echo", "/nonexistent/program", "/etc", "")
ARGS: tuple[list[Any], ...] = (
    [],
    ["a"],
    ["a", "b c", "", "'", '"'],
    ["-c", "exit 3"],
    ["-c", "echo $0 $1", "x", "\u00e9"],
    ["%s\\n", "x", "y"],
    [1, 2.5, -0.0, Raw("1e3"), Raw("1E400"), Raw("-1e400"), Raw("10000000000000000000000")],
    ["\u00e9", "\U0001f600", "\u2028", "\x7f", "\n", "\t"],
    ["--", "-n", "$(exit 9)", "`false`", "*"],
    [Raw("NaN")],
    [Raw("1.10")],
)
MAPS: tuple[dict[str, Any], ...] = (
    {},
    {"GREETING": "hello", "COUNT": 3},
    {"GREETING": "\u00e9\n\U0001f600", "COUNT": 2.5},
    {"A": "", "b.c": "x", "1": "y", "\u00fc": "z"},
    {"PATH": "/nonexistent"},
    {"PATH": "/usr/bin:/bin", "HOME": "/"},
    {"COUNT": Raw("1e400")},
    {"A": "a=b=c"},
)
NAMES: Mapping[str, Sequence[str]] = {
    "POST /execute command_id": [*COMMAND_IDS.values(), UNKNOWN_ID, "x"],
    "POST /execute command_name": [*COMMAND_IDS, "nobody", "ALPHA"],
    "POST /workflow/start name": [*COMMAND_IDS, "nobody", "it's", "\u00e9"],
    "POST /workflow/stop id": [*PAST_IDS, UNKNOWN_ID, "finished"],
    "POST /workflow/stop name": ["finished", "crashed", "halted", "vanished", "late", "twice", "?"],
    "POST /processes name": ["p", "a b", "\u00e9" * 200, "x" * 200, "x" * 201, "\U0001f600" * 201],
    "POST /processes/run name": ["p", "\n", "x" * 201],
}
"""Texts that name something there, by route and field. A sleeper is for cases that end it."""
SLEEPERS = {"sleeper", COMMAND_IDS["sleeper"]}
FOLDERS = (
    *("/", "/usr", ".", "..", "", "/nonexistent", "/etc/passwd", "/proc/self", "//usr//", "~"),
    *("\u00e9", "/" + "x" * 300, "/" + "x/" * 3000, " /", "/usr\n"),
)
SECONDS = (1, 60, 2.5, 31536000, Raw("1e1"), Raw("31536000.0"), Raw("5E0"))
COUNTS = ("0", "1", "2", "3", "100", "249", "250", "251", "007", "99999999999999999999", "9" * 5000)
ODD_COUNTS = ("", "-1", "+1", "1.0", "1e2", " 1", "1 ", "x", "\u0661", "0x10", "1_0", "\u00b2")
TRUTHS = ("true", "TRUE", "True", "tRuE", "false", "1", "yes", "", " true", "true ", "\u0131")
TEXT_BITS = (
    *("", "a", "x y", "\u00e9", "\U0001f600", "\ud800", "\udfff", "\udc00\ud800", "\0", "a\0b"),
    *("\n", "\r\n", "\u2028", "\ufeff", "'", '"', "\\", "%s", "{}", "[b]", "../", "\x7f", "\x1f"),
    *("null", "0", "-", "\uffff", "e\u0301", "\u202e", " ", "\t"),
)
NUMBERS: tuple[Any, ...] = (
    *(0, 1, -1, 2, 255, 2**31, 2**53 + 1, 2**63, -(2**64), 0.1, -0.5, 1e308),
    *map(Raw, ("1e400", "-1e400", "NaN", "Infinity", "-Infinity", "1E5", "1e-400", "-0", "-0.0")),
    *map(Raw, ("0.1e1", "1.0", "123456789012345678901234567890", "1" * 4300, "1" * 4301)),
)
BIG = Raw("1" + "0" * 5000)
WRONG: tuple[Any, ...] = (
    *(None, True, False, "", [], {}, "text", [None], [[]], [True], {"a": None}, {"a": [1]}),
    *({"": "x"}, {"a=b": "x"}, {"a\0": "x"}, {"a": "b\0"}, {"a": "\ud800"}, {"\ud800": "x"}),
    *(["\0"], ["\ud800"], ["a", None], ["a", {}], "true", "1", "0", "null"),
)


def valid(random: Random, route: str, name: str, kind: Kind) -> object:
    """A value such as clients send."""
    match kind:
        case Kind.COMMAND:
            pool: Sequence[Any] = COMMANDS if random.random() < 0.8 else PROGRAMS
        case Kind.NAME:
            pool = [text for text in NAMES[f"{route} {name}"] if text not in SLEEPERS]
        case Kind.TEXTS:
            pool = ARGS
        case Kind.MAP:
            pool = MAPS
        case Kind.SECONDS:
            pool = SECONDS
        case Kind.FOLDER:
            pool = FOLDERS
        case Kind.COUNT:
            pool = COUNTS
        case Kind.TRUTH:
            pool = (True, False, None, 1, 0, "", "no", [], [0], {}, 0.0, Raw("NaN"))
    return random.choice(pool)


def hostile(random: Random) -> object:
    """A value such as nobody should send."""
    number = random.random()
    if number < 0.45:
        return random.choice(WRONG)
    if number < 0.65:
        return random.choice(NUMBERS)
    if number < 0.9:
        return "".join(random.choices(TEXT_BITS, k=random.randrange(1, 6)))
    if number < 0.96:
        return deep(random.choice((5, 50, 400, 900)), random)
    return {text(random): hostile(random) for _ in range(random.randrange(1, 4))}


def huge(random: Random, kind: Kind) -> object:
    """A value around a limit on its size."""
    around = random.choice((LONGEST - 1, LONGEST, LONGEST + 1))
    unit = random.choice(("x", "\u00e9", "\U0001f600"))
    # A comment does nothing, however long it is.
    word = "#" + (unit * (around // len(unit.encode()) + 1))[: around // len(unit.encode())]
    if kind is Kind.TEXTS:
        return [word[:100000]] * random.choice((9, 11)) if random.random() < 0.5 else ["a", word]
    if kind is Kind.MAP:
        many = random.random() < 0.5
        return {f"K{n}": word[:90000] for n in range(12)} if many else {"K": word[: around - 2]}
    if kind is Kind.SECONDS:
        return BIG
    return word


def deep(levels: int, random: Random) -> object:
    """A value within values."""
    value: object = random.choice((1, "x", None))
    for _ in range(levels):
        value = [value] if random.random() < 0.5 else {"a": value}
    return value


def text(random: Random) -> str:
    """A key or a word that may be anything."""
    return "".join(random.choices(TEXT_BITS, k=random.randrange(0, 4)))
