"""A long session verified by two processes: the same is found, whoever reads a block, and whatever a helper does."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path
from shutil import copyfile

import pytest

from tallystick import Entry, Ledger
from tallystick.blocks import BLOCK, CHUNK
from tallystick.helping import Helper, helper_for
from tallystick.stores.base import Head
from tallystick.stores.findings import Verified

LAST = 3 * BLOCK + 700
MIDDLE = (1 << 32) + 2 * BLOCK + 777
"""The id of a record in the second block that a helper may take."""
HELPING = "tallystick.helping"
BEGIN = "import sys; sys.path[:] = sys.argv[1:]; from tallystick import helping as h;"


def entry(number: int) -> Entry:
    return Entry(
        type=("criterion", "note")[number % 9 == 0],
        criterion_id=f"ac{number % 30}" if number % 9 else "",
        phase_id=f"p{number // BLOCK}",
        status="pass",
        reason=f"reason {number}",
        output="printed" if number % 2 else "",
    )


@pytest.fixture(scope="module")
def long_ledger(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("long") / "ledger.db"
    with Ledger.open(str(path)) as ledger:
        ledger.append("t", [entry(n) for n in range(LAST)])
        ledger.append("other", Entry(type="note"))
    return path


@pytest.fixture
def path(tmp_path: Path, long_ledger: Path) -> Path:
    return Path(copyfile(long_ledger, tmp_path / "ledger.db"))


@pytest.fixture
def lazy(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """We take no block ourselves as long as the helper lives. Gives the blocks that were joined on."""
    joined: list[int] = []

    def take(helper: Helper, start: int) -> object:
        if start % BLOCK or not BLOCK <= start < helper._stop:
            return None
        block = helper._result(start)
        joined.extend([start] if block else [])
        return block

    monkeypatch.setattr(f"{HELPING}.LEAST", LAST)
    monkeypatch.setattr(f"{HELPING}._processors", lambda: 2)
    monkeypatch.setattr(Helper, "take", take)
    return joined


def verified(path: Path, known: tuple[Head, ...] = (), task: str = "t") -> Verified:
    from tallystick.verification import verify_session

    with Ledger.open(str(path), read_only=True) as ledger:
        key = ledger.store.find(task)
        assert key is not None
        return verify_session(ledger.store, key, known=known)


def alone(path: Path, monkeypatch: pytest.MonkeyPatch, known: tuple[Head, ...] = ()) -> Verified:
    with monkeypatch.context() as patch:
        patch.setattr(f"{HELPING}.LEAST", 1 << 60)
        return verified(path, known)


def edit(path: Path, *statements: str) -> None:
    """Change the file behind its triggers' backs."""
    connection = sqlite3.connect(path, isolation_level=None)
    guards = connection.execute("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'").fetchall()
    for name, _ in guards:
        connection.execute(f"DROP TRIGGER {name}")
    for statement in statements:
        connection.execute(statement)
    for _, sql in guards:
        connection.execute(sql)
    connection.close()


