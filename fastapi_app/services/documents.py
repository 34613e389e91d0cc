"""Documents of steps: read, checked as a whole, and put into an order they can run in."""

from __future__ import annotations

import difflib
import heapq
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from fastapi_app.errors import AppError
from fastapi_app.models import Language, Limits, Retry, When
from fastapi_app.schemas.documents import MAX_STEPS, DocumentBody, StepBody, keys_at
from fastapi_app.services.document_syntax import (
    SyntaxProblemError,
    line_of,
    read_toml,
    read_yaml,
)

MAX_BYTES = 256 * 1024
MAX_TOLD = 20

Needs = dict[str, list[str]]


class InvalidDocumentError(AppError):
    """The document cannot be run; `problems` says all that is wrong with it, each in one line."""

    status, code, title = 422, "invalid-document", "The document of steps is not valid"

    def __init__(self, problems: Sequence[str]) -> None:
        told = list(problems[:MAX_TOLD])
        if len(problems) > MAX_TOLD:
            told.append(f"and {len(problems) - MAX_TOLD} more")
        super().__init__("\n".join(told))
        self.problems = problems


@dataclass(frozen=True, slots=True)
class Step:
    """Shell text and how to run it. `timeout` is seconds; without a group it is the document's."""

    name: str
    run: str
    needs: tuple[str, ...]
    env: Mapping[str, str]
    retry: Retry
    timeout: float | None
    when: When
    limits: Limits
    priority: int
    group: str | None


@dataclass(frozen=True, slots=True)
class Document:
    """A checked document. `env` holds for every step, below the step's own.

    `steps` are in an order in which each comes behind those it needs, otherwise as written.
    """

    description: str
    env: Mapping[str, str]
    steps: tuple[Step, ...]


def parse(language: Language, text: str) -> Document:
    """Read and check a document.

    Raises:
        InvalidDocumentError: with everything that is wrong with it; what cannot be read at all
            is told alone.
    """
    if language not in READERS:
        raise ValueError(f"{language} is no language of documents")
    _check_text(text)
    try:
        values = READERS[language](text)
    except SyntaxProblemError as error:
        raise InvalidDocumentError([f"This is not valid {language.upper()}: {error}."]) from error
    if not isinstance(values, dict):
        raise InvalidDocumentError(["A document is a table with the key 'steps'."])
    problems: list[str] = []
    values = _steps_by_name(values, problems)
    needs = _needs(values, problems)
    body = _checked(values, problems)
    order = _ordered(needs, problems)
    if body is None or problems:
        raise InvalidDocumentError(problems)
    return Document(
        description=body.description,
        env=body.env,
        steps=tuple(_step(name, body.steps[name]) for name in order),
    )


READERS = {Language.TOML: read_toml, Language.YAML: read_yaml}


def _check_text(text: str) -> None:
    try:
        size = len(text.encode())
    except UnicodeEncodeError as error:
        raise InvalidDocumentError(
            [f"Line {line_of(text, error.start)} is not valid Unicode."]
        ) from error
    if size > MAX_BYTES:
        raise InvalidDocumentError(
            [f"The document has {size} bytes, at most {MAX_BYTES}; move scripts into files."]
        )
    if "\0" in text:
        raise InvalidDocumentError([f"Line {line_of(text, text.index(chr(0)))} has a NUL in it."])


def _steps_by_name(values: dict[str, Any], problems: list[str]) -> dict[str, Any]:
    """The same with a list of steps, each with its `name`, as a table."""
    listed = values.get("steps")
    if not isinstance(listed, list):
        return values
    steps: dict[str, Any] = {}
    for number, item in enumerate(listed, 1):
        name = item.get("name") if isinstance(item, dict) else None
        if not isinstance(name, str):
            problems.append(f"step {number}: must be a table with a 'name' that is text")
        elif name in steps:
            problems.append(f"step {number}: there is a step {name!r} already")
        else:
            steps[name] = {key: value for key, value in item.items() if key != "name"}
    if problems and not steps:
        raise InvalidDocumentError(problems)
    return values | {"steps": steps}


def _needs(values: dict[str, Any], problems: list[str]) -> Needs:
    """What each step needs, as far as that can be read: the graph is checked with the rest."""
    steps = values.get("steps")
    if not isinstance(steps, dict) or len(steps) > MAX_STEPS:
        return {}
    needs: Needs = {}
    for name, step in steps.items():
        keys = step if isinstance(step, dict) else {}
        listed = keys.get("needs")
        needs[name] = [n for n in listed if isinstance(n, str)] if isinstance(listed, list) else []
        if keys.get("when") == When.FAILURE and not listed:
            problems.append(f"step {name!r}, when: 'failure' of what? name the steps in 'needs'")
    return needs


