"""Sessions that a later version wrote to: readable, closed to this one, and no verdict about them."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.command import Notch
from support.contract import ENTRY
from support.tampering import BITS
from tallystick import Entry, Ledger, StoreUnavailableError, TamperedError
from tallystick.proof.merkle import Edge, leaf_hash

AT = "2999-01-01T00:00:00.000000Z"
RECORDS = {
    "version": f'{{"v":2,"kind":"entry","at":"{AT}","id":"later","type":"note","status":"s","new":{{"field":[1]}}}}',
    "kind": f'{{"v":1,"kind":"annotation","at":"{AT}","id":"later","type":"note","status":"s"}}',
}


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with Ledger.open(str(tmp_path / "ledger.db")) as ledger:
        ledger.append("t", [ENTRY, ENTRY])
        ledger.append("other", ENTRY)
        yield ledger


def append_as_a_later_version(path: Path, record: str) -> None:
    """Put the record at the first session's head + 1, as a version that knows it would."""
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("BEGIN IMMEDIATE")
    ((position, packed),) = connection.execute("SELECT position, edge FROM state WHERE session = 1 AND key = ''")
    edge = Edge.unpack(position + 1, packed)
    node = edge.append(leaf_hash(record.encode()))
    connection.execute(
        "INSERT INTO record VALUES (?, ?, ?, 0, 0, NULL, NULL, NULL, NULL, NULL, NULL)",
        ((1 << BITS) + position + 1, record.encode(), node),
    )
    connection.execute(
        "UPDATE state SET position = ?, at = ?, edge = ? WHERE session = 1 AND key = ''",
        (position + 1, AT, edge.pack()),
    )
    connection.execute("INSERT INTO state VALUES (1, 'tnote', ?, NULL, NULL)", (position + 1,))
    connection.execute("COMMIT")
    connection.close()


@pytest.mark.parametrize("what", sorted(RECORDS))
def test_a_session_with_an_unknown_record_is_closed(ledger: Ledger, tmp_path: Path, notch: Notch, what: str) -> None:
    path = tmp_path / "ledger.db"
    append_as_a_later_version(path, RECORDS[what])
    before = ledger.head("t")
    for one in (ledger, Ledger.open(str(path))):
        with pytest.raises(StoreUnavailableError, match="a later version and is closed to this one; upgrade"):
            one.append("t", ENTRY)
        with pytest.raises(StoreUnavailableError, match="closed to this one"):
            one.append("t", ENTRY, idempotency_key="k")
        with pytest.raises(StoreUnavailableError, match="closed to this one"):
            one.erase("t", 1, ["text"], reason="x")
        with pytest.raises(StoreUnavailableError, match="so this one gives no verdict; upgrade"):
            one.verify("t")
        with pytest.raises(StoreUnavailableError, match="gives no verdict"):
            one.verify()
        assert one.head("t") == before
        assert [recorded.entry.type for recorded in one.entries("t")] == ["criterion", "criterion", "note"]
        assert one.session("t").entries[2].status == "s"
        assert one.state("t").criteria["ac1"].position == 2
        one.verify("other")
    assert notch("--ledger", path, "verify", "t", code=4).stdout
    notch("--ledger", path, "record", "-t", "t", "--type", "note", code=4)
    notch("--ledger", path, "verify", "other")


def test_others_can_be_appended_to_meanwhile(ledger: Ledger, tmp_path: Path) -> None:
    append_as_a_later_version(tmp_path / "ledger.db", RECORDS["version"])
    outcomes: list[str] = []

    def work(n: int) -> None:
        try:
            ledger.append(("t", "other")[n % 2], ENTRY)
            outcomes.append("recorded")
        except StoreUnavailableError:
            outcomes.append("closed")

    threads = [threading.Thread(target=work, args=(n,)) for n in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["closed"] * 8 + ["recorded"] * 8
    assert (ledger.head("t").position, ledger.head("other").position) == (3, 9)


def test_tampering_below_an_unknown_record_is_still_found(ledger: Ledger, tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    append_as_a_later_version(path, RECORDS["version"])
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("UPDATE record SET text = NULL, text_salt = NULL WHERE id & 255 = 1 AND id >> 32 = 1")
    connection.close()
    with pytest.raises(TamperedError, match="its text is missing") as caught:
        ledger.verify()
    assert (caught.value.task_id, caught.value.position) == ("t", 1)


@pytest.mark.parametrize("header", ['{"v":2,"kind":"session",', '{"v":1,"kind":"thread",'])
def test_a_session_with_an_unknown_header_is_closed(ledger: Ledger, tmp_path: Path, header: str) -> None:
    """A session that a later version began."""
    path = tmp_path / "ledger.db"
    text = (
        f'{header}"at":"{AT}","ledger":"{ledger.ledger_id}","task_id":"new","created_at":"{AT}","rules":7,"more":[]}}'
    )
    edge = Edge()
    edge.append(leaf_hash(text.encode()))
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("INSERT INTO session VALUES (3, 1, 'new', ?)", (text.encode(),))
    connection.execute("INSERT INTO state VALUES (3, '', 0, ?, ?)", (AT, edge.pack()))
    connection.close()
    with pytest.raises(StoreUnavailableError, match="closed to this one"):
        ledger.append("new", Entry(type="note"))
    with pytest.raises(StoreUnavailableError, match="gives no verdict"):
        ledger.verify("new")
    assert ledger.head("new").position == 0
    ledger.verify("t")
