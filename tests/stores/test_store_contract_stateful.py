"""What every store keeps, whatever is done to it in whatever order: compared with a plain model in memory."""

from __future__ import annotations

import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from support.contract import STORES, Clock, StoreUnderTest, naive_root
from tallystick import ConcurrencyError, Entry, Head, IdempotencyConflict, InputError, Ledger, NotFoundError, Session

TASKS = st.sampled_from(["a", "b", "ü"])
KEYS = st.sampled_from([None, None, None, "k1", "k2"])
ENTRIES = st.builds(
    Entry,
    id=st.sampled_from(["", "x"]),
    type=st.sampled_from(["criterion", "phase", "note"]),
    recorded_at=st.sampled_from(["", "2020"]),
    criterion_id=st.sampled_from(["", "ac1", "ac2"]),
    phase_id=st.sampled_from(["", "p1"]),
    status=st.sampled_from(["", "pass", "fail"]),
    reason=st.sampled_from(["", "because"]),
    output=st.sampled_from(["", "printed"]),
    details=st.sampled_from([{}, {"n": 1}]),
)
ERASED = {"text": {"reason": ""}, "details": {"details": None}, "output": {"output": ""}}


class Model:
    """One task, kept in the plainest way."""

    def __init__(self) -> None:
        self.at = ""
        self.entries: list[Entry] = []
        self.times: list[str] = []
        self.heads: list[Head] = []
        self.keys: dict[str, tuple[list[Entry] | None, Head, range]] = {}

    def states(self, kind: str, position: int) -> dict[str, tuple[str, str, str, str, int]]:
        found = {}
        for n, entry in enumerate(self.entries[:position], 1):
            if key := getattr(entry, kind):
                source, status = entry.id or entry.type, entry.status or entry.type
                found[key] = (status, entry.reason, entry.recorded_at, source, n)
        return found

    def present(self, position: int) -> list[str]:
        entry = self.entries[position - 1]
        texts = entry.reason or entry.command or entry.path
        return [
            part
            for part, there in (("text", texts), ("details", entry.details), ("output", entry.output_bytes))
            if there
        ]


