"""Appending on PostgreSQL: what one statement does, what the lock is for, and answers that never came."""

from __future__ import annotations

import os
import random
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest

from support.contract import ENTRY, naive_head
from support.postgres import PostgresUnderTest
from tallystick import ConcurrencyError, Entry, Ledger, StoreUnavailableError
from tallystick.model import Session
from tallystick.stores import postgres_connection
from tallystick.stores.postgres_connection import Link
from tallystick.stores.postgres_track import INLINE_BYTES, INLINE_POINTERS, rfc3339
from tallystick.stores.postgres_writer import COPY_ROWS

PLAIN = Entry(type="criterion", criterion_id="ac1", status="pass")


class Spy:
    """Counts what is sent, and can cut the connection around it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.sent: list[str] = []
        self.cut = ""
        """When to break the connection: "before" the statement that commits is sent, or "after" it was done."""
        run, pipeline = Link.run, Link.pipeline

        def spied_run(link: Link, statement: Any, parameters: Any) -> Any:
            self.sent.append(statement.name.decode())
            return self._around(link, "append" in self.sent[-1], lambda: run(link, statement, parameters))

        def spied_pipeline(link: Link, work: Any) -> Any:
            work = list(work)
            names = [statement.name.decode() for statement, _ in work]
            self.sent.append(" ".join(names))
            return self._around(link, "commit" in names, lambda: pipeline(link, work))

        monkeypatch.setattr(Link, "run", spied_run)
        monkeypatch.setattr(Link, "pipeline", spied_pipeline)

    def _around(self, link: Link, commits: bool, call: Callable[[], Any]) -> Any:
        cut, self.cut = (self.cut, "") if commits else ("", self.cut)
        if cut == "before":
            link.connection.pgconn.finish()
            raise psycopg.OperationalError("cut before it was sent")
        result = call()
        if cut == "after":
            link.connection.pgconn.finish()
            raise psycopg.OperationalError("cut before the answer came")
        return result


@pytest.fixture
def spy(monkeypatch: pytest.MonkeyPatch) -> Spy:
    return Spy(monkeypatch)


def without_digits(sent: list[str]) -> list[str]:
    return [" ".join(name.rpartition("_")[0] or name for name in names.split()) for names in sent]


# --- round trips


def test_one_statement_appends_where_the_head_is_known(ledger: Ledger, spy: Spy) -> None:
    ledger.append("t", ENTRY)
    assert without_digits(spy.sent) == ["begin hold", "create append_many commit"]
    for call, expected in (
        (lambda: ledger.append("t", ENTRY), "append_one"),
        (lambda: ledger.append("t", ENTRY, idempotency_key="k"), "append_keyed"),
        (lambda: ledger.append("t", ENTRY, expected_position=3), "append_one"),
        (lambda: ledger.append("t", PLAIN), "append_keyed"),
        (lambda: ledger.append("t", [ENTRY, PLAIN]), "append_many"),
        (lambda: ledger.append("t", PLAIN.replace(criterion_id="new")), "append_many"),
        (lambda: ledger.append("t", PLAIN.replace(criterion_id="new")), "append_keyed"),
    ):
        spy.sent.clear()
        call()
        assert without_digits(spy.sent) == [expected]
    ledger.verify()


def test_a_store_that_meets_others_takes_the_lock_until_it_is_alone(store: PostgresUnderTest, spy: Spy) -> None:
    one, other = store.open(), store.open()
    one.append("t", ENTRY)
    other.append("t", ENTRY)
    spy.sent.clear()
    assert one.append("t", ENTRY).position == 3
    assert without_digits(spy.sent) == ["append_one", "begin hold", "append_one commit"]
    spy.sent.clear()
    assert one.append("t", ENTRY).position == 4
    assert without_digits(spy.sent) == ["begin hold", "append_one commit"]
    spy.sent.clear()
    assert one.append("t", ENTRY).position == 5
    assert without_digits(spy.sent) == ["append_one"]
    one.verify()


def test_many_rows_go_by_copy(ledger: Ledger, spy: Spy) -> None:
    ledger.append("t", ENTRY)
    spy.sent.clear()
    ledger.append("t", [ENTRY] * COPY_ROWS)
    assert without_digits(spy.sent) == ["begin hold", "batch", "commit"]
    assert ledger.append("new", [ENTRY] * 1000) == naive_head(ledger, "new")
    assert ledger.append("t", Entry(type="run", output=os.urandom(3_000_000))).position == COPY_ROWS + 2
    ledger.verify()


def test_a_copy_that_fails_leaves_nothing(store: PostgresUnderTest, ledger: Ledger) -> None:
    ledger.append("t", ENTRY)
    other = store.open()
    with store.shared.connect(store.database) as connection:
        connection.execute("CREATE SCHEMA aside")
        connection.execute(
            "CREATE FUNCTION aside.fail() RETURNS trigger LANGUAGE plpgsql AS"
            " $$BEGIN IF new.position = 90 THEN RAISE EXCEPTION 'no' USING ERRCODE = '53100'; END IF; RETURN new; END$$"
        )
        for digit in "0123456789abcdef":
            connection.execute(
                f"CREATE TRIGGER fail BEFORE INSERT ON tallystick.record_{digit}"
                " FOR EACH ROW EXECUTE FUNCTION aside.fail()"
            )
        try:
            for task in ("t", "new"):
                with pytest.raises(StoreUnavailableError, match="free some space"):
                    other.append(task, [ENTRY.replace(output="x" * 60_000)] * 120)
        finally:
            connection.execute("DROP SCHEMA aside CASCADE")
    assert other.append("t", ENTRY).position == 2
    assert [state.task_id for state in other.tasks()] == ["t"]
    other.verify()


# --- pointers


def test_more_pointers_than_fit_into_the_heads_row(store: PostgresUnderTest, ledger: Ledger) -> None:
    names = [f"ac{n:03}" for n in range(INLINE_POINTERS + 40)]
    other = store.open()
    for turn, name in enumerate(names + names[-60:]):
        (ledger if turn % 7 else other).append("t", PLAIN.replace(criterion_id=name, status=str(turn)))
    ((inline, places, more),) = store.sql("SELECT names, places, more FROM state WHERE key = ''")
    rows = dict(store.sql("SELECT key, position FROM state WHERE key <> ''"))
    assert len(inline) == len(places) == INLINE_POINTERS
    assert more is True
    assert set(inline) & rows.keys() == set()
    assert len(rows) + len(inline) == len(names) + 1
    state = store.reopen().state("t")
    assert state.criteria == dict(store.open().session("t").criterion_states)
    fresh = store.open()
    key = fresh.store.find("t")
    assert key is not None
    for name in (names[0], names[-1]):
        assert fresh.store.pointer(key, f"c{name}") == state.criteria[name].position
    assert fresh.store.pointer(key, "cnone") == 0
    fresh.append("t", [PLAIN.replace(criterion_id=name) for name in names])
    fresh.append("t", PLAIN.replace(criterion_id=names[-1]))
    fresh.verify()


def test_long_names_leave_the_heads_row_short(store: PostgresUnderTest, ledger: Ledger) -> None:
    for turn in range(12):
        ledger.append("t", PLAIN.replace(criterion_id=f"{turn}" * 200))
    ((inline,),) = store.sql("SELECT names FROM state WHERE key = ''")
    assert 2 < len(inline) < 8
    assert sum(map(len, inline)) <= INLINE_BYTES
    ledger.verify()


def test_what_is_remembered_of_pointers_is_what_the_database_has(store: PostgresUnderTest, ledger: Ledger) -> None:
    """Both place new ones by the same rule: names of every length and alphabet, one by one and many at once."""
    chance = random.Random(7)
    names = [chr(chance.choice((0x61, 0xE9, 0x1F38B))) * chance.randrange(1, 90) + str(n) for n in range(90)]
    for start in range(0, 90, 3):
        fresh = [PLAIN.replace(criterion_id=name) for name in names[start : start + 3]]
        ledger.append("t", fresh if start % 2 else fresh[0])
        ledger.append("t", PLAIN.replace(criterion_id=names[chance.randrange(start + 1)]))
        kept = ledger.store._tracks["t"].pointers
        ((inline, places, more),) = store.sql("SELECT names, places, more FROM state WHERE key = ''")
        assert (list(kept.slots), list(kept.positions().values()), kept.more) == (inline, places, more)
    ledger.verify()


def test_a_pointer_in_a_row_of_its_own_is_read_once(store: PostgresUnderTest, ledger: Ledger, spy: Spy) -> None:
    names = [f"ac{n:03}" for n in range(INLINE_POINTERS + 10)]
    ledger.append("t", [PLAIN.replace(criterion_id=name) for name in names])
    ledger = store.reopen()
    ledger.append("t", PLAIN.replace(criterion_id=names[0]))
    spy.sent.clear()
    for _ in range(3):
        for name in names[-2:]:
            ledger.append("t", PLAIN.replace(criterion_id=name))
    kinds = [sent.rpartition("_")[0] for sent in spy.sent]
    assert kinds == ["pointers", "append_many", "pointers", *["append_many"] * 5]
    other = store.open()
    other.append("t", PLAIN.replace(criterion_id=names[-1], status="fail"))
    ledger.append("t", PLAIN.replace(criterion_id=names[-1]))
    assert ledger.state("t").criteria == dict(ledger.session("t").criterion_states)
    ledger.verify()


def test_times_are_written_as_records_carry_them() -> None:
    assert rfc3339(1_764_035_433_000_007) == "2025-11-25T01:50:33.000007Z"
    assert rfc3339(951_782_400_999_999) == "2000-02-29T00:00:00.999999Z"


def test_groups_of_threads_share_a_transaction(ledger: Ledger, spy: Spy) -> None:
    ledger.append("t", ENTRY)
    spy.sent.clear()
    start = threading.Barrier(16)
    heads = []

    def work(thread: int) -> None:
        start.wait()
        heads.extend(ledger.append("t", ENTRY.replace(id=f"{thread}.{n}")) for n in range(10))

    threads = [threading.Thread(target=work, args=(n,)) for n in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(head.position for head in heads) == list(range(2, 162))
    assert len(spy.sent) < 100
    assert any("append_many" in names for names in spy.sent)
    for head in heads[::13]:
        assert ledger.root_at("t", head.position) == head
    ledger.verify()


def test_one_bad_request_of_a_group_does_not_hurt_the_others(ledger: Ledger) -> None:
    ledger.append("t", ENTRY)
    outcomes: list[object] = []
    start = threading.Barrier(12)

    def work(thread: int) -> None:
        start.wait()
        for _ in range(5):
            try:
                expected = 10_000 if thread % 3 == 0 else None
                outcomes.append(ledger.append("t", ENTRY, expected_position=expected).position)
            except ConcurrencyError:
                outcomes.append("refused")

    threads = [threading.Thread(target=work, args=(n,)) for n in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert outcomes.count("refused") == 20
    assert sorted(one for one in outcomes if isinstance(one, int)) == list(range(2, 42))
    ledger.verify()


# --- answers that never came


@pytest.mark.parametrize("cut", ["before", "after"])
@pytest.mark.parametrize("entry", [ENTRY, PLAIN, ENTRY.replace(output="x" * 100_000)], ids=["salted", "plain", "large"])
def test_an_append_whose_answer_was_lost_is_there_once(ledger: Ledger, spy: Spy, cut: str, entry: Entry) -> None:
    for task, known in (("known", True), ("new", False)):
        if known:
            ledger.append(task, ENTRY)
        for key in (None, "k"):
            spy.cut = cut
            before = ledger.head(task).position if known or key else 0
            head = ledger.append(task, entry, idempotency_key=key)
            assert spy.cut == ""
            assert head.position == before + 1
            assert head == ledger.head(task) == naive_head(ledger, task)
            if key is not None:
                assert ledger.append(task, entry, idempotency_key=key) == head
    ledger.verify()


def test_only_what_could_be_taken_for_something_else_gets_a_key_of_ours(store: PostgresUnderTest) -> None:
    ledger = store.open()
    ledger.append("t", [ENTRY, PLAIN])
    assert store.sql("SELECT * FROM local_idempotency") == []
    for n in range(1, 4):
        ledger.append("t", PLAIN)
        keys = store.sql("SELECT key, first, last, salt, digest FROM local_idempotency ORDER BY first")
        assert [row[1:] for row in keys] == [(2 + m, 2 + m, None, None) for m in range(1, n + 1)]


@pytest.mark.parametrize("cut", ["before", "after"])
def test_whatever_writes_is_done_once(ledger: Ledger, spy: Spy, cut: str) -> None:
    session = Session(task_id="imported", created_at="2020", entries=[ENTRY, PLAIN])
    spy.cut = cut
    assert ledger.import_session(session).position == 2
    spy.cut = cut
    assert ledger.import_session(session.replace(task_id="empty", entries=[])).position == 0
    spy.cut = cut
    assert ledger.append("imported", [ENTRY] * 40).position == 42
    spy.cut = cut
    assert ledger.append("imported", [PLAIN] * 3).position == 45
    spy.cut = cut
    assert ledger.erase("imported", 1, ["text"], reason="leaked").position == 46
    assert ledger.verify()[0].erased + ledger.verify()[1].erased == 1


def test_others_who_came_in_between_do_not_confuse_the_retry(
    store: PostgresUnderTest, spy: Spy, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = store.open(), store.open()
    one.append("t", ENTRY)
    finish = psycopg.pq.PGconn.finish
    for cut in ("after", "before"):
        spy.cut = cut
        pending = threading.Event()

        def meanwhile(self: Any, event: threading.Event = pending) -> None:
            finish(self)
            if not event.is_set():
                event.set()
                other.append("t", PLAIN)

        monkeypatch.setattr(spy, "_around", _with(spy, meanwhile))
        head = one.append("t", ENTRY.replace(id=cut))
        assert one.entry("t", head.position).entry.id == cut
        assert head == one.root_at("t", head.position)
    assert one.head("t").position == 5
    ids = [recorded.entry.id for recorded in one.entries("t")]
    assert ids.count("after") == ids.count("before") == 1
    one.verify()


def _with(spy: Spy, finish: Callable[[Any], None]) -> Callable[..., Any]:
    def around(link: Link, commits: bool, call: Callable[[], Any]) -> Any:
        cut, spy.cut = (spy.cut, "") if commits else ("", spy.cut)
        if cut == "before":
            finish(link.connection.pgconn)
            raise psycopg.OperationalError("cut")
        result = call()
        if cut == "after":
            finish(link.connection.pgconn)
            raise psycopg.OperationalError("cut")
        return result

    return around


def test_an_interrupted_leader_leaves_the_others_done_once(
    ledger: Ledger, spy: Spy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C reaches the thread that commits for all, just after the server did it."""
    ledger.append("t", ENTRY)
    run = Link.run
    interrupted = threading.Event()
    waiting = threading.Barrier(6)

    def interrupting(link: Link, statement: Any, parameters: Any) -> Any:
        result = run(link, statement, parameters)
        if b"append" in statement.name and not interrupted.is_set():
            interrupted.set()
            time.sleep(0.2)
            raise KeyboardInterrupt
        return result

    monkeypatch.setattr(Link, "run", interrupting)
    outcomes: list[object] = []

    def work(thread: int) -> None:
        waiting.wait()
        try:
            outcomes.append(ledger.append("t", ENTRY.replace(id=str(thread))).position)
        except KeyboardInterrupt:
            outcomes.append("interrupted")

    threads = [threading.Thread(target=work, args=(n,)) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    positions = [one for one in outcomes if isinstance(one, int)]
    assert (outcomes.count("interrupted"), len(positions)) == (1, 5)
    ids = [recorded.entry.id for recorded in ledger.entries("t")]
    assert len(ids) == len(set(ids)) == 7
    assert len(set(positions)) == 5
    ledger.verify()


def test_connections_cut_by_an_administrator(store: PostgresUnderTest, ledger: Ledger) -> None:
    ledger.append("t", ENTRY)
    cuts: list[int] = []

    def cut() -> None:
        with store.shared.connect("postgres") as connection:
            while len(cuts) < 12:
                time.sleep(0.15)
                found = connection.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                    " WHERE datname = %s AND application_name = 'tallystick'",
                    (store.database,),
                )
                cuts.append(len(found.fetchall()))

    cutter = threading.Thread(target=cut)
    cutter.start()
    count = 1
    while cutter.is_alive():
        ledger.append("t", ENTRY)
        count += 1
        assert ledger.head("t").position == count
    cutter.join()
    assert sum(cuts) > 5
    ledger.verify()