def test_blocks_that_are_well_are_joined_on(path: Path, lazy: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    found = verified(path)
    assert lazy == [BLOCK, 2 * BLOCK]
    assert not found.faults
    assert found.head.position == LAST
    assert found == alone(path, monkeypatch)


@pytest.mark.parametrize(
    "statement",
    [
        f"UPDATE record SET record = CAST(replace(CAST(record AS TEXT), 'pass', 'fail') AS BLOB) WHERE id = {MIDDLE}",
        f"UPDATE record SET record = x'7b7d' WHERE id = {MIDDLE}",
        f"UPDATE record SET node = zeroblob(32) WHERE id = {MIDDLE}",
        f"UPDATE record SET node = zeroblob(32) WHERE id = {(1 << 32) + 3 * BLOCK - 1}",
        f"UPDATE record SET criterion_before = 1 WHERE id = {MIDDLE}",
        f"UPDATE record SET criterion_before = 1 WHERE id = {(1 << 32) + BLOCK + 1}",
        f"UPDATE record SET type_before = type_before - 1 WHERE id = {(1 << 32) + 2 * BLOCK}",
        f"UPDATE record SET type_before = 0 WHERE id = {MIDDLE}",
        f"UPDATE record SET text = x'00' WHERE id = {MIDDLE}",
        f"UPDATE record SET text = NULL WHERE id = {MIDDLE}",
        f"UPDATE record SET output = NULL, output_salt = NULL WHERE id IN ({MIDDLE}, {MIDDLE + 1})",
        f"UPDATE record SET details = x'00', details_salt = x'00' WHERE id = {MIDDLE}",
        f"DELETE FROM record WHERE id = {MIDDLE}",
        f"UPDATE record SET id = -id WHERE id = {MIDDLE}",
        f"UPDATE state SET position = {BLOCK} WHERE key = 'cac1'",
        "UPDATE state SET edge = zeroblob(length(edge)) WHERE key = ''",
    ],
)
def test_the_same_is_found_with_a_helper(
    path: Path, lazy: list[int], monkeypatch: pytest.MonkeyPatch, statement: str
) -> None:
    edit(path, statement)
    found = verified(path)
    assert found.faults
    assert found == alone(path, monkeypatch)
    assert lazy


def test_erasures_and_large_outputs_are_ours_to_read(
    path: Path, lazy: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    with Ledger.open(str(path)) as ledger:
        ledger.append("t", Entry(type="note", output="x" * 100_000))
        ledger.append("t", [entry(n) for n in range(2 * BLOCK)])
        ledger.erase("t", BLOCK + 3, ["text"], reason="leaked")
        ledger.append("t", [entry(n) for n in range(2 * BLOCK)])
    found = verified(path)
    assert (found.erased, found.faults) == (1, ())
    assert found == alone(path, monkeypatch)
    assert 2 * BLOCK in lazy
    assert len(lazy) == 3


def test_known_heads_lie_on_what_the_helper_read(path: Path, lazy: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    from tallystick.proof.merkle import read_root
    from tallystick.recorded import StoredTree

    positions = [5, BLOCK - 1, BLOCK, BLOCK + 1, 2 * BLOCK - 1, 2 * BLOCK + CHUNK - 1, 2 * BLOCK + 700, LAST]
    with Ledger.open(str(path)) as ledger:
        tree = StoredTree(ledger.store, ledger.store.find("t"))  # type: ignore[arg-type]
        heads = tuple(Head(position, read_root(position + 1, tree).hex()) for position in positions)
    assert not verified(path, heads).faults
    assert lazy == [BLOCK, 2 * BLOCK]
    for position in positions[3:6]:
        wrong = (*heads, Head(position, "0" * 64))
        found = verified(path, wrong)
        assert [fault.position for fault in found.faults] == [position]
        assert found == alone(path, monkeypatch, wrong)


@pytest.mark.parametrize(
    "code",
    [
        "raise SystemExit",
        f"{BEGIN} r = h._read; h._read = lambda *a: r(*a) if a[3] < {2 * BLOCK} else sys.exit(1); h.serve()",
        f"{BEGIN} h._read = None; h.serve()",
    ],
)
def test_a_helper_that_ends_early_is_not_missed(
    path: Path, lazy: list[int], monkeypatch: pytest.MonkeyPatch, code: str
) -> None:
    monkeypatch.setattr(f"{HELPING}._CODE", code)
    found = verified(path)
    assert not found.faults
    assert found.head.position == LAST
    assert 2 * BLOCK not in lazy


def test_blocks_are_shared(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(f"{HELPING}.LEAST", LAST)
    monkeypatch.setattr(f"{HELPING}._processors", lambda: 2)
    assert verified(path) == alone(path, monkeypatch)


def test_who_gets_no_helper(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Ledger.open(str(path)) as ledger:
        key = ledger.store.find("t")
        assert key is not None
        assert helper_for(ledger.store, key, 1, ()) is None
        monkeypatch.setattr(f"{HELPING}.LEAST", LAST)
        monkeypatch.setattr(f"{HELPING}._processors", lambda: 1)
        assert helper_for(ledger.store, key, 1, ()) is None
        monkeypatch.setattr(f"{HELPING}._processors", lambda: 2)
        monkeypatch.setattr("sys.executable", "/nowhere/python")
        assert helper_for(ledger.store, key, 1, ()) is None
        ledger.verify("t")
