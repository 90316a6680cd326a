"""What a writer cannot do with statements of his own: nothing that he plants stops others, now or later."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any

import psycopg
import pytest
from psycopg import sql

from support.contract import ENTRY
from support.postgres import PostgresUnderTest
from tallystick import Entry, IdempotencyConflict, Ledger
from tallystick.proof.merkle import leaf_hash
from tallystick.stores.postgres_schema import OWNER, SCHEMA_VERSION, WRITER, partition_of, session_key
from tallystick.stores.postgres_track import HeadPointers
from tallystick.stores.postgres_writer import batch_of

DENIED, REFUSED = "42501", "TS003"
NO_TIME = ("22007", "22008")
LARGE = ENTRY.replace(output=b"x" * 90_000)
NOW = "2026-02-01T00:00:00.000000Z"


class Writer:
    """A member of the writers' role alone, who sends what he likes."""

    def __init__(self, url: str, ledger: Ledger) -> None:
        self._connection = psycopg.connect(url, autocommit=True)
        self._connection.execute("SET search_path = tallystick")
        self._connection.execute("SELECT set_config('tallystick.schema', %s, false)", (str(SCHEMA_VERSION),))
        self._ledger = ledger

    def close(self) -> None:
        self._connection.close()

    def key(self, task: str) -> tuple[bytes, str]:
        """A task's session, and the partition it belongs into."""
        key = session_key(self._ledger.ledger_id, task)
        return key, partition_of(int.from_bytes(key))

    def says(self, *statements: str | tuple[str, Any]) -> str:
        """The SQLSTATE of the first of these statements, in one transaction, that fails; empty where all are done."""
        try:
            with self._connection.transaction():
                for one in statements:
                    text, arguments = one if isinstance(one, tuple) else (one, ())
                    self._connection.execute(sql.SQL(text), arguments)
        except psycopg.Error as error:
            return error.sqlstate or "?"
        return ""

    def begins(self, task: str, header: bytes) -> str:
        key, digit = self.key(task)
        return self.says((f"SELECT begin_{digit}(%s, %s)", (key, header)))

    def appends(self, task: str, record: bytes, **changed: Any) -> list[str]:
        """What is said where that record is appended by either function, and where it is inserted."""
        key, digit = self.key(task)
        session = self._ledger.store.find(task)
        assert session is not None
        tip = self._ledger.store.tip(session)
        known = tip.edge.pack()
        node = tip.edge.append(leaf_hash(record))
        values: dict[str, Any] = {
            "place": tip.position, "edge": tip.edge.pack(), "keys": [], "position": tip.position + 1, "node": node,
            "places": [1, 2, 3],
        } | changed  # fmt: skip
        # Undone, whatever is said: where one function does it, the other ways would come too late.
        undo = "DO $do$ BEGIN RAISE EXCEPTION 'undone' USING ERRCODE = 'XX999'; END $do$"
        start = (key, values["place"], known)
        nothing = "0, 0, NULL, NULL, NULL, NULL, NULL, NULL"
        call = f"append{SCHEMA_VERSION}_{digit}(%s, %s, %s, convert_from(%s, 'UTF8'), %s, %s, %s::bigint[], {nothing})"
        one = (f"SELECT 1 / {call}::integer", (*start, record, values["node"], values["edge"], values["places"]))
        none = ", ".join(["ARRAY[NULL::bytea]"] * 6)
        call = f"SELECT extend_{digit}(%s, %s, %s, %s, NULL, %s::bigint[], NULL, NULL, %s, %s, %s, %s, %s,"
        keys = map(list, zip(*values["keys"], strict=True) if values["keys"] else [()] * 5)
        several = (
            f"{call} ARRAY[%s], ARRAY[%s], ARRAY[0], ARRAY[0], {none})",
            (*start, values["edge"], values["places"], *keys, record, values["node"]),
        )
        before, after = HeadPointers(), HeadPointers(map(str, range(len(values["places"]))), values["places"])
        batch = batch_of(values["place"], known, values["edge"], before, after, {}, values["keys"])
        columns = "session, position, record, node, criterion_before, type_before"
        insert = f"INSERT INTO record ({columns}) VALUES (%s, %s, %s, %s, 0, 0)"
        return [
            self.says(one, undo),
            self.says(several, undo),
            self.says(
                ("SELECT set_config('tallystick.batch', %s, true)", (batch.decode(),)),
                (insert, (key, values["position"], record, values["node"])),
                undo,
            ),
        ]


