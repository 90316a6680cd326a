"""Reading a session so that nothing that is judged can have been changed: the newest entries, and the older ones."""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tallystick import Entry, Ledger, TamperedError
from tallystick.gate import history
from tallystick.gate.evidence import Evidence
from tallystick.gate.grades import Grade
from tallystick.gate.history import SessionHistory
from tallystick.gate.provenance import OUTSIDE_CI
from tallystick.model import Session
from tallystick.model.session import Origin
from tallystick.stores.base import SessionKey

POSITION = "id & 4294967295"


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with Ledger.open(str(tmp_path / "ledger.db")) as opened:
        yield opened


def of(ledger: Ledger, task: str = "t", **options: Any) -> SessionHistory:
    key = ledger.store.find(task)
    assert key is not None
    return SessionHistory(ledger, key, **options)


def edit(ledger: Ledger, sql: str, *arguments: object) -> None:
    """Change the file in spite of what guards it."""
    with closing(sqlite3.connect(ledger.url.removeprefix("sqlite:///"))) as connection:
        for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
            connection.execute(f"DROP TRIGGER {name}")
        connection.execute(sql, arguments)
        connection.commit()


def fill(ledger: Ledger, count: int) -> None:
    """Entries of three criteria and two types, in turn."""
    entries = (
        Entry(
            type="criterion" if n % 2 else "note",
            criterion_id=f"ac{n % 3}",
            status="pass" if n % 5 else "fail",
            reason=f"reason {n}",
            details={"number": n},
            output=f"output {n}",
        )
        for n in range(1, count + 1)
    )
    ledger.append("t", entries)


@pytest.mark.parametrize("count", [1, 2, 3, 7, 8, 20])
@pytest.mark.parametrize("window", [1, 2, 3, 7, 8, 100])
def test_threads_are_what_a_look_at_every_entry_finds(ledger: Ledger, count: int, window: int) -> None:
    fill(ledger, count)
    read = of(ledger, window=window)
    every = list(ledger.entries("t", outputs=False))
    for criterion in ("ac0", "ac1", "ac2", "none"):
        expected = [one for one in reversed(every) if one.entry.criterion_id == criterion]
        assert list(read.by_criterion(criterion, at_least=100)) == expected
        some = list(read.by_criterion(criterion, at_least=2))
        assert some == expected[: len(some)]
        assert len(some) >= min(2, len(expected))
    for type_ in ("criterion", "note", "none"):
        assert list(read.by_type(type_, at_least=100)) == [one for one in reversed(every) if one.entry.type == type_]
    for position in range(1, count + 1):
        assert read.at(position) == every[position - 1]
        assert read.output(position) == f"output {position}".encode()
    assert read.at(0) is read.at(count + 1) is read.at(-1) is None
    assert read.head == ledger.head("t")


def test_a_header_alone_is_a_history(ledger: Ledger) -> None:
    ledger.import_session(Session(task_id="t", created_at="2026-01-01T00:00:00Z"))
    read = of(ledger)
    assert read.head.position == 0
    assert list(read.by_type("note")) == []
    edit(ledger, "UPDATE session SET header = CAST(replace(CAST(header AS TEXT), '2026', '2025') AS BLOB)")
    with Ledger.open(ledger.url) as again, pytest.raises(TamperedError, match="header"):
        of(again)


def test_entries_appended_meanwhile_are_not_seen(ledger: Ledger) -> None:
    fill(ledger, 10)
    read = of(ledger, window=4)
    ledger.append("t", [Entry(type="note", criterion_id="ac9"), Entry(type="other")])
    fill(ledger, 3)
    assert [one.position for one in read.by_criterion("ac9")] == []
    assert [one.position for one in read.by_type("other")] == []
    assert [one.position for one in read.by_criterion("ac1", at_least=100)] == [10, 7, 4, 1]


CHANGES: dict[str, tuple[str, Callable[[bytes], bytes]]] = {
    "another status": ("record", lambda record: record.replace(b'"pass"', b'"fail"').replace(b'"fail"', b'"pass"')),
    "a field more": ("record", lambda record: record.replace(b'"v":1', b'"v":1,"provider":"me"')),
    "not JSON": ("record", lambda record: record[:-1]),
    "its node": ("node", lambda _: bytes(32)),
    "its details": ("details", lambda details: details.replace(b"number", b"letter")),
    "its text": ("text", lambda text: text.replace(b"reason", b"reasoN", 1)),
    "its salt": ("details_salt", lambda _: bytes(16)),
}


