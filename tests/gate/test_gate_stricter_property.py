"""Asking for more never opens a gate that was shut: a better grade, another requirement, less trust."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from support.repository import GitRepo
from tallystick import Entry, Ledger
from tallystick.gate import policies
from tallystick.gate.base import Base
from tallystick.gate.case import Case, PlanInForce
from tallystick.gate.plan import Plan, read_plan
from tallystick.gate.provenance import OUTSIDE_CI, Provenance
from tallystick.gate.verdict import judge
from tallystick.pipeline import Pipeline
from tallystick.proof.keys import ED25519, SigningKey
from tallystick.recorded import StoredTree
from tallystick.trust.keys import Key
from tallystick.trust.statements import Subject, attest
from tallystick.workspace import Workspace
from tallystick.workspace.binding import content_details

GRADES = ("claimed", "observed", "attested", "reproduced")
HERE = Pipeline("github", "o/r", "7", "1")
SIGNERS = [Key(name, "file", ED25519, b"", secret=SigningKey(name, ED25519, bytes([number]) * 32))
           for number, name in enumerate(("ada", "bob"), 1)]  # fmt: skip
for _key, _seed in zip(SIGNERS, (1, 2), strict=True):
    _key.public = SigningKey(_key.name, ED25519, bytes([_seed]) * 32).key.public

NOW = "2026-11-30T00:00:00.000000Z"


class Event(NamedTuple):
    """One attempt, as it is recorded."""

    how: str
    """`run`, `claim`, `cut` (short), `endless`, or `again`: a run that repeats the newest one."""
    passed: bool
    tests: int | None
    skipped: int
    run: str
    """The pipeline run that recorded it; empty for none."""
    signer: int | None


events = st.builds(
    Event,
    how=st.sampled_from(["run", "run", "run", "claim", "cut", "endless", "again"]),
    passed=st.booleans(),
    tests=st.sampled_from([None, 3, 5]),
    skipped=st.sampled_from([0, 1]),
    run=st.sampled_from(["7", "7", "6", ""]),
    signer=st.sampled_from([None, None, 0, 1]),
)


class Recorder:
    """Records events for a task of its own, as `notch` would."""

    def __init__(self, ledger: Ledger, content: dict[str, Any], task: str) -> None:
        self.ledger = ledger
        self.content = content
        self.task = task
        self.newest = 0

    def record(self, event: Event) -> None:
        if event.how == "claim":
            self._claim(event)
            return
        run: dict[str, Any] = {"host": "elsewhere", "boot": "x", "pid": 1, "deadline": "2020-01-01T00:00:00Z"}
        if event.run:
            run["pipeline"] = {"system": "github", "repository": "o/r", "run": event.run, "attempt": "1"}
        start = Entry(type="run_started", criterion_id="tests", status="running", command="make",
                      details={"run": run, "content": self.content})  # fmt: skip
        started = self.ledger.append(self.task, start).position
        if event.how == "endless":
            return
        told: dict[str, Any] = {"exit_code": 0 if event.passed else 1, "started": started, "before": self.content}
        if event.how == "cut":
            told["cut_short"] = 2
        if event.tests is not None:
            told["tests"] = {"counts": {"executed": event.tests, "skipped": event.skipped, "errors": 0}}
        if event.how == "again" and self.newest:
            leaf = StoredTree(self.ledger.store, self.ledger.sessions_of(self.task)[0]).leaf(self.newest).hex()
            told["reproduces"] = {"position": self.newest, "leaf": leaf, "same": True}
        self._result(event, {"run": told, "content": self.content}, exit_code=told["exit_code"])

    def _claim(self, event: Event) -> None:
        details: dict[str, Any] = {"content": self.content}
        if event.tests is not None:
            details["report"] = {"counts": {"executed": event.tests, "skipped": event.skipped}}
        self._result(event, details)

    def _result(self, event: Event, details: dict[str, Any], **fields: Any) -> None:
        entry = Entry(type="criterion", criterion_id="tests", status="pass" if event.passed else "fail",
                      command="make", details=details, **fields)  # fmt: skip
        position = self.ledger.append(self.task, entry).position
        if event.how == "run":
            self.newest = position
        if event.signer is not None:
            leaf = StoredTree(self.ledger.store, self.ledger.sessions_of(self.task)[0]).leaf(position).hex()
            subject = Subject(self.task, self.ledger.head(self.task))
            note = attest(SIGNERS[event.signer], self.ledger.ledger_id, subject, {position: leaf})
            self.ledger.append(self.task, Entry(type="attestation", details={"attestation": {"note": note}}))


class World:
    def __init__(self, folder: Path) -> None:
        self.repo = GitRepo.create(folder / "repo")
        self.repo.write("src", "1\n")
        self.repo.commit("First")
        self.ledger = Ledger.open(str(folder / "ledger.db"))
        self.workspace = Workspace.find(str(self.repo.root))
        with self.workspace.snapshot() as snapshot:
            self.content = content_details(snapshot)
        self.tasks = 0
        names = [
            SigningKey(key.name, ED25519, bytes([seed]) * 32).key for key, seed in zip(SIGNERS, (1, 2), strict=True)
        ]
        self.keys = [str(key) for key in names]

    def recorded(self, happened: list[Event]) -> str:
        self.tasks += 1
        recorder = Recorder(self.ledger, self.content, f"t{self.tasks}")
        for event in happened:
            recorder.record(event)
        return recorder.task

    def plan(self, grade: str, more: str = "", keys: int = 2) -> Plan:
        text = f'[criteria.tests]\nrun = "make"\ngrade = "{grade}"\n{more}\n'
        for number in range(keys):
            text += f'[keys.k{number}]\npublic = "{self.keys[number]}"\nroles = ["attest"]\n'
        return read_plan(text.encode())

    def is_open(self, task: str, plan: Plan, provenance: Provenance = OUTSIDE_CI) -> bool:
        in_force = PlanInForce(task, plan, Base(plan=plan, before=plan))
        case = Case(self.ledger, self.workspace, task, plan=Given(in_force), provenance=provenance, now=NOW,  # type: ignore[arg-type]
                    interrupted=lambda _: True)  # fmt: skip
        rules = policies.AllOf(policies.EveryCriterionProved(), policies.NothingWeakened())
        verdict = judge(case, rules, at="2026-11-30T00:00:00Z", watched_by_ci=True)
        case.snapshot.close()
        return verdict.open


class Given:
    def __init__(self, plan: PlanInForce) -> None:
        self._plan = plan

    def result(self, *_: object) -> PlanInForce:
        return self._plan


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    made = World(tmp_path_factory.mktemp("stricter"))
    yield made
    made.ledger.close()


@given(st.lists(events, max_size=7))
@settings(max_examples=40)
def test_a_better_grade_opens_nothing(world: World, happened: list[Event]) -> None:
    task = world.recorded(happened)
    opened = [world.is_open(task, world.plan(grade)) for grade in GRADES]
    assert opened == sorted(opened, reverse=True), dict(zip(GRADES, opened, strict=True))


REQUIREMENTS = ('expect = { tests = ">= 4" }', 'expect = { skipped = "<= 0" }', 'inputs = ["**", "src"]')


@given(st.lists(events, max_size=7), st.sampled_from(GRADES), st.sampled_from(REQUIREMENTS))
@settings(max_examples=25)
def test_another_requirement_opens_nothing(world: World, happened: list[Event], grade: str, more: str) -> None:
    task = world.recorded(happened)
    assert world.is_open(task, world.plan(grade)) >= world.is_open(task, world.plan(grade, more))


@given(st.lists(events, max_size=7), st.sampled_from(GRADES))
@settings(max_examples=25)
def test_less_trust_opens_nothing(world: World, happened: list[Event], grade: str) -> None:
    task = world.recorded(happened)
    trusts = (OUTSIDE_CI, Provenance(HERE, whole=True), Provenance(HERE), Provenance(HERE, refusal="nothing counts"))
    opened = [world.is_open(task, world.plan(grade), trust) for trust in trusts]
    assert opened == sorted(opened, reverse=True)
    keys = [world.is_open(task, world.plan(grade, keys=count)) for count in (2, 1, 0)]
    assert keys == sorted(keys, reverse=True)
