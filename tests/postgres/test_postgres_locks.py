"""What appends lock: the row of their own task, and nothing that another task could wait for."""

from __future__ import annotations

import threading
import time

import psycopg
import pytest

from support.contract import ENTRY
from support.postgres import PostgresUnderTest
from tallystick import Ledger
from tallystick.stores.postgres_schema import SCHEMA_VERSION, partition_of, session_key


def neighbours(ledger: Ledger) -> tuple[str, str]:
    """Two tasks in one partition."""
    first = partition_of(int.from_bytes(session_key(ledger.ledger_id, "t")))
    return "t", next(
        name
        for name in map(str, range(1000))
        if partition_of(int.from_bytes(session_key(ledger.ledger_id, name))) == first
    )


def test_a_task_that_is_locked_keeps_no_other_waiting(store: PostgresUnderTest, ledger: Ledger) -> None:
    """Nor one that is made, imported or appended to in bulk meanwhile."""
    one, other = neighbours(ledger)
    for task in (one, other):
        ledger.append(task, ENTRY)
    with psycopg.connect(store.url) as holding, store.open() as appending:
        digit = partition_of(int.from_bytes(session_key(ledger.ledger_id, one)))
        holding.execute(
            f"SELECT FROM tallystick.state_{digit} WHERE session = %s AND key = '' FOR UPDATE".encode(),
            (session_key(ledger.ledger_id, one),),
        )
        waiting = threading.Thread(target=lambda: appending.append(one, ENTRY), daemon=True)
        waiting.start()
        for count in (1, 3, 50):
            assert ledger.append(other, [ENTRY] * count).position > 0
            ledger.append(f"new {count}", [ENTRY] * count)
        ledger.erase(other, 1, ["text"], reason="meanwhile")
        time.sleep(0.1)
        assert waiting.is_alive()
        holding.rollback()
        waiting.join(30)
    assert ledger.head(one).position == 2
    ledger.verify()


@pytest.mark.parametrize("count", [1, 3, 50])
def test_an_append_takes_no_lock_that_others_share(store: PostgresUnderTest, ledger: Ledger, count: int) -> None:
    """No advisory lock, no table locked against others; and nothing is counted across tasks."""
    ledger.append("t", ENTRY)
    digit = partition_of(int.from_bytes(session_key(ledger.ledger_id, "t")))
    with store.shared.connect(store.database) as looking, psycopg.connect(store.url) as stopping:
        # Appends end up waiting behind a reader that keeps them from the last row that they insert.
        stopping.execute(f"LOCK TABLE tallystick.record_{digit} IN EXCLUSIVE MODE".encode())
        appending = threading.Thread(target=lambda: ledger.append("t", [ENTRY] * count), daemon=True)
        appending.start()
        deadline = time.monotonic() + 20
        mine = "SELECT pid FROM pg_stat_activity WHERE application_name = 'tallystick' AND datname = current_database()"
        while not looking.execute(f"SELECT FROM pg_locks WHERE NOT granted AND pid IN ({mine})".encode()).rowcount:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        held = looking.execute(
            f"SELECT DISTINCT locktype, mode FROM pg_locks WHERE granted AND pid IN ({mine})".encode()
        ).fetchall()
        stopping.rollback()
        appending.join(30)
        sequences = looking.execute("SELECT count(*) FROM pg_sequences WHERE schemaname = 'tallystick'").fetchone()
    assert {kind for kind, _ in held} <= {"relation", "virtualxid", "transactionid", "tuple"}
    modes = {mode for kind, mode in held if kind == "relation"}
    assert modes <= {"AccessShareLock", "RowShareLock", "RowExclusiveLock"}
    assert sequences == (0,)


def test_appends_with_and_without_the_lock_take_locks_in_one_order(store: PostgresUnderTest, ledger: Ledger) -> None:
    """One client holds the head while another, which does not, sends entries: neither waits for what the other has."""
    ledger.append("t", [ENTRY] * 2)
    other = store.open()
    other.append("t", [ENTRY] * 2)
    key = session_key(ledger.ledger_id, "t")
    digit = partition_of(int.from_bytes(key))
    with psycopg.connect(store.url) as holding, store.shared.connect(store.database) as looking:
        holding.execute("SET lock_timeout = '500ms'")
        holding.execute(f"SELECT * FROM tallystick.hold_{digit}(%s)".encode(), (key,))
        appending = threading.Thread(target=lambda: other.append("t", [ENTRY] * 3), daemon=True)
        appending.start()
        while looking.execute("SELECT FROM pg_locks WHERE NOT granted AND locktype = 'transactionid'").rowcount == 0:
            time.sleep(0.01)
        # What the holder appends: the one that waits has not taken the position.
        columns = "session, position, record, node, criterion_before, type_before"
        insert = f"INSERT INTO tallystick.record_{digit} ({columns}) VALUES (%s, 5, '{{}}', '', 0, 0)"
        holding.execute(insert.encode(), (key,))
        holding.rollback()
        appending.join(30)
    assert ledger.head("t").position == 7
    ledger.verify()


def test_a_session_that_is_made_while_another_client_looks_for_it(store: PostgresUnderTest, ledger: Ledger) -> None:
    """The other client sees the session and its head, or neither: a session without a head is a damaged one."""
    ledger.append("t", ENTRY)
    one, made = neighbours(ledger)
    digit = partition_of(int.from_bytes(session_key(ledger.ledger_id, one)))
    found: list[object] = []

    def append() -> None:
        try:
            with store.open() as other:
                found.append(other.append(made, [ENTRY] * 3).position)
        except BaseException as error:
            found.append(error)

    with psycopg.connect(store.url) as making, store.shared.connect(store.database) as looking:
        making.execute("SELECT set_config('tallystick.schema', %s, false)", (str(SCHEMA_VERSION),))
        header = making.execute(f"SELECT header FROM tallystick.session_{digit} LIMIT 1".encode()).fetchone()
        assert header is not None
        making.execute(f"LOCK TABLE tallystick.session_{digit} IN ACCESS EXCLUSIVE MODE".encode())
        appending = threading.Thread(target=append, daemon=True)
        appending.start()
        waiting = "SELECT FROM pg_locks WHERE NOT granted AND relation = %s::regclass"
        deadline = time.monotonic() + 20
        while not looking.execute(waiting, (f"tallystick.session_{digit}",)).rowcount:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        renamed = header[0].replace(b'"task_id":"t"', b'"task_id":"%s"' % made.encode())
        key = session_key(ledger.ledger_id, made)
        making.execute(f"SELECT tallystick.begin_{digit}(%s, %s)".encode(), (key, renamed))
        making.commit()
        appending.join(30)
    assert found == [3]
    ledger.verify()
