"""Parameters of stored commands: where they are declared, what holds, how a script gets them."""

from __future__ import annotations

import importlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from fastapi_app.errors import FieldProblem, InvalidParametersError
from fastapi_app.models import Command, Language
from fastapi_app.schemas.fields import MAX_ARGUMENT
from fastapi_app.services.parameter_header import NAME, declared_in_header, same_variable

Schema = Mapping[str, Any]

PREFIX = "MCLI_PARAM_"
MAX_VALUE = MAX_ARGUMENT - 200
"""Bytes of one value: it has to fit behind its name in the environment."""
MAX_TOLD = 50
_JSON = {"integer", "number", "boolean", "array", "object", "null"}


def declared_by(command: Command) -> Schema | None:
    """The JSON schema that a start is held to; `None` when nothing is declared.

    Raises:
        InvalidParametersError: the header is not right.
    """
    if command.parameters is not None:
        return command.parameters
    return declared_in_header(command.language, command.code)


def check_declared(language: Language, code: str, parameters: Schema | None) -> None:
    """Refuse to store what could never be used.

    Raises:
        InvalidParametersError: the header or the JSON schema is not right.
    """
    if parameters is None:
        declared_in_header(language, code)
        return
    problems = list(_problems_of_schema(parameters))
    if problems:
        raise InvalidParametersError(problems)


def resolved(schema: Schema, given: Mapping[str, Any]) -> dict[str, Any]:
    """The values of a start: those given, defaults for the others, all as the schema says.

    Text is taken for a number, a boolean or JSON where the schema wants one.

    Raises:
        InvalidParametersError: with all that is wrong with them.
    """
    known = schema.get("properties", {})
    values = {name: _read(value, known.get(name)) for name, value in given.items()}
    for name, about in known.items():
        if name not in values and isinstance(about, Mapping) and "default" in about:
            values[name] = about["default"]
    problems = dict.fromkeys([*_unusable(values), *_violations(schema, values)])
    if problems:
        raise InvalidParametersError(list(problems)[:MAX_TOLD])
    return values


def arguments(values: Mapping[str, Any]) -> list[str]:
    """How the values stand on the command line: `--name value` each."""
    return [text for name, value in values.items() for text in (f"--{name}", written(value))]


def environment(values: Mapping[str, Any]) -> dict[str, str]:
    """How they stand in the environment: `MCLI_PARAM_NAME`, dashes as underscores."""
    return {variable(name): written(value) for name, value in values.items()}


def variable(name: str) -> str:
    """The variable that holds the value of a parameter."""
    return PREFIX + name.replace("-", "_").upper()


def written(value: object) -> str:
    """A value as a script gets it: text as it is, everything else as JSON."""
    return value if isinstance(value, str) else json.dumps(value)


def _read(value: object, about: object) -> object:
    """The value; or what its text says, when the schema wants no text."""
    wanted = about.get("type") if isinstance(about, Mapping) else None
    types = set(wanted if isinstance(wanted, list) else [wanted])
    if not isinstance(value, str) or "string" in types or not types & _JSON:
        return value
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        return value


def _problems_of_schema(schema: Schema) -> Iterator[FieldProblem]:
    if schema.get("type") != "object" or not isinstance(schema.get("properties"), Mapping):
        yield FieldProblem(
            "/parameters", 'must be a JSON schema with "type": "object" and "properties"'
        )
        return
    seen: list[str] = []
    for name in schema["properties"]:
        if not NAME.fullmatch(name):
            yield FieldProblem(
                "/parameters/properties",
                f"{name[:100]!r} is no name of a parameter: 1 to 64 letters, digits, dashes and"
                " underscores, a letter first",
            )
        if other := next((n for n in seen if same_variable(n, name)), None):
            yield FieldProblem(
                "/parameters/properties", f"{name!r} and {other!r} have one variable for both"
            )
        seen.append(name)
    yield from _wrong_keywords(schema)


