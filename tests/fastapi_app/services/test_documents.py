"""Documents of steps: what is right comes back in order, what is wrong is told all at once."""

from __future__ import annotations

import json
import re
import time
from itertools import pairwise

import pytest
import yaml
from hypothesis import assume, given
from hypothesis import strategies as st

from fastapi_app.models import Language, Limits, Retry, When
from fastapi_app.schemas.documents import DocumentBody, RetryBody, StepBody
from fastapi_app.services import document_syntax
from fastapi_app.services.documents import MAX_BYTES, Document, InvalidDocumentError, Step, parse
from tests.servers import ROOT

TOML, YAML = Language.TOML, Language.YAML
FULL_TOML = """
description = "Build and test"
env = { STAGE = "test", WORKERS = 4, FAST = true, SHARE = 0.5 }

[steps.test]
run = "make test"
needs = ["build"]
env = { X = "1" }
retries = { times = 3, delay = 0.5, factor = 3, longest = 60 }
timeout = 60
nice = 5
memory_limit = 536870912
cpu_limit = 30
process_limit = 50
priority = -7
group = "slow"

[steps.build]
run = "make"
retries = 2

[steps.report]
run = "mail"
needs = ["test"]
when = "failure"
"""

FULL_YAML = """
description: Build and test
env: {STAGE: test, WORKERS: 4, FAST: yes, SHARE: 0.5}
steps:
  test:
    run: make test
    needs: [build]
    env: {X: "1"}
    retries: {times: 3, delay: 0.5, factor: 3, longest: 60}
    timeout: 60
    nice: 5
    memory_limit: 536870912
    cpu_limit: 30
    process_limit: 50
    priority: -7
    group: slow
  build: {run: make, retries: 2}
  report: {run: mail, needs: [test], when: failure}
"""


def wrong(language: Language, text: str) -> list[str]:
    """The problems of a document that has some."""
    with pytest.raises(InvalidDocumentError) as refused:
        parse(language, text)
    assert (refused.value.status, refused.value.code) == (422, "invalid-document")
    return list(refused.value.problems)


def assert_read_or_refused(language: Language, text: str) -> None:
    """Neither anything else, nor a refusal that says nothing."""
    try:
        assert isinstance(parse(language, text), Document)
    except InvalidDocumentError as error:
        said = error.detail
    else:
        return
    assert said.strip()


def step(keys: str) -> str:
    return f"[steps.a]\n{keys}"


@pytest.mark.parametrize(("language", "text"), [(TOML, FULL_TOML), (YAML, FULL_YAML)])
def test_every_key_is_read(language: Language, text: str) -> None:
    document = parse(language, text)
    assert document.description == "Build and test"
    assert document.env == {"STAGE": "test", "WORKERS": "4", "FAST": "true", "SHARE": "0.5"}
    build, test, report = document.steps
    assert test == Step(
        name="test",
        run="make test",
        needs=("build",),
        env={"X": "1"},
        retry=Retry(times=3, delay=0.5, factor=3, longest=60),
        timeout=60,
        when=When.SUCCESS,
        limits=Limits(nice=5, memory=536870912, cpu=30, processes=50),
        priority=-7,
        group="slow",
    )
    assert build == Step("build", "make", (), {}, Retry(2), None, When.SUCCESS, Limits(), 0, None)
    assert (report.name, report.needs, report.when) == ("report", ("test",), When.FAILURE)


@pytest.mark.parametrize(
    ("language", "text"),
    [
        (YAML, "steps: [{name: b, run: x, needs: [a]}, {name: a, run: y}]"),
        (TOML, '[[steps]]\nname="b"\nrun="x"\nneeds=["a"]\n[[steps]]\nname="a"\nrun="y"'),
    ],
)
def test_steps_may_be_a_list(language: Language, text: str) -> None:
    steps = parse(language, text).steps
    assert [(each.name, each.run) for each in steps] == [("a", "y"), ("b", "x")]


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("yes", "true"),
        ("off", "false"),
        ("1_000", "1000"),
        ("1.50", "1.5"),
        ("'1.50'", "1.50"),
        ('"yes"', "yes"),
        ("2026-11-22", "2026-11-22"),
        ("0b_", "0b_"),
        ("a b", "a b"),
        ("|\n    two\n    lines\n", "two\nlines\n"),
    ],
)
def test_what_yaml_reads_as_more_than_text_is_written_as_json(written: str, value: str) -> None:
    document = parse(YAML, f"env:\n  X: {written}\nsteps: {{a: {{run: b}}}}")
    assert document.env == {"X": value}