@pytest.fixture
def writer(ledger: Ledger, as_role: Callable[[str], str]) -> Iterator[Writer]:
    ledger.append("t", [ENTRY, LARGE, Entry(type="note")], idempotency_key="k")
    made = Writer(as_role(WRITER), ledger)
    yield made
    made.close()


def goes_on(store: PostgresUnderTest, *tasks: str) -> None:
    """Others append to these tasks as before, and all of it verifies."""
    with store.open() as other:
        for task in tasks:
            for number, entry in enumerate((ENTRY, LARGE, Entry(type="note", criterion_id="new"))):
                other.append(task, entry, idempotency_key=str(number))
        other.verify()


def entry_at(at: str, **fields: Any) -> bytes:
    return json.dumps({"v": 1, "kind": "entry", "at": at, **fields}, separators=(",", ":")).encode()


def test_the_helper_appends_what_is_right(writer: Writer, ledger: Ledger) -> None:
    """So that what is refused below is refused for what is wrong with it."""
    at = ledger.entry("t", 3).at
    assert writer.appends("t", entry_at(at, type="note")) == ["XX999"] * 3
    keys = [("mine", 4, 4, b"salt", b"digest")]
    assert writer.appends("t", entry_at(at, type="note"), keys=keys) == ["XX999"] * 3


@pytest.mark.parametrize("task", ["t", "future"])
def test_heads_and_pointers(store: PostgresUnderTest, writer: Writer, task: str) -> None:
    key, digit = writer.key(task)
    for change in (
        f"UPDATE state_{digit} SET position = 1000000000, moved = true",
        f"UPDATE state_{digit} SET position = position + 1, moved = true WHERE key = ''",
        f"UPDATE state_{digit} SET moved = false",
        f"UPDATE state_{digit} SET names = '{{}}', places = '{{}}'",
        f"DELETE FROM state_{digit}",
    ):
        assert writer.says(change) == DENIED, change
    for table in (f"state_{digit}", "state"):
        for name in ("", "tnote", "cac1"):
            insert = f"INSERT INTO {table} (session, key, position, moved) VALUES (%s, '{name}', 5, true)"
            assert writer.says((insert, (key,))) == DENIED
    for call in (
        f"move_{digit}(%s, 3, NULL, 4, 4, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL)",
        "require_client() WHERE %s IS NULL",
    ):
        assert writer.says((f"SELECT {call}", (key,))) == DENIED
    goes_on(store, task)


