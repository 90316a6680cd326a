"""Acceptance criteria out of a scafld spec."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tallystick.errors import PlanError
from tallystick.gate.expectation import Comparison, Expectation
from tallystick.gate.plan import Criterion, Task, read_plan
from tallystick.gate.scafld_spec import criteria_from_spec

FRONT = "---\nspec_version: '2.0'\ntask_id: add-cache\nstatus: active\n---\n"

SPEC = (
    FRONT
    + """
# Cache lookups

## Objectives

- [ ] `none1` command - an item of another list
  - Command: `false`

## Acceptance

Profile: standard

Definition of done:
- [ ] `dod1` The cache is documented.

Validation:
- [x] `v1` compile - It builds.
  - Command: `make build`
  - Expected kind: `exit_code_zero`
  - Status: pass
- [ ] `v2` boundary - Nothing asks the old module any more.
  - Command: `grep -rn 'old_cache' src`
  - Expected kind: `no_matches`

## Phase 2: Reading

Goal: Lookups are cached.

Status: pending
Dependencies: phase1

Changes:
- [ ] `none2` command - a change, no criterion

Acceptance:
- [ ] `ac2_1` test: lookups hit the cache
  - command: "pytest -q \\"tests/a b\\""
  - expected_kind: exit_code_zero
- [ ] `ac2_2` it fails without one - as it should
  - Command: 'cache --missing'
  - Expected kind: `exit_code_nonzero`

```markdown
- [ ] `none3` command - an example
## Phase 3: also one
```

## Phase 1: Writing

Acceptance:
- [ ] `ac1_1` manual - Somebody looked.
  - Expected kind: `manual`
  - Evidence: none
- [ ] `ac1_2` browser - The page shows it.
  - Command: `npx playwright test`
Status: active
- [ ] `none4` command - no longer in the list

## Rollback