@pytest.mark.parametrize("window", [3, 100])
@pytest.mark.parametrize("what", CHANGES)
def test_a_change_to_what_is_read_is_found(ledger: Ledger, what: str, window: int) -> None:
    column, change = CHANGES[what]
    fill(ledger, 12)
    for position in (1, 2, 5, 11, 12):
        where = f"WHERE {POSITION} = {position}"
        with closing(sqlite3.connect(ledger.url.removeprefix("sqlite:///"))) as connection:
            (old,) = connection.execute(f"SELECT {column} FROM record {where}").fetchone()
        new = change(old)
        if new == old:
            continue
        edit(ledger, f"UPDATE record SET {column} = ? {where}", new)
        if column == "node" and window == 3 and position < 10:
            pass  # a node that no proof needs says nothing about what is read
        else:
            with pytest.raises(TamperedError) as raised:
                read_all(ledger, window)
            assert raised.value.task_id == "t"
            assert raised.value.position in (position, position + 1) or "notch verify names it" in raised.value.what
        edit(ledger, f"UPDATE record SET {column} = ? {where}", old)
    assert read_all(ledger, window) == 12


def read_all(ledger: Ledger, window: int) -> int:
    """How many entries there are of all criteria."""
    read = of(ledger, window=window)
    return sum(len(list(read.by_criterion(criterion, at_least=100))) for criterion in ("ac0", "ac1", "ac2"))


@pytest.mark.parametrize("position", [1, 6, 11, 12])
def test_a_record_that_is_gone_is_named(ledger: Ledger, position: int) -> None:
    fill(ledger, 12)
    edit(ledger, f"DELETE FROM record WHERE {POSITION} = {position}")
    with pytest.raises(TamperedError, match="the record is missing") as raised:
        of(ledger)
    assert raised.value.position == position


def test_a_head_that_was_set_back_leaves_a_record_behind_it(ledger: Ledger) -> None:
    fill(ledger, 5)
    with closing(sqlite3.connect(ledger.url.removeprefix("sqlite:///"))) as connection:
        head = connection.execute("SELECT position, at, edge FROM state WHERE key = ''").fetchone()
    fill(ledger, 1)
    edit(ledger, "UPDATE state SET position = ?, at = ?, edge = ? WHERE key = ''", *head)
    with Ledger.open(ledger.url) as again, pytest.raises(TamperedError, match="a record lies behind the head"):
        of(again)


def test_a_head_of_other_records_is_none(ledger: Ledger) -> None:
    fill(ledger, 5)
    edit(ledger, "UPDATE state SET edge = zeroblob(length(edge)) WHERE key = ''")
    with Ledger.open(ledger.url) as again, pytest.raises(TamperedError):
        of(again)


@pytest.mark.parametrize("column", ["criterion_before", "type_before"])
def test_links_that_lead_astray_are_not_followed(ledger: Ledger, column: str) -> None:
    fill(ledger, 12)
    edit(ledger, f"UPDATE record SET {column} = 12 WHERE {POSITION} < 10 OR {POSITION} > 0")
    assert [one.position for one in of(ledger).by_criterion("ac1")] == [10, 7, 4, 1], "not needed for the newest"
    older = of(ledger, window=3)
    with pytest.raises(TamperedError, match="links do not lead back"):
        list(older.by_criterion("ac1") if "criterion" in column else older.by_type("note"))


@pytest.mark.parametrize("part", ["text", "details"])
def test_a_part_that_is_gone_needs_a_redaction(ledger: Ledger, part: str) -> None:
    fill(ledger, 6)
    ledger.erase("t", 4, [part], reason="leaked")
    read = of(ledger).at(4)
    assert read is not None
    assert read.erased == (part,)
    edit(ledger, f"UPDATE record SET {part} = NULL WHERE {POSITION} = 5")
    with pytest.raises(TamperedError, match=f"its {part} is missing"):
        of(ledger).at(5)
    edit(ledger, f"UPDATE record SET {part}_salt = NULL WHERE {POSITION} = 5")
    with pytest.raises(TamperedError, match="no redaction names it"):
        of(ledger).at(5)
    other = "details" if part == "text" else "text"
    edit(ledger, f"UPDATE record SET {other} = NULL, {other}_salt = NULL WHERE {POSITION} = 4")
    with pytest.raises(TamperedError, match="is missing, and no redaction names it"):
        of(ledger).at(4)


def test_a_part_that_is_erased_while_it_is_read_is_no_tampering(ledger: Ledger) -> None:
    fill(ledger, 6)
    read = of(ledger, window=1)
    ledger.erase("t", 3, ["details"], reason="leaked")
    found = read.at(3)
    assert found is not None
    assert found.erased == ("details",)


def test_an_output_that_was_changed_is_found_when_it_is_read(ledger: Ledger) -> None:
    fill(ledger, 3)
    ledger.append("t", Entry(type="run", output="x" * 100_000))
    read = of(ledger)
    assert read.output(4) == b"x" * 100_000
    edit(ledger, f"UPDATE record SET output = CAST('other' AS BLOB) WHERE {POSITION} = 2")
    with pytest.raises(TamperedError, match="its output was changed"):
        of(ledger).output(2)
    assert of(ledger).output(1) == b"output 1"


