"""The tree's plan can add to the base's, and take nothing from it."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.plans import IDS, TASKS, as_toml, plans
from tallystick.gate.plan import Criterion, GatePolicy, Plan, Task, read_plan
from tallystick.gate.weakening import Weakening, in_force, weakened

BASE = """\
[criteria.tests]
run = "pytest -q"
expect = { tests = ">= 40", skipped = "<= 2", output = "passed" }
inputs = ["src/**", "tests/**"]
environment = { variables = ["TZ"], versions = ["python3 --version"], platform = true }
phase = "build"

[tasks.t]
phases = ["build", "review"]
criteria.looked = { manual = true, grade = "attested" }
"""


def plan(text: str) -> Plan:
    return read_plan(text.encode())


def edited(*edits: tuple[str, str]) -> Plan:
    text = BASE
    for old, new in edits:
        assert old in text
        text = text.replace(old, new)
    return plan(text)


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("[criteria.tests]", "[criteria.other]", "tests: criterion removed (was pytest -q)"),
        ("criteria.looked", "criteria.saw", "looked: criterion removed (was manual)"),
        ('"pytest -q"', '"true"', "tests: command changed (was pytest -q, now true)"),
        ('"pytest -q"', '["pytest", "-q"]', "tests: command changed (was pytest -q, now pytest -q)"),
        ('"pytest -q"', '"pytest -q || true"', "tests: command changed (was pytest -q, now pytest -q || true)"),
        ("{ tests", "{ exit = 1, tests", "tests: another exit code expected (was == 0, now == 1)"),
        ("{ tests", "{ exit = '<= 1', tests", "tests: another exit code expected (was == 0, now <= 1)"),
        (">= 40", ">= 39", "tests: fewer tests expected (was >= 40, now >= 39)"),
        (">= 40", "<= 90", "tests: fewer tests expected (was >= 40, now <= 90)"),
        ('tests = ">= 40", ', "", "tests: fewer tests expected (was >= 40)"),
        ("<= 2", "<= 3", "tests: more skips allowed (was <= 2, now <= 3)"),
        (', skipped = "<= 2"', "", "tests: more skips allowed (was <= 2)"),
        ('"passed"', '"pass"', "tests: another output expected (was passed, now pass)"),
        (', output = "passed"', "", "tests: another output expected (was passed)"),
        ('["src/**", "tests/**"]', '["src/**"]', "tests: inputs narrowed (was tests/**, now src/**)"),
        ('"src/**",', '"src/*.py",', "tests: inputs narrowed (was src/**, now src/*.py, tests/**)"),
        ('["TZ"]', "[]", "tests: environment no longer declared (was TZ)"),
        (", platform = true", "", "tests: environment no longer declared (was platform)"),
        ("python3 --v", "python --v", "tests: environment no longer declared (was python3 --version)"),
        ('\nphase = "build"', "", "tests: phase removed (was build)"),
        ('phases = ["build", "review"]', 'phases = ["build"]', "phase removed (was review)"),
        ('"attested"', '"claimed"', "looked: grade lowered (was attested, now claimed)"),
        ("manual = true", "run = 'true'", "looked: run instead of manual (was manual, now true)"),
    ],
)
def test_one_thing_made_weaker_is_named_and_the_base_stays_in_force(old: str, new: str, told: str) -> None:
    base, tree = plan(BASE), edited((old, new))
    assert [str(found) for found in weakened(base, tree, "t")] == [told]
    force = in_force(base, tree)
    for criterion in base.for_task("t").criteria:
        assert force.for_task("t").criterion(criterion.id) == criterion
    assert set(base.tasks["t"].phases) <= set(force.tasks["t"].phases)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (">= 40", ">= 41"),
        (">= 40", "== 50"),
        ("<= 2", "== 0"),
        ('["src/**", "tests/**"]', '["src", "tests/**", "docs"]'),
        ('inputs = ["src/**", "tests/**"]\n', ""),
        ('["TZ"]', '["LANG", "TZ"]'),
        ('phase = "build"', 'phase = "build"\ngrade = "attested"'),
        ('phase = "build"', 'phase = "review"'),
        ('phase = "build"', 'phase = "build"\nshows = "more"'),
        ('["build", "review"]', '["plan", "review", "build"]'),
        ("{ tests", "{ exit = 0, tests"),
    ],
)
def test_one_thing_made_stricter_is_in_force(old: str, new: str) -> None:
    base, tree = plan(BASE), edited((old, new))
    assert weakened(base, tree, "t") == []
    assert in_force(base, tree).for_task("t") == tree.for_task("t")


def test_a_run_made_manual_loses_all_that_was_expected() -> None:
    tree = plan("[criteria.tests]\nmanual = true\ninputs = ['src', 'tests']\nphase = 'build'")
    assert [found.what for found in weakened(plan(BASE), tree, "other")] == [
        "manual instead of run",
        "grade lowered",
        "fewer tests expected",
        "more skips allowed",
        "another output expected",
        "environment no longer declared",
    ]


def test_a_criterion_both_weaker_and_stricter_stays_as_it_is_on_the_base() -> None:
    base, tree = plan(BASE), edited((">= 40", ">= 50"), ("pytest -q", "pytest"))
    assert in_force(base, tree).criteria["tests"] == base.criteria["tests"]


def test_what_the_tree_adds_counts() -> None:
    base = plan(BASE)
    tree = plan(BASE + "criteria.new = { run = 'true' }\n[criteria.lint]\nrun = 'ruff check'\n[tasks.u]\ntitle = 'U'")
    force = in_force(base, tree)
    assert [criterion.id for criterion in force.for_task("t").criteria] == ["tests", "lint", "looked", "new"]
    assert force.tasks["u"].title == "U"
    assert weakened(base, tree, "t") == []


def test_a_criterion_of_one_task_may_become_one_of_all() -> None:
    base = plan("[tasks.t.criteria.a]\nrun = 'x'")
    tree = plan("[criteria.a]\nrun = 'x'")
    assert weakened(base, tree, "t") == []
    force = in_force(base, tree)
    assert force.for_task("t") == force.for_task("other").replace(task_id="t")
    assert force.criteria["a"].run == "x"


def test_a_criterion_of_all_that_becomes_one_of_a_task_is_removed_for_the_others() -> None:
    base = plan("[criteria.a]\nrun = 'x'")
    tree = plan("[tasks.t.criteria.a]\nrun = 'x'\ngrade = 'attested'")
    assert weakened(base, tree, "t") == []
    assert weakened(base, tree, "u") == [Weakening("a", "criterion removed", "x")]
    force = in_force(base, tree)
    assert force.for_task("u").criteria == base.for_task("u").criteria
    assert force.for_task("t").criteria == tree.for_task("t").criteria


def test_policy_and_keys_are_the_base_s_alone() -> None:
    base = plan("[gate]\nprotect = ['tests/**']\nflaky_passes = 5\n")
    tree = plan("[gate]\nbase = 'mine'\nflaky_passes = 1\n")
    force = in_force(base, tree)
    assert force.gate == base.gate
    assert force.keys == base.keys
    assert weakened(base, tree, "t") == []


def test_without_a_plan_on_the_base_the_tree_s_is_advisory() -> None:
    tree = plan(BASE)
    assert in_force(None, tree) == tree.replace(advisory=True)
    assert in_force(None, None) == Plan(advisory=True)
    assert weakened(None, tree, "t") == []
    assert not in_force(tree, tree).advisory


def test_without_a_plan_in_the_tree_the_base_s_stays_and_all_is_named() -> None:
    base = plan(BASE)
    assert in_force(base, None) == base
    assert [found.what for found in weakened(base, None, "t")] == ["criterion removed"] * 2 + ["phase removed"] * 2


def test_a_weakening_for_json_and_on_one_line() -> None:
    found = Weakening("a\n", "command changed", "x\ny", "z")
    assert found.as_dict() == {"criterion": "a\n", "what": "command changed", "was": "x\ny", "now": "z"}
    assert str(found) == "a\\n: command changed (was x\\ny, now z)"


EVERY_TASK = (*TASKS, "unnamed")


@given(plans())
def test_a_plan_does_not_weaken_itself(one: Plan) -> None:
    assert all(weakened(one, one, task_id) == [] for task_id in EVERY_TASK)
    assert in_force(one, one) == one


@given(plans(), plans())
def test_what_is_in_force_is_never_weaker_than_the_base(base: Plan, tree: Plan) -> None:
    force = in_force(base, tree)
    for task_id in EVERY_TASK:
        assert weakened(base, force, task_id) == []


@given(plans(), plans())
def test_what_is_in_force_holds_all_that_the_tree_adds(base: Plan, tree: Plan) -> None:
    force = in_force(base, tree)
    for task_id in EVERY_TASK:
        before, after = base.for_task(task_id), force.for_task(task_id)
        for criterion in tree.for_task(task_id).criteria:
            if before.criterion(criterion.id) is None:
                assert after.criterion(criterion.id) == criterion
        ids = {criterion.id for plan in (base, tree) for criterion in plan.for_task(task_id).criteria}
        assert {criterion.id for criterion in after.criteria} == ids


@given(plans(), plans())
def test_each_criterion_in_force_is_one_of_the_two_and_the_base_s_where_weakened(base: Plan, tree: Plan) -> None:
    force = in_force(base, tree)
    for task_id in EVERY_TASK:
        weaker = {found.criterion for found in weakened(base, tree, task_id)}
        for criterion in force.for_task(task_id).criteria:
            was, now = (plan.for_task(task_id).criterion(criterion.id) for plan in (base, tree))
            assert criterion == (was if criterion.id in weaker or now is None else now)


@given(plans(), plans())
def test_a_second_time_changes_nothing(base: Plan, tree: Plan) -> None:
    force = in_force(base, tree)
    assert in_force(base, force) == force


@given(plans(), plans(), st.data())
def test_the_order_of_the_file_does_not_matter(base: Plan, tree: Plan, data: st.DataObject) -> None:
    other_base, other_tree = shuffled(base, data), shuffled(tree, data)
    assert hash(other_base) == hash(base)
    assert in_force(other_base, other_tree) == in_force(base, tree)
    for task_id in EVERY_TASK:
        assert set(weakened(other_base, other_tree, task_id)) == set(weakened(base, tree, task_id))


def shuffled(plan: Plan, data: st.DataObject) -> Plan:
    def mixed(items: Any) -> Any:
        return dict(data.draw(st.permutations(list(items.items()))))

    tasks = {task_id: task.replace(criteria=mixed(task.criteria)) for task_id, task in mixed(plan.tasks).items()}
    return plan.replace(criteria=mixed(plan.criteria), tasks=tasks)


STRICTNESS = st.sampled_from(IDS)


@given(plans(), STRICTNESS)
def test_a_removed_criterion_is_always_found(base: Plan, id: str) -> None:
    tree = base.replace(criteria={name: found for name, found in base.criteria.items() if name != id})
    expected = [id] if id in base.criteria else []
    assert [found.criterion for found in weakened(base, tree, "unnamed")] == expected
    assert in_force(base, tree) == base


@given(plans())
def test_a_plan_in_force_can_be_written_where_no_id_is_used_twice(one: Plan) -> None:
    force = in_force(one, Plan({"extra": Criterion("extra", run="true")}, {"new": Task("new")}, GatePolicy("x")))
    assert read_plan(as_toml(force)) == force