def test_keys_of_yaml_are_text_as_written() -> None:
    document = parse(YAML, "env: {on: a, 1: b, null: c}\nsteps: {yes: {run: b}, 010: {run: c}}")
    assert document.env == {"on": "a", "1": "b", "null": "c"}
    assert [each.name for each in document.steps] == ["yes", "010"]


@pytest.mark.parametrize(
    ("language", "text", "line"),
    [
        (TOML, "\na b", 2),
        (TOML, "[steps.a]\nrun = 'x'\n[steps.a]\nrun = 'y'", 3),
        (TOML, "\nx = 1\nx = 2\n", 3),
        (TOML, "\n\n" + ".".join("a" * 40) + " = 1", 3),
        (YAML, "\na: [\nb: 1", 2),
        (YAML, "steps:\n  a: {run: x}\n  a: {run: y}", 3),
        (YAML, "steps:\n  - name: a\n    run: x\n    run: y", 4),
        (YAML, "a: &a 1\nb: *a", 2),
        (YAML, "\na: !!python/object:os.system x", 2),
        (YAML, "a: 1\n---\nb: 1", 2),
        (YAML, "\n? [a]\n: b", 2),
        (YAML, "\n" + "[" * 100, 2),
        (YAML, "\n\a", 2),
        (YAML, 'a: 1\nb: "\\ud800"', 2),
        (TOML, "\n\0", 2),
        (YAML, "\n\ud800", 2),
    ],
)
def test_what_cannot_be_read_is_told_with_its_line(
    language: Language, text: str, line: int
) -> None:
    (problem,) = wrong(language, text)
    assert f"line {line}" in problem.replace("Line", "line")


@pytest.mark.parametrize(
    ("language", "text", "said"),
    [
        (TOML, "", "steps: there must be at least one"),
        (TOML, "[steps]", "steps: there must be at least one"),
        (YAML, "", "a table with the key 'steps'"),
        (YAML, "- a", "a table with the key 'steps'"),
        (YAML, "steps: []", "steps: there must be at least one"),
        (YAML, "steps: 5", "steps: "),
        (YAML, "steps: [5]", "step 1: must be a table"),
        (YAML, "steps: [{run: x}]", "step 1: must be a table with a 'name'"),
        (YAML, "steps: {a: }", "step 'a': "),
        (TOML, step(""), "step 'a': the key 'run' is missing"),
        (TOML, step("run = 1"), "step 'a', run: "),
        (TOML, step("run = ''"), "step 'a', run: "),
        (TOML, step('run = "\\u0000"'), "step 'a', run: must not contain NUL"),
        (TOML, step("run = 'x'\nneeds = 'b'"), "step 'a', needs: "),
        (TOML, step("run = 'x'\nneeds = [1]"), "step 'a', needs.0: "),
        (TOML, step("run = 'x'\nneeds = ['a']"), "step 'a', needs: a step cannot need itself"),
        (TOML, step("run = 'x'\ntimeout = 0"), "step 'a', timeout: "),
        (TOML, step("run = 'x'\ntimeout = '5'"), "step 'a', timeout: "),
        (TOML, step("run = 'x'\ntimeout = nan"), "step 'a', timeout: "),
        (TOML, step("run = 'x'\ntimeout = " + "9" * 400), "step 'a', timeout: "),
        (TOML, step("run = 'x'\ntimeout = " + "9" * 5000), "a number is too long"),
        (TOML, step("run = 'x'\nwhen = 'never'"), "step 'a', when: "),
        (TOML, step("run = 'x'\nwhen = 'failure'"), "step 'a', when: 'failure' of what?"),
        (TOML, step("run = 'x'\nretries = true"), "step 'a', retries: a number of times"),
        (TOML, step("run = 'x'\nretries = 101"), "step 'a', retries.times: "),
        (TOML, step("run = 'x'\nretries = {time = 1}"), "unknown key 'time' (did you mean 'times'"),
        (TOML, step("run = 'x'\nnice = 20"), "step 'a', nice: "),
        (TOML, step("run = 'x'\nnice = true"), "step 'a', nice: "),
        (TOML, step("run = 'x'\nmemory_limit = 0"), "step 'a', memory_limit: "),
        (TOML, step("run = 'x'\npriority = 1001"), "step 'a', priority: "),
        (TOML, step("run = 'x'\ngroup = ''"), "step 'a', group: "),
        (TOML, step("run = 'x'\nenv = {A = []}"), "step 'a', env.A: "),
        (TOML, step("run = 'x'\nenv = {A = inf}"), "step 'a', env.A: "),
        (TOML, step("run = 'x'\nenv = {'A=' = ''}"), "step 'a', env: "),
        (TOML, step("run = 'x'\nenv = {A = 99999999999999999999}"), "step 'a', env.A: "),
        (YAML, "steps: {a: {run: x}}\nenv: {A: }", "env.A: "),
        (TOML, step("run = 'x'\nrtries = 1"), "step 'a': unknown key 'rtries' (did you mean 're"),
        (TOML, step("run = 'x'\nxyz = 1"), "step 'a': unknown key 'xyz' (there are run, needs, "),
        (TOML, "stepz = 1\n" + step("run = 'x'"), "unknown key 'stepz' (did you mean 'steps'?)"),
        (TOML, "[steps.'a b']\nrun = 'x'", "step 'a b': a step's name is "),
        (TOML, f"[steps.{'a' * 101}]\nrun = 'x'", "a step's name is "),
        (YAML, 'steps: {"": {run: x}}', "step '': a step's name is "),
        (TOML, "#" * (MAX_BYTES + 1), f"at most {MAX_BYTES}"),
        (YAML, "steps:\n" + "".join(f" s{n}: {{run: x}}\n" for n in range(1001)), "more than 1000"),
    ],
)
def test_what_is_wrong_is_told(language: Language, text: str, said: str) -> None:
    (problem,) = wrong(language, text)
    assert said in problem


