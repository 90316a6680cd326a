"""Plans for property tests: small pools of values, so that two of them often differ in one thing alone."""

from __future__ import annotations

import functools
import string
from pathlib import Path
from typing import Any, NamedTuple

from hypothesis import strategies as st

from tallystick.gate import toml_text
from tallystick.gate.expectation import OPERATORS, Comparison, Expectation
from tallystick.gate.grades import Grade
from tallystick.gate.plan import WHOLE_TREE, Criterion, Environment, GatePolicy, Plan, Task

PATTERNS = (
    "**",
    "**/*",
    "src",
    "src/",
    "src/**",
    "src/*.py",
    "src/a",
    "src/a/**",
    "src/[ab]/x",
    "src/a\\*",
    "srcs/**",
    "tests/**",
    "*.py",
    "**/*.py",
    "setup.py",
)

IDS = ("ac1", "tests", "lint")
PHASES = ("build", "review", "release")
TASKS = ("add-cache", "fix/login")


@functools.cache
def subsets(items: tuple[str, ...], min_size: int = 0) -> st.SearchStrategy[tuple[str, ...]]:
    return st.lists(st.sampled_from(items), unique=True, min_size=min_size, max_size=3).map(tuple)


comparisons = st.builds(Comparison, st.sampled_from([*OPERATORS]), st.integers(0, 4)).filter(Comparison.satisfiable)

expectations = st.builds(
    Expectation,
    exit=st.just(Comparison("==", 0)) | comparisons,
    tests=st.none() | comparisons,
    skipped=st.none() | comparisons,
    output=st.sampled_from(["", "OK", r"\d+ passed"]),
)

environments = st.builds(
    Environment,
    variables=subsets(("TZ", "LANG")),
    versions=subsets(("python3 --version", "cc --version")),
    platform=st.booleans(),
)

inputs = st.just(WHOLE_TREE) | subsets(PATTERNS, min_size=1)


@functools.cache
def criteria(id: str) -> st.SearchStrategy[Criterion]:
    run = st.builds(
        Criterion,
        st.just(id),
        shows=st.sampled_from(["", "it works"]),
        run=st.sampled_from(["pytest -q", "true", ("pytest", "-q"), ("echo", "a b")]),
        expect=st.just(Expectation()) | expectations,
        inputs=inputs,
        environment=st.just(Environment()) | environments,
        grade=st.sampled_from(Grade),
        phase=st.sampled_from(["", *PHASES]),
    )
    manual = st.builds(
        Criterion,
        st.just(id),
        manual=st.just(True),
        inputs=inputs,
        grade=st.sampled_from([Grade.CLAIMED, Grade.ATTESTED]),
        phase=st.sampled_from(["", *PHASES]),
    )
    return run | manual


@functools.cache
def groups(ids: tuple[str, ...]) -> st.SearchStrategy[dict[str, Criterion]]:
    return st.fixed_dictionaries({}, optional={id: criteria(id) for id in ids})


POLICIES = st.builds(
    GatePolicy,
    id=st.sampled_from(["", "a1"]),
    base=st.sampled_from([(), ("origin/main",), ("main", "release/*")]),
    protect=subsets(("tests/**", "ci")),
    flaky_passes=st.integers(1, 4),
)
TITLES = st.sampled_from(["", "A title"])
PHASE_LISTS = st.permutations(PHASES).map(tuple)


@st.composite
def plans(draw: st.DrawFn) -> Plan:
    """Any plan that a file can hold, without keys."""
    standing = draw(groups(IDS))
    tasks = {}
    for task_id in draw(subsets(TASKS)):
        own = draw(groups(tuple(id for id in (*IDS, "own") if id not in standing)))
        named = {criterion.phase for criterion in own.values()}
        phases = draw(PHASE_LISTS)[: draw(st.integers(0, len(PHASES)))]
        if not named - {""} <= set(phases):
            phases = ()
        tasks[task_id] = Task(task_id, title=draw(TITLES), phases=phases, criteria=own)
    return Plan(standing, tasks, draw(POLICIES))


def as_toml(plan: Plan) -> bytes:
    """The plan as a file, a table for each of its tables."""
    return "\n".join(_tables((), plan.as_dict())).encode()


def _tables(path: tuple[str, ...], fields: dict[str, Any]) -> list[str]:
    scalars = {name: value for name, value in fields.items() if not isinstance(value, dict)}
    below = [_tables((*path, name), value) for name, value in fields.items() if isinstance(value, dict)]
    own = [toml_text.table(path, scalars)] if path else []
    return own + [line for lines in below for line in lines]


id_text = st.text(st.characters(exclude_categories=["Cs", "Cc", "Zs", "Zl", "Zp"]), min_size=1, max_size=20).filter(
    lambda text: not text.startswith("-") and not any(char.isspace() for char in text)
)

bare_words = st.text(string.ascii_letters + string.digits + "_-", min_size=1, max_size=8)


class Refused(NamedTuple):
    """A plan that cannot be read."""

    text: str
    message: str
    by_schema: bool
    """Whether the JSON schema refuses it too."""


def refused_plans() -> list[Refused]:
    """The cases of `tests/data/plan/refused.txt`."""
    source = Path(__file__).parents[1].joinpath("data/plan/refused.txt").read_text("utf-8")
    cases = []
    for block in source.split("====\n")[1:]:
        text, _, last = block.removesuffix("\n").rpartition("\n")
        mark, _, message = last.partition(" ")
        assert mark in ("=>", "->"), last
        cases.append(Refused(text, message, mark == "=>"))
    return cases