def test_reading_while_others_write(ledger: Ledger) -> None:
    fill(ledger, 3)
    stop = threading.Event()

    def write() -> None:
        with Ledger.open(ledger.url) as mine:
            while not stop.is_set():
                mine.append("t", Entry(type="note", criterion_id="ac1"))

    writers = [threading.Thread(target=write) for _ in range(2)]
    for writer in writers:
        writer.start()
    try:
        for _ in range(100):
            read = of(ledger, window=16)
            positions = [one.position for one in read.by_criterion("ac1", at_least=20)]
            assert positions == sorted(positions, reverse=True)
    finally:
        stop.set()
        for writer in writers:
            writer.join()


# --- what a result is worth


STARTED = Entry(type="run_started", criterion_id="ac1", status="running", command="make",
                details={"run": {"pid": 1}, "content": {"tree": "t1", "inputs": "i1"}})  # fmt: skip
RESULT = Entry(type="criterion", criterion_id="ac1", status="pass", command="make",
               details={"run": {"exit_code": 0, "started": 1, "before": {"tree": "t1"}},
                        "content": {"tree": "t1", "inputs": "i1"}})  # fmt: skip


def grades(ledger: Ledger) -> list[tuple[int, Grade]]:
    return [
        (one.position, one.grade) for one in Evidence(ledger, "t", OUTSIDE_CI).attempts("ac1") if one.kind == "result"
    ]


def test_a_result_that_ends_a_run_is_observed_and_only_the_first_is(ledger: Ledger) -> None:
    ledger.append("t", STARTED)
    ledger.append("t", RESULT)
    ledger.append("t", RESULT.replace(status="fail"))
    assert grades(ledger) == [(3, Grade.CLAIMED), (2, Grade.OBSERVED)]


@pytest.mark.parametrize(
    ("started", "result"),
    [
        (STARTED.replace(type="note"), RESULT),
        (STARTED.replace(criterion_id="ac2"), RESULT),
        (STARTED.replace(command="other"), RESULT),
        (STARTED.replace(details={"run": {}, "content": {"tree": "t2"}}), RESULT),
        (STARTED, RESULT.replace(details={**RESULT.details, "run": {**RESULT.details["run"], "exit_code": "0"}})),
        (STARTED, RESULT.replace(details={**RESULT.details, "run": {**RESULT.details["run"], "exit_code": True}})),
        (STARTED, RESULT.replace(details={**RESULT.details, "run": {**RESULT.details["run"], "started": 2}})),
        (STARTED, RESULT.replace(details={**RESULT.details, "run": [1]})),
    ],
)
def test_a_result_that_only_says_so_is_a_claim(ledger: Ledger, started: Entry, result: Entry) -> None:
    ledger.append("t", [started, result])
    assert grades(ledger) == [(2, Grade.CLAIMED)]


def test_what_was_imported_is_a_claim_and_what_follows_is_not(ledger: Ledger) -> None:
    origin = Origin(format="scafld", dialect="2.3", schema_version=1)
    ledger.import_session(
        Session(task_id="t", created_at="2026-01-01T00:00:00Z", origin=origin, entries=[STARTED, RESULT])
    )
    assert grades(ledger) == [(2, Grade.CLAIMED)]
    ledger.append("t", STARTED)
    details = {**RESULT.details, "run": {**RESULT.details["run"], "started": 3}}
    ledger.append("t", RESULT.replace(details=details))
    assert grades(ledger) == [(4, Grade.OBSERVED), (2, Grade.CLAIMED)]


def test_a_session_of_another_ledger_is_a_claim(ledger: Ledger, tmp_path: Path) -> None:
    ledger.append("t", STARTED)
    ledger.append("t", RESULT)
    with closing(sqlite3.connect(ledger.url.removeprefix("sqlite:///"))) as connection:
        header = json.loads(connection.execute("SELECT header FROM session").fetchone()[0])
    key = ledger.store.find("t")
    assert key is not None
    foreign = SessionHistory(ledger, SessionKey(key.number, "0" * 32, "t", key.header))
    assert header["ledger"] == ledger.ledger_id
    assert not foreign.own
    from tallystick.gate.evidence import attempts_in

    [result] = [one for one in attempts_in(foreign, "ac1", OUTSIDE_CI) if one.kind == "result"]
    assert result.grade is Grade.CLAIMED
    assert result.exit_code == 0


def test_thousands_of_entries_cost_no_more_than_the_newest(ledger: Ledger) -> None:
    fill(ledger, 5_000)
    statements = 0

    def count(_: str) -> None:
        nonlocal statements
        statements += 1

    ledger.store._connection().set_trace_callback(count)  # type: ignore[attr-defined]
    read = of(ledger)
    for criterion in ("ac0", "ac1", "ac2"):
        assert len(list(read.by_criterion(criterion))) >= history.AT_LEAST
    assert statements < 120
    assert len(list(read.by_criterion("rare"))) == 0