def headers(ledger_id: str) -> dict[str, bytes]:
    right = {
        "v": 1,
        "kind": "session",
        "at": NOW,
        "ledger": ledger_id,
        "task_id": "future",
        "created_at": "",
        "rules": 1,
    }

    def with_(**changed: Any) -> bytes:
        return json.dumps(right | changed, separators=(",", ":")).encode()

    fine = with_()
    return {
        "nothing": b"",
        "no JSON": b"garbage",
        "not UTF-8": b"\xff\xfe",
        "a list": b"[]",
        "no object": b'"session"',
        "nothing in it": b"{}",
        "a later version": with_(v=2),
        "another kind": with_(kind="entry"),
        "rules that there are not": with_(rules=9),
        "rules as text": with_(rules="1"),
        "a number as the task": with_(task_id=5),
        "another task": with_(task_id="other"),
        "a time to come": with_(at="9999-01-01T00:00:00.000000Z"),
        "no time": with_(at="yesterday"),
        "a field more": with_(more=1),
        "a day that there is not": with_(at="2026-02-30T00:00:00.000000Z"),
        "a minute that there is not": with_(at="2026-02-01T00:60:00.000000Z"),
        "an empty origin of another kind": with_(origin=[]),
        "an origin whose dialect is a number": with_(origin={"format": "scafld", "dialect": 5}),
        "an origin whose format is an object": with_(origin={"format": {"a": [1]}}),
        "an origin whose schema version is text": with_(origin={"format": "scafld", "schema_version": "5"}),
        "an origin whose schema version is a fraction": with_(origin={"format": "scafld", "schema_version": 5.5}),
        "an origin with a field more": with_(origin={"format": "scafld", "more": 1}),
        "white space": fine + b" ",
        "white space inside": fine.replace(b'"v":1', b'"v": 1'),
        "a key twice": fine[:-1] + b',"rules":1}',
        "another spelling": fine.replace(b"future", b"\\u0066uture"),
        "a NUL": fine.replace(b'"created_at":""', b'"created_at":"\\u0000"'),
        "a ledger that is none": with_(ledger="x"),
    }


@pytest.mark.parametrize("what", headers("0" * 32))
def test_headers(store: PostgresUnderTest, ledger: Ledger, writer: Writer, what: str) -> None:
    header = headers(ledger.ledger_id)[what]
    assert writer.begins("future", header) in (REFUSED, "22P02", "22021", "22P05", *NO_TIME)
    key, digit = writer.key("future")
    for table in (f"session_{digit}", "session"):
        insert = f"INSERT INTO {table} (key, ledger, task_id, header) VALUES (%s, 1, 'future', %s)"
        assert writer.says((insert, (key, header))) == DENIED
    goes_on(store, "future", "t")


@pytest.mark.parametrize("task", ["", "x" * 513, "\u00fc" * 257])
def test_tasks_that_nobody_could_name(store: PostgresUnderTest, ledger: Ledger, writer: Writer, task: str) -> None:
    fields = {"v": 1, "kind": "session", "at": NOW, "ledger": ledger.ledger_id, "task_id": task, "created_at": NOW}
    header = json.dumps(fields | {"rules": 2}, separators=(",", ":"), ensure_ascii=False).encode()
    assert writer.begins(task, header) == REFUSED
    goes_on(store, "t")


def test_a_header_that_is_right_stops_nobody(store: PostgresUnderTest, ledger: Ledger, writer: Writer) -> None:
    fields = {"v": 1, "kind": "session", "at": NOW, "ledger": ledger.ledger_id, "task_id": "future", "created_at": NOW}
    assert writer.begins("future", json.dumps(fields | {"rules": 2}, separators=(",", ":")).encode()) == ""
    goes_on(store, "future")


AHEAD = "9999-01-01T00:00:00.000000Z"


@pytest.mark.parametrize(
    "record",
    [
        entry_at(AHEAD, type="note"),
        entry_at("2030-01-01T00:00:00.000000Z"),
        entry_at("2020-01-01T00:00:00.000000Z"),
        entry_at("tomorrow"),
        entry_at("2026-99-99T99:99:99.99999999"),
        b"garbage",
        b"",
        b'{"v":2,"kind":"entry","at":"%AT%"}',
        b'{"v":1,"kind":"more","at":"%AT%"}',
        b'{"kind":"entry","v":1,"at":"%AT%"}',
        b'{"v":1,"kind":"entry","at":"%AT%","provider":"' + b"x" * 70_000 + b'"}',
    ],
)
def test_records(store: PostgresUnderTest, ledger: Ledger, writer: Writer, record: bytes) -> None:
    record = record.replace(b"%AT%", ledger.entry("t", 3).at.encode())
    one, *others = writer.appends("t", record)
    assert set(others) <= {REFUSED, "TS004", *NO_TIME}
    if len(record) < 70_000:
        assert one in (REFUSED, "22012", *NO_TIME)  # false is no divisor
    goes_on(store, "t")