def _checked(values: dict[str, Any], problems: list[str]) -> DocumentBody | None:
    try:
        body = DocumentBody.model_validate(values)
    except ValidationError as error:
        found = error.errors(include_url=False, include_context=False, include_input=False)
        for each in found:
            hint = len(problems) < MAX_TOLD
            problems.append(_problem(each["type"], each["loc"], each["msg"], hint=hint))
        return None
    return body


def _problem(kind: str, location: tuple[Any, ...], message: str, *, hint: bool) -> str:
    """Say in one line what is wrong and where."""
    if kind == "extra_forbidden":
        *above, key = location
        near = _near(str(key), keys_at(location), tell_all=True) if hint else ""
        return f"{_place(above)}unknown key {key!r}{near}"
    if location == ("steps",) and kind in {"missing", "too_short"}:
        return "steps: there must be at least one, such as [steps.build]"
    if location == ("steps",) and kind == "too_long":
        return f"steps: there are more than {MAX_STEPS}; split the document"
    if kind == "missing":
        return _place(location[:-1]) + f"the key {location[-1]!r} is missing"
    return _place(location) + message.removeprefix("Value error, ")


def _place(location: Sequence[Any]) -> str:
    parts = [part for part in location if part != "[key]"]
    if parts[:1] == ["steps"] and len(parts) > 1:
        where = [f"step {parts[1]!r}", *([".".join(map(str, parts[2:]))] if parts[2:] else [])]
        return ", ".join(where) + ": "
    return f"{'.'.join(map(str, parts))}: " if parts else ""


def _near(word: str, known: Iterable[str], *, tell_all: bool = False) -> str:
    near = difflib.get_close_matches(word[:100], known, n=1)
    if near:
        return f" (did you mean {near[0]!r}?)"
    return f" (there are {', '.join(known)})" if tell_all else ""


def _ordered(needs: Needs, problems: list[str]) -> list[str]:
    """Names of the steps, each behind what it needs, otherwise as written."""
    position = {name: number for number, name in enumerate(needs)}
    edges: Needs = {}
    for name, wanted in needs.items():
        for problem, other in _wrong_needs(name, wanted, position):
            # Looking for a near name takes long, and only the first problems are told.
            hint = _near(other, position) if other and len(problems) < MAX_TOLD else ""
            problems.append(f"step {name!r}, needs: {problem}{hint}")
        edges[name] = [other for other in dict.fromkeys(wanted) if other in needs and other != name]
    order = _sorted(edges, position)
    while len(order) < len(edges) and len(problems) < MAX_TOLD:
        cycle = _cycle({name: edges[name] for name in edges.keys() - set(order)}, position)
        problems.append(f"steps need each other: {' → '.join(cycle)}")
        # Cut it, and look for the next one.
        edges[cycle[0]].remove(cycle[1])
        order = _sorted(edges, position)
    return order


def _wrong_needs(
    name: str, wanted: list[str], known: Mapping[str, int]
) -> Iterator[tuple[str, str | None]]:
    """What is wrong, and the name that something else may have been meant by."""
    seen: set[str] = set()
    for other in wanted:
        if other == name:
            yield "a step cannot need itself", None
        elif other not in known:
            yield f"there is no step {other!r}", other
        elif other in seen:
            yield f"{other!r} is there twice", None
        seen.add(other)


def _sorted(edges: Needs, position: Mapping[str, int]) -> list[str]:
    """Kahn's algorithm (1962), taking the step written first of those that are free.

    Steps on a cycle, or behind one, are left out.
    """
    behind: Needs = {name: [] for name in edges}
    for name, wanted in edges.items():
        for other in wanted:
            behind[other].append(name)
    waiting = {name: len(wanted) for name, wanted in edges.items()}
    free = [(position[name], name) for name, count in waiting.items() if not count]
    heapq.heapify(free)
    order = []
    while free:
        _, name = heapq.heappop(free)
        order.append(name)
        for other in behind[name]:
            waiting[other] -= 1
            if not waiting[other]:
                heapq.heappush(free, (position[other], other))
    return order


def _cycle(left: Needs, position: Mapping[str, int]) -> list[str]:
    """One way round, its first step named again at the end; each of `left` needs one of them."""
    name = min(left, key=position.__getitem__)
    path: dict[str, int] = {}
    while name not in path:
        path[name] = len(path)
        name = next(other for other in left[name] if other in left)
    way = list(path)[path[name] :]
    return [*way, name]


def _step(name: str, body: StepBody) -> Step:
    return Step(
        name=name,
        run=body.run,
        needs=tuple(body.needs),
        env=body.env,
        retry=Retry(**body.retries.model_dump()),
        timeout=body.timeout,
        when=body.when,
        limits=Limits(
            nice=body.nice,
            memory=body.memory_limit,
            cpu=body.cpu_limit,
            processes=body.process_limit,
        ),
        priority=body.priority,
        group=body.group,
    )