class StoreMachine(RuleBasedStateMachine):
    """Does the same to a store and to the model."""

    kind = ""

    @initialize()
    def begin(self) -> None:
        self.cleanup = ExitStack()
        folder = Path(self.cleanup.enter_context(tempfile.TemporaryDirectory()))
        self.store: StoreUnderTest = self.cleanup.enter_context(STORES[self.kind](folder))
        self.clock = Clock(500)
        self.ledger: Ledger = self.store.open(clock=self.clock)
        self.models: dict[str, Model] = {}
        self.touched: set[str] = set()

    def teardown(self) -> None:
        if hasattr(self, "cleanup"):
            self.cleanup.close()

    def remember(self, task: str, entries: list[Entry], *, defaults: bool = True) -> Head:
        model = self.models.setdefault(task, Model())
        at = model.at = max(self.clock(), model.at) if entries or not model.heads else model.at
        for entry in entries:
            position = len(model.entries) + 1
            filled = {"id": entry.id or f"entry-{position}", "recorded_at": entry.recorded_at or at}
            model.entries.append(entry.replace(**filled) if defaults else entry)
            model.times.append(at)
        key = self.ledger.store.find(task)
        assert key is not None
        rows = self.ledger.store.raw_rows(key, 1, 10_000)
        for size in range(len(model.heads), len(rows) + 1):
            model.heads.append(Head(size, naive_root([key.header, *(row[1] for row in rows[:size])]).hex()))
        self.touched.add(task)
        return model.heads[-1]

    @rule(minutes=st.sampled_from([-90, 1, 30]))
    def wait(self, minutes: int) -> None:
        self.clock.minute = max(0, self.clock.minute + minutes)

    @rule(task=TASKS, entries=st.lists(ENTRIES, min_size=1, max_size=3), key=KEYS, off=st.sampled_from([None, 0, 0, 1]))
    def append(self, task: str, entries: list[Entry], key: str | None, off: int | None) -> None:
        model = self.models.get(task, Model())
        expected = None if off is None else len(model.entries) + off
        call: dict[str, Any] = {"expected_position": expected, "idempotency_key": key}
        if key in model.keys:
            given, head, _ = model.keys[key]
            if given is None or given != entries:  # None: what it stood for was erased
                with pytest.raises(IdempotencyConflict):
                    self.ledger.append(task, entries, **call)
            else:
                assert self.ledger.append(task, entries, **call) == head
        elif off == 1:
            with pytest.raises(ConcurrencyError):
                self.ledger.append(task, entries, **call)
        else:
            first = len(model.entries) + 1
            head = self.ledger.append(task, entries, **call)
            assert head == self.remember(task, entries)
            if key is not None:
                self.models[task].keys[key] = (entries, head, range(first, head.position + 1))

    @precondition(lambda self: any(model.keys for model in self.models.values()))
    @rule(data=st.data())
    def append_again(self, data: st.DataObject) -> None:
        used = [(task, key) for task, model in self.models.items() for key in model.keys]
        task, key = data.draw(st.sampled_from(used))
        given, head, _ = self.models[task].keys[key]
        if given is None:
            with pytest.raises(IdempotencyConflict):
                self.ledger.append(task, Entry(type="any"), idempotency_key=key)
        else:
            assert self.ledger.append(task, given, idempotency_key=key) == head

    @precondition(lambda self: any(model.entries for model in self.models.values()))
    @rule(data=st.data(), part=st.sampled_from(["text", "details", "output"]))
    def erase(self, data: st.DataObject, part: str) -> None:
        task = data.draw(st.sampled_from([task for task, model in self.models.items() if model.entries]))
        model = self.models[task]
        position = data.draw(st.integers(1, len(model.entries) + 1))
        if position > len(model.entries):
            with pytest.raises(NotFoundError):
                self.ledger.erase(task, position, [part], reason="r")
        elif part not in model.present(position):
            with pytest.raises(InputError):
                self.ledger.erase(task, position, [part], reason="r")
        else:
            head = self.ledger.erase(task, position, [part], reason="r", actor="me")
            model.entries[position - 1] = model.entries[position - 1].replace(**ERASED[part])
            redaction = Entry(type="redaction", reason="r", details={"actor": "me"})
            assert head == self.remember(task, [redaction])
            for key, (_, first, covered) in model.keys.items():
                if position in covered:
                    model.keys[key] = (None, first, covered)

    @rule(task=TASKS, fresh=st.lists(ENTRIES, max_size=2), change=st.booleans())
    def import_session(self, task: str, fresh: list[Entry], change: bool) -> None:
        held = list(self.models[task].entries) if task in self.models else []
        if change and held:
            held[0] = held[0].replace(provider="changed")
        session = Session(task_id=task, created_at="2020", entries=[*held, *fresh])
        if change and held:
            with pytest.raises(InputError, match="entry 1 differs"):
                self.ledger.import_session(session)
        else:
            head = self.ledger.import_session(session)
            assert head == self.remember(task, fresh, defaults=False)

    @rule()
    def reopen(self) -> None:
        self.store.close()
        self.ledger = self.store.open(create=False, clock=self.clock)
        self.touched |= self.models.keys()

    @precondition(lambda self: self.models)
    @rule(data=st.data())
    def look_back(self, data: st.DataObject) -> None:
        task = data.draw(st.sampled_from(sorted(self.models)))
        model = self.models[task]
        position = data.draw(st.integers(0, len(model.entries)))
        session = self.ledger.session(task, at=position)
        assert list(session.entries) == model.entries[:position]
        assert flat(session.criterion_states) == model.states("criterion_id", position)
        assert self.ledger.root_at(task, position) == model.heads[position]
        if model.times:
            moment = model.times[position - 1] if position else "2020-01-01"
            later = sum(time <= moment for time in model.times)
            assert self.ledger.position_at(task, moment) == later
        self.ledger.verify(task, head=model.heads[position])

    @invariant()
    def the_store_holds_what_the_model_holds(self) -> None:
        for task in self.touched:
            model = self.models[task]
            assert [recorded.entry for recorded in self.ledger.entries(task)] == model.entries
            assert [recorded.at for recorded in self.ledger.entries(task, outputs=False)] == model.times
            state = self.ledger.state(task)
            assert state.head == model.heads[-1]
            assert flat(state.criteria) == model.states("criterion_id", len(model.entries))
            assert flat(state.phases) == model.states("phase_id", len(model.entries))
            self.ledger.verify(task)
        self.touched = set()


def flat(states: Any) -> dict[str, tuple[Any, ...]]:
    return {key: tuple(state.to_dict().values()) for key, state in states.items()}


@pytest.mark.parametrize("kind", sorted(STORES))
def test_a_store_does_what_the_model_does(kind: str, storm: bool) -> None:
    machine = type(f"Store{kind}", (StoreMachine,), {"kind": kind})
    wanted = settings(max_examples=500 if storm else 25, stateful_step_count=50 if storm else 20)
    run_state_machine_as_test(machine, settings=wanted)