def soon(at: str, seconds: int) -> str:
    """So many seconds later, up to the seconds' tens."""
    moment = datetime.fromisoformat(at) + timedelta(seconds=seconds)
    return moment.strftime("%Y-%m-%dT%H:%M:%S")[:-1]


@pytest.mark.parametrize("rest", ["!.aaaaaaZ", "9.99999 Z", " .000000Z", "5,000000Z", "5.00000000"])
def test_times_that_are_none_are_not_repeated_by_others(
    store: PostgresUnderTest, ledger: Ledger, writer: Writer, rest: str
) -> None:
    """One that is later than now and not too late, as texts compare: others would write it until the clock is there."""
    record = entry_at(soon(ledger.entry("t", 3).at, 30) + rest, type="note")
    assert set(writer.appends("t", record)) <= {REFUSED, "22012", *NO_TIME}
    goes_on(store, "t")


def test_a_clock_that_was_set_back_stops_no_append(store: PostgresUnderTest, ledger: Ledger) -> None:
    """The session's newest time is good, however far ahead it is, and no later one."""
    ledger.append("t", [ENTRY] * 3)
    ahead = soon(ledger.entry("t", 3).at, 7200) + "0.000000Z"
    with store.shared.connect(store.database) as connection:
        connection.execute(f"SET ROLE {OWNER}")
        connection.execute("UPDATE tallystick.state SET at = %s WHERE key = ''", (ahead,))
        connection.commit()
    for number, entries in enumerate((ENTRY, [ENTRY] * 2, [ENTRY] * 40, LARGE)):
        with store.open() as other:
            other.append("t", entries, idempotency_key=str(number))
            assert other.append("t", ENTRY).position == ledger.head("t").position
            assert other.entry("t", other.head("t").position).at == ahead


def test_heads_that_no_record_leads_to(store: PostgresUnderTest, ledger: Ledger, writer: Writer) -> None:
    record = entry_at(ledger.entry("t", 3).at, type="note")
    edge = b"\x00" * 32
    for wrong in ({"place": 2}, {"place": 7}, {"place": -1}):
        assert set(writer.appends("t", record, **wrong)) <= {REFUSED, "TS004", "22012", "23505", "23514"}, wrong
    for wrong in ({"edge": edge}, {"edge": edge * 7}, {"edge": b""}):
        assert set(writer.appends("t", record, **wrong)) <= {REFUSED, "22012"}, wrong
    for wrong in (
        {"node": b"short"},
        {"keys": [("planted", 1, 9, None, None)]}, {"keys": [("planted", 1, 1, None, None)]},
        {"keys": [("planted", 0, 4, None, None)]}, {"keys": [("k", 1, 4, None, None)]},
    ):  # fmt: skip
        assert set(writer.appends("t", record, **wrong)[1:]) <= {REFUSED, "23505", "22P02"}, wrong
    for position in (3, 5, -1):
        assert writer.appends("t", record, position=position)[2] in (REFUSED, "23505", "23514")
    goes_on(store, "t")


@pytest.mark.parametrize("places", [[], [None], [9], [1, 2, 3, 4, 5, 6, 7, 8], [[1, 2], [3, 4]], [-5, 10**15]])
def test_a_head_that_is_nonsense_stops_no_append(
    store: PostgresUnderTest, ledger: Ledger, writer: Writer, places: list[Any]
) -> None:
    """What `append` takes without a look is of the right type and length: others go on, and verification tells."""
    record = entry_at(ledger.entry("t", 3).at, type="note")
    key, digit = writer.key("t")
    session = ledger.store.find("t")
    assert session is not None
    tip = ledger.store.tip(session)
    known = tip.edge.pack()
    node = tip.edge.append(leaf_hash(record))
    call = (
        f"SELECT append{SCHEMA_VERSION}_{digit}(%s, 3, %s, %s, %s, %s, %s::bigint[], 0, 0, {', '.join(['NULL'] * 6)})"
    )
    assert writer.says((call, (key, known, record.decode(), node, b"\x00" * 64, places))) == ""
    with store.open() as other:
        for number, entry in enumerate((ENTRY, LARGE, Entry(type="note", criterion_id="new")), 5):
            assert other.append("t", entry).position == number
            assert other.entry("t", number).entry.type == entry.type
        assert [state.head.position for state in other.tasks()] == [7]
        other.append("u", ENTRY)
        assert other.verify("u")[0].head.position == 1


