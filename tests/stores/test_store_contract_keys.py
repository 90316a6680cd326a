"""What every store keeps: idempotency keys."""

from __future__ import annotations

import threading

import pytest

from support.contract import ENTRY, Clock, StoreUnderTest, naive_head, nothing_written, refused
from support.postgres import PostgresUnderTest
from tallystick import (
    ConcurrencyError,
    Entry,
    Head,
    IdempotencyConflict,
    InputError,
    Ledger,
)


def test_the_same_key_and_input_append_once(store: StoreUnderTest, ledger: Ledger) -> None:
    first = ledger.append("t", ENTRY, idempotency_key="k")
    ledger.append("t", Entry(type="note"))
    with nothing_written(store):
        assert ledger.append("t", ENTRY, idempotency_key="k") == first
    ledger = store.reopen()
    with nothing_written(store):
        assert ledger.append("t", ENTRY, idempotency_key="k") == first
    assert ledger.head("t").position == 2


CHANGES = [
    {"id": "other"},
    {"type": "run"},
    {"recorded_at": "2026-01-01T00:00:00Z"},
    {"criterion_id": "ac2"},
    {"phase_id": "p"},
    {"status": "fail"},
    {"reason": "other"},
    {"provider": "ci"},
    {"command": "false"},
    {"exit_code": 1},
    {"output": "x"},
    {"path": "p"},
    {"details": {"a": 1}},
]


def test_the_same_key_with_another_input_is_a_conflict(store: StoreUnderTest, ledger: Ledger) -> None:
    ledger.append("t", ENTRY, idempotency_key="k")
    for change in CHANGES:
        with refused(store, IdempotencyConflict, "'k'"):
            ledger.append("t", ENTRY.replace(**change), idempotency_key="k")
    with refused(store, IdempotencyConflict):
        ledger.append("t", [ENTRY, ENTRY], idempotency_key="k")


def test_fields_cannot_be_shifted_into_one_another(store: StoreUnderTest, ledger: Ledger) -> None:
    ledger.append("t", Entry(id="ab", type="c", reason="xy"), idempotency_key="k")
    for other in (
        Entry(id="a", type="bc", reason="xy"),
        Entry(id="ab", type="c", reason="x", command="y"),
        Entry(id="ab", type="c", output='{"reason":"xy"}'),
        Entry(type="abc", reason="xy"),
    ):
        with refused(store, IdempotencyConflict):
            ledger.append("t", other, idempotency_key="k")


def test_input_is_compared_as_the_caller_gave_it(store: StoreUnderTest) -> None:
    clock = Clock(0)
    ledger = store.open(clock=clock)
    first = ledger.append("t", ENTRY, idempotency_key="k")
    clock.minute = 90
    stored = ledger.entry("t", 1).entry
    assert ledger.append("t", ENTRY, idempotency_key="k") == first
    with refused(store, IdempotencyConflict):
        ledger.append("t", stored, idempotency_key="k")
    details = ENTRY.replace(details={"a": 1, "b": {"x": 1, "y": 2}})
    second = ledger.append("t", details, idempotency_key="d")
    reordered = ENTRY.replace(details={"b": {"y": 2, "x": 1}, "a": 1})
    assert ledger.append("t", reordered, idempotency_key="d") == second


def test_the_key_is_looked_at_before_the_expected_position(store: StoreUnderTest, ledger: Ledger) -> None:
    first = ledger.append("t", ENTRY, expected_position=0, idempotency_key="k")
    ledger.append("t", ENTRY)
    with nothing_written(store):
        assert ledger.append("t", ENTRY, expected_position=0, idempotency_key="k") == first
        assert ledger.append("t", ENTRY, expected_position=77, idempotency_key="k") == first
    with refused(store, ConcurrencyError):
        ledger.append("t", ENTRY, expected_position=0, idempotency_key="new")
    with refused(store, IdempotencyConflict):
        ledger.append("t", Entry(type="note"), expected_position=2, idempotency_key="k")


def test_a_refused_append_does_not_use_up_its_key(store: StoreUnderTest, ledger: Ledger) -> None:
    with refused(store, ConcurrencyError):
        ledger.append("t", ENTRY, expected_position=5, idempotency_key="k")
    with refused(store, InputError):
        ledger.append("t", Entry(status="x" * 70_000), idempotency_key="k")
    assert ledger.append("t", Entry(type="note"), idempotency_key="k").position == 1


def test_a_key_covers_a_whole_batch(store: StoreUnderTest, ledger: Ledger) -> None:
    batch = [Entry(type="note", reason=str(n)) for n in range(5)]
    ledger.append("t", ENTRY)
    head = ledger.append("t", batch, idempotency_key="k")
    ledger.append("t", ENTRY)
    assert head == Head(6, naive_head(ledger, "t", 6).root)
    with nothing_written(store):
        assert ledger.append("t", batch, idempotency_key="k") == head
    for other in (batch[:4], [*batch, ENTRY], batch[::-1], batch[0]):
        with refused(store, IdempotencyConflict):
            ledger.append("t", other, idempotency_key="k")