def test_everything_is_told_at_once() -> None:
    text = """
description: 5
steps:
  - {name: build, run: make, needs: [test, lnt]}
  - {name: lint, run: lint, timeout: -1}
  - {name: test, needs: [build, build]}
  - {name: lint, run: again}
"""
    problems = wrong(YAML, text)
    for said in (
        "step 4: there is a step 'lint' already",
        "description: ",
        "step 'lint', timeout: ",
        "step 'test': the key 'run' is missing",
        "step 'build', needs: there is no step 'lnt' (did you mean 'lint'?)",
        "step 'test', needs: 'build' is there twice",
        "steps need each other: build → test → build",
    ):
        assert any(problem.startswith(said) for problem in problems), (said, problems)
    assert len(problems) == 7


def test_every_cycle_is_told_but_what_hangs_on_it_is_not() -> None:
    steps = {"a": "b", "b": "c", "c": "a", "d": "e", "e": "d", "f": "a"}
    text = "\n".join(f"[steps.{name}]\nrun='x'\nneeds=['{need}']" for name, need in steps.items())
    assert wrong(TOML, text) == [
        "steps need each other: a → b → c → a",
        "steps need each other: d → e → d",
    ]


def test_a_long_list_of_problems_is_cut() -> None:
    with pytest.raises(InvalidDocumentError) as refused:
        parse(YAML, "steps:\n" + "".join(f"  s{n}: {{}}\n" for n in range(100)))
    *told, last = refused.value.detail.splitlines()
    assert (len(told), last) == (20, "and 80 more")


