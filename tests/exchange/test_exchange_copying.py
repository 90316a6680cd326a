"""A ledger that moves: SQLite to PostgreSQL and back, interrupted, and what goes along."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from support.checkpoints import SignerUnderTest, all_faults
from support.contract import ENTRY, STORES, StoreUnderTest
from support.copying import LARGE, PROVED, equal, fill, move
from support.sessions import entries as random_entries
from tallystick import (
    CheckFailedError,
    Entry,
    IdempotencyConflict,
    InputError,
    Ledger,
    NotFoundError,
    TamperedError,
)
from tallystick.capture.proved import digest_of
from tallystick.exchange import copy_session, copying
from tallystick.exchange.bundle import write_bundle
from tallystick.exchange.copying import Copied, copy
from tallystick.opening import open_store
from tallystick.stores.bundle import open_bundle


def foreign_session(folder: Path, ledger: Ledger) -> Ledger:
    """Another ledger, one of whose sessions the ledger keeps."""
    other = Ledger.open(str(folder / "foreign.db"))
    other.append("t", [ENTRY, Entry(type="run", output=LARGE)])
    key = other.store.find("t")
    ledger.store.adopt(other.store, key)  # type: ignore[attr-defined]
    return other


def test_there_and_back_it_is_the_same_ledger(tmp_path: Path, source: Ledger, target: StoreUnderTest) -> None:
    signer = SignerUnderTest(tmp_path / "home")
    fill(source, signer)
    foreign_session(tmp_path, source).close()
    middle = target.open()
    done = move(source, middle)
    assert (done.ledger_id, done.sessions, done.moved, done.entries) == (source.ledger_id, 4, 4, 709)
    assert done.checkpoints == 2
    assert middle.ledger_id == source.ledger_id
    assert equal(source, middle)
    back = Ledger.open(str(tmp_path / "back.db"))
    assert move(middle, back).entries == 709
    assert equal(middle, back)
    assert move(middle, back).moved == move(source, middle).entries == 0
    assert back.output("t", 2) == LARGE
    assert back.entry("t", 4).erased == ("text", "output")
    back.close()
    assert target.reopen().ledger_id == source.ledger_id


def test_it_goes_on_there(tmp_path: Path, source: Ledger, target: StoreUnderTest) -> None:
    signer = SignerUnderTest(tmp_path / "home")
    fill(source, signer)
    move(source, target.open())
    there = target.reopen()
    assert there.append("t", ENTRY).position == 6
    assert there.append("new", ENTRY).position == 1
    assert signer.sign(there).size == 3
    assert all_faults(there) == []
    assert there.head_proof("new").position == 1
    assert there.state("many").criteria["ac59"].position == 660
    # The way back brings what is new.
    assert move(there, source).entries == 2
    assert equal(there, source)
    assert signer.make(source) is not None


def test_idempotency_keys_go_along(source: Ledger, target: StoreUnderTest) -> None:
    fill(source)
    there = target.open()
    move(source, there)
    first = [ENTRY, Entry(type="run", output=LARGE), PROVED]
    assert there.append("t", first, idempotency_key="first") == source.root_at("t", 3)
    with pytest.raises(IdempotencyConflict):
        there.append("t", ENTRY, idempotency_key="first")
    with pytest.raises(IdempotencyConflict, match="for what was erased since"):
        there.append("t", ENTRY, idempotency_key="second")


def test_pages_of_keys_go_along(source: Ledger, target: StoreUnderTest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(copy_session, "KEY_ROWS", 3)
    monkeypatch.setattr(copy_session, "PIECE_ROWS", 1)
    for batch in range(8):
        source.append("t", [ENTRY] * 100, idempotency_key=f"key{batch}")
    there = target.open()
    move(source, there)
    for batch in range(8):
        head = there.append("t", [ENTRY] * 100, idempotency_key=f"key{batch}")
        assert head == source.root_at("t", 100 * batch + 100)
    assert there.head("t").position == 800


def test_the_index_of_proofs_goes_along(source: Ledger, target: StoreUnderTest) -> None:
    fill(source)
    there = target.open()
    move(source, there)
    ((key, position),) = there.store.proofs(digest_of(PROVED))
    assert (key.task_id, position) == ("t", 3)


def test_named_tasks_alone(source: Ledger, target: StoreUnderTest, tmp_path: Path) -> None:
    fill(source, SignerUnderTest(tmp_path / "home"))
    there = target.open()
    assert move(source, there, "u/ü", "t", "t").entries == 6
    assert there.ledger_id == source.ledger_id
    assert [one.task_id for one in there.tasks()] in (["t", "u/ü"], ["u/ü", "t"])
    assert there.store.log.size() == 0
    assert all_faults(there) == []
    with pytest.raises(NotFoundError, match="nosuch"):
        move(source, there, "nosuch")
    # The rest follows, and the checkpoints with it.
    assert move(source, there).checkpoints == 2
    assert equal(source, there)


def test_an_empty_session_and_an_empty_ledger(source: Ledger, target: StoreUnderTest) -> None:
    there = target.open()
    assert move(source, there) == Copied(source.ledger_id, 0, 0, 0, 0)
    source.import_session(source_session())
    assert move(source, there).moved == 1
    assert move(source, there).moved == 0
    assert equal(source, there)
    assert there.append("empty", ENTRY).position == 1


def source_session() -> Any:
    from tallystick.model import new_session

    return new_session("empty", "2026-01-01T00:00:00Z")


# --- interrupted, or going on


def test_what_is_new_follows(source: Ledger, target: StoreUnderTest, tmp_path: Path) -> None:
    signer = SignerUnderTest(tmp_path / "home")
    there = target.open()
    for turn in range(4):
        source.append("t", [PROVED, Entry(type=f"type{turn}", reason="r", criterion_id=f"ac{turn}")] * (turn + 1))
        source.append(f"task{turn}", ENTRY, idempotency_key="k")
        if turn % 2:
            signer.sign(source)
        if turn == 2:
            source.erase("t", 2, ["text"], reason="leaked")
        move(source, there)
        assert equal(source, there)
    assert there.entry("t", 2).erased == ("text",)
    assert there.entry("t", 2).entry.reason == ""


def test_it_goes_on_where_it_was_interrupted(
    source: Ledger, target: StoreUnderTest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At every transaction of the copy, and once in the middle of each."""
    monkeypatch.setattr(copy_session, "PIECE_ROWS", 1)
    monkeypatch.setattr(copying, "PIECES", 1)
    fill(source, SignerUnderTest(tmp_path / "home"))
    there = target.open()

    class Interrupted(Exception):
        pass

    def progress(done: int, total: int) -> None:
        assert done <= total
        raise Interrupted

    moved = 0
    for _ in range(20):
        try:
            copy(source.store, there.store, progress=progress)  # type: ignore[arg-type]
        except Interrupted:
            moved += 1
            assert [fault for fault in all_faults(there) if "redaction" not in fault.what] == []
        else:
            break
    assert moved == 4
    assert equal(source, there)


