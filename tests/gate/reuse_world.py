"""Random work on three tasks that share a work tree and a ledger, and what may be cited between them.

The oracle keeps every attempt with the files that it ran on. What it knows of reuse is one sentence: a result stands
for a criterion where command, inputs and declared environment are the very same, and nothing there speaks against it.
"""

from __future__ import annotations

import os
import random
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from gate_oracle import Content, read_content

from support.repository import GitRepo
from tallystick import Entry, Ledger
from tallystick.capture.identity import is_interrupted
from tallystick.capture.run import Run, run_command
from tallystick.clock import seconds_from_now
from tallystick.gate.base import Base
from tallystick.gate.case import Case, PlanInForce
from tallystick.gate.check import steps
from tallystick.gate.content import files_outside, pathspecs
from tallystick.gate.freshness import CriterionState
from tallystick.gate.judgement import judge_run
from tallystick.gate.plan import Criterion, Environment, Plan, Task
from tallystick.gate.provenance import OUTSIDE_CI
from tallystick.gate.reuse import find_proof
from tallystick.workspace import Snapshot, Workspace

FILES = ("a/x", "a/y", "b/x")
COMMANDS = ('. "$REUSE_CTL/A"', '. "$REUSE_CTL/B"')
COLOUR = Environment(variables=("COLOUR",))
A, BOTH, ALL = ("a/**",), ("a/x", "a/y"), ("**",)
FLAKY_PASSES = 3
UNSETTLED = ("cut", "killed", "absent")
"""Outcomes that show nothing, and leave open what a later run has to show."""

NOW = "2026-11-30T00:00:00.000000Z"


BASE: Content = dict.fromkeys(FILES, ("file", b"1\n"))
"""The files on the base."""


def _criterion(id: str, command: int, inputs: tuple[str, ...], environment: Environment | None = None) -> Criterion:
    return Criterion(id, run=COMMANDS[command], inputs=inputs, environment=environment)


TASKS = {
    "one": [_criterion("t", 0, A, COLOUR), _criterion("u", 1, ALL), _criterion("p", 0, A)],
    "two": [_criterion("t", 0, A, COLOUR), _criterion("v", 0, BOTH), _criterion("w", 1, ALL)],
    "three": [_criterion("t", 0, A), _criterion("s", 0, A, COLOUR), _criterion("u", 1, ALL, COLOUR)],
}
PLAN = Plan(tasks={task: Task(task, criteria={one.id: one for one in found}) for task, found in TASKS.items()})


def inputs_of(criterion: Criterion, content: Content) -> Content:
    """The files that it depends on, of some content."""
    matching = {A: ("a/x", "a/y"), BOTH: BOTH, ALL: FILES}[criterion.inputs]
    return {path: file for path, file in content.items() if path in matching}


@dataclass(eq=False)
class Attempt:
    """One run."""

    task: str
    criterion: Criterion
    inputs: Content
    colour: str | None
    began: int
    outcome: str = ""
    """`pass`, `fail`, `cut`, `killed` or `absent` (the command was)."""
    moved: bool = False
    touched: bool = False
    ended: int = 0
    position: int = 0
    content: Content = field(default_factory=dict)
    """All files as they were when it began."""
    erased: set[str] = field(default_factory=set)

    @property
    def at(self) -> int:
        return self.ended or self.began

    def is_about(self, criterion: Criterion, content: Content, colour: str | None) -> bool:
        """Whether it ran this criterion's command on this content in this environment.

        Both are declared in the same way, or its inputs at least in a way that is sure to include these.
        """
        mine = self.criterion
        same = (mine.run, mine.environment) == (criterion.run, criterion.environment)
        covered = mine.inputs == criterion.inputs or (mine.inputs, criterion.inputs) == (A, BOTH)
        return same and covered and self.is_on(criterion, content, colour)

    def is_the_same_outside(self, content: Content) -> bool:
        """Whether every file outside its inputs that differed from the base then is the same now."""
        outside = () if self.criterion.inputs == ALL else set(FILES) - set(inputs_of(self.criterion, BASE))
        return all(self.content[path] in (BASE[path], content[path]) for path in outside)

    def speaks_against(self, criterion: Criterion, content: Content, colour: str | None) -> bool:
        """Whether it failed on the very same, wherever that was."""
        known = self.outcome == "fail" and not self.moved
        return known and self.is_about(criterion, content, colour)

    def is_on(self, criterion: Criterion, content: Content, colour: str | None) -> bool:
        there = self.inputs == inputs_of(criterion, content) and not self.moved
        return there and (not criterion.environment.variables or self.colour == colour)