def _wrong_keywords(schema: Schema) -> Iterator[FieldProblem]:
    # It takes a tenth of a second to import, and few commands have parameters.
    library = importlib.import_module("jsonschema")
    try:
        library.Draft202012Validator.check_schema(schema)
    except library.SchemaError as error:
        yield FieldProblem(_pointer("/parameters", error.absolute_path), str(error.message)[:500])
        return
    except RecursionError:
        yield FieldProblem("/parameters", "is nested too deep")
        return
    for reference in _references(schema):
        if not reference.startswith("#"):
            yield FieldProblem(
                "/parameters", f"{reference[:200]!r} lies elsewhere: only references to # are read"
            )


def _references(node: object) -> Iterator[str]:
    if isinstance(node, Mapping):
        for key, value in node.items():
            if key in {"$ref", "$dynamicRef"} and isinstance(value, str):
                yield value
            yield from _references(value)
    elif isinstance(node, list):
        for value in node:
            yield from _references(value)


def _unusable(values: Mapping[str, Any]) -> Iterator[FieldProblem]:
    """What no script can be given, whatever the schema says."""
    for name, value in values.items():
        pointer = _pointer("/params", [name])
        if not NAME.fullmatch(name):
            yield FieldProblem(pointer, "is no name of a parameter")
        elif detail := _unfit(value):
            yield FieldProblem(pointer, detail)


def _unfit(value: object) -> str | None:
    try:
        text = value if isinstance(value, str) else json.dumps(value, allow_nan=False)
        size = len(text.encode())
    except UnicodeEncodeError:
        return "is not valid Unicode"
    except ValueError:
        return "has a number in it that is not finite"
    if "\0" in text:
        return "must not contain NUL characters"
    return f"has {size} bytes, at most {MAX_VALUE}" if size > MAX_VALUE else None


def _violations(schema: Schema, values: Mapping[str, Any]) -> Iterator[FieldProblem]:
    library = importlib.import_module("jsonschema")
    # An empty registry, so that no reference makes it ask the network.
    nothing = importlib.import_module("referencing").Registry()
    unresolvable = importlib.import_module("referencing.exceptions").Unresolvable
    validator = library.Draft202012Validator(schema, registry=nothing)
    try:
        for error in validator.iter_errors(values):
            yield from _explained(error)
    except (RecursionError, ArithmeticError, unresolvable):
        yield FieldProblem("/params", "cannot be held against the schema: it is not right")


def _explained(error: Any) -> Iterator[FieldProblem]:  # noqa: ANN401 - a ValidationError
    """What is wrong, without the value: it may be a secret."""
    pointer, wanted = _pointer("/params", error.absolute_path), error.validator_value
    if error.validator == "required":
        for name in wanted:
            if name not in error.instance:
                yield FieldProblem(_pointer(pointer, [name]), "is required")
    elif error.validator == "additionalProperties" and wanted is False:
        known = error.schema.get("properties", {})
        patterns = error.schema.get("patternProperties", {})
        for name in error.instance:
            if name not in known and not any(re.search(p, name) for p in patterns):
                there = ", ".join(known) or "none"
                yield FieldProblem(
                    _pointer(pointer, [name]), f"is not declared (there are {there})"
                )
    else:
        say = _WORDS.get(error.validator, "does not satisfy " + str(error.validator) + " {}")
        yield FieldProblem(pointer, say.format(json.dumps(wanted, ensure_ascii=False)[:200]))


_WORDS = {
    "type": "must be of type {}",
    "enum": "must be one of {}",
    "const": "must be {}",
    "minimum": "must be at least {}",
    "maximum": "must be at most {}",
    "exclusiveMinimum": "must be more than {}",
    "exclusiveMaximum": "must be less than {}",
    "minLength": "must have at least {} characters",
    "maxLength": "must have at most {} characters",
    "pattern": "must match the pattern {}",
}


def _pointer(before: str, path: Sequence[object]) -> str:
    parts = (str(part).replace("~", "~0").replace("/", "~1") for part in path)
    return "".join([before, *(f"/{part}" for part in parts)])