def test_a_stale_connection_is_not_asked_twice(own: Ledger, spy: Spy) -> None:
    own.append("t", ENTRY)
    spy.cut = "before"
    began = time.monotonic()
    own.append("t", ENTRY)
    assert time.monotonic() - began < 2


@pytest.fixture
def own(store: PostgresUnderTest) -> Iterator[Ledger]:
    with Ledger.open(store.shared.url(store.database or _make(store))) as ledger:
        yield ledger


def _make(store: PostgresUnderTest) -> str:
    store.open()
    return store.database


# --- time


def test_the_time_is_the_servers(store: PostgresUnderTest, monkeypatch: pytest.MonkeyPatch) -> None:
    real = postgres_connection.local_clock
    monkeypatch.setattr(postgres_connection, "local_clock", lambda: real() - 3_000_000)
    ledger = store.open()
    assert abs(ledger.store._pool._idle[0].offset - 3_000_000) < 1_000_000
    for _ in range(3):
        ledger.append("t", ENTRY)
    with store.shared.connect(store.database) as connection:
        ((now,),) = connection.execute(
            "SELECT to_char(now() AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS')"
        ).fetchall()
    times = [recorded.at for recorded in ledger.entries("t")]
    assert times == sorted(times)
    assert times[-1][:17] == now[:17]
    assert abs(float(times[-1][17:-1]) - float(now[17:])) < 2


def test_a_clock_that_jumps_while_the_ledger_is_open(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is told by the monotonic clock, which does not jump; the server's clock is asked again."""
    ledger.append("t", ENTRY)
    real = postgres_connection.local_clock
    link = ledger.store._pool._idle[0]
    for seconds in (4, -4):
        monkeypatch.setattr(postgres_connection, "local_clock", lambda seconds=seconds: real() + seconds * 1_000_000)
        ledger.append("t", ENTRY)
        assert abs(link.offset + seconds * 1_000_000) < 1_000_000
    monkeypatch.setattr(postgres_connection, "local_clock", lambda: real() + 60_000_000)
    with pytest.raises(StoreUnavailableError, match="this machine's clock is 60 s ahead of the server's"):
        ledger.append("t", ENTRY)
    monkeypatch.undo()
    ledger.append("t", ENTRY)
    times = [recorded.at for recorded in ledger.entries("t")]
    assert times == sorted(times)
    ledger.verify()