def test_checkpoints_go_on_where_they_were_interrupted(
    source: Ledger, target: StoreUnderTest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(source, SignerUnderTest(tmp_path / "home"))
    there = target.open()
    log = there.store.log
    real = log.add

    def interrupted(*args: Any, **names: Any) -> bool:
        done: bool = real(*args, **names)
        raise KeyboardInterrupt if done else AssertionError

    monkeypatch.setattr(log, "add", interrupted)
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            move(source, there)
    monkeypatch.undo()
    move(source, there)
    assert equal(source, there)


def test_what_is_appended_meanwhile_comes_with_the_next_copy(
    source: Ledger, target: StoreUnderTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(copy_session, "PIECE_ROWS", 1)
    monkeypatch.setattr(copying, "PIECES", 1)
    source.append("t", [Entry(type="note", reason=f"{n}") for n in range(1200)])
    there = target.open()

    def progress(done: int, total: int) -> None:
        del total
        source.append("t", ENTRY)
        if done < 600:
            source.erase("t", 1, ["text"], reason="leaked")

    copy(source.store, there.store, progress=progress)  # type: ignore[arg-type]
    assert there.head("t") == source.root_at("t", 1200)
    move(source, there)
    assert equal(source, there)


def test_an_erasure_meanwhile_is_copied_with_its_redaction(
    source: Ledger, target: StoreUnderTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(copy_session, "PIECE_ROWS", 1)
    monkeypatch.setattr(copying, "PIECES", 1)
    source.append("t", [Entry(type="note", reason=f"{n}") for n in range(1200)])
    there = target.open()

    def progress(done: int, total: int) -> None:
        del total
        if done < 600:
            source.erase("t", 1, ["text"], reason="copied before")
            source.erase("t", 1100, ["text"], reason="not copied yet")

    copy(source.store, there.store, progress=progress)  # type: ignore[arg-type]
    assert equal(source, there)


def test_somebody_appends_to_the_target_meanwhile(
    source: Ledger, target: StoreUnderTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(copy_session, "PIECE_ROWS", 1)
    monkeypatch.setattr(copying, "PIECES", 1)
    source.append("t", [ENTRY] * 1200)
    there = target.open()
    with pytest.raises(CheckFailedError, match="somebody else"):
        copy(source.store, there.store, progress=lambda *_: there.append("t", ENTRY) and None)  # type: ignore[arg-type, func-returns-value]
    with pytest.raises(TamperedError, match="another history: it differs from position 512"):
        move(source, there)


# --- bundles


def test_a_lost_ledger_is_made_again_from_bundles(source: Ledger, target: StoreUnderTest, tmp_path: Path) -> None:
    fill(source)
    there = target.open()
    for number, task_id in enumerate(("t", "many", "u/ü")):
        path = tmp_path / f"{number}.bundle"
        path.write_bytes(b"".join(write_bundle(source, task_id, artifacts=True)))
        copy(open_bundle(str(path)), there.store)  # type: ignore[arg-type]
    assert equal(source, there)
    assert there.append("t", ENTRY).position == 6


# --- at random

OPERATIONS = st.lists(
    st.one_of(
        st.tuples(
            st.just("append"), st.sampled_from("abc"), st.lists(random_entries(extras=True), min_size=1, max_size=4)
        ),
        st.tuples(st.just("erase"), st.sampled_from("abc"), st.integers(1, 6)),
        st.tuples(st.just("sign"), st.just(""), st.none()),
        st.tuples(st.just("copy"), st.just(""), st.none()),
    ),
    max_size=12,
)


def perform(ledger: Ledger, signer: SignerUnderTest, kind: str, task_id: str, what: Any) -> None:
    """One operation; what the ledger refuses is left out."""
    try:
        if kind == "append":
            ledger.append(task_id, what)
        elif kind == "sign":
            signer.make(ledger)
        elif kind == "erase":
            kept = ledger.entry(task_id, what).entry
            parts = {"text": kept.reason or kept.command or kept.path, "details": kept.details, "output": kept.output}
            ledger.erase(task_id, what, [part for part, value in parts.items() if value], reason="at random")
    except InputError:
        return


@pytest.mark.parametrize(("kind", "examples"), [("postgres", 6), ("sqlite", 15)])
def test_whatever_it_holds(kind: str, examples: int, tmp_path_factory: pytest.TempPathFactory) -> None:
    @settings(max_examples=examples, deadline=None, suppress_health_check=list(HealthCheck), database=None)
    @given(OPERATIONS)
    def property_(operations: list[Any]) -> None:
        folder = tmp_path_factory.mktemp("copied")
        (folder / "target").mkdir()
        signer = SignerUnderTest(folder / "home")
        with STORES[kind](folder / "target") as target, Ledger.open(str(folder / "source.db")) as source:
            there = target.open()
            for operation in operations:
                if operation[0] == "copy":
                    move(source, there)
                perform(source, signer, *operation)
            move(source, there)
            assert equal(source, there)
            back = open_store(str(folder / "back.db"), True, False, source._clock, os.urandom)
            copy(there.store, back)  # type: ignore[arg-type]
            assert equal(there, Ledger(back))
            back.close()

    property_()