def test_a_key_belongs_to_one_session(ledger: Ledger) -> None:
    assert ledger.append("a", ENTRY, idempotency_key="k").position == 1
    assert ledger.append("b", Entry(type="note"), idempotency_key="k").position == 1
    assert ledger.append("a", Entry(type="note"), idempotency_key="K").position == 2


@pytest.mark.parametrize("part", ["text", "details", "output"])
def test_after_an_erasure_the_key_is_a_conflict_for_any_input(store: StoreUnderTest, ledger: Ledger, part: str) -> None:
    """Nobody can tell any more whether it is the same input, and what was not recorded is never told as recorded."""
    secret = ENTRY.replace(reason="secret", output="secret", details={"x": "secret"})
    batch = [Entry(type="note"), secret, Entry(type="note")]
    ledger.append("t", batch, idempotency_key="k")
    kept = ledger.append("t", ENTRY, idempotency_key="kept")
    ledger.erase("t", 2, [part], reason="leaked")
    for given in (batch, secret, Entry(type="whatever")):
        with refused(store, IdempotencyConflict, "'k' was used before, for what was erased since"):
            ledger.append("t", given, idempotency_key="k")
    assert ledger.append("t", ENTRY, idempotency_key="kept") == kept
    with refused(store, IdempotencyConflict):
        ledger.append("t", secret, idempotency_key="kept")
    digests = store.sql("SELECT key, salt IS NULL, digest IS NULL FROM local_idempotency ORDER BY key")
    assert [tuple(map(str, row)) for row in digests] in (
        [("k", "1", "1"), ("kept", "0", "0")],
        [("k", "True", "True"), ("kept", "False", "False")],
    )


def test_what_a_key_stands_for_is_looked_at_where_it_is_recorded(store: StoreUnderTest, ledger: Ledger) -> None:
    """No proof covers the index of keys: a row that points at another entry says nothing of this one."""
    secret = ENTRY.replace(reason="secret", output="printed", details={"a": 1})
    ledger.append("t", [secret, ENTRY, Entry(type="note"), ENTRY])
    head = ledger.append("t", secret, idempotency_key="k")
    assert ledger.append("t", secret, idempotency_key="k") == head
    table = "local_idempotency"
    if isinstance(store, PostgresUnderTest):
        ((table,),) = store.sql(f"SELECT tableoid::regclass::text FROM {table}")
    forge = (
        f"INSERT INTO {table} (session, key, first, last, salt, digest) SELECT session, ?, first, ?, {{}} FROM {table}"
    )
    for number, last in enumerate((2, 3, 4, 6, 0, -1, 1 << 40)):
        store.sql(f"{forge.format('salt, digest')} WHERE key = 'k'", (f"forged {number}", last))
        with refused(store, IdempotencyConflict, f"'forged {number}' was used before, and what is recorded"):
            ledger.append("t", secret, idempotency_key=f"forged {number}")
    store.sql(f"{forge.format('NULL, NULL')} WHERE key = 'k'", ("without", 5))
    with refused(store, IdempotencyConflict, "'without' was used before, for what was erased since"):
        ledger.append("t", secret, idempotency_key="without")


@pytest.mark.parametrize("key", ["", "\0", "a\0", "x" * 513, "é" * 257, "\ud800", 5, b"k"])
def test_what_cannot_be_a_key_is_refused(store: StoreUnderTest, ledger: Ledger, key: str) -> None:
    with refused(store, InputError, "idempotency key is 1 to 512 bytes"):
        ledger.append("t", ENTRY, idempotency_key=key)


@pytest.mark.parametrize("key", ["x" * 512, "é" * 256, " ", "a\nb", "'; DROP TABLE record", "🎋"])
def test_odd_keys_are_keys(ledger: Ledger, key: str) -> None:
    head = ledger.append("t", ENTRY, idempotency_key=key)
    assert ledger.append("t", ENTRY, idempotency_key=key) == head
    assert ledger.append("t", Entry(type="note"), idempotency_key=f"{key[1:]}z").position == 2


def test_a_key_that_many_threads_use_at_once_appends_once(store: StoreUnderTest, ledger: Ledger) -> None:
    ledger.append("t", ENTRY)
    ledgers = [ledger, store.open()]
    heads: list[Head] = []
    conflicts: list[IdempotencyConflict] = []
    start = threading.Barrier(16)

    def work(thread: int) -> None:
        start.wait()
        heads.extend(ledgers[thread % 2].append("t", ENTRY, idempotency_key=key) for key in ("k1", "k2"))
        try:
            ledgers[thread % 2].append("t", Entry(type="note", id=str(thread)), idempotency_key="k3")
        except IdempotencyConflict as error:
            conflicts.append(error)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(heads), len(set(map(str, heads))), len(conflicts)) == (32, 2, 15)
    assert ledger.head("t").position == 4
    ledger.verify()