- [ ] `none5` command - no
"""
)


def read(markdown: str) -> Task:
    plan = read_plan(criteria_from_spec(markdown.encode()).encode())
    assert plan.criteria == {}
    (task,) = plan.tasks.values()
    return task


def test_a_spec() -> None:
    task = read(SPEC)
    assert (task.id, task.title, task.phases) == ("add-cache", "Cache lookups", ("phase2", "phase1"))
    assert list(task.criteria.values()) == [
        Criterion("dod1", shows="The cache is documented.", manual=True),
        Criterion("v1", shows="It builds.", run="make build"),
        Criterion(
            "v2",
            shows="Nothing asks the old module any more.",
            run="grep -rn 'old_cache' src",
            expect=Expectation(Comparison(">=", 0), output=r"\A\Z"),
        ),
        Criterion("ac2_1", shows="test: lookups hit the cache", run='pytest -q "tests/a b"', phase="phase2"),
        Criterion(
            "ac2_2",
            shows="it fails without one - as it should",
            run="cache --missing",
            expect=Expectation(Comparison("!=", 0)),
            phase="phase2",
        ),
        Criterion("ac1_1", shows="Somebody looked.", manual=True, phase="phase1"),
        task.criteria["ac1_2"],
    ]
    assert task.criteria["ac1_2"].run == "npx playwright test"


@pytest.mark.parametrize(
    ("text", "title"),
    [
        ("end-to-end - The page shows it.", "The page shows it."),
        ("type-check -   It compiles.", "It compiles."),
        ("non-functional \u2014 It is fast - enough.", "It is fast - enough."),
        ("code-review\t\u2013 Somebody read it.", "Somebody read it."),
        ("e2e-test - a - b", "a - b"),
        ("a well-known rule holds", "a well-known rule holds"),
        ("it fails without one - as it should", "it fails without one - as it should"),
    ],
)
def test_a_type_is_no_part_of_the_title(text: str, title: str) -> None:
    task = read(f"{FRONT}## Acceptance\n- [ ] `a` {text}\n  - Command: `true`\n")
    assert task.criteria["a"].shows == title


def test_the_criteria_come_in_phase_order_and_the_overall_ones_last() -> None:
    plan = read_plan(criteria_from_spec(SPEC.encode()).encode())
    ids = [criterion.id for criterion in plan.for_task("add-cache").criteria]
    assert ids == ["ac2_1", "ac2_2", "ac1_1", "ac1_2", "dod1", "v1", "v2"]


def test_what_no_matches_expects() -> None:
    expect = read(SPEC).criteria["v2"].expect
    assert expect.unmet(1, output="") == []
    assert expect.unmet(0, output="") == []
    assert expect.unmet(0, output="src/a.py:1:old_cache\n") != []


@pytest.mark.parametrize(
    ("output", "good"),
    [
        ('{"url": "http://x", "viewport": "1x1", "console_errors": [], "network_errors": null}', True),
        ('{"network_errors": [ ],\n"console_errors": [],\n"viewport": "1x1", "url": "x"}', True),
        ('{"url": "http://x", "viewport": "1x1", "console_errors": ["e"], "network_errors": []}', False),
        ('{"url": "http://x", "viewport": "1x1", "console_errors": []}', False),
        ("ok", False),
        ("x" * 60_000, False),
    ],
)
def test_what_a_browser_must_print(output: str, good: bool) -> None:
    assert read(SPEC).criteria["ac1_2"].expect.finds(output) is good


def test_a_spec_without_criteria() -> None:
    task = read(FRONT)
    assert (task.id, task.title, task.criteria) == ("add-cache", "", {})


def test_windows_line_ends_and_a_byte_order_mark() -> None:
    assert read("\ufeff" + SPEC.replace("\n", "\r\n")) == read(SPEC)


ONE = FRONT + "## Acceptance\n- [ ] `a` command - x\n"
NO_FRONT = "1: no front matter; a scafld spec starts with --- and its task_id"
BAD_ID = "the id 'a b' has white space or a control character; write \"a-b\""
NO_COMMAND = "7: a has no command; add “- Command: `…`”, or make it manual"
KNOWN = "exit_code_zero, exit_code_nonzero, no_matches, manual, browser_evidence"
KIND = "  - Expected kind: "


@pytest.mark.parametrize(
    ("markdown", "message"),
    [
        ("# Title\n", NO_FRONT),
        ("", NO_FRONT),
        ("---\ntask_id: x\n", NO_FRONT),
        ("---\nstatus: x\n---\n", "1: the front matter has no task_id; add one"),
        ("---\ntask_id: a b\n---\n", f"2: {BAD_ID}"),
        (ONE + "- [ ] `a` test - y\n", "8: a stands there twice, first on line 7; rename one"),
        (FRONT + "## Acceptance\n- [ ] `a b` x\n", f"7: {BAD_ID}"),
        (ONE + KIND + "`exit_code_zero`\n", NO_COMMAND),
        (ONE + KIND + "`exit_zero`\n", '8: unknown expected kind exit_zero; did you mean "exit_code_zero"?'),
        (ONE + KIND + "`x`\n", f"8: unknown expected kind x; known: {KNOWN}"),
        (ONE + KIND + "manual\n  - Command: `x`\n", "7: a is manual and has a command; keep one of the two"),
        (FRONT + "## Phase 1: a\n## Phase 1: b\n", "7: phase1 stands there twice; number each phase once"),
        (FRONT + "```\n## x\n", "6: a fence that is never closed; close it with ```"),
    ],
)
def test_what_cannot_be_taken_over_is_told_with_its_line(markdown: str, message: str) -> None:
    with pytest.raises(PlanError) as caught:
        criteria_from_spec(markdown.encode())
    assert str(caught.value) == f"SPEC.md:{message}"


@pytest.mark.parametrize(
    ("written", "command"),
    [
        ("`make`", "make"),
        ("make all", "make all"),
        ("` make `", "make"),
        ('"a \\"b\\" \\u00e9"', 'a "b" é'),
        ("'a \"b\"'", 'a "b"'),
        ('"a" && "b"', '"a" && "b"'),
        ("'a' && 'b'", "'a' && 'b'"),
        ("`a ``` b`", "a ``` b"),
        ("`", "`"),
    ],
)
def test_what_stands_around_a_command(written: str, command: str) -> None:
    assert read(f"{ONE}  - Command: {written}\n").criteria["a"].run == command


def test_bytes_that_are_no_text() -> None:
    with pytest.raises(PlanError, match=r"^x\.md:2: not UTF-8"):
        criteria_from_spec(b"---\n\xff", where="x.md")


PIECES = st.sampled_from(
    [
        "---", "task_id: x", "# T", "## Acceptance", "## Phase 1: One", "## Phase 2: Two", "Acceptance:", "Changes:",
        "- [ ] `a` test - does", "- [x] `b` is", "- [ ] `c` manual - seen", "  - Command: `make`", "  - Command: none",
        "  - Command: `", '  - Command: "\\u0000', "  - Expected kind: `no_matches`", "  - Expected kind: manual",
        "  - Status: pass", "```", "", "text: more", "\x00", "- [ ] `ü/é` x\u202e",
    ]
)  # fmt: skip


@given(st.lists(PIECES | st.text(max_size=10), max_size=20), st.booleans())
def test_any_spec_gives_a_plan_or_one_line(pieces: list[str], front: bool) -> None:
    markdown = (FRONT if front else "") + "\n".join(pieces)
    refusal = text = ""
    try:
        text = criteria_from_spec(markdown.encode("utf-8", "replace"))
    except PlanError as error:
        refusal = str(error)
    assert refusal.isprintable()
    assert refusal or list(read_plan(text.encode()).tasks) == ["add-cache" if front else "x"]