class World:
    """A repository, its ledger, three tasks, and the oracle."""

    def __init__(self, root: Path, template: Path, seed: int) -> None:
        self.chance = random.Random(seed)
        shutil.copytree(template, root / "repo", symlinks=True)
        self.repo = GitRepo(root / "repo")
        self.root = self.repo.root
        self.ctl = root / "ctl"
        self.ctl.mkdir()
        os.environ["REUSE_CTL"] = str(self.ctl)
        os.environ.pop("COLOUR", None)
        self.url = str(root / "ledger.db")
        self.ledger = Ledger.open(self.url)
        self.workspace = Workspace.find(str(self.root))
        self.base = self.repo.head()
        self.attempts: list[Attempt] = []
        self.citations: list[tuple[str, str, Attempt]] = []
        self.clock = 0
        self.done: list[str] = []
        self.seen: dict[str, int] = {}

    @staticmethod
    def template(root: Path) -> Path:
        repo = GitRepo.create(root)
        for path in FILES:
            repo.write(path, "1\n")
        repo.commit("First")
        return root

    def step(self) -> None:
        kinds = (self.some_run,) * 12 + (self.cite,) * 8 + (self.edit,) * 4
        kinds += (self.environment, self.commit, self.erase)
        act = self.lose_the_ledger if self.chance.random() < 0.005 else self.chance.choice(kinds)
        self.done.append(act())
        self.check()

    def count(self, what: str) -> None:
        self.seen[what] = self.seen.get(what, 0) + 1

    def _tick(self) -> int:
        self.clock += 1
        return self.clock

    # --- what is done

    def edit(self) -> str:
        path = self.chance.choice(FILES)
        self.repo.write(path, self.chance.choice(("1\n", "2\n")))
        return f"write {path}"

    def environment(self) -> str:
        value = self.chance.choice(("red", "red", None))
        os.environ.pop("COLOUR", None)
        if value:
            os.environ["COLOUR"] = value
        return f"COLOUR is {value}"

    def commit(self) -> str:
        self.repo.commit()
        return "commit"

    def erase(self) -> str:
        known = [one for one in self.attempts if one.position and not one.erased]
        if not known:
            return "nothing to erase"
        one, part = self.chance.choice(known), self.chance.choice(("text", "details"))
        self.ledger.erase(one.task, one.position, [part], reason="leaked")
        one.erased.add(part)
        return f"erase {part} of {one.task} #{one.position}"

    def lose_the_ledger(self) -> str:
        """Another one is made in its place."""
        self.ledger.close()
        for file in self.root.parent.glob("ledger.db*"):
            file.unlink()
        self.ledger = Ledger.open(self.url)
        self.attempts.clear()
        self.citations.clear()
        self.count("lost")
        return "the ledger is lost"

    def some_run(self) -> str:
        task = self.chance.choice([*TASKS])
        criterion = self.chance.choice(TASKS[task])
        outcomes = ("pass",) * 9 + ("fail", "cut", "killed", "absent")
        if self.citations and self.chance.random() < 0.5:  # what is cited is run again where it was shown
            cited = self.chance.choice(self.citations[-3:])[2]
            task, criterion = cited.task, cited.criterion
            outcomes = ("pass", "pass", "fail", "fail", "cut", "killed", "absent")
        kind = self.chance.choice(("plain",) * 7 + ("moves", "touches"))
        outcome = self.chance.choice(outcomes)
        content, colour = read_content(self.root), os.environ.get("COLOUR")
        attempt = Attempt(task, criterion, inputs_of(criterion, content), colour, self._tick(), outcome)
        attempt.content = content
        self.attempts.append(attempt)
        path = "a/x"
        lines = {"plain": "", "moves": f"echo 3 > {path}", "touches": ""}[kind]
        if kind == "touches":
            time.sleep(0.01)  # the clock of file systems ticks that slowly
            lines = f"cp -p {path} $REUSE_CTL/kept; echo x > {path}; cp -p $REUSE_CTL/kept {path}"
        ends = {"pass": "exit 0", "fail": "exit 1", "cut": "exit 130", "absent": "exit 127", "killed": "kill -9 $PPID"}
        (self.ctl / ("A" if criterion.run == COMMANDS[0] else "B")).write_text(f"{lines}\n{ends[outcome]}\n")
        if outcome == "killed":
            self._killed(task, criterion)
            return f"run {task} {criterion.id}: {kind}, killed"
        attempt.moved = kind == "moves" and content[path][1] != b"3\n"
        attempt.touched = kind in ("moves", "touches") and not attempt.moved
        result = run_command(
            self.ledger, self.workspace, self._run(task, criterion), now=seconds_from_now,
            streams=(None, None, None),
        )  # fmt: skip
        attempt.position, attempt.ended = result.head.position, self._tick()
        return f"run {task} {criterion.id}: {kind}, {outcome} (#{attempt.position})"

    def _killed(self, task: str, criterion: Criterion) -> None:
        child = os.fork()
        if child == 0:
            try:
                with Ledger.open(self.url) as ledger:
                    run = self._run(task, criterion)
                    run_command(ledger, self.workspace, run, now=seconds_from_now, streams=(None, None, None))
            finally:
                os._exit(1)
        assert os.WIFSIGNALED(os.waitpid(child, 0)[1])

    def _run(self, task: str, criterion: Criterion) -> Run:
        run = _run(task, criterion, self.root)
        run.outside = files_outside(self.workspace, self.base, run.patterns)
        return run

    # --- reuse

    def cite(self) -> str:
        """What a check does before it runs a criterion, tried until something can be cited; held against the oracle."""
        pairs = [(task, criterion) for task, criteria in TASKS.items() for criterion in criteria]
        self.chance.shuffle(pairs)
        with self.workspace.snapshot() as snapshot:
            for task, criterion in pairs:
                if told := self._cite(task, criterion, snapshot):
                    return told
        return "there is nothing to cite"

    def _cite(self, task: str, criterion: Criterion, snapshot: Snapshot) -> str:
        content, colour = read_content(self.root), os.environ.get("COLOUR")
        case = self._case(task, snapshot)
        (step,) = steps([case.state(criterion)], case.state)
        if not step.may_be_cited:
            return ""
        citation = find_proof(case, criterion)
        good = [one for one in self.attempts if self._may_be_cited(one, criterion, content, colour)]
        others = [one for one in good if (one.task, one.criterion.id) != (task, criterion.id)]
        told = f"for {task} {criterion.id}"
        if citation is None:
            assert not others, f"{told} nothing was found, and {others[-1]} is the same"
            self.count("nothing to cite")
            return ""
        cited = next(one for one in self.attempts if (one.task, one.position) == (citation.task_id, citation.position))
        assert cited in good, f"{told} {cited} was found, which is not the same"
        details = citation.to_details()
        self.ledger.append(
            task, Entry(type="reuse", status="pass", reason="shown", command=criterion.command, details=details)
        )
        self.citations.append((task, criterion.id, cited))
        self.count("cited")
        return f"{told} cite {citation.task_id} #{citation.position}"

    def _may_be_cited(self, one: Attempt, criterion: Criterion, content: Content, colour: str | None) -> bool:
        if one.outcome != "pass" or one.touched or one.erased or not one.is_about(criterion, content, colour):
            return False
        if not one.is_the_same_outside(content):
            return False
        if any(other.speaks_against(criterion, content, colour) and not other.erased for other in self.attempts):
            return False
        beside = [one, *(other for other in self._beside(one, content) if not other.erased)]
        newest = max(other.began for other in beside if other.outcome == "pass")
        return not any(
            other.outcome == "fail" or (other.outcome in UNSETTLED and other.began > newest) for other in beside
        )

    def _beside(self, one: Attempt, content: Content) -> Iterator[Attempt]:
        """The other attempts on the very same where it was made; a pass only if it could be cited itself."""
        for other in self.attempts:
            if other.outcome == "pass" and not other.is_the_same_outside(content):
                continue
            place = (other.task, other.criterion.id) == (one.task, one.criterion.id)
            surroundings = not one.criterion.environment.variables or other.colour == one.colour
            if place and surroundings and other is not one and not other.moved and other.inputs == one.inputs:
                yield other

    # --- checking

    def check(self) -> None:
        """Every criterion of every task, as the gate has it and as the oracle has it."""
        content, colour = read_content(self.root), os.environ.get("COLOUR")
        with self.workspace.snapshot() as snapshot:
            for task, criteria in TASKS.items():
                case = self._case(task, snapshot)
                for criterion in criteria:
                    self._compare(task, criterion, case.state(criterion), content, colour)

    def _compare(
        self, task: str, criterion: Criterion, got: CriterionState, content: Content, colour: str | None
    ) -> None:
        told = f"{task} {criterion.id}: {got.state} ({got.reason})"
        brought = [one for at, id, one in self.citations if (at, id) == (task, criterion.id)]
        own = [one for one in self.attempts if (one.task, one.criterion.id) == (task, criterion.id)]
        if (
            got.ok
            and got.deciding is not None
            and (got.deciding.task_id, got.deciding.criterion_id) != (task, criterion.id)
        ):
            self._require_the_same(got, criterion, content, colour, told)
        against = [one for one in self.attempts if one.speaks_against(criterion, content, colour)]
        beside = (each for one in brought for each in self._beside(one, content))
        if any(one.erased for one in [*own, *brought, *beside, *against]):
            return
        expected = self._expected(criterion, [*own, *against], brought, content, colour)
        self.count(expected[0])
        passes = got.passes if got.state in ("pass", "fail", "flaky") else expected[2]
        assert (got.state, got.ok, passes) == expected, (
            f"{told}, {got.passes} of {got.passes + got.fails}: not {expected}"
        )

    def _require_the_same(
        self, got: CriterionState, criterion: Criterion, content: Content, colour: str | None, told: str
    ) -> None:
        assert got.deciding is not None
        place = (got.deciding.task_id, got.deciding.position)
        cited = next(one for one in self.attempts if (one.task, one.position) == place)
        assert cited.outcome == "pass", told
        assert not cited.erased, told
        assert cited.is_about(criterion, content, colour), told
        self.count("stands")

    def _expected(
        self, criterion: Criterion, own: list[Attempt], brought: list[Attempt], content: Content, colour: str | None
    ) -> tuple[str, bool, int]:
        on_this = [one for n, one in enumerate(reversed(brought)) if not n or one.is_on(criterion, content, colour)]
        every = list(dict.fromkeys(own))
        lapsed = [cited for cited in on_this[:4] if not cited.is_the_same_outside(content)]
        for cited in on_this[:4]:
            brings = (cited,) if cited in lapsed else (cited, *self._beside(cited, content))
            every += [one for one in brings if one not in every]
        mine = [one for one in every if one not in lapsed or one in own]
        here = [one for one in mine if one.is_on(criterion, content, colour)]
        results = sorted((one for one in here if one.outcome in ("pass", "fail")), key=lambda one: one.at)
        unsettled = [one for one in here if one.outcome in UNSETTLED]
        passes = sum(one.outcome == "pass" for one in results)
        unsettled = [one for one in unsettled if not any(_is_later(other, one) for other in results)]
        if unsettled:
            newest = next(one for one in unsettled if not any(_is_later(other, one) for other in unsettled))
            return ("not run" if newest.outcome == "absent" else "interrupted"), False, passes
        if not results:
            elsewhere = [one for one in every if one.outcome in ("pass", "fail")]
            return ("stale" if elsewhere else "missing"), False, 0
        if 0 < passes < len(results):
            last = results[-FLAKY_PASSES:]
            return "flaky", len(last) == FLAKY_PASSES and all(one.outcome == "pass" for one in last), passes
        return results[-1].outcome, results[-1].outcome == "pass", passes

    def _case(self, task: str, snapshot: Snapshot) -> Case:
        return Case(
            self.ledger,
            self.workspace,
            task,
            snapshot=_Given(snapshot),  # type: ignore[arg-type]
            plan=_Given(PlanInForce(task, PLAN, Base())),  # type: ignore[arg-type]
            provenance=OUTSIDE_CI,
            now=NOW,
            interrupted=lambda one: is_interrupted(one.run, datetime.now(UTC)),
        )


def _is_later(one: Attempt, other: Attempt) -> bool:
    if (one.task, one.criterion.id) == (other.task, other.criterion.id) or one.task == other.task:
        return one.began > other.began
    return one.at > other.at


class _Given:
    def __init__(self, value: object) -> None:
        self._value = value

    def result(self, *_: object) -> object:
        return self._value


def _run(task: str, criterion: Criterion, root: Path) -> Run:
    assert isinstance(criterion.run, str)
    return Run(
        task,
        criterion.run,
        criterion_id=criterion.id,
        cwd=str(root),
        patterns=pathspecs(criterion.inputs),
        environment=criterion.environment.as_dict(),
        judge=judge_run(criterion.expect),
    )