def test_artifacts(store: PostgresUnderTest, ledger: Ledger, writer: Writer) -> None:
    key, digit = writer.key("t")
    data = b"planted"
    for table, state in ((f"artifact_{digit}", REFUSED), ("artifact", DENIED)):
        for position, chunk in ((1, 0), (2, 1), (2, 9), (3, 0), (4, 0), (99, 0)):
            insert = f"INSERT INTO {table} (session, position, chunk, digest, data) VALUES (%s, %s, %s, %s, %s)"
            assert writer.says((insert, (key, position, chunk, sha256(data).digest(), data))) == state, position
    goes_on(store, "t")
    assert ledger.output("t", 2) == LARGE.output_bytes


def test_keys_and_proofs_and_ledgers(store: PostgresUnderTest, ledger: Ledger, writer: Writer) -> None:
    key, digit = writer.key("t")
    for table in (f"local_idempotency_{digit}", "local_idempotency"):
        insert = f"INSERT INTO {table} (session, key, first, last) VALUES (%s, 'review', 3, 3)"
        assert writer.says((insert, (key,))) == DENIED
    for session, position in ((key, 4), (key, 10**12), (key, 0), (writer.key("future")[0], 1)):
        insert = f"INSERT INTO local_proof_{digit} (session, position, digest) VALUES (%s, %s, %s)"
        assert writer.says((insert, (session, position, b"x" * 32))) in (REFUSED, "23514")
    assert writer.says("INSERT INTO ledger VALUES (2, repeat('a', 32))") == DENIED
    assert ledger.append("t", Entry(type="review"), idempotency_key="review").position == 4
    with pytest.raises(IdempotencyConflict):
        ledger.append("t", Entry(type="note"), idempotency_key="review")
    goes_on(store, "t")


def test_what_is_no_json_behind_its_beginning_stops_no_append(
    store: PostgresUnderTest, ledger: Ledger, writer: Writer
) -> None:
    """The database looks at a record's beginning alone; verification tells whose rest is wrong, and others go on."""
    at = ledger.entry("t", 3).at
    record = entry_at(at)[:-1] + b',"type":5,,'
    key, _ = writer.key("t")
    session = ledger.store.find("t")
    assert session is not None
    tip = ledger.store.tip(session)
    known = tip.edge.pack()
    node = tip.edge.append(leaf_hash(record))
    batch = batch_of(3, known, tip.edge.pack(), HeadPointers(), HeadPointers(["tnote"], [4]), {})
    columns = "session, position, record, node, criterion_before, type_before"
    insert = f"INSERT INTO record ({columns}) VALUES (%s, 4, %s, %s, 0, 0)"
    leads = ("SELECT set_config('tallystick.batch', %s, true)", (batch.decode(),))
    assert writer.says(leads, (insert, (key, record, node))) == ""
    with store.open() as other:
        for number, entry in enumerate((ENTRY, Entry(type="note"), LARGE), 5):
            assert other.append("t", entry).position == number
        other.append("u", ENTRY)
        assert other.verify("u")[0].head.position == 1
        (found,) = [one for one in other.inspect("t") if one.faults]  # type: ignore[union-attr]
        assert min(fault.position for fault in found.faults) == 4  # type: ignore[union-attr]