CLUSTER = " ".join(
    f"s{n}: {{run: x, needs: [{','.join(f's{m}' for m in range(40))}]}}," for n in range(40)
)
HOSTILE = {
    "nested lists": (YAML, "[" * MAX_BYTES),
    "nested mappings": (YAML, "{a: " * (MAX_BYTES // 4)),
    "nested items": (YAML, "- " * (MAX_BYTES // 2)),
    "nested arrays": (TOML, "a = " + "[" * (MAX_BYTES - 4)),
    "a long dotted key": (TOML, ".".join("a" * 100_000) + " = 1"),
    "a long table name": (TOML, "[" + ".".join(["'a'"] * 60_000) + "]"),
    "a long key with escapes": (TOML, ".".join(['"\\""'] * 50_000) + " = 1"),
    "a long inline key": (TOML, "x = {" + " . ".join("a" * 60_000) + " = 1}"),
    "a thousand cycles": (YAML, f"steps: {{{CLUSTER}}}"),
    "unknown keys": (YAML, "steps: {a: {" + ",".join(f"k{n}: 1" for n in range(20_000)) + "}}"),
    "unknown steps": (
        YAML,
        "steps: {a: {run: x, needs: [" + ",".join(f"s{n}" for n in range(30_000)) + "]}}",
    ),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_no_text_keeps_the_server_busy(name: str) -> None:
    before = time.process_time()
    assert wrong(*HOSTILE[name])
    # Each of these took minutes, or the whole stack, when it was read without care.
    assert time.process_time() - before < 10


@st.composite
def graphs(draw: st.DrawFn) -> dict[str, list[str]]:
    """Steps by name with what they need, in any order, and without a cycle."""
    names = draw(st.lists(st.from_regex(r"\A[A-Za-z0-9_.-]{1,8}\Z"), min_size=1, unique=True))
    edges = {
        name: draw(st.lists(st.sampled_from(names[:place]), unique=True)) if place else []
        for place, name in enumerate(names)
    }
    return {name: edges[name] for name in draw(st.permutations(names))}


def as_toml(steps: dict[str, list[str]]) -> str:
    return "\n".join(
        f"[steps.{json.dumps(name)}]\nrun = 'x'\nneeds = {json.dumps(needs)}"
        for name, needs in steps.items()
    )


def as_yaml(steps: dict[str, list[str]]) -> str:
    document = {"steps": {name: {"run": "x", "needs": needs} for name, needs in steps.items()}}
    return yaml.safe_dump(document, sort_keys=False)


@given(graphs(), st.sampled_from([TOML, YAML]))
def test_any_graph_without_a_cycle_comes_back_in_order(
    steps: dict[str, list[str]], language: Language
) -> None:
    document = parse(language, as_toml(steps) if language is TOML else as_yaml(steps))
    assert {each.name: list(each.needs) for each in document.steps} == steps
    done: set[str] = set()
    for each in document.steps:
        assert set(each.needs) <= done
        # Of those that were free, this one was written first.
        free = [name for name in steps if name not in done and set(steps[name]) <= done]
        assert free[0] == each.name
        done.add(each.name)


@given(graphs(), st.data())
def test_a_cycle_is_always_found(steps: dict[str, list[str]], data: st.DataObject) -> None:
    assume(len(steps) > 1)
    some = data.draw(st.lists(st.sampled_from(list(steps)), min_size=2, max_size=5, unique=True))
    for name, other in zip(some, [*some[1:], some[0]], strict=True):
        steps[name] = [*{*steps[name], other}]
    problems = wrong(TOML, as_toml(steps))
    for problem in problems:
        way = problem.removeprefix("steps need each other: ").split(" → ")
        assert way[0] == way[-1]
        assert all(other in steps[name] for name, other in pairwise(way))


PIECES = st.sampled_from(
    ["steps", "run", "needs", "env", "a", ":", "=", "\n", "  ", "- ", "[", "]", "{", "}", "&a ",
     "*a", "!!str ", "'", '"', "|", ">", "?", "\\", "#", "---", "...", ".", ",", "1", "0x", "\t",
     "yes", "1e999", "2026-13-99", "<<", "%TAG", "\ud800", "\0", "\ufeff", "\x85", "ü"]
)  # fmt: skip


@pytest.mark.parametrize("loader", [document_syntax.LOADER, yaml.SafeLoader])
@given(
    text=st.text() | st.lists(PIECES, max_size=40).map("".join),
    language=st.sampled_from([TOML, YAML]),
)
def test_any_text_is_a_document_or_refused(loader: object, text: str, language: Language) -> None:
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(document_syntax, "LOADER", loader)
        assert_read_or_refused(language, text)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=6,
)
KEYS = st.sampled_from([*Step.__dataclass_fields__, "retries", "nice", "memory_limit", "x"])


@given(st.dictionaries(st.sampled_from("ab"), VALUES | st.dictionaries(KEYS, VALUES)), VALUES)
def test_any_values_are_a_document_or_refused(steps: dict[str, object], env: object) -> None:
    # JSON is YAML, as long as it is ASCII.
    text = json.dumps({"steps": steps, "env": env})
    assert_read_or_refused(YAML, text)


def test_the_documentation_names_every_key_and_its_examples_are_right() -> None:
    text = (ROOT / "docs" / "workflows.md").read_text()
    for body in (DocumentBody, StepBody, RetryBody):
        for key in body.model_fields:
            assert f"`{key}`" in text, key
    examples = re.findall(r"^```(toml|yaml)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    assert {language for language, _ in examples} == {"toml", "yaml"}
    for language, example in examples:
        assert len(parse(Language(language), example).steps) > 1


def test_another_language_is_no_document() -> None:
    with pytest.raises(ValueError, match="shell"):
        parse(Language.SHELL, "true")
